"""One SQLite file for many runs, opened by many processes.

Append-only: a step writes one row. Runs of one process share commits: whoever comes while another
writes is written with the next commit, so that many runs cost few syncs (group commit).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import threading
import time
import uuid
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.protocols import RunFilter, RunInfo
from automa.errors import (
    AutomaError,
    JournalError,
    RunExistsError,
    RunNotFoundError,
    RunOwnedError,
    StoreError,
)
from automa.journal.entries import time_of_entry, to_datetime, to_micros
from automa.journal.journal import RUNNING
from automa.stores.group_commit import GroupCommit, as_store_error
from automa.stores.locks import FileIdentity, LockFile, is_locked, make_private_file, sync_folder
from automa.stores.refusals import ownership_lost, run_exists, run_not_found, run_owned

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from datetime import datetime

    from automa._core.protocols import Done
    from automa.stores.group_commit import Work

_APPLICATION_ID = 0x61746F6D  # "atom": so that no other application's file is taken for ours
_SCHEMA_VERSION = 1
_PAGE_SIZE = 512  # a commit writes whole pages, and an entry has some 100 bytes
_LOG_PAGES = 1000
"""After how many the log is begun anew: a sync is quicker where the file does not grow any more."""
_BUSY_SECONDS = 60.0
_GLANCE = 0.01  # seconds
_WRITE_BITS = 32
_LIST_PAGE = 200

_SYNCHRONOUS = {"power": "FULL", "process": "NORMAL"}


class SqliteStore:
    """Keeps journals in one SQLite file.

    Args:
        path: The file; it is made where it is not there, readable by its owner alone.
        durability: What a written entry survives: ``power``, a power cut; or ``process``, the death of
            the process alone, which is several times faster.

    Raises:
        StoreError: Where the file cannot be used: it is something else, or of a newer version.
    """

    def __init__(self, path: str | Path, *, durability: str = "power") -> None:
        if durability not in _SYNCHRONOUS:
            raise StoreError(f"durability is 'power' or 'process', not {durability!r}")
        self.path: Path = Path(path).absolute()
        self._pid = os.getpid()
        self._owners = self.path.with_name(self.path.name + ".owners")
        self._owner = self._new_owner()
        self._owner_is_stale = False
        self._reading_lock = threading.Lock()
        self._held: dict[int, _SqliteLease] = {}
        with as_store_error(self.path):
            FileIdentity.of_new_folder(self.path.parent)
            make_private_file(self.path)
            self._file = FileIdentity(self.path)
            self._connection = _connect(self.path)
            try:
                self._set_up(_SYNCHRONOUS[durability])
                self._reader = _connect(self.path)  # so that nobody who reads waits for a sync
            except BaseException:
                self._connection.close()
                raise
        self._commits = GroupCommit(self._connection, self._check_file, self.path)

    def create(self, workflow_id: str, run_id: str) -> _SqliteLease:
        """Own a run that is about to be started; see `automa.abc.Store.create`."""
        with self._reading() as connection:
            if _find(connection, workflow_id, run_id) is not None:
                raise run_exists(workflow_id, run_id)
        if not self._owner.is_intact():
            with self._commits.lock, as_store_error(self.path):
                self._be_owner()
        return _SqliteLease(self, workflow_id, run_id)

    def take(self, workflow_id: str, run_id: str) -> _SqliteLease:
        """Own a run that was started before; see `automa.abc.Store.take`."""

        def take(connection: sqlite3.Connection) -> None:
            row = _find(connection, workflow_id, run_id)
            if row is None:
                raise run_not_found(workflow_id, run_id)
            if self._is_owned(row.id, row.owner):
                raise run_owned(workflow_id, run_id)
            self._be_owner()
            connection.execute(
                "UPDATE runs SET owner = ?, epoch = epoch + 1 WHERE id = ?", (self._owner.path.name, row.id)
            )
            (last,) = connection.execute(
                "SELECT max(id) FROM writes WHERE id BETWEEN ? AND ?", _range(row.id)
            ).fetchone()
            self._held[row.id] = lease
            lease.row_id, lease.epoch, lease.status, lease.last = row.id, row.epoch + 1, row.status, last

        lease = _SqliteLease(self, workflow_id, run_id)
        try:
            self.commit(take)
        except (RunNotFoundError, RunOwnedError):
            raise
        except BaseException:
            self._give_back_unsure(lease)
            self._change_stale_owner()
            raise
        return lease

    def load(self, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the entries of a run; see `automa.abc.Store.load`."""
        with self._reading() as connection:
            row = _find(connection, workflow_id, run_id)
            if row is None:
                raise run_not_found(workflow_id, run_id)
            writes = connection.execute(
                "SELECT entries FROM writes WHERE id BETWEEN ? AND ? ORDER BY id", _range(row.id)
            ).fetchall()
        if not writes:  # it was deleted between the two
            raise run_not_found(workflow_id, run_id)
        try:
            return [entry for (text,) in writes for entry in json.loads(text)]
        except (ValueError, TypeError) as error:
            raise JournalError(f"{self.path}: run {run_id!r} cannot be read: {error}") from None

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first; see `automa.abc.Store.runs`."""
        wanted = {"workflow": workflow_id, "run": run_id, "status": status}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = "".join(f" AND {name} = :{name}" for name in given)
        before = 2**63 - 1
        while True:
            with self._reading() as connection:
                rows = connection.execute(
                    _LIST.format(where=where),  # names of ours
                    {**given, "before": before, "most": _LIST_PAGE},
                ).fetchall()
                found = [self._info(row) for row in rows]
            yield from found
            if len(rows) < _LIST_PAGE:
                return
            before = rows[-1][0]

    def find_runs(
        self,
        wanted: RunFilter,
        *,
        before: RunInfo | None = None,
        after: RunInfo | None = None,
        limit: int,
    ) -> list[RunInfo]:
        """Return runs, the newest first; see `automa.abc.Searchable.find_runs`."""
        where, values = _condition(wanted)
        is_upward = after is not None
        found: list[RunInfo] = []
        with self._reading() as connection:
            start = 0 if is_upward else 2**63 - 1
            for edge in filter(None, (before, after)):
                start = _row_of(connection, edge, is_upward=is_upward)
        listing = _FIND.format(
            where=where, than=">" if is_upward else "<", order="ASC" if is_upward else "DESC"
        )
        while len(found) < limit:
            with self._reading() as connection:
                rows = connection.execute(listing, {**values, "start": start, "most": _LIST_PAGE}).fetchall()
                owners = {row[5] for row in rows}
                alive = {owner for owner in owners if owner and is_locked(self._owners / owner)}
                found += [info for row in rows if wanted.matches(info := self._info(row, alive))]
            if len(rows) < _LIST_PAGE:
                break
            start = rows[-1][0]
        found = found[:limit]
        return found[::-1] if is_upward else found

    def ask_cancel(self, workflow_id: str, run_id: str, note: str) -> None:
        """Note that a run is to be undone; see `automa.abc.Cancellable.ask_cancel`."""

        def ask(connection: sqlite3.Connection) -> None:
            connection.execute(_CANCELS)  # few files have it
            connection.execute("INSERT OR IGNORE INTO cancels VALUES (?, ?, ?)", (workflow_id, run_id, note))

        self.commit(ask)

    def asked_cancels(self) -> dict[tuple[str, str], str]:
        """Return why runs are to be undone; see `automa.abc.Cancellable.asked_cancels`."""
        with self._reading() as connection:
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'cancels'").fetchone() is None:
                return {}
            rows = connection.execute("SELECT workflow, run, note FROM cancels").fetchall()
        return {(workflow_id, run_id): note for workflow_id, run_id, note in rows}

    def forget_cancel(self, workflow_id: str, run_id: str) -> None:
        """Forget that a run was to be undone; see `automa.abc.Cancellable.forget_cancel`."""

        def forget(connection: sqlite3.Connection) -> None:
            connection.execute(_CANCELS)
            connection.execute("DELETE FROM cancels WHERE workflow = ? AND run = ?", (workflow_id, run_id))

        self.commit(forget)

    def close(self) -> None:
        """Close the file and give all runs back; it may be called more than once."""
        if self._pid != os.getpid():
            return  # it is the parent's
        with self._commits.lock, self._reading_lock:
            self._reader.close()
            self._connection.close()
            self._owner.release(unlink=True)
            self._commits.close()

    def is_usable(self) -> bool:
        """Whether the file is still the one that was opened, by this process."""
        return self._pid == os.getpid() and self._file.is_same()

    # What leases need

    def begin(self, lease: _SqliteLease, entries: Sequence[dict[str, Any]], status: str) -> None:
        """Write the first entries of a run, together with its row."""
        self._write(self._beginning(lease, entries, status))

    def append(self, lease: _SqliteLease, entries: Sequence[dict[str, Any]], status: str) -> None:
        """Write further entries of a run, if nobody has taken it over."""
        self._write(self._appending(lease, entries, status))

    def append_soon(
        self, lease: _SqliteLease, entries: Sequence[dict[str, Any]], status: str, done: Done
    ) -> None:
        """Write entries of a run in another thread; see `automa.abc.GroupCommitLease.append_soon`."""
        write = (self._appending if lease.row_id else self._beginning)(lease, entries, status)

        def settled(error: Exception | None) -> None:
            write.settle(error)
            done(error)

        self._commits.commit_soon(write.work, settled, is_one_statement=write.is_one_statement)

    def _write(self, write: _Write) -> None:
        try:
            self.commit(write.work, is_one_statement=write.is_one_statement)
        except BaseException as error:
            write.settle(error)
            raise
        write.settle(None)

    def _beginning(self, lease: _SqliteLease, entries: Sequence[dict[str, Any]], status: str) -> _Write:
        text = _to_text(entries)

        def begin(connection: sqlite3.Connection) -> None:
            self._be_owner()
            if _find(connection, lease.workflow_id, lease.run_id) is not None:
                raise run_exists(lease.workflow_id, lease.run_id)
            cursor = connection.execute(
                "INSERT INTO runs (workflow, run, status, created, owner) VALUES (?, ?, ?, ?, ?)",
                (lease.workflow_id, lease.run_id, status, time_of_entry(entries[0]), self._owner.path.name),
            )
            row_id = cursor.lastrowid
            assert row_id is not None  # noqa: S101  # it was an insert
            connection.execute("INSERT INTO writes VALUES (?, ?)", (row_id << _WRITE_BITS, text))
            self._held[row_id] = lease  # before the commit, after which others see the row
            lease.row_id, lease.last, lease.status = row_id, row_id << _WRITE_BITS, status

        def settle(error: BaseException | None) -> None:
            if error is not None:
                if not isinstance(error, RunExistsError):
                    self._give_back_unsure(lease)
                lease.row_id = 0

        return _Write(begin, settle)

    def _appending(self, lease: _SqliteLease, entries: Sequence[dict[str, Any]], status: str) -> _Write:
        text = _to_text(entries)
        turns = status != lease.status
        last = lease.last + 1

        def append(connection: sqlite3.Connection) -> None:
            _change(connection, lease, _APPEND, last, text)
            if turns:  # a run that has ended, or stopped, is free
                owner = self._owner.path.name if status == RUNNING else None
                connection.execute(
                    "UPDATE runs SET status = ?, owner = ? WHERE id = ?", (status, owner, lease.row_id)
                )

        def settle(error: BaseException | None) -> None:
            if error is not None:
                return
            lease.last, lease.status = last, status
            if status != RUNNING:
                self._forget(lease)

        return _Write(append, settle, is_one_statement=not turns)

    def delete(self, lease: _SqliteLease) -> None:
        """Delete a run, if nobody has taken it over."""

        def delete(connection: sqlite3.Connection) -> None:
            _change(connection, lease, _DELETE)
            connection.execute("DELETE FROM writes WHERE id BETWEEN ? AND ?", _range(lease.row_id))

        self.commit(delete)
        self._forget(lease)

    def release(self, lease: _SqliteLease) -> None:
        """Give a run back."""

        def release(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE runs SET owner = NULL WHERE id = ? AND epoch = ?", (lease.row_id, lease.epoch)
            )

        if self._forget(lease):
            try:
                self.commit(release)
            except AutomaError:
                self._owner_is_stale = True
        self._change_stale_owner()

    def _give_back_unsure(self, lease: _SqliteLease) -> None:
        """Give a run back of which it is not known whether it was written that it is owned.

        Its commit has failed, or was interrupted, and may be durable all the same.
        """
        self._forget(lease)
        self._owner_is_stale = True

    def _change_stale_owner(self) -> None:
        """Look dead to whoever reads a row that goes on naming this owner though the run was given back."""
        if self._owner_is_stale and not self._held:
            with self._commits.lock:
                if self._held:  # another run has begun meanwhile, and names this owner
                    return
                self._owner.release(unlink=True)
                self._owner = self._new_owner()
                self._owner_is_stale = False

    def _forget(self, lease: _SqliteLease) -> bool:
        """Note that a lease is held no more; return whether it was."""
        is_held = self._held.get(lease.row_id) is lease
        if is_held:
            del self._held[lease.row_id]
        return is_held

    def commit(self, work: Work, *, is_one_statement: bool = False) -> None:
        """Do a piece of work in a transaction; see `GroupCommit.commit`."""
        self._commits.commit(work, is_one_statement=is_one_statement)

    # Details

    def _set_up(self, synchronous: str) -> None:
        execute = self._connection.execute
        version = execute("PRAGMA user_version").fetchone()[0]
        is_empty = version == 0 and not execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        if is_empty:
            execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        elif execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise StoreError(f"{self.path} is a database of another application")
        if version > _SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} is of version {version}, and this automa knows {_SCHEMA_VERSION}: "
                "use a newer automa"
            )
        mode = self._turn_to_wal()
        if mode != "wal":
            raise StoreError(f"{self.path}: SQLite cannot keep a write-ahead log here, its mode is {mode!r}")
        execute(f"PRAGMA synchronous = {synchronous}")
        execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        if is_empty:
            self._make_schema()

    def _turn_to_wal(self) -> str:
        """Have SQLite keep a write-ahead log; its wait for others does not hold for that."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                mode: str = self._connection.execute("PRAGMA journal_mode = wal").fetchone()[0]
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(_GLANCE)
            else:
                return mode

    def _make_schema(self) -> None:
        schema = resources.files("automa.stores").joinpath("schema.sql").read_text("utf-8")
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            if execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody else was quicker
                for statement in schema.split(";"):
                    execute(statement)
                execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            raise
        sync_folder(self.path.parent)

    def _new_owner(self) -> LockFile:
        return LockFile(self._owners / uuid.uuid4().hex)

    def _be_owner(self) -> None:
        """Hold this store's own lock from the first run on, and sweep those of the dead."""
        if self._owner.is_intact():
            return
        FileIdentity.of_new_folder(self._owners, is_durable=False)
        for path in self._owners.iterdir():
            with contextlib.suppress(OSError):
                if not is_locked(path):
                    path.unlink()
        if not self._owner.acquire():
            raise StoreError(f"{self._owner.path} is locked by somebody else")

    def _is_owned(self, row_id: int, owner: str | None) -> bool:
        if owner is None:
            return False
        if owner == self._owner.path.name:
            return row_id in self._held
        return is_locked(self._owners / owner)

    def _info(self, row: Sequence[Any], alive: Container[str] | None = None) -> RunInfo:
        """Return a run as a list tells it; where it is known which owners are alive, none is looked for."""
        row_id, workflow_id, run_id, status, created, owner, last = row
        began = to_datetime(created)
        updated = _last_time(last) or began
        if alive is None or owner == self._owner.path.name:
            is_owned = self._is_owned(row_id, owner)
        else:
            is_owned = owner in alive
        return RunInfo(workflow_id, run_id, status, began, updated, is_owned)

    def _check_file(self) -> None:
        if self._pid != os.getpid():
            raise StoreError(f"{self.path} was opened before a fork: open it again in the child")
        if not self._file.is_same():
            raise StoreError(f"{self.path} was deleted or replaced while it was open")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._reading_lock, as_store_error(self.path):
            self._check_file()
            yield self._reader


