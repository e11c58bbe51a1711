"""The journal of one run while it is carried on: what a driver writes into."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from automa._core.commands import Halt
from automa._core.records import Ended, Record
from automa._core.status import Outcome
from automa.errors import RunExistsError, StoreError, text_of
from automa.journal.entries import EntryEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from automa._core.protocols import Done, Lease

    AppendSoon = Callable[[Sequence[dict[str, Any]], str, Done], None]

RUNNING = "running"
"""The status of a run that has not ended: it is going on, or its process has died."""

RETENTIONS: dict[str, tuple[Outcome, ...]] = {
    "retain": (),
    "delete_on_success": (Outcome.SUCCEEDED,),
    "delete_on_done": (Outcome.SUCCEEDED, Outcome.UNDONE, Outcome.FAILED),
}
"""Which outcomes make a journal superfluous. A run that needs attention is always kept."""


class Journal:
    """Writes the records of one run; after a write has failed it writes nothing more.

    Args:
        lease: The right to carry on the run.
        first: What is written with the first records: that the run was resumed, say.
        retention: Which runs are deleted once they have ended: a key of `RETENTIONS`.
    """

    def __init__(self, lease: Lease, *, first: Sequence[Record] = (), retention: str = "retain") -> None:
        self._lease = lease
        self._append_soon: AppendSoon | None = getattr(lease, "append_soon", None)
        self._first = list(first)
        self._encoder = EntryEncoder()
        self._deletes = RETENTIONS[retention]
        self._broken: Halt | None = None

    def append(self, records: list[Record]) -> Halt | None:
        """Write records; when it returns None they are durable.

        Returns:
            What stops the walk, where they could not be written.

        Raises:
            RunExistsError: Where the run was started before; nothing was started.
        """
        if self._broken is not None:  # only the end of the run, which writes nothing, still comes about
            return None if records and isinstance(records[-1], Ended) else self._broken
        entries = self._encoder.encode([*self._first, *records] if self._first else records)
        failed: Exception | None = None
        try:
            self._lease.append(entries, _status(records))
        except Exception as error:  # noqa: BLE001  # whatever a store raises, the step after it must not run
            failed = error
        halt = self._settled(failed)
        if isinstance(halt, RunExistsError):
            raise halt
        if halt is None and self._is_superfluous_after(records):
            with contextlib.suppress(StoreError):  # the run has ended all the same; a resume deletes it
                self._lease.delete()
        return halt

    def append_soon(self, records: list[Record], done: Callable[[Exception | None], None]) -> bool:
        """Write records as `append` does, without waiting, where the store and the records allow it.

        Args:
            records: What is written.
            done: Told, in another thread, what `append` would have returned or raised.

        Returns:
            Whether they will be; where not, nothing was done.
        """
        append_soon = self._append_soon
        if append_soon is None or self._broken is not None or self._is_superfluous_after(records):
            return False
        entries = self._encoder.encode([*self._first, *records] if self._first else records)
        try:
            append_soon(entries, _status(records), lambda error: done(self._settled(error)))
        except Exception as error:  # noqa: BLE001  # as above
            done(self._settled(error))
        return True

    def _settled(self, error: Exception | None) -> Halt | RunExistsError | None:
        """Note what came of a write; return what stops the walk, if anything does."""
        if error is None:
            self._first.clear()
            return None
        if isinstance(error, RunExistsError):
            return error
        self._broken = Halt(_as_store_error(error), Outcome.INFRASTRUCTURE_ERROR)
        return self._broken

    def _is_superfluous_after(self, records: Sequence[Record]) -> bool:
        """Whether the journal is to be deleted once these records are written."""
        last = records[-1] if records else None
        return isinstance(last, Ended) and last.report.outcome in self._deletes

    def close(self) -> None:
        """Give the run back."""
        self._lease.release()


def _status(records: Sequence[Record]) -> str:
    """Return how a run stands after these records."""
    last = records[-1] if records else None
    outcome = last.report.outcome if isinstance(last, Ended) else None
    return RUNNING if outcome is None else outcome.value


def _as_store_error(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    store_error = StoreError(f"the journal could not be written: {type(error).__name__}: {text_of(error)}")
    store_error.__cause__ = error
    return store_error
