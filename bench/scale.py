"""How automa grows: with the steps of a run, with the runs at once in a process, with the runs in a store."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import sqlite3
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import (
    ENVIRONMENTS,
    HERE,
    Spread,
    exponent,
    figure,
    in_turn,
    limit,
    output_of,
    python_of,
    table,
)

from automa import Parallel, Step, Workflow
from automa.abc import RunFilter
from automa.journal.entries import decode_entries
from automa.journal.reading import read
from automa.operations import prune
from automa.stores import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

Curve = dict[str, list[float]]

ROUNDS = 5
STEPS = (100, 1_000, 10_000)
RUNS_AT_ONCE = (100, 1_000, 10_000)
WITH, WITHOUT = "with", "without"
MODES: dict[str, tuple[str, ...]] = {WITH: (), WITHOUT: ("--without-collector",)}
"""With Python's garbage collector, and without it: it looks at all that is alive, again and again."""
PLACES = {"in memory": (), "on SQLite": ("runs.db",)}
RUNS_IN_STORE = (1_000, 10_000, 100_000, 1_000_000)
PRUNED = 500  # the runs of a store that were undone
STEPS_KEPT = 5


def measure() -> dict[str, Any]:
    """Measure all that grows."""
    with tempfile.TemporaryDirectory(dir=ENVIRONMENTS) as name:
        folder = Path(name)
        return {
            **{mode: growing(folder, mode) for mode in MODES},
            "stores": {str(size): with_runs(folder / f"{size}.db", size) for size in RUNS_IN_STORE},
        }


def growing(folder: Path, mode: str) -> dict[str, Any]:
    """Return what grows with steps, and with runs at once, with or without Python's garbage collector."""
    if mode == WITHOUT:
        gc.disable()
    try:
        return {
            "steps": {str(size): with_steps(folder, size) for size in STEPS},
            "runs": {
                str(size): {
                    place: runs_at_once(folder, size, [*files, *MODES[mode]])
                    for place, files in PLACES.items()
                }
                for size in RUNS_AT_ONCE
            },
        }
    finally:
        gc.enable()


def nothing() -> None:
    """Do what a step of the benchmark does."""


async def nothing_async() -> None:
    """Do what an async step of the benchmark does."""


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def with_steps(folder: Path, size: int) -> Curve:
    """Return what takes longer the more steps a run has."""
    workflow = Workflow("bench", [Step(str(number), run=nothing, undo=nothing) for number in range(size)])
    branches = [Step(str(number), run=nothing_async, undo=nothing_async) for number in range(size)]
    parallel = Workflow("branches", [Parallel("all", *branches)])
    ids = map(str, itertools.count())

    with contextlib.closing(SqliteStore(folder / f"steps-{size}-{gc.isenabled()}.db")) as store:
        workflow.start(store=store, run_id="done")

        def run_and_undo() -> tuple[float, float]:
            run_id = next(ids)
            ran = milliseconds(lambda: workflow.start(store=store, run_id=run_id))
            return ran, milliseconds(lambda: workflow.rollback(run_id, store=store))

        both = [run_and_undo() for _ in range(ROUNDS)]
        rest = in_turn(
            {
                "a resume of that run, which has ended": lambda: milliseconds(
                    lambda: workflow.resume("done", store=store)
                ),
                "a `Parallel` of N async branches": lambda: milliseconds(
                    lambda: asyncio.run(parallel.start_async())
                ),
            },
            ROUNDS,
        )
    runs, undos = ([each[index] for each in both] for index in (0, 1))
    return {"a run of N steps on SQLite": runs, "its rollback by an operator": undos, **rest}


def runs_at_once(folder: Path, size: int, options: list[str]) -> list[dict[str, float]]:
    """Return the bytes a run, and the seconds that so many take, of all rounds."""
    rounds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            paths = [each if each.startswith("-") else str(Path(own) / each) for each in options]
            told = output_of(python_of("automa"), HERE / "scale_memory.py", "runs", size, *paths)
            rounds.append(json.loads(told))
    return rounds