_APPEND = "INSERT INTO writes SELECT ?, ? FROM runs WHERE id = ? AND epoch = ?"
_DELETE = "DELETE FROM runs WHERE id = ? AND epoch = ?"

_CANCELS = """
    CREATE TABLE IF NOT EXISTS cancels (
        workflow TEXT NOT NULL, run TEXT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (workflow, run)
    ) WITHOUT ROWID
"""

_LIST = """
    SELECT id, workflow, run, status, created, owner, (
        SELECT entries FROM writes
        WHERE writes.id BETWEEN runs.id << 32 AND (runs.id + 1 << 32) - 1
        ORDER BY writes.id DESC LIMIT 1
    )
    FROM runs WHERE id < :before{where} ORDER BY id DESC LIMIT :most
"""


_FIND = """
    SELECT id, workflow, run, status, created, owner, (
        SELECT entries FROM writes
        WHERE writes.id BETWEEN found.id << 32 AND (found.id + 1 << 32) - 1
        ORDER BY writes.id DESC LIMIT 1
    )
    FROM (
        SELECT * FROM runs WHERE id {than} :start{where} ORDER BY id {order} LIMIT :most
    ) AS found ORDER BY id {order}
"""
"""The last entries are looked for once it is known which runs are listed; no run is sorted."""


