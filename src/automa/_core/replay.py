"""A resume: the same walk, in which a recorded handoff answers from the journal.

What a step did is done again from its record: its changes of the state, its report, its handoff. The
first command that the records do not answer is the first that is lived.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from automa._core import clock
from automa._core.attempts import UNKNOWN
from automa._core.commands import (
    Append,
    Await,
    Branch,
    Command,
    CutOff,
    Deliver,
    Fork,
    Halt,
    Interrupted,
    Raised,
    Refused,
    Sleep,
)
from automa._core.events import Failure, Handoff, Success
from automa._core.functions import (
    Admission,
    Condition,
    Expansion,
    Preparation,
    StepFunction,
    close_awaitable,
    is_awaitable,
)
from automa._core.records import (
    Answered,
    AttemptFailed,
    Begun,
    Cancelled,
    Effect,
    Ended,
    Expanded,
    Late,
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
    from collections.abc import Callable, Generator, Iterator, Sequence

    from automa._core.context import Context
    from automa._core.reports import StepReport, WorkflowReport
    from automa._core.runs import Run, WorkflowRun

_NOTES = (Suspended, Resumed, Effect)
"""Records that no command of the walk asks for."""


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
    begun = history[0]
    assert isinstance(begun, Begun)  # noqa: S101  # whoever reads a journal checks that
    workflow_run.report.start_time = begun.at
    if any(isinstance(record, Requested) for record in history):  # the next step may have been refused
        workflow_run.run.takes_detours = True
    report: WorkflowReport = yield from Replay(
        walk, workflow_run.run, history, is_foreign=begun.is_foreign
    ).commands()
    return report


def replay_dry(walk: Generator[Command, Any, Any], halt: Halt) -> Any:
    """Carry a replay to the end of its records, without any effect, and stop it there.

    Args:
        walk: The replay: of a run, or of a branch of one.
        halt: What stops it.

    Returns:
        What the walk returns.

    Raises:
        JournalError: Where the records do not fit the walk.
    """
    is_halted = False
    try:
        command = next(walk)
        while True:
            if isinstance(command, Fork):
                ends = [replay_dry(branch.walk, halt) for branch in command.branches]
                is_halted = is_halted or any(isinstance(end, Halt) for end in ends)
                command = walk.send(ends)
            elif is_halted:
                command = walk.send(None)
            else:
                is_halted = True
                command = walk.throw(halt)
    except StopIteration as stop:
        return stop.value


class Replay:
    """Answers a walk from its history, and passes on what that does not answer.

    Args:
        walk: The walk: of the run from its beginning, or of a branch.
        run: What its steps share.
        history: Its records so far.
        is_foreign: Whether they were made of a journal of another implementation.
    """

    def __init__(
        self,
        walk: Generator[Command, Any, Any],
        run: Run,
        history: Sequence[Record],
        *,
        is_foreign: bool = False,
    ) -> None:
        self._walk = walk
        self._run = run
        self._history = list(history)
        self._next = 0
        self._started: dict[tuple[str, str], int] = {}
        self._effects: dict[tuple[str, str], list[Effect]] = {}
        self._is_foreign = is_foreign
        self._questions: dict[type, Callable[[Deliver], Generator[Command, Any, object]]] = {
            Condition: self._decided,
            Admission: self._admitted,
            Expansion: self._built,
        }
        self._asked = _ASKED
        run.is_replaying = True
        run.turned_back_after = self._turned_back_after

    def commands(self) -> Generator[Command, Any, Any]:
        """Yield what is not answered by the history; return what the walk returns."""
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
            self._turn_back()
            return stop.value

    def _turn_back(self) -> None:
        """Turn the run back, where that was asked for once this walk, of a branch, had ended."""
        is_asked = False
        while isinstance(known := self._peek(), Requested) and known.request is Request.ROLLBACK:
            self._take(known)
            self._run.must_undo = is_asked = True
        if is_asked and self._run.interruption is None:
            self._run.interruption = self._run.replayed = RollbackRequested(self._asked)

    def _answered(self, command: Command) -> Generator[Command, Any, object]:
        match command:
            case Append(records):
                rest = self._written(records)
                if not rest:
                    return self._requested_next()
                self._run.is_replaying = False
                return (yield Append(rest))
            case Deliver():
                answer = self._questions.get(type(command.controller), self._delivered)
                return (yield from answer(command))
            case Sleep():
                return (yield from self._slept(command))
            case Await():
                return (yield from self._awaited(command))
        return (yield self._forked(command))

    def _slept(self, command: Sleep) -> Generator[Command, Any, object]:
        """Wait for what is left of the time between two attempts."""
        if self._peek() is not None:
            return None
        last = self._history[-1] if self._run.is_replaying else None
        if isinstance(last, AttemptFailed) and last.report.end_time is not None:
            passed = (clock.now() - last.report.end_time).total_seconds()
            command = command._replace(seconds=command.seconds - max(0.0, passed))
        return (yield command) if command.seconds > 0 else None

    def _awaited(self, command: Await) -> Generator[Command, Any, object]:
        """Tell what became of a step that took too long; its thread has died with its process."""
        known = self._peek()
        if known is None:
            return (yield command)
        if isinstance(known, Late) and known.path == command.path:
            self._take_effects(command.report, (known.path, RUN))
            return known if known.is_back else None
        return None

    def _forked(self, fork: Fork) -> Fork:
        """Return a fork whose branches are answered each from its own part of the history."""
        end = self._end_of(fork.path)
        phase = self._history[self._next : end]
        parts: dict[str, list[Record]] = {branch.path: [] for branch in fork.branches}
        common: list[Record] = []
        for record in phase:
            path = getattr(record, "path", None) or ""
            inside = path.removeprefix(f"{fork.path}/")
            branch_path = f"{fork.path}/{inside.partition('/')[0]}"
            if inside != path and branch_path in parts:
                parts[branch_path].append(record)
            else:
                common.append(record)
                for part in parts.values():
                    part.append(record)
        self._history[self._next : end] = common
        branches = [
            Branch(branch.path, Replay(branch.walk, branch.run, parts[branch.path]).commands(), branch.run)
            for branch in fork.branches
        ]
        return fork._replace(branches=branches)

    def _end_of(self, path: str) -> int:
        """Return where a parallel step has come to its end, in the history."""
        for index in range(self._next, len(self._history)):
            record = self._history[index]
            if isinstance(record, Answered) and record.path == path:
                return index
        return len(self._history)

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
                self._effects.pop((known.path, known.report.action), None)
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
        if not isinstance(known, Requested):  # looking back takes long: it is asked after each record
            return None
        passed = (self._history[index] for index in range(self._next - 1, -1, -1))
        before = next((each for each in passed if not isinstance(each, _NOTES)), None)
        if not isinstance(before, Ended):
            return None
        self._take(known)
        return known

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
                    self._take_effects(ctx.report, key)
                    return self._unknown(command, RollbackRequested(known.note or _ASKED))
            else:
                break
        if known is None:
            return (yield from self._lived(command))
        if isinstance(known, Answered) and (known.path, known.report.action) == key:
            return self._recorded(command, known)
        if isinstance(known, AttemptFailed) and known.path == ctx.path:
            self._take_effects(known.report, key)
            return known
        if isinstance(known, Answered) and known.path == ctx.path and _is_refusal(known, ctx):
            return self._refused(command, known)
        if self._is_foreign and ctx.action is PREPARE:
            is_to_run = self._is_of_workflow(command) or self._peek(1) is None
            return (yield command) if is_to_run else None
        raise JournalError(
            f"the journal does not fit the workflow: record {self._next + 1} tells that {_name(known)}, "
            f"but now step {ctx.path} is to {ctx.action}"
        )

    def _is_of_workflow(self, command: Deliver) -> bool:
        return isinstance(command.controller, Preparation) and command.controller.step is None

    def _decided(self, command: Deliver) -> Generator[Command, Any, object]:
        """Answer whether a step is to be run: it was, where the history goes on with its start."""
        path = command.ctx.path
        known = self._peek_behind(0)  # what came before is written
        if known is None:
            self._run.is_replaying = False
            return self._turned_back() or (yield command)
        if isinstance(known, AttemptFailed) and known.path == path:
            return known
        if not isinstance(known, Answered) or known.path != path:
            return True
        if known.report.status is SKIPPED:
            return Raised(Skip(known.report.detail or ""))
        return self._refused(command, known)

    def _admitted(self, command: Deliver) -> Generator[Command, Any, object]:
        """Answer whether a step may be called: it was not, where the history tells at once that it failed."""
        known = self._peek_behind(0 if self._is_foreign else len(self._run.unwritten))
        if known is None:
            return self._turned_back() or (yield command)
        if isinstance(known, AttemptFailed) and known.path == command.ctx.path:
            return known
        if isinstance(known, Answered) and known.path == command.ctx.path and known.report.error is not None:
            return self._refused(command, known)
        return None

    def _built(self, command: Deliver) -> Generator[Command, Any, object]:  # noqa: PLR0911  # a record a line
        """Build steps again, if that was done before."""
        known = self._peek_behind(len(self._run.unwritten))
        if isinstance(known, AttemptFailed) and known.path == command.ctx.path:
            return known
        if isinstance(known, Answered) and known.path == command.ctx.path:
            if known.report.status is SKIPPED:
                return Raised(Skip(known.report.detail or ""))
            return self._refused(command, known)
        if known is None:
            return self._turned_back() or (yield command)
        if not command.might_block():  # what is async is for the driver
            return (yield command)
        try:
            built = command.controller(command.ctx, command.event)
        except Exception as error:  # noqa: BLE001  # it went well when it was recorded
            return Raised(error)
        if not is_awaitable(built):
            return built
        close_awaitable(built)
        return (yield command)

    def _refused(self, command: Deliver, known: Answered) -> Refused:
        """Return the answer for a step that was not called."""
        self._redo(command, known)
        error = known.report.error
        assert error is not None  # noqa: S101  # it has failed
        return Refused(error)

    def _redo(self, command: Deliver, known: Answered) -> None:
        """Change the state again as a record tells, and decide again what was decided."""
        ctx, error = command.ctx, known.report.error
        ctx.shared.replay(known.shared)
        if known.local:
            ctx.local.replay(known.local)
        if known.goes_back is not None and error is not None:
            self._run.replay_decision(error, known.goes_back)
        if error is not None and not isinstance(error, Exception):
            self._run.replayed = error

    def _take_effects(self, report: StepReport, key: tuple[str, str]) -> None:
        """Put into a report what its step had told of what it has done, in the order of time."""
        while self._next < len(self._history) and isinstance(self._history[self._next], _NOTES):
            self._pass_note(self._history[self._next])
            self._next += 1
        effects = self._effects.pop(key, [])
        if effects:
            report.more.add_effects(effects)

    def _pass_note(self, note: Record) -> None:
        if isinstance(note, Effect):
            self._effects.setdefault((note.path, note.action), []).append(note)

    def _recorded(self, command: Deliver, known: Answered) -> object:
        """Do again what a step has done, as its record tells it, and return its answer."""
        ctx, event, report = command.ctx, command.event, known.report
        error = report.error
        self._take_effects(report, (ctx.path, ctx.action))
        self._redo(command, known)
        if known.is_at_work and error is not None:
            ctx.report.adopt(report)
            return CutOff(error, is_at_work=True)
        if ctx.action is PREPARE:
            ctx.report.metadata.update(report.metadata)
            if report.status is SKIPPED:
                return Raised(Skip(report.detail or ""))
            return None if error is None else Raised(error)
        answer = self._handoff(command, known)
        cancelled = self._after(known, event)
        if cancelled is not None:
            self._run.replayed = cancelled
            self._run.replay_decision(cancelled, sends_back=True)
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
        self._take_effects(ctx.report, (ctx.path, ctx.action))
        if not before:
            return (yield command)
        self._started.clear()  # what comes after it has not been at work
        ctx.attempt += before
        verify = getattr(ctx.step, "verify_function", None)
        if ctx.action is RUN and isinstance(verify, StepFunction):
            shared, local = ctx.shared.changes(), ctx.local.changes()  # what its prepare has changed
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
            ctx.shared.replay(shared)
            ctx.local.discard()
            ctx.local.replay(local)
            if found is not False:
                return self._unknown(command, _in_doubt(ctx, found))
        halt = yield Append([Started(ctx.path, ctx.action, ctx.report.start_time)])
        if halt is not None:
            raise halt
        answer = yield command
        if isinstance(answer, Refused) and isinstance(answer.error, Exception) and ctx.action is RUN:
            return self._unknown(command, answer.error)  # not called now, but before
        return Raised(answer.error) if isinstance(answer, Refused) else answer

    def _unknown(self, command: Deliver, error: Exception) -> Raised | Handoff:
        """Fail a step of which nobody knows whether it has had its effect; its undo is called."""
        if isinstance(command.controller, Preparation):
            return Raised(error)
        ctx, event = command.ctx, command.event
        assert isinstance(event, Success)  # noqa: S101  # the way back is never in doubt: it is gone again
        ctx.report.detail = UNKNOWN
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

    def _peek_behind(self, unwritten: int) -> Record | None:
        """Return the record behind those that are not written yet, and behind requests for the way back."""
        for record in self._rest():
            if isinstance(record, Requested) and record.request is Request.ROLLBACK:
                self._run.must_undo, self._asked = True, record.note or _ASKED
            elif unwritten == 0:
                return record
            else:
                unwritten -= 1
        return None

    def _turned_back_after(self, path: str) -> BaseException | None:
        """Return what turned the run back right after a step that is no plain one, or was skipped."""
        run = self._run
        record = next(itertools.islice(self._rest(), len(run.unwritten), None), None)
        if record is None:
            return None
        if isinstance(record, Cancelled) and record.path == path:
            run.interruption = run.replayed = record.error
            run.replay_decision(record.error, sends_back=True)
        elif isinstance(record, Requested) and record.request is Request.ROLLBACK:
            run.must_undo = True
            run.interruption = run.replayed = RollbackRequested(record.note or _ASKED)
        return run.interruption

    def _rest(self) -> Iterator[Record]:
        """Yield the records that are still to come; notes are passed over. No copy: a history may be long."""
        for index in range(self._next, len(self._history)):
            if not isinstance(self._history[index], _NOTES):
                yield self._history[index]

    def _turned_back(self) -> Refused | None:
        """Return the answer for what an operator has kept from being called, or None."""
        return Refused(RollbackRequested(self._asked)) if self._run.must_undo else None

    def _take(self, known: Record) -> None:
        """Go on behind a record that `_peek` has returned."""
        while self._history[self._next] is not known:
            self._pass_note(self._history[self._next])
            self._next += 1
        self._next += 1
        if isinstance(known, Requested):
            self._asked = known.note or _ASKED
        if isinstance(known, Started):
            key = (known.path, known.action)
            self._started[key] = self._started.get(key, 0) + 1
        elif isinstance(known, Answered | AttemptFailed):
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
    if isinstance(known, Requested) and isinstance(record, Cancelled):
        return known.request is Request.ROLLBACK
    if isinstance(known, Expanded) and isinstance(record, Expanded) and known.workflow_id is None:
        return known == record._replace(workflow_id=None)  # it was not told once
    told_by = _TOLD_BY.get(type(known), type)
    return type(known) is type(record) and told_by(known) == told_by(record)


_TOLD_BY: dict[type, Callable[[Any], object]] = {
    Started: lambda record: (record.path, record.action),
    Answered: lambda record: (record.path, record.report.action, record.report.status),
    AttemptFailed: lambda record: record.path,
    Cancelled: lambda record: record.path,
    Expanded: lambda record: record,
    Late: lambda record: (record.path, record.is_back),
}
"""By what a record is told from others of its kind."""


def _is_refusal(known: Answered, ctx: Context) -> bool:
    """Whether a record tells that a step failed without having been called."""
    return known.report.action is PREPARE and ctx.action is RUN and known.report.error is not None


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
        case Expanded(path, steps, is_parallel, _):
            built = ", ".join(step.id for step in steps) or "nothing"
            return f"step {path} built {built}{', side by side' if is_parallel else ''}"
        case AttemptFailed(path):
            return f"step {path} failed, to be tried again"
    return f"it has {type(record).__name__.lower()}"
