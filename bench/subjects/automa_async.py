"""automa on its stores, with async steps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import play
from automa_saga import url_of

from automa import Step, Workflow
from automa.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


async def tick() -> None:
    """Do what an async step does."""
    play.tick()


@contextlib.contextmanager
def durable(count: int, place: str) -> Iterator[Callable[[int], None]]:
    """Give what plays runs at once, all on one loop."""
    workflow = Workflow("bench", [Step(f"step-{number}", run=tick) for number in range(count)])
    with contextlib.closing(open_store(url_of(place))) as store, asyncio.Runner() as runner:

        async def play_all(runs: int) -> None:
            for report in await asyncio.gather(*(workflow.start_async(store=store) for _ in range(runs))):
                report.raise_for_status()

        yield lambda runs: runner.run(play_all(runs))
