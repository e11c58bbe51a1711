"""What durability costs, beside the raw floor of the same disk, measured in the same run.

    python bench/durable.py --write bench/DURABLE.md

The floor of SQLite is one bare commit a step (WAL, synchronous FULL) of a row of 300 bytes; that of the
file store is a temporary file of the same size, written, synced, renamed, and its folder synced. Ratios
matter: absolute figures hold for one disk at one moment. Each pair is measured in turn, and the median of
the rounds counts.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import platform
import sqlite3
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from automa import Step, Workflow, __version__
from automa.stores import FileStore, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 7
RUNS_AT_ONCE = 64

_numbers = itertools.count()


def nothing() -> None:
    """Do what a step of the benchmark does."""


def workflow_of(count: int, *, grows: bool = False) -> Workflow:
    """Return a workflow with that number of steps; each adds a key of 100 bytes if asked to."""

    def add(ctx: object) -> None:
        ctx.shared[ctx.step_id] = "x" * 100  # type: ignore[attr-defined]  # it is the context

    return Workflow("bench", [Step(f"step-{n}", run=add if grows else nothing) for n in range(count)])


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextlib.contextmanager
def sqlite_store(folder: Path, durability: str = "power") -> Iterator[SqliteStore]:
    """Give a new SQLite store."""
    store = SqliteStore(folder / f"{next(_numbers)}.db", durability=durability)
    yield store
    store.close()


def sqlite_a_step(folder: Path, count: int, *, durability: str = "power", grows: bool = False) -> float:
    """Return the seconds a step of one run on SQLite."""
    workflow = workflow_of(count, grows=grows)
    with sqlite_store(folder, durability) as store:
        return seconds(lambda: workflow.start(store=store)) / count


def raw_commit(folder: Path, count: int) -> float:
    """Return the seconds a bare commit of 300 bytes takes (WAL, synchronous FULL)."""
    connection = sqlite3.connect(folder / f"{next(_numbers)}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")

    def work() -> None:
        for number in range(count):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 300))
            connection.execute("COMMIT")

    took = seconds(work) / count
    connection.close()
    return took


def many_at_once(folder: Path, count: int) -> float:
    """Return the seconds a step of many runs at once, in threads of one process."""
    workflow = workflow_of(count)
    with sqlite_store(folder) as store:
        threads = [
            threading.Thread(target=workflow.start, kwargs={"store": store}) for _ in range(RUNS_AT_ONCE)
        ]

        def work() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return seconds(work) / count / RUNS_AT_ONCE


class CountingStore(FileStore):
    """A file store that notes the sizes of what it writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sizes: list[int] = []

    def write(self, path: Path, text: str, folder_fd: int, *, of: str = "") -> None:
        """Write a file, and note its size."""
        self.sizes.append(len(text))
        super().write(path, text, folder_fd, of=of)


def file_store_over_floor(folder: Path, count: int) -> float:
    """Return how many times as long as the raw floor a run on the file store takes."""
    store = CountingStore(folder / "journals")
    workflow = workflow_of(count)
    ours, raw = [], []
    for _ in range(20 * ROUNDS):
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


