"""A run, or a branch of one, as a worker of an engine carries it on: from one durable step to the next.

The engine keeps the journal: what each of its durable steps returns are entries, and the list of all of them
is the history of the run. A session walks that history again, lives what comes next, up to the answer of a
step, and tells what that adds. Whoever has the history can go on with another session, in another process.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from automa._core import clock
from automa._core.commands import (
    Append,
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
from automa._core.functions import Admission, Condition, Expansion, Preparation
from automa._core.records import Answered, AttemptFailed, Begun, Record, Request, Requested, Started
from automa._core.replay import replay_dry
from automa._core.reports import WorkflowReport
from automa._core.status import ROLLBACK, RUN, Outcome
from automa.engines.segments import BAD, HALTED, OK, Branching, Segment, Signals
from automa.errors import BranchCancelled, JournalError
from automa.journal.entries import EntryEncoder, decode_entries
from automa.journal.fit import check_fit
from automa.runtime.async_driver import Walker
from automa.runtime.sync_driver import refusal
from automa.workflow import launch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from automa._core.commands import Branch
    from automa._core.protocols import Observer
    from automa._core.runs import Run
    from automa.runtime.launch import Walk
    from automa.workflow import Workflow

    Entry = dict[str, Any]


class Session:
    """Carries on one run, or one branch of it, as long as nothing comes between.

    Args:
        workflow: The workflow, as the run began with it.
        entries: The history of the run so far; that of a branch is what came before it, and its own.
        path: The path of the branch; None for the run itself.
        signals: What the run is told from outside.
        ends: How the branches have ended of which the history tells last, by path.
        given_up: Why the branch is given up, or None.
        writes_ahead: Whether it is to be durable that a step is called before it is.
        in_doubt: Whether a step that comes first may have been called by another worker, which has died.
        late: The steps that took too long and are at work in this process, by path.
        resources: Live objects for the steps.
        observers: Those who hear of its records, beside those of the workflow.

    Attributes:
        is_spent: Whether another session has to go on, with what this one has added.

    Raises:
        JournalError: Where the history does not fit the workflow; nothing was called.
    """

    def __init__(  # noqa: PLR0913  # what a worker knows of a run
        self,
        workflow: Workflow,
        entries: Sequence[Entry],
        *,
        path: str | None,
        signals: Signals,
        ends: Mapping[str, str],
        given_up: str | None,
        writes_ahead: bool,
        in_doubt: bool,
        late: dict[str, Future[object]],
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
    ) -> None:
        self._history = history = decode_entries(entries)
        begun = history[0]
        assert isinstance(begun, Begun)  # noqa: S101  # decode_entries has checked it
        check_fit(begun, workflow.definition)
        self._launch = launch_of(workflow, history, resources=resources, observers=observers)
        self._launch.late = late
        self._launch.run.takes_detours = True  # each step is admitted: a request may come before any
        self._path = path
        self._signals = signals
        self._ends = ends
        self._writes_ahead = writes_ahead
        self._in_doubt = in_doubt and not writes_ahead
        self._encoder = EntryEncoder()
        self._unheard: list[Record] = []
        self._held: list[Record] = []
        self._has_slept: bool = False
        self._stop_call: Callable[[], object] | None = None
        self.is_spent: bool = False
        walk, self._run = self._found()
        self._walker = Walker(self._launch, walk, self._run)
        if given_up is not None:
            self._run.give_up(BranchCancelled(given_up))
        self._run.wake = self._stop
        self._command: Any = self._walker.advance(None)

    def give_up(self, reason: str) -> None:
        """Give up this branch: another one has failed."""
        self._run.give_up(BranchCancelled(reason))

    async def advance(self) -> Segment:  # noqa: C901, PLR0911, PLR0912  # a kind of command a line
        """Go on to the next answer of a step, or to what has to be waited for.

        Returns:
            What is to be made durable before anything else happens.
        """
        self.publish()
        records, self._held = self._held, []
        while True:
            command = self._command
            if isinstance(command, Append):
                records += command.records
                self._answer(None)
            elif not isinstance(command, Command):
                if self._is_cancelled_at_its_end(command):
                    return self._turned_back(records)
                return await self._ended(records, command)
            elif isinstance(command, Fork):
                ends = self._joined(command)
                if not isinstance(ends, list):
                    self.is_spent = True
                    return self._segment(records, f"branches of {command.path}", branching=ends)
                self._answer(ends)
            elif _tells(records) or (records and self._is_to_be_known(command)):
                if not self._is_to_be_known(command):
                    records, self._held = _parted(records)
                return self._segment(records, _name(command))
            elif self._is_to_turn_back(command):
                return self._turned_back(records if self._is_in_doubt(command) else [])
            elif isinstance(command, Sleep):
                if not self._has_slept and self._is_waited_for(command):
                    self._has_slept = True
                    is_protected = command.is_protected or self._run.is_past_pivot
                    return Segment([], command.reason, command.seconds, is_protected=is_protected)
                self._answer(None if self._is_waited_for(command) else Raised(self._stopped_by()))
            else:
                answer = await self._carry_out(command)
                if self._is_to_turn_back(command) and _is_cancelled(answer):
                    return self._turned_back(records)
                self._answer(answer.answer if isinstance(answer, Interrupted) else answer)

    def publish(self) -> None:
        """Let the listeners hear of what the last `advance` has added, which is durable now."""
        records, self._unheard = self._unheard, []
        if records:
            self._launch.publish(self._run, records)

    def _answer(self, answer: object) -> None:
        self._has_slept = False
        self._command = self._walker.advance(answer)

    def _segment(
        self,
        records: list[Record],
        name: str,
        *,
        branching: Branching | None = None,
    ) -> Segment:
        self._unheard, self._in_doubt = records, False
        return Segment(self._encoder.encode(records), name, branching=branching)

    async def _ended(self, records: list[Record], value: object) -> Segment:
        """Return the last segment; of a branch once what goes on in a thread has ended: others undo it."""
        if self._path is not None and self._run.left_at_work:
            late = [asyncio.wrap_future(each) for each in self._launch.late.values()]
            await asyncio.wait(late, timeout=self._run.late_grace) if late else None
        if isinstance(value, WorkflowReport):
            assert value.outcome is not None  # noqa: S101  # it is closed
            end = value.outcome.value
        else:
            end = HALTED if isinstance(value, Halt) else OK if value else BAD
        self._unheard = records
        return Segment(self._encoder.encode(records), end=end)

    def _is_to_be_known(self, command: Command) -> bool:
        """Whether it is to be durable that a step is called, before it is: it is not asked again."""
        if self._is_to_turn_back(command):  # it is not
            return False
        if self._writes_ahead:
            return True
        if not isinstance(command, Deliver) or command.ctx.action is not RUN:
            return False
        step = command.ctx.step  # a condition may be false when it is asked again
        asks = getattr(step, "verify_function", None) or getattr(step, "when_function", None)
        if asks is None or isinstance(command.controller, Preparation):
            return False
        key = (command.ctx.path, RUN)
        own = (each for each in reversed(self._history) if _place_of(each) == key)
        return not isinstance(next(own, None), Started)  # else that is known, and verify was asked

    def _found(self) -> tuple[Walk, Run]:
        """Return the walk of the branch, and what its steps share; without a path those of the run itself."""
        walk, run = self._launch.walk, self._launch.run
        path, found = self._path, None
        while path is not None and found != path:
            branch: Branch | None = None
            command = walk.send(None)
            while isinstance(command, Fork):
                branch = next((each for each in command.branches if _is_within(path, each.path)), None)
                ends = None if branch is not None else self._joined(command)
                if not isinstance(ends, list):
                    break
                command = walk.send(ends)
            if branch is None:
                raise JournalError(f"the history does not lead to the branch {path}")
            walk, run, found = branch.walk, branch.run, branch.path
        return walk, run

    # Turning back

    def _is_to_turn_back(self, command: Command) -> bool:
        """Whether somebody has asked for the way back, and this is the way forward still."""
        run = self._run
        if self._signals.cancelled is None or run.must_undo or run.is_past_pivot:
            return False
        if run.interruption is not None or run.unwritten:  # what has been answered is made durable first
            return False
        if isinstance(command, Sleep):
            return not command.is_protected
        if not isinstance(command, Deliver) or command.ctx.action is ROLLBACK:
            return False
        return not (self._in_doubt and isinstance(command.controller, Admission))  # its call comes next

    def _is_cancelled_at_its_end(self, value: object) -> bool:
        """Whether somebody has asked for the way back while the last step worked, which has ended well."""
        has_succeeded = isinstance(value, WorkflowReport) and value.outcome is Outcome.SUCCEEDED
        return has_succeeded and self._signals.cancelled is not None and not self._run.is_past_pivot

    def _turned_back(self, records: list[Record]) -> Segment:
        """Add that the way back is asked for: the walk is made again, and takes it."""
        self.is_spent = True
        note = self._signals.cancelled or ""
        requested = Requested(clock.now(), Request.ROLLBACK, self._path, note)
        return self._segment([*records, requested], "turn back")

    def _stop(self) -> None:
        if self._stop_call is not None:
            self._stop_call()

    # Carrying out

    async def _carry_out(self, command: Command) -> object:
        """Carry out a command, unless it is refused; in a task of its own, unless it calls nothing."""
        if isinstance(command, Deliver):
            refused = refusal(self._run, command)
            if refused is not None:
                return self._refused(command, refused)
            if isinstance(command.controller, Admission):
                return await self._walker.carry_out(command)
        return await self._carry_out_apart(command)

    async def _carry_out_apart(self, command: Command) -> object:
        """Carry out a command in a task of its own: that can be cancelled, and this one is the engine's."""
        answers: list[object] = []
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end(_task: object = None) -> None:
            if not ended.done():
                ended.set_result(None)

        async def work() -> None:
            try:
                answers.append(await self._walker.carry_out(command))
            finally:
                end()  # a turn of the loop earlier than the callback of the task

        task = loop.create_task(work())
        task.add_done_callback(end)  # it may be cancelled before it begins
        is_forward = isinstance(command, Deliver) and command.ctx.action is not ROLLBACK
        if is_forward:
            self._stop_call = lambda: loop.call_soon_threadsafe(task.cancel)
        unlisten = self._signals.listen(self._stop)
        try:
            await ended
        except asyncio.CancelledError:  # the engine gives up this attempt: nothing of it is kept
            task.cancel()
            raise
        finally:
            self._stop_call = None
            unlisten()
        if answers:  # they count, even where the task was cancelled just then
            return answers[0]
        if task.cancelled():  # before it began
            given_up = self._run.given_up
            return Raised(asyncio.CancelledError()) if given_up is None else Refused(given_up)
        task.result()  # raises what the walker could not make an answer of
        raise AssertionError

    def _is_in_doubt(self, command: Command) -> bool:
        """Whether this is a call that a worker which has died may have made: it recorded nothing of it."""
        return self._in_doubt and isinstance(command, Deliver) and not _asks(command)

    def _refused(self, command: Deliver, refused: Refused) -> object:
        """Return the answer for a step that is not to be called; one in doubt is unknown, and is undone."""
        if self._in_doubt and isinstance(command.controller, Admission):
            return None
        if self._is_in_doubt(command) and not isinstance(command.controller, Preparation):
            assert isinstance(refused.error, Exception)  # noqa: S101  # nothing interrupts a run on an engine
            return CutOff(refused.error)
        return refused

    def _is_waited_for(self, command: Sleep) -> bool:
        return command.is_protected or self._run.stopped_by is None

    def _stopped_by(self) -> BaseException:
        stopped_by = self._run.stopped_by
        assert stopped_by is not None  # noqa: S101  # it is asked for where there is one
        return stopped_by

    def _joined(self, fork: Fork) -> list[object] | Branching:
        """Return how the branches of a fork have ended; where some have not, which are to be carried on."""
        ends: list[object] = []
        left: list[str] = []
        given_up: str | None = None
        for branch in fork.branches:
            if self._ends.get(branch.path) == HALTED:
                end = replay_dry(branch.walk, Halt(self._held_by(branch.path), Outcome.NEEDS_ATTENTION))
            else:
                end = self._end_of(branch)
            if end is None and branch.path in self._ends:
                raise JournalError(f"branch {branch.path} has ended, which its records do not tell")
            ends.append(end)
            if end is None:
                left.append(branch.path)
            elif end is False and fork.cancels:
                given_up = given_up or f"given up, since {branch.path} has failed"
        return Branching(tuple(left), fork.limit, fork.cancels, given_up) if left else ends

    def _end_of(self, branch: Branch) -> object:
        """Return how a branch has ended, as far as its records tell; None where it has not."""
        try:
            command = branch.walk.send(None)
            while isinstance(command, Fork) and isinstance(ends := self._joined(command), list):
                command = branch.walk.send(ends)
        except StopIteration as stop:
            end: object = stop.value
            return end
        return None

    def _held_by(self, path: str) -> BaseException:
        """Return the error with which a branch has stopped, past the pivot."""
        for record in reversed(self._history):
            if isinstance(record, AttemptFailed) and _is_within(record.path, path):
                error = record.report.error
                assert error is not None  # noqa: S101  # an attempt that failed has one
                return error
        raise JournalError(f"branch {path} has stopped, and its records do not tell why")


