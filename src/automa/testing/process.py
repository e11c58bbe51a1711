"""A process that carries a run on: it dies where it is told to, and lets a fault fall on a step."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from automa._core.commands import (
    Append,
    Await,
    Back,
    CutOff,
    Deliver,
    Fork,
    Interrupted,
    Raised,
    Refused,
    Sleep,
)
from automa._core.events import Handoff
from automa._core.records import Answered, Ended, Started
from automa._core.selection import selects
from automa._core.status import ROLLBACK, Action
from automa._core.steps import Step
from automa.errors import GiveUp, StepTimeout, text_of
from automa.runtime.sync_driver import Crew, refusal
from automa.testing.cases import Called
from automa.testing.faults import InjectedFault, failing
from automa.testing.interposing import role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from automa._core.commands import Branch, Command
    from automa._core.records import Effect, Record
    from automa._core.runs import Run
    from automa._core.selection import ErrorSelection
    from automa.testing.cases import Case


class Died(BaseException):
    """The process has died: nothing after it happens."""


class Cancellation(BaseException):
    """Somebody has interrupted the run, as Ctrl-C does."""


@dataclass
class Process:
    """One process that carries a run on, up to its death or to the end of the run.

    Args:
        case: What is done to the run.
        number: The number of the process, from 0.
        crash: The point at which it dies; None where it lives.
        look: Returns the world, where each call is to be traced.
        is_done: Whether a fault that befalls the run once has done so.
        die: Ends it.

    Attributes:
        sitting: How often the run was started, resumed or rolled back before, in all processes.
        rollback_on: Which errors send the run back.
        calls: The calls that it has made.
        points: The crash points that it has passed.
    """

    case: Case
    number: int
    crash: str | None
    look: Callable[[], Any] | None
    is_done: bool
    die: Callable[[], NoReturn]
    sitting: int = -1
    rollback_on: ErrorSelection = Exception
    calls: list[Called] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    _effect: str | None = None
    _late: dict[str, Deliver] = field(default_factory=dict)
    _watched: set[str] = field(default_factory=set)
    _is_dead: bool = False

    def handle(self, command: Command, run: Run) -> Generator[Command, Any, Any]:
        """Carry out a command of the walk, with all that is done to it."""
        if self._is_dead:  # it died within a step, which cannot be stopped at once
            raise Died
        self._watch_notes(run)
        if isinstance(command, Deliver):
            return (yield from self._deliver(command))
        if isinstance(command, Append):
            return (yield from self._append(command))
        if isinstance(command, Fork):
            return (yield from _in_step(command))
        if isinstance(command, Sleep):  # nobody waits
            return None if command.is_protected or run.stopped_by is None else Raised(run.stopped_by)
        if isinstance(command, Await) and command.path in self._late:
            return Back((yield from self._call(self._late.pop(command.path), "run")))
        return (yield command)

    def _append(self, command: Append) -> Generator[Command, Any, Any]:
        if self._effect is not None:  # else nothing has happened since the last point
            self._pass(f"after-{self._effect}")
            self._effect = None
        answer = yield command
        self._pass(_point_after(command.records))
        return answer

    def _pass(self, point: str) -> None:
        """Pass a crash point, or die there."""
        times = sum(each.partition("#")[0] == point for each in self.points)
        name = f"{point}#{times + 1}" if times else point
        self.points.append(name)
        if name == self.crash:
            self._is_dead = True
            self.die()

    def _watch_notes(self, run: Run) -> None:
        """Pass a crash point whenever a step has noted an effect, in the middle of its work."""
        if run.run_id in self._watched:  # a branch has what its run has
            return
        self._watched.add(run.run_id)
        record = run.write_at_once or run.record_later  # a step may start a run without a journal

        def record_and_pass(effect: Effect) -> None:
            record(effect)
            self._pass(f"noted-{_ROLES.get(effect.action, effect.action)}:{effect.path}")

        run.write_at_once = record_and_pass

    def _deliver(self, command: Deliver) -> Generator[Command, Any, Any]:
        role = role_of(command)
        if role is None:
            return (yield command)
        kind, _, moment = self.case.kind.rpartition("-")
        if command.ctx.path != self.case.path or role != ("undo" if kind == "undo-fails" else "run"):
            return (yield from self._call(command, role))
        happens_once = kind in {"retry", "undo-fails", "cancel", "suspend"}
        if self.is_done or not kind:
            return (yield from self._call(command, role))
        self.is_done = happens_once
        if moment == "late":
            self._late[command.ctx.path] = command
            return CutOff(StepTimeout("it took too long"), is_at_work=True)
        answer = None if moment == "before" else (yield from self._call(command, role))
        if moment == "done":
            return Interrupted(Cancellation("interrupted"), answer)
        return _fault(kind, command, answer, self.rollback_on)

    def _call(self, command: Deliver, role: str) -> Generator[Command, Any, Any]:
        path = command.ctx.path
        before = None if self.look is None else self.look()
        called = Called(
            self.sitting, path, role, _traits(command.ctx.step), "it did not return", before, before
        )
        place = len(self.calls)
        self.calls.append(called)
        answer = yield command
        if isinstance(answer, Refused):
            del self.calls[place]
            return answer
        if role != "verify":
            self._effect = f"{role}:{path}"
        error = _error_in(answer)
        text = None if error is None else f"{type(error).__name__}: {text_of(error)}"
        after = None if self.look is None else self.look()
        said = answer if role == "verify" and isinstance(answer, bool) else None
        self.calls[place] = replace(called, error=text, after=after, said=said)
        return answer


_ROLES: dict[str, str] = {Action.ROLLBACK.value: "undo"}
"""What the functions of a step are called that carry out an action, where it is not the same."""


def _point_after(records: list[Record]) -> str:
    """Return the name of the moment after a write."""
    for record in reversed(records):
        if isinstance(record, Started):
            return f"before-{_ROLES.get(record.action, record.action)}:{record.path}"
        if isinstance(record, Answered):
            action = record.report.action
            return f"recorded-{_ROLES.get(action, action)}:{record.path}"
        if isinstance(record, Ended):
            return "ended"
    return "recorded"


def _fault(kind: str, command: Deliver, answer: object, rollback_on: ErrorSelection) -> object:
    """Return the answer of a step that a fault befalls, before its work (no answer) or after it."""
    step = command.ctx.step
    if kind in {"cancel", "suspend"}:
        error = Cancellation("interrupted")
        return Refused(error) if answer is None else failing(command, answer, error)
    if kind == "timeout":
        return CutOff(StepTimeout("it took too long"))
    text = f"injected into {command.ctx.path}"
    raised = _error_for(text, step.retry.on) if kind == "retry" else _error_for(text, rollback_on, GiveUp)
    return Raised(raised) if answer is None else failing(command, answer, raised)


def _error_for(text: str, selection: ErrorSelection, *more: type[Exception]) -> Exception:
    """Return an error that is one of those that are selected, as far as their class tells."""
    classes = selection if isinstance(selection, tuple) else (selection,)
    first = classes[0] if classes and isinstance(classes[0], type) else Exception
    for wanted in ((first, *more), more):
        bases = [each for each in wanted if not issubclass(InjectedFault, each)]
        methods = {"__init__": lambda *_: None, "__str__": lambda _: text}
        with contextlib.suppress(Exception):  # it is a class that asks for more than it can be given
            error: Exception = type("InjectedFault", (InjectedFault, *bases), methods)()
            return error
    raise AssertionError("an error can always be made")


def _can_fail_as(selection: ErrorSelection) -> bool:
    """Whether a fault can be injected that is one of the errors that are selected."""
    try:
        return selects(selection, _error_for("", selection))
    except Exception:  # noqa: BLE001  # a function of the user's, which looks for what a fault has not
        return False


def _error_in(answer: object) -> BaseException | None:
    if isinstance(answer, Interrupted):
        answer = answer.answer
    if isinstance(answer, Raised | CutOff):
        return answer.error
    added = answer.event.added if isinstance(answer, Handoff) else ()
    return added[-1].error if added else None


def _traits(step: Any) -> tuple[str, ...]:
    """Return what there is to a step that decides what it can be asked."""
    if not isinstance(step, Step):
        return ("undo",)
    own_rollback = type(step).rollback is not Step.rollback
    found = {
        "undo": own_rollback or step.function_of(ROLLBACK) is not None,
        "retry": step.retry is not None and step.retry.attempts > 1 and _can_fail_as(step.retry.on),
        "timeout": step.timeout is not None,
        "verify": step.verify_function is not None,
        "irreversible": step.irreversible,
        "pivot": step.pivot,
    }
    return tuple(name for name, there in found.items() if there)


def _in_step(fork: Fork) -> Generator[Command, Any, list[object]]:
    """Carry out branches in turns, up to a write each: the effects of all are in flight together."""
    crew = Crew(fork)
    at_work: list[tuple[int, Branch, Command | None]] = []
    while True:
        while len(at_work) < crew.workers and (taken := next(crew.rest, None)) is not None:
            at_work.append((*taken, None))
        if not at_work:
            return crew.ends
        going_on: list[tuple[int, Branch, Command | None]] = []
        for index, branch, write in at_work:
            try:
                command = branch.walk.send(None if write is None else (yield write))
                while isinstance(command, Deliver):
                    command = branch.walk.send(refusal(branch.run, command) or (yield command))
            except StopIteration as stop:
                crew.ended(index, stop.value)
                continue
            going_on.append((index, branch, command))  # what it has done is written in its next turn
        at_work = going_on
