"""The runs whose instructions are counted, see instructions.py: `python scenarios.py NAME TIMES`.

They use what has been public since the base commit, so that one file plays both.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from automa import Parallel, Step, Workflow
from automa.stores import SqliteStore


def nothing() -> None:
    """Do what a step does here."""


async def nothing_async() -> None:
    """Do what an async step does here."""


def fail() -> None:
    """Fail, so that everything is undone."""
    raise ValueError


def in_memory(times: int) -> None:
    """Run 200 steps forward and back."""
    steps = [Step(str(number), run=nothing, undo=nothing) for number in range(200)]
    workflow = Workflow("memory", [*steps, Step("fail", run=fail)])
    for _ in range(times):
        assert len(workflow.start().step_reports) == 402  # noqa: S101, PLR2004


def durable(times: int) -> None:
    """Run 50 steps forward and back on SQLite, and read what is kept of it."""
    steps = [Step(str(number), run=nothing, undo=nothing) for number in range(50)]
    workflow = Workflow("durable", [*steps, Step("fail", run=fail)])
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "runs.db")
        for number in range(times):
            workflow.start(store=store, run_id=f"run-{number}")
            assert len(workflow.resume(f"run-{number}", store=store).step_reports) == 102  # noqa: S101, PLR2004
        store.close()


def side_by_side(times: int) -> None:
    """Run 100 async steps side by side."""
    branches = [Step(str(number), run=nothing_async, undo=nothing_async) for number in range(100)]
    workflow = Workflow("side by side", [Parallel("all", *branches)])

    async def run() -> None:
        for _ in range(times):
            assert len((await workflow.start_async()).step_reports) == 1  # noqa: S101

    asyncio.run(run())


SCENARIOS = {"in memory": in_memory, "durable": durable, "side by side": side_by_side}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](int(sys.argv[2]))