def _asks(command: Deliver) -> bool:
    """Whether a call is none of a step's work: its condition, or whether it may be called."""
    return isinstance(command.controller, Condition | Admission | Expansion)


def _is_within(path: str, outer: str) -> bool:
    """Whether a path is that of a step, or of one in it."""
    return f"{path}/".startswith(f"{outer}/")


def _tells(records: Iterable[Record]) -> bool:
    """Whether records tell of more than what is about to be called."""
    return any(not isinstance(record, Started) for record in records)


def _parted(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """Part off, at the end of records, those that tell of what is about to be called."""
    count = len(records)
    while count and isinstance(records[count - 1], Started):
        count -= 1
    return records[:count], records[count:]


def _place_of(record: Record) -> tuple[str, str] | None:
    """Return which action of which step a record tells of."""
    if isinstance(record, Started):
        return record.path, record.action
    return (record.path, record.report.action) if isinstance(record, Answered | AttemptFailed) else None


def _is_cancelled(answer: object) -> bool:
    """Whether a step was cut off by its cancellation."""
    return isinstance(answer, Raised) and isinstance(answer.error, asyncio.CancelledError)


def _name(command: Command) -> str:
    """Return what comes next, in words."""
    if isinstance(command, Deliver):
        return f"{command.ctx.action} {command.ctx.path}"
    return getattr(command, "path", "") or getattr(command, "reason", "")
