"""What a driver is given: a walk, and all that goes with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from automa._core.commands import Await, Back, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from automa._core.commands import Command, Halt
    from automa._core.records import Effect, Record
    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa.runtime.listeners import Listeners

    AppendSoon = Callable[[list[Record], Callable[[Exception | None], None]], bool]
    Walk = Generator[Command, Any, Any]
    Interposer = Callable[[Walk, Run], Walk]


interposers: list[Interposer] = []
"""Stand between each walk and its driver, the last nearest to the driver; `automa.testing` puts them here."""


class Writer(Protocol):
    """Writes the records of a run, `automa.journal.journal.Journal` say."""

    def append(self, records: list[Record]) -> Halt | None:
        """Write records; return what stops the walk where that failed."""
        ...

    def close(self) -> None:
        """Give the run back."""
        ...


class Launch:
    """A run that is ready to be driven.

    Args:
        walk: The relay's commands.
        run: The run that is walked.
        listeners: Those who hear of its records.
        journal: Where its records are written before they are heard of; None where they are not.

    Attributes:
        late: The calls that took too long and go on in threads, by the path of their step.
    """

    def __init__(
        self,
        walk: Generator[Command, Any, WorkflowReport],
        run: Run,
        listeners: Listeners,
        journal: Writer | None = None,
    ) -> None:
        for interpose in interposers:
            walk = interpose(walk, run)
        self.walk: Walk = walk
        self.run: Run = run
        self.listeners: Listeners = listeners
        self.journal: Writer | None = journal
        self.late: dict[str, Future[object]] = {}
        self._lock = threading.Lock()
        if journal is not None:
            run.write_at_once = self._record

    def write(self, run: Run, records: list[Record]) -> Any:
        """Write records, then let the listeners hear of them; return what the walk is answered.

        Args:
            run: What the steps share whose records they are: the run, or one of its branches.
            records: What is written.
        """
        if self.journal is not None:
            halt = self.append(records)
            if halt is not None:
                return halt
        self.publish(run, records)
        return None

    def append(self, records: list[Record]) -> Halt | None:
        """Write records into the journal, those of one branch after those of another."""
        assert self.journal is not None  # noqa: S101  # it is called where there is one
        with self._lock:
            return self.journal.append(records)

    def append_soon(self, records: list[Record], done: Callable[[Exception | None], None]) -> bool:
        """Write records into the journal without waiting, where that can be.

        Args:
            records: What is written.
            done: Told, in another thread, what `append` would have returned or raised.

        Returns:
            Whether they will be; where not, nothing was done: the journal does not know how, or a branch is
            writing.
        """
        append_soon: AppendSoon | None = getattr(self.journal, "append_soon", None)
        if append_soon is None or not self._lock.acquire(blocking=False):
            return False

        is_settled = False

        def settled(answer: Exception | None) -> None:
            nonlocal is_settled
            if not is_settled:
                is_settled = True
                self._lock.release()
            done(answer)

        is_lined_up = False
        try:
            is_lined_up = append_soon(records, settled)
        finally:
            if not is_lined_up and not is_settled:
                self._lock.release()
        return is_lined_up

    def publish(self, run: Run, records: list[Record]) -> None:
        """Let the listeners hear of records; what interrupts one of them interrupts the run."""
        interruption = self.listeners.publish(records)
        if interruption is not None:
            run.interrupt(interruption)

    def _record(self, effect: Effect) -> None:
        """Write down an effect while its step is at work.

        Raises:
            StoreError: Where that cannot be.
        """
        halt = self.append([effect])
        if halt is not None:
            raise halt.error
        self.listeners.publish([effect])

    def late_answer(self, command: Await) -> Back | Gone | None:
        """Return what became of a call that took too long, without waiting for it."""
        future = self.late.get(command.path)
        if future is None:
            return Gone()
        if not future.done():
            return None
        del self.late[command.path]
        return Back(future.result())

    def close(self) -> None:
        """Give the run back, however it has ended."""
        if self.journal is not None:
            with self._lock:  # a step that nobody waits for may be writing down what it has done
                self.journal.close()
