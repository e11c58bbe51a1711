"""The journal of one run while it is carried on: what a driver writes into."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from automa._core.commands import Halt
from automa._core.records import Ended, Record
from automa._core.status import Outcome
from automa.errors import RunExistsError, StoreError, text_of
from automa.journal.entries import EntryEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automa._core.protocols import Lease

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
        last = records[-1] if records else None
        if self._broken is not None:  # only the end of the run, which writes nothing, still comes about
            return None if isinstance(last, Ended) else self._broken
        entries = self._encoder.encode([*self._first, *records])
        try:
            self._lease.append(entries, _status(records))
        except RunExistsError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a store raises, the step after it must not run
            self._broken = Halt(_as_store_error(error), Outcome.INFRASTRUCTURE_ERROR)
            return self._broken
        self._first.clear()
        if isinstance(last, Ended) and last.report.outcome in self._deletes:
            with contextlib.suppress(StoreError):  # the run has ended all the same; a resume deletes it
                self._lease.delete()
        return None

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
