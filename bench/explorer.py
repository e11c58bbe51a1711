"""How long the explorer takes for a workflow of ten steps, at each depth.

The steps are right ones, which change a dict; the more a step does, and the larger the world is, the longer
it takes.
"""

from __future__ import annotations

import time
from typing import Any

from measuring import Spread, figure, limit, table

from automa import Parallel, Step, Workflow
from automa.testing import DictWorld, Exploration, explore

LIMITS = {1: 5.0, 2: 60.0}
"""The most seconds that each depth may take, on two cores."""
ROUNDS = 3


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


def measure() -> dict[str, Any]:
    """Explore at each depth some times."""
    return {str(depth): _rounds(depth) for depth in LIMITS}


def _rounds(depth: int) -> dict[str, Any]:
    seconds: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        cases = len(explored(depth).cases)
        seconds.append(time.perf_counter() - began)
    return {"cases": cases, "seconds": seconds}


def tell(measured: dict[str, Any]) -> list[str]:
    """Return the section of what was measured."""
    medians = {depth: Spread.of(of["seconds"]).median for depth, of in measured.items()}
    return [
        "## The explorer",
        "",
        "A workflow of ten steps, two of them side by side, in a `DictWorld`.",
        "",
        *table(
            ["depth", "cases", "seconds", "cases a second"],
            [
                [
                    depth,
                    f"{of['cases']:,}",
                    str(Spread.of(of["seconds"])),
                    figure(of["cases"] / medians[depth]),
                ]
                for depth, of in measured.items()
            ],
        ),
        "",
        *(
            limit(f"depth {depth}", median, LIMITS[int(depth)], unit=" s")
            for depth, median in medians.items()
        ),
    ]
