"""sagaz, in memory: each step depends on the one before, which makes a sequence; no metrics, no log."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import play
from sagaz import Saga, SagaConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def memory(steps: list[tuple[Callable[..., None], Callable[..., None]]], back: bool) -> Callable[[], object]:  # noqa: FBT001
    """Return what runs a saga, which is built once, on an event loop, which is made once."""
    loop = asyncio.new_event_loop()
    saga = Saga("bench", SagaConfig(metrics=False, logging=False))
    before: list[str] = []
    for number, (run, undo) in enumerate(steps):
        saga.add_step(str(number), asynchronous(run), asynchronous(undo), depends_on=before)
        before = [str(number)]
    if not back:
        return lambda: loop.run_until_complete(saga.run({}))
    saga.add_step("fail", asynchronous(play.fail), depends_on=before)

    def play_back() -> None:
        with contextlib.suppress(ValueError):
            loop.run_until_complete(saga.run({}))

    return play_back


def asynchronous(function: Callable[..., None]) -> Callable[[Any], Awaitable[None]]:
    """Return a function as sagaz wants it."""

    async def call(_context: Any) -> None:
        function()

    return call
