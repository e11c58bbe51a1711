"""How long a step takes in memory, beside a bare loop, measured in the same run.

    python bench/memory.py --write bench/RESULTS.md

The bare loop calls the function, takes two time stamps and appends one report object with the
seven facts of the seed's step report; on the way back it does so again in reverse. Ratios matter:
absolute figures hold for one machine at one moment. Each pair is measured in turn, and the
smallest of the rounds counts, since noise only ever adds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automa import Parallel, Step, Workflow, __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SIZES = (10, 100, 1_000, 10_000, 100_000)
STEPS_A_ROUND = 20_000
ROUNDS = 7


@dataclass(slots=True)
class Row:
    """The report object of the bare loop."""

    step_id: str
    action: str
    start_time: datetime
    end_time: datetime
    status: str
    reason: Any = None
    metadata: Any = None


def nothing() -> None:
    """Do what a step of the benchmark does."""


def fail() -> None:
    """Fail, so that everything is undone."""
    raise ValueError


def bare_loop(count: int, *, back: bool) -> Callable[[], object]:
    """Return the bare loop over a number of functions."""
    steps = [(str(number), nothing, nothing) for number in range(count)]
    now = datetime.now

    def run() -> object:
        rows = []
        for step_id, forward, _ in steps:
            start = now(UTC)
            forward()
            rows.append(Row(step_id, "run", start, now(UTC), "SUCCESS"))
        if back:
            for step_id, _, backward in reversed(steps):
                start = now(UTC)
                backward()
                rows.append(Row(step_id, "rollback", start, now(UTC), "SUCCESS"))
        return rows

    return run


def engine(count: int, *, back: bool) -> Callable[[], object]:
    """Return the start of a workflow with that number of steps."""
    steps = [Step(str(number), run=nothing, undo=nothing) for number in range(count)]
    if back:
        steps.append(Step("fail", run=fail))
    return Workflow("bench", steps).start


def microseconds_a_step(runs: list[Callable[[], object]], count: int) -> list[float]:
    """Return the time a step of each, measured in turn so that all meet the same conditions."""
    repeats = max(1, STEPS_A_ROUND // count)
    best = [float("inf")] * len(runs)
    for _ in range(ROUNDS):
        for index, run in enumerate(runs):
            gc.collect()
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            best[index] = min(best[index], (time.perf_counter() - start) / repeats / count * 1e6)
    return best


def compare(*, back: bool) -> tuple[list[str], dict[int, float]]:
    """Return a table of bare loop and engine, and the ratios by size."""
    lines = ["| steps | bare loop, µs a step | automa, µs a step | ratio |", "|---:|---:|---:|---:|"]
    ratios = {}
    for size in SIZES:
        bare, ours = microseconds_a_step([bare_loop(size, back=back), engine(size, back=back)], size)
        ratios[size] = ours / bare
        lines.append(f"| {size:,} | {bare:.2f} | {ours:.2f} | {ratios[size]:.1f} |")
    return lines, ratios


async def _noop() -> None:
    """Do what an async step of the benchmark does."""


def side_by_side(count: int = 1_000) -> tuple[float, float]:
    """Return the microseconds a branch of so many async no-op steps, in a bare TaskGroup and a Parallel."""
    branches = (Step(str(number), run=_noop, undo=_noop) for number in range(count))
    workflow = Workflow("bench", [Parallel("all", *branches)])

    async def bare() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(_noop())

    async def measure_both() -> list[float]:
        best = [float("inf"), float("inf")]
        runs: tuple[Callable[[], Awaitable[object]], ...] = (bare, workflow.start_async)
        for _ in range(ROUNDS * 3):
            for index, run in enumerate(runs):
                gc.collect()
                start = time.perf_counter()
                await run()
                best[index] = min(best[index], (time.perf_counter() - start) / count * 1e6)
        return best

    bare_time, ours = asyncio.run(measure_both())
    return bare_time, ours


def memory_of_a_large_run() -> float:
    """Return the megabytes by which a process grows from running 100,000 steps forward and back."""
    code = (
        "from automa import Step, Workflow\n"
        "def kilobytes(field):\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(field))\n"
        "def nothing(): pass\n"
        "def fail(): raise ValueError\n"
        "steps = [Step(str(n), run=nothing, undo=nothing) for n in range(100_000)]\n"
        "steps.append(Step('fail', run=fail))\n"
        "workflow = Workflow('w', steps)\n"
        "before = kilobytes('VmRSS')\n"
        "report = workflow.start()\n"
        "assert len(report.step_reports) == 200_002\n"
        "print((kilobytes('VmHWM') - before) / 1024)  # the peak since the start of the process\n"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def import_time() -> tuple[float, float]:
    """Return the milliseconds in which a bare Python starts, and one that imports automa."""
    times = []
    for code in ("pass", "import automa"):
        command = [sys.executable, "-c", code]
        runs = []
        for _ in range(20):
            start = time.perf_counter()
            subprocess.run(command, check=True)
            runs.append((time.perf_counter() - start) * 1e3)
        times.append(min(runs))
    return times[0], times[1]


def verdict(what: str, value: float, limit: float, unit: str = "") -> str:
    """Return a line that tells a figure, its limit, and whether it keeps it."""
    kept = "kept" if value <= limit else "NOT KEPT"
    return f"- {what}: **{value:.1f}{unit}**, at most {limit:g}{unit}: {kept}"


def measure() -> str:
    """Measure everything and return it as Markdown."""
    forward, forward_ratios = compare(back=False)
    back, back_ratios = compare(back=True)
    bare, ours = import_time()
    bare_group, parallel = side_by_side()
    growth = max(ratios[100_000] / ratios[100] for ratios in (forward_ratios, back_ratios))
    return "\n".join(
        [
            "# Results",
            "",
            "Made by `python bench/memory.py --write bench/RESULTS.md`.",
            "Ratios to the bare loop are what counts; absolute figures hold for the machine and the moment.",
            "",
            f"- automa {__version__}, {platform.python_implementation()} {platform.python_version()}",
            f"- {platform.system()} {platform.machine()}, {datetime.now(UTC):%Y-%m-%d}",
            "",
            "## In memory: forward",
            "",
            *forward,
            "",
            "## In memory: forward and back (both directions in the figures)",
            "",
            *back,
            "",
            "## Side by side: a Parallel of 1,000 async no-op steps",
            "",
            f"A bare TaskGroup takes {bare_group:.1f} µs a task, a Parallel {parallel:.1f} µs a branch,",
            "which has a copy of its step and of the state, a report, and an undo.",
            "",
            "## Limits",
            "",
            verdict("1,000 steps forward, times the bare loop", forward_ratios[1_000], 8),
            verdict("1,000 steps forward and back, times the bare loop", back_ratios[1_000], 8),
            verdict("growth: that ratio at 100,000 steps, divided by that at 100", growth, 1.5),
            verdict("a Parallel of 1,000 async steps, times a bare TaskGroup", parallel / bare_group, 5.4),
            verdict(
                "100,000 steps forward and back, memory over that at start",
                memory_of_a_large_run(),
                150,
                " MB",
            ),
            verdict(f"`import automa`, over the {bare:.1f} ms of bare Python", ours - bare, 40, " ms"),
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write the results where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results to this file as well")
    options = parser.parse_args()
    results = measure()
    print(results)
    if options.write:
        options.write.write_text(results, encoding="utf-8")


if __name__ == "__main__":
    main()
