"""The floors: a bare loop in memory, and bare commits, files and inserts on a store."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import play
import postgres
from threads import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

ROW = "x" * 300
"""What a step writes."""

OPEN = 64
"""How many connections are open before the clock starts: what opening them takes is no part of the floor."""

SECONDS = 60.0
"""For how long a connection to SQLite waits for the others."""

written = postgres.written

_numbers = itertools.count()


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


def memory(pairs: list[tuple[Callable[..., None], Callable[..., None]]], back: bool) -> Callable[[], object]:  # noqa: FBT001
    """Return the bare loop over the functions."""
    steps = [(str(number), forward, backward) for number, (forward, backward) in enumerate(pairs)]
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


@contextlib.contextmanager
def durable(count: int, place: str) -> Iterator[Callable[[int], None]]:
    """Give what plays runs at once, each in a thread and with a connection, or a file, of its own."""
    opening = opening_of(place)
    free: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:
        for _ in range(OPEN):
            free.put(stack.enter_context(opening()))

        def run() -> None:
            write = free.get()
            for _ in range(count):
                play.tick()
                write()
            free.put(write)

        def play_all(runs: int) -> None:
            while free.qsize() < runs:
                free.put(stack.enter_context(opening()))
            at_once(run, runs)

        yield play_all


def opening_of(place: str) -> Callable[[], AbstractContextManager[Callable[[], object]]]:
    """Return what opens a place, once for each run, and gives what writes there durably."""
    if postgres.is_postgres(place):
        import psycopg  # noqa: PLC0415  # for memory alone, it is not needed

        with psycopg.connect(place) as connection:
            connection.execute("DROP TABLE IF EXISTS bare")
            connection.execute(
                "CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text)"
            )
        return functools.partial(inserts, place)
    kind, _, folder = place.partition(":")
    if kind == "file":
        return functools.partial(files, Path(folder))
    path = Path(folder, "bare.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
    return functools.partial(commits, path)


@contextlib.contextmanager
def commits(path: Path) -> Iterator[Callable[[], object]]:
    """Give what commits a row to SQLite, on a connection of its own (WAL, synchronous FULL)."""
    connection = sqlite3.connect(path, timeout=SECONDS, isolation_level=None, check_same_thread=False)
    execute = connection.execute
    with contextlib.closing(connection):
        execute("PRAGMA synchronous = FULL")

        def write() -> None:
            execute("BEGIN IMMEDIATE")
            execute("INSERT INTO t (text) VALUES (?)", (ROW,))
            execute("COMMIT")

        yield write


@contextlib.contextmanager
def files(folder: Path) -> Iterator[Callable[[], object]]:
    """Give what replaces a file of its own: temporary, sync, rename, sync of the folder."""
    path = folder / str(next(_numbers))
    temporary = folder / f"{path.name}.tmp"
    text = ROW.encode()

    def write() -> None:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, text)
        os.fsync(fd)
        os.close(fd)
        temporary.replace(path)
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    yield write


@contextlib.contextmanager
def inserts(url: str) -> Iterator[Callable[[], object]]:
    """Give what inserts a row into Postgres, on a connection of its own, prepared and committed by itself."""
    import psycopg  # noqa: PLC0415  # as above

    with psycopg.connect(url, autocommit=True) as connection:

        def write() -> object:
            return connection.execute("INSERT INTO bare (text) VALUES (%s)", (ROW,), prepare=True)

        yield write
