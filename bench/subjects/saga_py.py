"""saga-py, in memory; it is imported as `saga`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import play
from saga import SagaBuilder, SagaError

if TYPE_CHECKING:
    from collections.abc import Callable


def memory(steps: list[tuple[Callable[..., None], Callable[..., None]]], back: bool) -> Callable[[], object]:  # noqa: FBT001
    """Return what executes a saga, which is built once."""
    builder = SagaBuilder.create()
    for run, undo in steps:
        builder.action(run, undo)
    if not back:
        return builder.build().execute  # type: ignore[no-any-return]
    builder.action(play.fail, play.nothing)  # an undo is required, and called for the action that fails, too
    saga = builder.build()

    def play_back() -> None:
        with contextlib.suppress(SagaError):
            saga.execute()

    return play_back
