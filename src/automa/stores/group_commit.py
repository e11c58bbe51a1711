"""Commits that many share: whoever comes while another one commits is written with the next commit.

So many runs cost few syncs. The first who comes leads: it commits for all who have come meanwhile, and makes
the first who comes after them lead. Work may be left here, too, with nobody who waits for it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

from automa.errors import AutomaError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import AbstractContextManager
    from pathlib import Path

    from automa._core.protocols import Done

    Work = Callable[[sqlite3.Connection], None]
    """Executes statements; where it raises an error of ours it has written nothing."""


class GroupCommit:
    """Does pieces of work in the transactions of a connection, those that wait for one together.

    Args:
        connection: The connection.
        check: Called before each commit; raises where there must be none.
        path: The file, for errors.

    Attributes:
        connection: The connection.
        lock: Held while it commits; whoever else uses the connection holds it.
    """

    def __init__(self, connection: sqlite3.Connection, check: Callable[[], None], path: Path) -> None:
        self.connection: sqlite3.Connection = connection
        self.lock: AbstractContextManager[bool] = threading.Lock()
        self._check = check
        self._path = path
        self._queue_lock = threading.Lock()
        self._queue: list[_Job] = []
        self._has_leader = False
        self._leaders: ThreadPoolExecutor | None = None

    def commit(self, work: Work, *, is_one_statement: bool = False) -> None:
        """Do a piece of work in a transaction, together with whatever else waits for one.

        Args:
            work: What executes the statements.
            is_one_statement: Whether it is one alone, which is atomic by itself where nothing else waits.

        Raises:
            AutomaError: What the work has raised; it must not have written anything then.
            StoreError: Where the transaction failed.
        """
        job = _Job(work, is_one_statement=is_one_statement)
        interruption = None if self._line_up(job) else job.wait()
        while not job.is_done:
            try:
                self._lead()
            except BaseException as error:  # noqa: BLE001  # raised below: who leads must not leave the others alone
                interruption = interruption or error
        if interruption is not None:
            raise interruption
        if job.error is not None:
            raise job.error

    def commit_soon(self, work: Work, settled: Done, *, is_one_statement: bool = False) -> None:
        """Do a piece of work likewise, in another thread.

        Args:
            work: What executes the statements.
            settled: Told, in that thread, what `commit` would have raised, or None.
            is_one_statement: As for `commit`.
        """
        job = _JobOfNobody(work, settled, self._lead_elsewhere, is_one_statement=is_one_statement)
        if self._line_up(job):
            job.wake()

    def close(self) -> None:
        """Need no thread any more; what still comes is done by whoever brings it."""
        if self._leaders is not None:
            self._leaders.shutdown(wait=False)

    def _line_up(self, job: _Job) -> bool:
        """Have a job wait for the next commit; return whether nobody leads that yet."""
        with self._queue_lock:
            self._queue.append(job)
            leads, self._has_leader = not self._has_leader, True
        return leads

    def _lead_elsewhere(self) -> None:
        """Lead the next commit in a thread of the store."""
        if self._leaders is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # few runs need it

            self._leaders = ThreadPoolExecutor(1, "automa-journal")
        try:
            self._leaders.submit(self._lead)
        except Exception:  # noqa: BLE001  # no thread can be had, or none any more
            self._leaders = None  # it may have taken this in, and must not do it later
            self._lead()

    def _lead(self) -> None:
        """Commit for all who have come meanwhile, and make the first who comes after them lead."""
        batch: list[_Job] = []
        try:
            with self.lock:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit_batch(batch)
        finally:
            with self._queue_lock:
                heirs = self._queue[:1]
                self._has_leader = bool(heirs)
            for each in (*batch, *heirs):
                each.wake()

    def _commit_batch(self, batch: list[_Job]) -> None:
        is_transaction = len(batch) == 1 and batch[0].is_one_statement  # two calls into SQLite fewer a step
        try:
            with as_store_error(self._path):
                self._check()
                try:
                    if not is_transaction:
                        self.connection.execute("BEGIN IMMEDIATE")
                    for job in batch:
                        job.run(self.connection)
                    if not is_transaction:
                        self.connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        self.connection.execute("ROLLBACK")
                    raise
        except BaseException as error:  # memory may be full: whoever waits must not take it for written
            store_error = error if isinstance(error, StoreError) else StoreError(f"{self._path}: {error!r}")
            for job in batch:
                job.error = job.error or store_error
            if not isinstance(error, Exception):
                raise
        finally:
            for job in batch:
                job.is_done = True


class as_store_error:  # noqa: N801  # used as a function; a generator costs, and every write passes here
    """Turns what SQLite or the system raises into a `StoreError`."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, _STORE_ERRORS):
            raise StoreError(f"{self._path}: {error}") from error


_STORE_ERRORS = (OSError, sqlite3.Error)


class _Job:
    """A piece of work that waits for a transaction, and whether it went well."""

    __slots__ = ("_is_woken", "_signal", "error", "is_done", "is_one_statement", "work")

    def __init__(self, work: Work, *, is_one_statement: bool) -> None:
        self.work = work
        self.is_one_statement = is_one_statement
        self.error: AutomaError | None = None
        self.is_done = False
        self._is_woken = False
        self._signal = threading.Lock()
        self._signal.acquire()

    def wait(self) -> BaseException | None:
        """Wait until the job is done, or is to lead the next commit; return what has interrupted that.

        It goes on all the same: the work may be under way, and the others wait for who is to lead.
        """
        interruption: BaseException | None = None
        while True:
            try:
                while not self._is_woken:
                    self._signal.acquire()
            except BaseException as error:  # noqa: BLE001  # whoever waits raises it at the end
                interruption = interruption or error
            else:
                return interruption

    def wake(self) -> None:
        """End the wait; whoever has led meanwhile is woken once more, and waits no longer."""
        if not self._is_woken:
            self._is_woken = True
            self._signal.release()

    def run(self, connection: sqlite3.Connection) -> None:
        """Do the work; an error of ours is its own, any other that of the whole transaction."""
        try:
            self.work(connection)
        except AutomaError as error:
            self.error = error


class _JobOfNobody(_Job):
    """A job for which no thread waits.

    Args:
        work: The work.
        settled: What is called once it is done.
        lead: What has another thread lead the next commit.
    """

    __slots__ = ("_lead", "_settled")

    def __init__(
        self, work: Work, settled: Done, lead: Callable[[], None], *, is_one_statement: bool
    ) -> None:
        super().__init__(work, is_one_statement=is_one_statement)
        self._settled = settled
        self._lead = lead

    def wake(self) -> None:
        """Tell that the job is done, or have the next commit led."""
        if self.is_done:
            self._settled(self.error)
        else:
            self._lead()
