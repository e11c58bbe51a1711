"""How long a step takes in memory: automa, a bare loop, and peers, each in processes of its own.

The bare loop calls the function, takes two time stamps and appends one report object with the seven facts of
the seed's step report; on the way back it does so again in reverse.
"""

from __future__ import annotations

import json
from typing import Any

from measuring import (
    DASH,
    HERE,
    Spread,
    exponent,
    figure,
    limit,
    output_of,
    played,
    python_of,
    table,
    versions_of,
)

SIZES = (10, 100, 1_000, 10_000, 100_000)
ROUNDS, SLOW_ROUNDS = 5, 3
SLOW, TOO_SLOW = 5.0, 30.0  # seconds that a round takes
DIRECTIONS = {"forward": (), "back": ("--back",)}

SUBJECTS = {
    "bare loop": ("bare", "bare"),
    "automa": ("automa", "automa_saga"),
    "saga-py": ("saga-py", "saga_py"),
    "simple-saga": ("simple-saga", "simple_saga_saga"),
    "sagaz": ("sagaz", "sagaz_saga"),
    "TaskFlow": ("taskflow", "taskflow_saga"),
}
"""Who is measured: the environment and the module of each."""

REPORTS = {
    "automa": "of each action",
    "bare loop": "of each action",
    "sagaz": "partly",
    "TaskFlow": "of each action",
}
"""Who keeps a report of what was done; the others keep none."""


def measure() -> dict[str, Any]:
    """Measure all subjects in turn."""
    steps = {direction: rounds_of(options) for direction, options in DIRECTIONS.items()}
    return {
        "versions": versions_of(environment for environment, _ in SUBJECTS.values() if environment != "bare"),
        "steps": steps,
        "branches": json.loads(output_of(python_of("automa"), HERE / "branches.py")),
        "large": memory_of_a_large_run(),
    }


def rounds_of(options: tuple[str, ...]) -> dict[str, dict[str, list[float]]]:
    """Return the microseconds a step of all rounds, by subject and size; none where one takes too long."""
    figures: dict[str, dict[str, list[float]]] = {name: {} for name in SUBJECTS}
    for size in SIZES:
        fit = {name for name, of in figures.items() if size == SIZES[0] or str(size // 10) in of}
        for number in range(ROUNDS):
            for name in sorted(fit):
                rounds = figures[name].setdefault(str(size), [])
                if number >= SLOW_ROUNDS and rounds[0] * size > SLOW * 1e6:
                    continue
                took = played(*SUBJECTS[name], "memory", size, *options, seconds=TOO_SLOW)
                if isinstance(took, str):
                    fit.discard(name)
                    del figures[name][str(size)]
                else:
                    rounds.append(took["seconds"] * 1e6)
    return figures


def memory_of_a_large_run() -> float:
    """Return the megabytes by which a process grows from running 100,000 steps forward and back."""
    found: float = json.loads(output_of(python_of("automa"), HERE / "scale_memory.py", "steps", 100_000))
    return found


def tell(measured: dict[str, Any]) -> list[str]:
    """Return the section of what was measured."""
    steps = measured["steps"]
    parallel, group = (Spread.of(measured["branches"][name]).median for name in ("Parallel", "TaskGroup"))
    return [
        "## In memory",
        "",
        "Microseconds of processor time a step that does nothing. Forward and back: the saga fails at its",
        "end and is undone; both ways are in the figure. A dash: one saga took longer than half a minute.",
        "",
        *_table(measured, "forward"),
        "",
        *_table(measured, "back"),
        "",
        (
            f"Side by side, a `Parallel` of 1,000 async steps: {figure(parallel)} µs a branch, "
            f"{figure(group)} µs a task of a bare `TaskGroup`."
        ),
        "",
        "How time grows with the number of steps, 100 to 100,000, as an exponent (1: in proportion):",
        "",
        *table(
            ["", "forward", "forward and back"],
            [[name, *(_told_growth(steps[way].get(name, {})) for way in DIRECTIONS)] for name in SUBJECTS],
        ),
        "",
        *(
            limit(
                f"1,000 steps {told}, times the bare loop",
                _median(steps[way], "automa", 1_000) / _median(steps[way], "bare loop", 1_000),
                8,
            )
            for way, told in _TOLD.items()
        ),
        *(
            limit(
                f"growth of automa's time {told}, exponent over that of the bare loop, plus one",
                1 + growth(steps[way]["automa"]) - growth(steps[way]["bare loop"]),
                1.05,
            )
            for way, told in _TOLD.items()
        ),
        *(
            limit(
                f"1,000 steps {told}, {peer}'s time over automa's (both keep reports)",
                _median(steps[way], peer, 1_000) / _median(steps[way], "automa", 1_000),
                1,
                at_least=True,
            )
            for way, told in _TOLD.items()
            for peer in ("sagaz", "TaskFlow")
        ),
        limit("a `Parallel` of 1,000 async steps, times a bare `TaskGroup`", parallel / group, 5.4),
        limit(
            "100,000 steps forward and back, memory over that at start", measured["large"], 150, unit=" MB"
        ),
    ]


_TOLD = {"forward": "forward", "back": "forward and back"}


def growth(rounds: dict[str, list[float]]) -> float:
    """Return the exponent with which the time of a whole saga grows with its steps, from 100 on."""
    sizes = [int(size) for size in rounds if int(size) >= 100]  # noqa: PLR2004  # below, it is the start that counts
    return exponent(sizes, [size * Spread.of(rounds[str(size)]).median for size in sizes])


def _told_growth(rounds: dict[str, list[float]]) -> str:
    return f"{growth(rounds):.3f}" if len(rounds) > 2 else DASH  # noqa: PLR2004  # a line needs two points


def _median(of_all: dict[str, dict[str, list[float]]], name: str, size: int) -> float:
    return Spread.of(of_all[name][str(size)]).median


def _table(measured: dict[str, Any], way: str) -> list[str]:
    of_all, versions = measured["steps"][way], measured["versions"]
    return table(
        [_TOLD[way], *(f"{size:,}" for size in SIZES), "keeps a report"],
        [
            [
                f"{name} {versions.get(SUBJECTS[name][0], '')}".strip(),
                *(
                    str(Spread.of(rounds)) if (rounds := of_all[name].get(str(size))) else DASH
                    for size in SIZES
                ),
                REPORTS.get(name, "no"),
            ]
            for name in SUBJECTS
        ],
    )
