"""How much memory runs of automa take, in a process of their own; see scale.py and memory.py.

    python scale_memory.py steps 100000     # one run of so many steps, forward and back: megabytes, at most
    python scale_memory.py runs 10000       # so many runs at once, all in their second step: bytes a run
    python scale_memory.py runs 10000 FILE  # the same, journaled in this SQLite file

What is printed is by how much the resident memory of the process has grown: what the system counts.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path

from automa import Context, Step, Workflow
from automa.stores import SqliteStore

WITHOUT = "--without-collector"
"""Given with the rest, it switches Python's garbage collector off."""


def nothing() -> None:
    """Do what a step does."""


def fail() -> None:
    """Fail, so that everything is undone."""
    raise ValueError


def resident(field: str = "VmRSS") -> int:
    """Return the bytes of memory that this process has; with VmHWM the most that it ever had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def of_steps(count: int) -> float:
    """Return the megabytes that one run of so many steps takes at its peak."""
    steps = [Step(str(number), run=nothing, undo=nothing) for number in range(count)]
    workflow = Workflow("large", [*steps, Step("fail", run=fail)])
    before = resident()
    report = workflow.start()
    assert len(report.step_reports) == 2 * count + 2  # noqa: S101
    return (resident("VmHWM") - before) / 2**20


async def of_runs(count: int, path: str | None) -> dict[str, float]:
    """Return the bytes a run while so many are in their second step, and the seconds until all have ended."""
    arrived, go_on = 0, asyncio.Event()
    all_there = asyncio.Event()

    async def reserve(ctx: Context) -> dict[str, int]:
        ctx.shared["seat"] = "12A"
        return {"reservation": 17}

    async def wait() -> None:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            all_there.set()
        await go_on.wait()

    async def undo() -> None:
        pass

    steps = [Step("reserve", run=reserve, undo=undo), Step("wait", run=wait, undo=undo)]
    workflow = Workflow("order", [*steps, Step("notify", run=undo, undo=undo)])
    store = None if path is None else SqliteStore(path)
    before, began = resident(), time.perf_counter()
    runs = [
        asyncio.create_task(workflow.start_async({"order": number}, store=store)) for number in range(count)
    ]
    await all_there.wait()
    grown = resident() - before
    go_on.set()
    reports = await asyncio.gather(*runs)
    took = time.perf_counter() - began
    assert all(report.outcome == "succeeded" for report in reports)  # noqa: S101
    if store is not None:
        store.close()
    return {"bytes": grown / count, "seconds": took}


def main(what: str, count: str, *more: str) -> None:
    """Measure, and print it as JSON."""
    if WITHOUT in more:
        gc.disable()
    path = next((each for each in more if each != WITHOUT), None)
    print(json.dumps(of_steps(int(count)) if what == "steps" else asyncio.run(of_runs(int(count), path))))


if __name__ == "__main__":
    main(*sys.argv[1:])
