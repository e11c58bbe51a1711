"""simple-saga, in memory: its synchronous saga, whose steps are run where they are named."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import play
from simple_saga import SyncSaga

if TYPE_CHECKING:
    from collections.abc import Callable

logging.getLogger("simple_saga").setLevel(logging.CRITICAL)  # else each saga that fails is told of


def memory(steps: list[tuple[Callable[..., None], Callable[..., None]]], back: bool) -> Callable[[], object]:  # noqa: FBT001
    """Return what plays a saga."""

    def play_forward() -> None:
        with SyncSaga() as saga:
            for run, undo in steps:
                saga.step(action=run, compensation=undo)

    def play_back() -> None:
        with contextlib.suppress(ValueError), SyncSaga() as saga:
            for run, undo in steps:
                saga.step(action=run, compensation=undo)
            saga.step(action=play.fail, compensation=play.nothing)  # a compensation is required

    return play_back if back else play_forward
