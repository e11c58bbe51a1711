"""What durability costs: automa's stores, the raw floors of the same disk, and peers, each in its process.

The floor of SQLite and of Postgres is one bare commit a step of a row of 300 bytes; that of files is a
temporary file, written, synced, renamed, and its folder synced.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import ENVIRONMENTS, Spread, figure, in_turn, limit, played, table, versions_of
from servers import postgres

from automa import Context, Step, Workflow
from automa.stores import FileStore, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (10, 100, 1_000)
AT_ONCE = 64
SIZES_AT_ONCE = (10, 100)
"""The longer ones have a part of their own, `long_runs`."""
ROUNDS, SLOW_ROUNDS = 5, 3
SLOW, VERY_SLOW, TOO_SLOW = 5.0, 30.0, 240.0  # seconds that a round takes; what is very slow has one

POSTGRES = "postgres"
SUBJECTS = {
    "bare commits, SQLite": ("bare", "bare", "sqlite:{folder}"),
    "automa, SQLite": ("automa", "automa_saga", "sqlite:{folder}"),
    "automa, SQLite, async": ("automa", "automa_async", "sqlite:{folder}"),
    "automa, SQLite, `durability=process`": ("automa", "automa_saga", "sqlite-process:{folder}"),
    "DBOS, SQLite": ("dbos", "dbos_saga", "sqlite:{folder}"),
    "TaskFlow, SQLite": ("taskflow", "taskflow_saga", "sqlite:{folder}"),
    "bare commits, Postgres": ("bare", "bare", POSTGRES),
    "DBOS, Postgres": ("dbos", "dbos_saga", POSTGRES),
    "bare files": ("bare", "bare", "file:{folder}"),
    "automa, files": ("automa", "automa_saga", "file:{folder}"),
}
"""Who is measured: environment, module, and where it keeps what it writes."""

_numbers = itertools.count()


def measure() -> dict[str, Any]:
    """Measure all subjects in turn, then what automa's stores do in more detail."""
    cells = [(1, size) for size in SIZES] + [(AT_ONCE, size) for size in SIZES_AT_ONCE]
    with postgres() as server, tempfile.TemporaryDirectory(dir=ENVIRONMENTS) as folder:
        rounds = {f"{runs} x {size}": cell(Path(folder), server.database, runs, size) for runs, size in cells}
        details = details_of_stores(Path(folder))
    return {"versions": versions_of(("automa", "taskflow", "dbos")), "rounds": rounds, "details": details}


def cell(
    folder: Path, database: Callable[[str], str], runs: int, size: int
) -> dict[str, list[dict[str, float]] | str]:
    """Return all subjects' rounds with so many runs at once, of so many steps each, or why there are none."""
    found: dict[str, list[dict[str, float]] | str] = {name: [] for name in SUBJECTS}
    for number in range(ROUNDS):
        for name, (environment, module, place) in SUBJECTS.items():
            rounds = found[name]
            if isinstance(rounds, str):
                continue
            if number and number >= rounds_for(rounds[0]["seconds"] * runs * size):
                continue
            own = f"bench{next(_numbers)}"
            (folder / own).mkdir()
            where = place.format(folder=folder / own)
            if place == POSTGRES:
                where = database(own).removeprefix("dbos+")
            options = ("durable", size, "--runs", runs, "--place", where)
            took = played(environment, module, *options, seconds=TOO_SLOW)
            if isinstance(took, str):
                found[name] = took
            else:
                rounds.append(took)
    return found


def rounds_for(seconds: float) -> int:
    """Return how many rounds there are of what takes so long."""
    if seconds > VERY_SLOW:
        return 1
    return SLOW_ROUNDS if seconds > SLOW else ROUNDS