def _condition(wanted: RunFilter) -> tuple[str, dict[str, Any]]:
    """Return what a filter asks of a row, as SQL, and the values for it."""
    where, values = "", dict[str, Any]()
    if wanted.workflow_id is not None:
        where += " AND +workflow = :workflow"  # the plus: the order of ids is worth more than the index
        values["workflow"] = wanted.workflow_id
    if wanted.statuses is not None:
        names = [f"status_{index}" for index, _ in enumerate(wanted.statuses)]
        one = len(names) == 1  # only then does the index have the order of ids
        where += f" AND {'' if one else '+'}status IN ({', '.join(f':{name}' for name in names)})"
        values |= zip(names, wanted.statuses, strict=True)
    if wanted.text:
        where += r" AND (run LIKE :text ESCAPE '\' OR workflow LIKE :text ESCAPE '\')"
        literal = re.sub(r"([%_\\])", r"\\\1", wanted.text)
        values["text"] = f"%{literal}%"
    return where, values


def _row_of(connection: sqlite3.Connection, info: RunInfo, *, is_upward: bool) -> int:
    """Return the row of a run, or where it would be if it was deleted meanwhile."""
    row = _find(connection, info.workflow_id, info.run_id)
    if row is not None:
        return row.id
    query = (
        "SELECT max(id) FROM runs WHERE created <= ?"
        if is_upward
        else "SELECT min(id) FROM runs WHERE created >= ?"
    )
    (found,) = connection.execute(query, (to_micros(info.created),)).fetchone()
    return found if found is not None else (0 if is_upward else 2**63 - 1)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


