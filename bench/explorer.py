"""How long the explorer takes for a workflow of ten steps, at each depth.

    python bench/explorer.py --write bench/EXPLORER.md

The steps are right ones, which change a dict; the more a step does, and the larger the world is, the longer
it takes. Each depth is explored three times, and the median counts.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path

from automa import Parallel, Step, Workflow, __version__
from automa.testing import DictWorld, Exploration, explore

LIMITS = {1: 5.0, 2: 60.0}
"""The most seconds that each depth may take, on two cores."""


def explored(depth: int) -> Exploration:
    """Explore eight steps in a row, and two side by side."""
    world = DictWorld()

    def put(key: str) -> Step:
        return Step(
            key,
            run=lambda: world.data.__setitem__(key, 1),
            undo=lambda: world.data.pop(key, None),
        )

    def make() -> Workflow:
        rows = [put(f"s{number}") for number in range(8)]
        return Workflow("ten", [*rows, Parallel("both", put("a"), put("b"))])

    exploration = explore(make, world, depth=depth)
    exploration.raise_for_violations()
    return exploration


def measure(depth: int) -> str:
    """Return a row of the table."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        cases = len(explored(depth).cases)
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    kept = "kept" if median <= LIMITS[depth] else "NOT KEPT"
    return f"| {depth} | {cases} | {median:.1f} | {cases / median:.0f} | {LIMITS[depth]:.0f} s: {kept} |"


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", type=Path, help="the file into which the results are written")
    write: Path | None = parser.parse_args().write
    what = (
        f"A workflow of ten steps (two of them side by side) in a `DictWorld`; automa {__version__}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}. By "
        "`python bench/explorer.py --write bench/EXPLORER.md`; the median of three."
    )
    lines = [
        "# What an exploration takes",
        "",
        what,
        "",
        "| depth | cases | seconds | cases a second | at most |",
        "|---:|---:|---:|---:|---|",
        *(measure(depth) for depth in LIMITS),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if write is not None:
        write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
