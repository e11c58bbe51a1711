"""What a driver is given: a walk, and all that goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator

    from automa._core.commands import Command, Halt
    from automa._core.records import Record
    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa.runtime.listeners import Listeners

    Walk = Generator[Command, Any, WorkflowReport]


class Writer(Protocol):
    """Writes the records of a run, `automa.journal.journal.Journal` say."""

    def append(self, records: list[Record]) -> Halt | None:
        """Write records; return what stops the walk where that failed."""
        ...

    def close(self) -> None:
        """Give the run back."""
        ...


class Launch(NamedTuple):
    """A run that is ready to be driven.

    Attributes:
        walk: The relay's commands.
        run: The run that is walked.
        listeners: Those who hear of its records.
        journal: Where its records are written before they are heard of; None where they are not.
    """

    walk: Walk
    run: Run
    listeners: Listeners
    journal: Writer | None = None

    def write(self, records: list[Record]) -> Any:
        """Write records, then let the listeners hear of them; return what the walk is answered."""
        if self.journal is not None:
            halt = self.journal.append(records)
            if halt is not None:
                return halt
        return self.publish(records)

    def publish(self, records: list[Record]) -> None:
        """Let the listeners hear of records; what interrupts one of them interrupts the run."""
        interruption = self.listeners.publish(records)
        if interruption is not None:
            self.run.interrupt(interruption)

    def close(self) -> None:
        """Give the run back, however it has ended."""
        if self.journal is not None:
            self.journal.close()
