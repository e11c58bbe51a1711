"""Print the microseconds a branch of 1,000 async steps that do nothing, and a task of a bare TaskGroup."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING

from measuring import in_turn

from automa import Parallel, Step, Workflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COUNT = 1_000
ROUNDS = 20


async def nothing() -> None:
    """Do what a step of the benchmark does."""


async def bare() -> None:
    """Have bare tasks do it."""
    async with asyncio.TaskGroup() as group:
        for _ in range(COUNT):
            group.create_task(nothing())


def timed(run: Callable[[], Awaitable[object]]) -> Callable[[], float]:
    """Return what measures a run once."""

    async def some() -> float:
        await run()
        gc.collect()
        start = time.perf_counter()
        await run()
        return (time.perf_counter() - start) / COUNT * 1e6

    return lambda: asyncio.run(some())


def main() -> None:
    """Measure both in turn."""
    branches = (Step(str(number), run=nothing, undo=nothing) for number in range(COUNT))
    workflow = Workflow("bench", [Parallel("all", *branches)])
    print(json.dumps(in_turn({"TaskGroup": timed(bare), "Parallel": timed(workflow.start_async)}, ROUNDS)))


if __name__ == "__main__":
    main()