def fill(path: Path, size: int) -> None:
    """Make a store with so many runs of five steps: one that was run, and copies of its rows."""
    with contextlib.closing(SqliteStore(path)) as store:
        workflow = Workflow("bench", [Step(f"step-{number}", run=nothing) for number in range(STEPS_KEPT)])
        workflow.start(store=store, run_id="run-1")
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA synchronous = OFF",
        "BEGIN",
        """INSERT INTO runs (id, workflow, run, status, created)
            WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < :size)
            SELECT n, workflow, 'run-' || n, iif(n % :every, status, 'undone'), created + n
            FROM runs, numbers WHERE id = 1""",
        """INSERT INTO writes
            SELECT (runs.id << 32) + (first.id & 0xFFFFFFFF), replace(first.entries, 'run-1', runs.run)
            FROM runs, (SELECT * FROM writes) AS first WHERE runs.id > 1 ORDER BY 1""",
        "COMMIT",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ):
        connection.execute(statement, {"size": size, "every": size // PRUNED} if ":size" in statement else {})
    connection.close()


def with_runs(path: Path, size: int) -> Curve:
    """Return what might take longer the more runs a store has."""
    fill(path, size)
    megabytes = path.stat().st_size / 2**20
    workflow = Workflow("bench", [Step(f"step-{number}", run=nothing) for number in range(STEPS_KEPT)])
    undone = RunFilter(statuses=("undone",))

    def opening() -> float:
        stores: list[SqliteStore] = []
        took = milliseconds(lambda: stores.append(SqliteStore(path)))
        stores[0].close()
        return took

    with contextlib.closing(SqliteStore(path)) as store:

        def pruning() -> int:
            return len(prune(store, older_than=timedelta(0), statuses=["undone"]))

        works: dict[str, Callable[[], object]] = {
            "list the newest 50": lambda: list(itertools.islice(store.runs(), 50)),
            f"list the newest 50 of {PRUNED:,} that were undone": lambda: store.find_runs(undone, limit=50),
            "show one": lambda: read(decode_entries(store.load("bench", f"run-{size // 2}"))),
            "run another": lambda: workflow.start(store=store),
        }
        found = in_turn(
            {"open it": opening}
            | {name: lambda work=work: milliseconds(work) for name, work in works.items()},
            ROUNDS,
        )
        pruned = milliseconds(lambda: found.setdefault("pruned", [pruning()]))
    if found.pop("pruned") != [PRUNED]:
        raise RuntimeError(f"not {PRUNED} runs were pruned")
    return found | {f"prune these {PRUNED:,}": [pruned], "the file, MB": [megabytes]}


def tell(measured: dict[str, Any]) -> list[str]:
    """Return the section of what was measured."""
    curves, stores = curves_of(measured[WITH]), measured["stores"]
    exponents = {name: growth(curve) for name, curve in curves.items()}
    alone = {name: growth(curve) for name, curve in curves_of(measured[WITHOUT]).items()}
    in_place = {place: medians(measured[WITH]["runs"], place, "bytes") for place in PLACES}
    most = str(RUNS_AT_ONCE[-1])
    largest, smallest = (stores[str(size)] for size in (RUNS_IN_STORE[-1], RUNS_IN_STORE[0]))
    return [
        "## Scale",
        "",
        "Milliseconds, and the exponent with which they grow with N (1: in proportion); and that exponent",
        "without Python's garbage collector, which looks at all that is alive whenever a quarter has come:",
        "",
        *table(
            ["", *(f"N = {size:,}" for size in STEPS), "exponent", "without collector"],
            [
                [
                    name,
                    *(str(Spread.of(rounds)) for rounds in curve.values()),
                    f"{exponents[name]:.3f}",
                    f"{alone[name]:.3f}",
                ]
                for name, curve in curves.items()
            ],
        ),
        "",
        "The resident memory of runs at once, all in their second step of three, bytes a run:",
        "",
        *table(
            ["", *(f"{size:,} runs" for size in RUNS_AT_ONCE)],
            [[place, *(figure(each) for each in of.values())] for place, of in in_place.items()],
        ),
        "",
        f"Milliseconds with an SQLite store of so many runs, of {STEPS_KEPT} steps each:",
        "",
        *table(
            ["", *(f"{size:,} runs" for size in RUNS_IN_STORE)],
            [[name, *(_told(stores[str(size)][name]) for size in RUNS_IN_STORE)] for name in largest],
        ),
        "",
        *(
            limit(f"growth of {name}, exponent, without collector", each, 1.05)
            for name, each in alone.items()
        ),
        *(
            limit(f"{RUNS_AT_ONCE[-1]:,} runs at once {place}, memory a run", of[most] / 1e3, 20, unit=" KB")
            for place, of in in_place.items()
        ),
        *(
            limit(
                f"with a million runs, times as long as with a thousand: {name}",
                Spread.of(largest[name]).median / Spread.of(smallest[name]).median,
                1.5,
            )
            for name in ("open it", "list the newest 50", "show one", "run another")
        ),
    ]


def curves_of(grown: dict[str, Any]) -> dict[str, Curve]:
    """Return what grows, by name: its rounds by size."""
    of_steps = grown["steps"]
    curves = {name: {size: of_steps[size][name] for size in of_steps} for name in of_steps[str(STEPS[0])]}
    for place in PLACES:
        curves[f"N runs at once {place}"] = {
            size: [each["seconds"] * 1e3 for each in of[place]] for size, of in grown["runs"].items()
        }
    return curves


def growth(curve: Curve) -> float:
    """Return the exponent with which a curve grows."""
    return exponent([float(size) for size in curve], [Spread.of(rounds).median for rounds in curve.values()])


def medians(of_sizes: dict[str, Any], place: str, what: str) -> dict[str, float]:
    """Return the median of what was measured of runs in a place, by size."""
    return {size: Spread.of([each[what] for each in of[place]]).median for size, of in of_sizes.items()}


def _told(rounds: list[float]) -> str:
    return str(Spread.of(rounds)) if len(rounds) > 1 else figure(rounds[0])