def details_of_stores(folder: Path) -> dict[str, Any]:
    """Return what is told of automa's stores alone."""
    grown = in_turn(
        {str(size): lambda size=size: growing(folder, size) for size in (10, 1_000)},  # type: ignore[misc]  # of the lambda
        ROUNDS,
    )
    return {
        "growing": grown,
        "new_file": in_turn(
            {
                "bare commits": lambda: raw_commits(folder, 1_000),
                "one run of 1,000 steps": lambda: runs_on_new_file(folder, 1, 1_000),
                f"{AT_ONCE} runs at once of 15 steps, async": lambda: runs_on_new_file(folder, AT_ONCE, 15),
            },
            2 * ROUNDS,
        ),
        "commits": commits(folder, 1_000),
        "files_over_floor": files_over_floor(folder, 10),
    }


def nothing() -> None:
    """Do what a step of the benchmark does."""


def add(ctx: Context) -> None:
    """Add a key of 100 bytes to the state."""
    ctx.shared[ctx.step_id] = "x" * 100


def workflow_of(count: int, do: Callable[..., object] = nothing) -> Workflow:
    """Return a workflow with that number of steps."""
    return Workflow("bench", [Step(f"step-{number}", run=do) for number in range(count)])


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def raw_commits(folder: Path, count: int) -> float:
    """Return the bare commits a second into a new file."""
    with contextlib.closing(
        sqlite3.connect(folder / f"{next(_numbers)}.db", isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")

        def work() -> None:
            for number in range(count):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 300))
                connection.execute("COMMIT")

        return count / seconds(work)


def runs_on_new_file(folder: Path, runs: int, count: int) -> float:
    """Return the steps a second of so many runs at once on a new file; those of several are async."""

    async def nothing_async() -> None:
        pass

    workflow = workflow_of(count, nothing if runs == 1 else nothing_async)
    with contextlib.closing(SqliteStore(folder / f"{next(_numbers)}.db")) as store:

        async def at_once() -> None:
            await asyncio.gather(*(workflow.start_async(store=store) for _ in range(runs)))

        def work() -> None:
            if runs == 1:
                workflow.start(store=store)
            else:
                asyncio.run(at_once())

        return runs * count / seconds(work)


def growing(folder: Path, count: int) -> float:
    """Return the seconds a step of one run on SQLite, each of whose steps adds 100 bytes to the state."""
    workflow = workflow_of(count, add)
    with contextlib.closing(SqliteStore(folder / f"{next(_numbers)}.db")) as store:
        return seconds(lambda: workflow.start(store=store)) / count


def commits(folder: Path, count: int) -> float:
    """Return the commits a step on SQLite: each is one sync."""
    found = 0

    with contextlib.closing(SqliteStore(folder / f"{next(_numbers)}.db")) as store:
        connection = store._connection  # noqa: SLF001  # what it does is what is measured

        def count_commits(statement: str) -> None:
            nonlocal found
            found += statement == "COMMIT" or (
                statement.startswith("INSERT") and not connection.in_transaction
            )

        connection.set_trace_callback(count_commits)
        workflow_of(count).start(store=store)
    return found / count


