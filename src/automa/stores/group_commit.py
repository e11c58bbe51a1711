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
        try:
            if not self._line_up(job):
                job.wait()
            if not job.is_done:
                self._lead()
        except BaseException:
            self._lead_in_any_case()
            raise
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
        try:
            if self._line_up(job):
                self._lead_elsewhere()
        except BaseException:
            self._lead_in_any_case()
            raise

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

    def _lead_in_any_case(self) -> None:
        """Lead where an interruption has come, at whatever moment: it may have been the turn of this thread.

        One more who leads does no harm. Further interruptions are as the first, which is raised in the end.
        """
        while True:
            try:
                self._lead()
            except Exception:
                raise
            except BaseException:  # noqa: BLE001, S112  # as above
                continue
            return

    def _lead(self) -> None:
        """Commit for all who have come meanwhile, and make the first who comes after them lead."""
        batch: list[_Job] = []
        error: BaseException | None = None
        try:
            with self.lock:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                if batch:
                    self._commit_batch(batch)
        except BaseException as raised:  # noqa: BLE001  # whoever waits is told, and must not take it for written
            error = raised
        try:
            self._hand_over(batch, error)
        except BaseException:
            self._hand_over(batch, error)
            raise
        if error is not None and not (batch and isinstance(error, Exception)):
            raise error

    def _commit_batch(self, batch: list[_Job]) -> None:
        is_transaction = len(batch) == 1 and batch[0].is_one_statement  # two calls into SQLite fewer a step
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

    def _hand_over(self, batch: list[_Job], error: BaseException | None) -> None:
        """Tell those who were committed for what came of it, and the first who comes after them to lead.

        It may be done once more where it was interrupted.
        """
        if error is not None:
            store_error = _store_error_of(error, self._path)
            for job in batch:
                job.error = job.error or store_error
        with self._queue_lock:
            heirs = self._queue[:1]
            self._has_leader = bool(heirs)
        for job in batch:
            job.is_done = True
            job.settle()
        for job in heirs:
            job.lead()


class as_store_error:  # noqa: N801  # used as a function; a generator costs, and every read passes here
    """Turns what SQLite or the system raises into a `StoreError`."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, _STORE_ERRORS):
            raise _store_error_of(error, self._path)


def _store_error_of(error: BaseException, path: Path) -> StoreError:
    if isinstance(error, StoreError):
        return error
    text = error if isinstance(error, _STORE_ERRORS) else repr(error)
    store_error = StoreError(f"{path}: {text}")
    store_error.__cause__ = error
    return store_error


_STORE_ERRORS = (OSError, sqlite3.Error)


class _Job:
    """A piece of work that waits for a transaction, and whether it went well."""

    __slots__ = ("_signal", "error", "is_done", "is_one_statement", "work")

    def __init__(self, work: Work, *, is_one_statement: bool) -> None:
        self.work = work
        self.is_one_statement = is_one_statement
        self.error: AutomaError | None = None
        self.is_done = False
        self._signal = threading.Lock()
        self._signal.acquire()

    def wait(self) -> None:
        """Wait until the job is done, or is to lead the next commit."""
        self._signal.acquire()

    def lead(self) -> None:
        """Have whoever waits lead the next commit."""
        with contextlib.suppress(RuntimeError):  # it has been told already
            self._signal.release()

    def settle(self) -> None:
        """Have whoever waits find that the job is done."""
        self.lead()

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

    def lead(self) -> None:
        """Have another thread lead the next commit."""
        self._lead()

    def settle(self) -> None:
        """Tell what came of the job."""
        self._settled(self.error)
