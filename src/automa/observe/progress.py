"""How far a run is, as plain lines."""

from __future__ import annotations

import contextlib
import copy
import sys
from typing import TYPE_CHECKING, Self

from automa._core.definition import part_of
from automa._core.records import Answered, Begun, Ended
from automa._core.status import Action, Status
from automa.errors import repr_of
from automa.pictures.words import spelt_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from automa._core.records import Record, Topology
    from automa._core.reports import StepReport


class StepCount:
    """Counts the steps of a run that are done.

    A step is done once its run has succeeded or was skipped, until it is undone; the steps in a nested
    workflow count, the workflow itself does not.

    Args:
        steps: The paths of all steps, as far as they are known before they are built.
    """

    def __init__(self, steps: Iterable[str] = ()) -> None:
        self._steps = frozenset(steps)
        self._done: set[str] = set()

    def count(self, record: Record) -> None:
        """Count what a record tells of."""
        if isinstance(record, Begun):
            self._steps, self._done = frozenset(leaves(record.steps)), set()
        elif isinstance(record, Answered) and record.report.workflow is None:
            self._count_action(record.path, record.report)

    def _count_action(self, path: str, report: StepReport) -> None:
        if report.status is Status.FAILED:  # an undo that failed has left the step as it was
            return
        if report.action is Action.ROLLBACK:
            self._done.discard(path)
        elif report.action is Action.RUN or report.status is Status.SKIPPED:
            self._done.add(path)

    def __str__(self) -> str:
        """Return how many are done, and of how many where that is known."""
        of_all = f"/{len(self._steps | self._done)}" if self._steps else ""
        return f"{len(self._done)}{of_all}"


class ProgressObserver:
    """Writes a line for each action that has finished, and one for the end of the run.

    ``[2/5] run charge SUCCESS``: two of five steps are done. A step is done once its run has succeeded or
    was skipped, until it is undone; the steps in a nested workflow count, the workflow itself does not.
    Of how many is known of a journaled run only: ``[2] run charge SUCCESS`` else.

    One observer may be given to many runs at once: each is counted for itself (`for_run`). Only the
    line at the end, and that of a run that is resumed, name the run; where many go on at once, a
    `LoggingObserver` names it in each line.

    A stream that is closed, or that nobody reads any more, is written to in vain.

    Args:
        stream: Where to, any stream of text; by default standard error, as it is when a line is written.

    Example:
        >>> from automa import Step, Workflow
        >>> greet = Workflow("greet", [Step("hello", run=lambda: "hi")])
        >>> report = greet.start(run_id="r1", observers=[ProgressObserver(sys.stdout)])
        [1] run hello SUCCESS
        run r1: workflow 'greet' ended succeeded
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._begin("")

    def _begin(self, run_id: str) -> None:
        self._run_id = run_id
        self._steps = StepCount()

    def for_run(self, run_id: str) -> Self:
        """Return an observer of one run, which counts from 0."""
        observer = copy.copy(self)
        observer._begin(run_id)  # noqa: SLF001  # it is of the same class
        return observer

    def resumed(self, history: list[Record]) -> None:
        """Count what is done already, and write how much that is."""
        for record in history:
            self._count(record)
        self._write(f"run {self._run_id}: {self._steps} steps are done already")

    def on_record(self, record: Record) -> None:
        """Count a record, and write a line where an action or the run has ended with it."""
        self._count(record)
        if isinstance(record, Answered):
            report = record.report
            reason = "" if report.reason is None else f": {_text_of(report.reason)}"
            self._write(f"[{self._steps}] {report.action} {record.path} {report.status}{reason}")
        elif isinstance(record, Ended):
            self._write(f"run {record.report.run_id}: {record.report.headline}")

    def _count(self, record: Record) -> None:
        if isinstance(record, Begun):
            self._run_id = record.run_id
        self._steps.count(record)

    def _write(self, line: str) -> None:
        stream = sys.stderr if self._stream is None else self._stream
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = spelt_out(line).encode(encoding, "backslashreplace").decode(encoding)
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it any more
            stream.write(text + "\n")
            stream.flush()


def leaves(steps: Iterable[Topology], prefix: str = "") -> Iterator[str]:
    """Yield the paths of the steps that are no workflows."""
    for step in steps:
        path = prefix + part_of(step.id)
        if step.steps is None:
            yield path
        else:
            yield from leaves(step.steps, f"{path}/")


def _text_of(reason: BaseException | str) -> str:
    return reason if isinstance(reason, str) else repr_of(reason)
