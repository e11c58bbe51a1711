"""A resume: the same walk, in which a recorded handoff answers from the journal.

What a step did is done again from its record: its changes of the state, its report, its handoff. The
first command that the records do not answer is the first that is lived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automa._core.commands import Append, Command, Deliver, Halt, Interrupted, Raised
from automa._core.events import Failure, Handoff, Success
from automa._core.functions import Preparation, StepFunction
from automa._core.records import (
    Answered,
    Begun,
    Cancelled,
    Ended,
    Record,
    Request,
    Requested,
    Resumed,
    Started,
    Suspended,
)
from automa._core.status import FAILED, PREPARE, ROLLBACK, RUN, SKIPPED
from automa.errors import JournalError, RollbackRequested, Skip, UnknownOutcomeError, repr_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from automa._core.context import Context
    from automa._core.reports import StepReport, WorkflowReport
    from automa._core.runs import WorkflowRun

_NOTES = (Suspended, Resumed)


def replay(
    walk: Generator[Command, Any, WorkflowReport], workflow_run: WorkflowRun, history: Sequence[Record]
) -> Generator[Command, Any, WorkflowReport]:
    """Walk a run again as far as its records go, then go on.

    Args:
        walk: The walk of the run, from its beginning.
        workflow_run: The run that is walked.
        history: Its records so far.

    Returns:
        The closed report.

    Raises:
        JournalError: Where the records do not fit the walk.
    """
    return (yield from Replay(walk, workflow_run, history).commands())


class Replay:
    """Answers a walk from its history, and passes on what that does not answer.

    Args:
        walk: The walk of the run, from its beginning.
        workflow_run: The run that is walked.
        history: Its records so far.
    """

    def __init__(
        self,
        walk: Generator[Command, Any, WorkflowReport],
        workflow_run: WorkflowRun,
        history: Sequence[Record],
    ) -> None:
        self._walk = walk
        self._run = workflow_run.run
        self._history = history
        self._next = 0
        self._started: dict[tuple[str, str], int] = {}
        begun = history[0]
        assert isinstance(begun, Begun)  # noqa: S101  # whoever reads a journal checks that
        self._is_foreign = begun.is_foreign
        workflow_run.report.start_time = begun.at
        workflow_run.run.is_replaying = True

    def commands(self) -> Generator[Command, Any, WorkflowReport]:
        """Yield what is not answered by the history; return the report of the whole run."""
        try:
            command = self._walk.send(None)
            while True:
                try:
                    answer = yield from self._answered(command)
                except Halt as halt:
                    command = self._walk.throw(halt)
                else:
                    command = self._walk.send(answer)
        except StopIteration as stop:
            report: WorkflowReport = stop.value
            return report

    def _answered(self, command: Command) -> Generator[Command, Any, object]:
        if not isinstance(command, Append):
            return (yield from self._delivered(command))
        rest = self._written(command.records)
        if not rest:
            return self._requested_next()
        self._run.is_replaying = False
        return (yield Append(rest))

    # Records that the walk wants to be written

    def _written(self, records: list[Record]) -> list[Record]:
        """Match records with the history; return those that it does not have."""
        for index, record in enumerate(records):
            known = self._peek()
            while isinstance(known, Requested) and not isinstance(record, Cancelled):
                self._take(known)
                self._run.must_undo = True
                known = self._peek()
            if known is None:
                return records[index:]
            if not _same(known, record) or not self._has_same_outcome(known, record):
                if self._is_foreign and _is_of_prepare(record):
                    continue  # other implementations do not record it
                raise JournalError(
                    f"the journal does not fit the workflow: record {self._next + 1} tells that "
                    f"{_name(known)}, but now {_name(record)}"
                )
            if isinstance(known, Answered) and isinstance(record, Answered):
                _adopt_times(record.report, known.report)
            if isinstance(known, Ended) and isinstance(record, Ended):
                record.report.end_time = known.report.end_time
            self._take(known)
        return []

    def _has_same_outcome(self, known: Record, record: Record) -> bool:
        if self._is_foreign or not isinstance(known, Ended) or not isinstance(record, Ended):
            return True
        return known.report.outcome is record.report.outcome

    def _requested_next(self) -> Requested | None:
        """Return what an operator asked of the run after it had ended."""
        known = self._peek()
        before = next(each for each in reversed(self._history[: self._next]) if not isinstance(each, _NOTES))
        if isinstance(known, Requested) and isinstance(before, Ended):
            self._take(known)
            return known
        return None

    # Calls of steps

    def _delivered(self, command: Deliver) -> Generator[Command, Any, object]:
        """Answer a call of a step: from the history, or by the step."""
        ctx = command.ctx
        key = (ctx.path, ctx.action)
        while True:
            known = self._peek()
            if isinstance(known, Started) and (known.path, known.action) == key:  # an attempt after a crash
                self._take(known)
            elif isinstance(known, Requested) and known.request is Request.ROLLBACK:
                self._take(known)
                self._run.must_undo = True
                if ctx.action is not ROLLBACK and self._peek() is None:
                    return self._unknown(command, RollbackRequested(known.note or _ASKED))
            else:
                break
        if known is None:
            return (yield from self._lived(command))
        if isinstance(known, Answered) and (known.path, known.report.action) == key:
            return self._recorded(command, known)
        if self._is_foreign and ctx.action is PREPARE:
            is_to_run = self._is_of_workflow(command) or self._peek(1) is None
            return (yield command) if is_to_run else None
        raise JournalError(
            f"the journal does not fit the workflow: record {self._next + 1} tells that {_name(known)}, "
            f"but now step {ctx.path} is to {ctx.action}"
        )

    def _is_of_workflow(self, command: Deliver) -> bool:
        return isinstance(command.controller, Preparation) and command.controller.step is None

    def _recorded(self, command: Deliver, known: Answered) -> object:
        """Do again what a step has done, as its record tells it, and return its answer."""
        ctx, event, report = command.ctx, command.event, known.report
        ctx.shared.replay(known.shared)
        if known.local:
            ctx.local.replay(known.local)
        error = report.error
        if known.goes_back is not None and error is not None:
            self._run.replay_decision(error, known.goes_back)
        if error is not None and not isinstance(error, Exception):
            self._run.replayed = error
        if ctx.action is PREPARE:
            ctx.report.metadata.update(report.metadata)
            if report.status is SKIPPED:
                return Raised(Skip(report.detail or ""))
            return None if error is None else Raised(error)
        answer = self._handoff(command, known)
        cancelled = self._after(known, event)
        if cancelled is not None:
            self._run.replayed = cancelled
            return Interrupted(cancelled, answer)
        return answer

    def _handoff(self, command: Deliver, known: Answered) -> Handoff:
        ctx, event, report = command.ctx, command.event, known.report
        step = ctx.step
        if isinstance(event, Failure):
            return Handoff(step.prev, Failure(event.base, event.error, (report,)))
        if report.status is not FAILED or report.error is None:
            return Handoff(step.next, Success(event.base, (report,)))
        second = self._peek(1)
        if isinstance(second, Answered) and second.path == known.path and second.report.action is ROLLBACK:
            return Handoff(step.prev, Failure(event.base, report.error, (report, second.report)))
        return Handoff(step, Failure(event.base, report.error, (report,)))

    def _after(self, known: Answered, event: object) -> BaseException | None:
        """Return what turned the run back right after a step that went well."""
        following = self._peek(1)
        if isinstance(following, Cancelled):
            return following.error
        if isinstance(event, Success) and isinstance(following, Requested):
            self._run.must_undo = True
            return None if known.report.status is FAILED else RollbackRequested(following.note or _ASKED)
        return None

    def _lived(self, command: Deliver) -> Generator[Command, Any, object]:
        """Call a step: the first that the history does not answer may have been at work before."""
        ctx = command.ctx
        self._run.is_replaying = False
        before = self._started.get((ctx.path, ctx.action), 0)
        if not before:
            return (yield command)
        self._started.clear()  # what comes after it has not been at work
        ctx.attempt = before + 1
        verify = getattr(ctx.step, "verify_function", None)
        if ctx.action is RUN and isinstance(verify, StepFunction):
            found = yield Deliver(Preparation(verify, ctx.step), ctx, command.event)
            if isinstance(found, Interrupted):
                self._run.interrupt(found.error)
                found = found.answer
            if isinstance(found, Raised) and not isinstance(found.error, Exception):
                return found
            if found is True:
                assert isinstance(command.event, Success)  # noqa: S101  # it is about a run
                ctx.report.detail = "verified: it was done before the run was resumed"
                return Handoff(ctx.step.next, Success.of(command.event, ctx.report))
            ctx.shared.discard()
            ctx.local.discard()
            if found is not False:
                return self._unknown(command, _in_doubt(ctx, found))
        halt = yield Append([Started(ctx.path, ctx.action, ctx.report.start_time)])
        if halt is not None:
            raise halt
        return (yield command)

    def _unknown(self, command: Deliver, error: Exception) -> Raised | Handoff:
        """Fail a step of which nobody knows whether it has had its effect; its undo is called."""
        if isinstance(command.controller, Preparation):
            return Raised(error)
        ctx, event = command.ctx, command.event
        assert isinstance(event, Success)  # noqa: S101  # the way back is never in doubt: it is gone again
        ctx.report.detail = "unknown"
        return Handoff(ctx.step, Failure.of_run(event, error, ctx.report))

    # The history

    def _peek(self, ahead: int = 0) -> Record | None:
        """Return the next record of the history, or one after it; notes are passed over."""
        index = self._next
        while index < len(self._history):
            if not isinstance(self._history[index], _NOTES):
                if ahead == 0:
                    return self._history[index]
                ahead -= 1
            index += 1
        return None

    def _take(self, known: Record) -> None:
        """Go on behind a record that `_peek` has returned."""
        while self._history[self._next] is not known:
            self._next += 1
        self._next += 1
        if isinstance(known, Started):
            key = (known.path, known.action)
            self._started[key] = self._started.get(key, 0) + 1
        elif isinstance(known, Answered):
            self._started.pop((known.path, known.report.action), None)


_ASKED = "asked for by an operator"


def _in_doubt(ctx: Context, found: object) -> UnknownOutcomeError:
    """Return the error of a step in doubt, with what its verify said."""
    error = UnknownOutcomeError(
        f"step {ctx.path} was at work when its run stopped, and nobody can tell whether it was done"
    )
    if isinstance(found, Raised):
        error.__cause__ = found.error
    elif found is not None:
        error.add_note(f"verify returns True, False or None, not {repr_of(found)}")
    return error


def _same(known: Record, record: Record) -> bool:
    """Whether a record of the history and one of the walk tell of the same."""
    match known, record:
        case (Started(), Started()):
            return (known.path, known.action) == (record.path, record.action)
        case (Answered(), Answered()):
            return (known.path, known.report.action, known.report.status) == (
                record.path,
                record.report.action,
                record.report.status,
            )
        case (Cancelled(), Cancelled()):
            return known.path == record.path
        case (Requested(), Cancelled()):
            return known.request is Request.ROLLBACK
    return type(known) is type(record)


def _is_of_prepare(record: Record) -> bool:
    if isinstance(record, Answered):
        return record.report.action is PREPARE
    return isinstance(record, Started) and record.action is PREPARE


def _adopt_times(live: StepReport, recorded: StepReport) -> None:
    """Give a report the times at which what it tells of has happened."""
    live.start_time, live.end_time = recorded.start_time, recorded.end_time
    if live.workflow is not None:
        live.workflow.start_time, live.workflow.end_time = recorded.start_time, recorded.end_time


def _name(record: Record) -> str:
    """Return what a record tells of, for a message."""
    match record:
        case Started(path, action):
            return f"{action} of step {path} starts"
        case Answered(path, report):
            return f"{report.action} of step {path} ended {report.status}"
    return f"it has {type(record).__name__.lower()}"