def bytes_and_syncs(folder: Path, count: int) -> tuple[float, float]:
    """Return the bytes a step that SQLite hands to the system, checkpoint included, and its commits."""

    def written() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))

    commits = 0

    def count_commits(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    workflow = workflow_of(count)
    before = written()
    with sqlite_store(folder) as store:
        store._connection.set_trace_callback(count_commits)  # noqa: SLF001  # what it does is what is measured
        workflow.start(store=store)
    return (written() - before) / count, commits / count


def fill(path: Path, runs: int, writes: int) -> None:
    """Make a store with that many runs, of that many writes each, without the cost of their syncs."""
    SqliteStore(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO runs (id, workflow, run, status, created) VALUES (?, 'w', ?, 'succeeded', ?)",
        ((number, f"run-{number}", 1_700_000_000_000_000 + number) for number in range(1, runs + 1)),
    )
    text = '[{"answered":"step-1","to":1795520467611531},{"started":"step-2","at":1795520467611531}]'
    connection.executemany(
        "INSERT INTO writes VALUES (?, ?)",
        (((number << 32) + write, text) for number in range(1, runs + 1) for write in range(writes)),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def newest_fifty(path: Path) -> float:
    """Return the milliseconds in which the newest 50 runs of a store are listed."""
    store = SqliteStore(path)
    took = seconds(lambda: list(itertools.islice(store.runs(), 50)))
    store.close()
    return took * 1e3


def opening(path: Path) -> float:
    """Return the milliseconds in which a store is opened."""
    stores: list[SqliteStore] = []
    took = seconds(lambda: stores.append(SqliteStore(path)))
    stores[0].close()
    return took * 1e3


def medians(*works: Callable[[], float]) -> list[float]:
    """Return the median of each, measured in turn so that all meet the same conditions."""
    rounds = [[work() for work in works] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def verdict(what: str, value: float, limit: float, *, at_least: bool = False, unit: str = "") -> str:
    """Return a line that tells a figure, its limit, and whether it keeps it."""
    kept = "kept" if (value >= limit if at_least else value <= limit) else "NOT KEPT"
    bound = "at least" if at_least else "at most"
    return f"- {what}: **{value:.2f}{unit}**, {bound} {limit:g}{unit}: {kept}"


def measure(folder: Path) -> str:
    """Measure everything and return it as Markdown."""
    over_floor = file_store_over_floor(folder, 10)  # first, before the others have filled the memory
    raw, one, short, process, many = medians(
        lambda: raw_commit(folder, 1_000),
        lambda: sqlite_a_step(folder, 1_000),
        lambda: sqlite_a_step(folder, 10),
        lambda: sqlite_a_step(folder, 1_000, durability="process"),
        lambda: many_at_once(folder, 50),
    )
    small, large = medians(
        lambda: sqlite_a_step(folder, 10, grows=True), lambda: sqlite_a_step(folder, 1_000, grows=True)
    )
    written, commits = bytes_and_syncs(folder, 1_000)
    many_runs, many_records, empty = folder / "runs.db", folder / "records.db", folder / "empty.db"
    fill(many_runs, 100_000, 2)
    fill(many_records, 10_000, 100)
    SqliteStore(empty).close()
    listing, open_large, open_empty = medians(
        lambda: newest_fifty(many_runs), lambda: opening(many_records), lambda: opening(empty)
    )
    return "\n".join(
        [
            "# Results: durable runs",
            "",
            "Made by `python bench/durable.py --write bench/DURABLE.md`.",
            "Ratios to the raw floor of the same run are what counts.",
            "",
            f"- automa {__version__}, CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
            f"- {platform.system()} {platform.machine()}, {datetime.now(UTC):%Y-%m-%d}",
            "",
            "| what | steps a second |",
            "|---|---:|",
            f"| bare commits, WAL, FULL | {1 / raw:,.0f} |",
            f"| one run of 1,000 steps | {1 / one:,.0f} |",
            f"| one run of 10 steps | {1 / short:,.0f} |",
            f"| one run of 1,000 steps, `durability=process` | {1 / process:,.0f} |",
            f"| {RUNS_AT_ONCE} runs at once, of 50 steps each | {1 / many:,.0f} |",
            "",
            "## Limits",
            "",
            verdict("one run, of the rate of bare commits", raw / one, 0.6, at_least=True),
            verdict(
                f"{RUNS_AT_ONCE} runs at once, times the rate of bare commits", raw / many, 2, at_least=True
            ),
            verdict("`durability=process`, times the rate of `power`", one / process, 4, at_least=True),
            verdict("cost of a step at 1,000 steps, times that at 10", one / short, 1.3),
            verdict("the same where each step adds 100 bytes to the state", large / small, 2),
            verdict("file store, 10 steps, times the raw floor", over_floor, 1.3),
            verdict("bytes written a step, checkpoint included", written, 1_200, unit=" B"),
            verdict("commits, each one sync, a step", commits, 1.01),
            verdict("listing the newest 50 of 100,000 runs", listing, 50, unit=" ms"),
            verdict("opening a store of a million records, times an empty one", open_large / open_empty, 1.5),
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write the results where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results to this file as well")
    parser.add_argument(
        "--disk", type=Path, metavar="DIR", default=Path(), help="a folder on the disk to measure"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.disk) as folder:
        results = measure(Path(folder))
    print(results)
    if options.write:
        options.write.write_text(results, encoding="utf-8")


if __name__ == "__main__":
    main()