class _Row(NamedTuple):
    id: int
    status: str
    owner: str | None
    epoch: int


def _find(connection: sqlite3.Connection, workflow_id: str, run_id: str) -> _Row | None:
    row = connection.execute(
        "SELECT id, status, owner, epoch FROM runs WHERE workflow = ? AND run = ?", (workflow_id, run_id)
    ).fetchone()
    return None if row is None else _Row(*row)


def _change(connection: sqlite3.Connection, lease: _SqliteLease, statement: str, *values: object) -> None:
    """Change what there is of a run, if nobody has taken it over.

    In one statement, since each lets other threads in, for which all who wait for this commit wait then.
    """
    if connection.execute(statement, (*values, lease.row_id, lease.epoch)).rowcount == 0:
        raise ownership_lost(lease.workflow_id, lease.run_id)


def _last_time(text: str | None) -> datetime | None:
    """Return the latest time that entries tell; None where they are damaged: a list tells of all runs."""
    try:
        times = [time_of_entry(entry) for entry in json.loads(text or "")]
        return to_datetime(max(times))
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None


def _range(row_id: int) -> tuple[int, int]:
    """Return the first and the last id that a write of a run can have."""
    return row_id << _WRITE_BITS, (row_id + 1 << _WRITE_BITS) - 1


_to_text = json.JSONEncoder(separators=(",", ":")).encode


class _Write(NamedTuple):
    """A write of a run.

    Attributes:
        work: What executes the statements.
        settle: Notes what has come of it: an error, or None.
        is_one_statement: Whether it is one alone.
    """

    work: Work
    settle: Callable[[BaseException | None], None]
    is_one_statement: bool = False


class _SqliteLease:
    """A run that this store owns; see `automa.abc.Lease`."""

    row_id: int = 0
    epoch: int = 1
    status: str = ""
    last: int = 0

    def __init__(self, store: SqliteStore, workflow_id: str, run_id: str) -> None:
        self._store = store
        self.workflow_id: str = workflow_id
        self.run_id: str = run_id

    def append(self, entries: Sequence[dict[str, Any]], status: str) -> None:
        if self.row_id:
            self._store.append(self, entries, status)
        else:
            self._store.begin(self, entries, status)

    def append_soon(self, entries: Sequence[dict[str, Any]], status: str, done: Done) -> None:
        self._store.append_soon(self, entries, status, done)

    def delete(self) -> None:
        self._store.delete(self)

    def release(self) -> None:
        self._store.release(self)