class CountingStore(FileStore):
    """A file store that notes the sizes of what it writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sizes: list[int] = []

    def write(self, path: Path, text: str, folder_fd: int, *, of: str = "") -> None:
        """Write a file, and note its size."""
        self.sizes.append(len(text))
        super().write(path, text, folder_fd, of=of)


def files_over_floor(folder: Path, count: int) -> float:
    """Return how many times as long as writing files of the same sizes a run on the file store takes."""
    store = CountingStore(folder / "journals")
    workflow = workflow_of(count)
    ours, raw = [], []
    for _ in range(100):
        store.sizes.clear()
        ours.append(seconds(lambda: workflow.start(store=store)))
        raw.append(raw_files(folder, store.sizes))
    return statistics.median(ours) / statistics.median(raw)


def raw_files(folder: Path, sizes: list[int]) -> float:
    """Return the seconds that writing files of these sizes takes: temporary, sync, rename, sync."""
    place = folder / f"{next(_numbers)}"
    place.mkdir()
    texts = [b"x" * size for size in sizes]

    def work() -> None:
        for text in texts:
            fd = os.open(place / "t.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(fd, text)
            os.fsync(fd)
            os.close(fd)
            (place / "t.tmp").replace(place / "t")
            fd = os.open(place, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)

    return seconds(work)


def rate(measured: dict[str, Any], name: str, runs: int, size: int) -> Spread | str:
    """Return the steps a second of a subject, or why there is no figure."""
    rounds = measured["rounds"][f"{runs} x {size}"][name]
    if isinstance(rounds, str):
        return rounds.partition(":")[0]
    return Spread.of([1 / each["seconds"] for each in rounds])


def tell(measured: dict[str, Any]) -> list[str]:
    """Return the section of what was measured."""
    details, versions = measured["details"], measured["versions"]

    def of(name: str, runs: int, size: int) -> float:
        found = rate(measured, name, runs, size)
        assert isinstance(found, Spread), f"{name}: {found}"  # noqa: S101  # all that have limits have a figure
        return found.median

    ours, raw = of("automa, SQLite", 1, 1_000), of("bare commits, SQLite", 1, 1_000)
    written = _bytes(measured, "automa, SQLite")
    new_file = {name: Spread.of(rounds) for name, rounds in details["new_file"].items()}
    bare, one, many = (spread.median for spread in new_file.values())
    return [
        "## Durable",
        "",
        (
            f"Steps a second of runs that succeed; automa {versions['automa']}, DBOS {versions['dbos']}, "
            f"TaskFlow {versions['taskflow']}, each"
        ),
        "as it is set by default. Bytes are what the process hands to the system, or what Postgres adds to",
        "its log.",
        "",
        *table(
            [
                "",
                *(f"1 run of {size:,}" for size in SIZES),
                *(f"{AT_ONCE} runs at once of {size:,}" for size in SIZES_AT_ONCE),
                "bytes a step",
            ],
            [
                [
                    name,
                    *(str(rate(measured, name, 1, size)) for size in SIZES),
                    *(str(rate(measured, name, AT_ONCE, size)) for size in SIZES_AT_ONCE),
                    figure(_bytes(measured, name)),
                ]
                for name in SUBJECTS
            ],
        ),
        "",
        "SQLite is quicker once its log, which is begun anew from time to time, does not grow any more: the",
        "table above has that. Into a new file, from the first commit on:",
        "",
        *table(["", "steps a second"], [[name, str(spread)] for name, spread in new_file.items()]),
        "",
        limit(
            "one run of 1,000 steps on SQLite, of the rate of bare commits", ours / raw, 0.75, at_least=True
        ),
        limit(
            "the same, times the rate of DBOS on SQLite",
            ours / of("DBOS, SQLite", 1, 1_000),
            5,
            at_least=True,
        ),
        limit(
            f"{AT_ONCE} runs at once of 100 steps, async, times the rate of bare commits",
            of("automa, SQLite, async", AT_ONCE, 100) / raw,
            2,
            at_least=True,
        ),
        limit(
            f"{AT_ONCE} runs at once of 100 steps, in threads, times the rate of bare commits",
            of("automa, SQLite", AT_ONCE, 100) / raw,
            2,
            at_least=True,
        ),
        limit("into a new file, one run, of the rate of bare commits", one / bare, 0.75, at_least=True),
        limit(
            f"into a new file, {AT_ONCE} runs at once, async, times the rate of bare commits",
            many / bare,
            3,
            at_least=True,
        ),
        limit(
            "`durability=process`, times the rate of `power`",
            of("automa, SQLite, `durability=process`", 1, 1_000) / ours,
            4,
            at_least=True,
        ),
        limit("cost of a step at 1,000 steps, times that at 10", of("automa, SQLite", 1, 10) / ours, 1.3),
        limit(
            "the same where each step adds 100 bytes to the state",
            Spread.of(details["growing"]["1000"]).median / Spread.of(details["growing"]["10"]).median,
            2,
        ),
        limit("file store, 10 steps, times the raw floor", details["files_over_floor"], 1.3),
        limit("bytes written a step on SQLite, checkpoints included", written, 1_200, unit=" B"),
        limit("commits, each one sync, a step", details["commits"], 1.01),
    ]


def _bytes(measured: dict[str, Any], name: str) -> float:
    """Return the bytes a step of a run of 100."""
    return Spread.of([each["bytes"] for each in measured["rounds"]["1 x 100"][name]]).median
