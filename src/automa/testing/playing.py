"""Playing a case: a run with a fault in it, carried on by one process after another, which may die."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
import json
import os
import signal
import tempfile
import threading
import traceback
import warnings
from dataclasses import asdict, dataclass, field, replace
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
from automa._core.status import ROLLBACK, Action, Outcome
from automa._core.steps import Step
from automa.errors import AutomaError, GiveUp, JournalError, StepTimeout, text_of
from automa.runtime.sync_driver import Crew, refusal
from automa.stores.memory import MemoryStore
from automa.testing.faults import InjectedFault, failing
from automa.testing.interposing import interposed, role_of
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from types import FrameType

    from automa._core.commands import Branch, Command
    from automa._core.protocols import Store
    from automa._core.records import Effect, Record
    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa._core.selection import ErrorSelection
    from automa.testing.worlds import World

RUN_ID = "explored"


class ExplorationError(AutomaError):
    """The workflow or the world cannot be explored: it is not a matter of crashes."""


class Died(BaseException):
    """The process has died: nothing after it happens."""


class Cancellation(BaseException):
    """Somebody has interrupted the run, as Ctrl-C does."""


@dataclass(frozen=True)
class Case:
    """What is done to a run.

    Attributes:
        kind: What happens to it: nothing (``success``), it is undone when it has succeeded (``rollback``), or
            the fault that befalls the step.
        path: The path of the step that the fault befalls.
        crashes: The points at which one process after another dies.
    """

    kind: str
    path: str = ""
    crashes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The case in one word, by which it can be played again: see `Case.parse`."""
        scenario = f"{self.kind}:{self.path}" if self.path else self.kind
        return "+".join([scenario, *(f"crash-{point}" for point in self.crashes)])

    @classmethod
    def parse(cls, text: str) -> Case:
        """Return the case of an id."""
        scenario, *crashes = text.split("+crash-")
        kind, _, path = scenario.partition(":")
        return cls(kind, path, tuple(crashes))

    @property
    def scenario(self) -> Case:
        """The same without a crash."""
        return Case(self.kind, self.path)


@dataclass(frozen=True)
class Called:
    """A call of a function of a step.

    Attributes:
        sitting: In which sitting it was, from 0: what is kept on objects does not outlive one.
        path: The path of the step.
        role: ``run``, ``undo``, ``prepare`` or ``verify``.
        traits: What else there is to the step.
        error: What it raised, or None.
        before: The world before it, where it was looked at.
        after: The world after it.
        said: What a verify has answered.
    """

    sitting: int
    path: str
    role: str
    traits: tuple[str, ...]
    error: str | None
    before: Any = None
    after: Any = None
    said: bool | None = None

    @property
    def action(self) -> tuple[str, str]:
        """Which function it was."""
        return self.path, self.role


@dataclass
class Played:
    """What has come of a case.

    Attributes:
        world: The world at the end.
        outcome: How the run has ended.
        errors: Why it has failed, and which undos have.
        calls: The calls, in order.
        points: The crash points that the last process has passed.
        is_complete: Whether all the processes have died that were to.
    """

    world: Any = None
    outcome: str = ""
    errors: list[str] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    is_complete: bool = True

    def last(self) -> dict[tuple[str, str], Called]:
        """Return the last call of each function."""
        return {call.action: call for call in self.calls}

    def traits(self) -> dict[str, tuple[str, ...]]:
        """Return what there is to each step, in the order in which they were run first."""
        return {call.path: call.traits for call in self.calls if call.role == "run"}


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


class Player:
    """Plays cases of one workflow in one world.

    Args:
        make_workflow: Returns the workflow as a process makes it at its start; it may take the world.
        world: What the steps touch.
        state: The state with which the workflow is started.
        resources: The live objects for its steps, or what returns them, as ``make_workflow`` does.
        real: Whether each process is one of the system, killed where it dies.
    """

    def __init__(
        self,
        make_workflow: Callable[..., Workflow],
        world: World,
        state: Mapping[str, Any] | None,
        resources: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None,
        *,
        real: bool,
    ) -> None:
        self._make = _given(make_workflow, world)
        self._world = world
        self._state = state
        self._resources = _given(resources, world) if callable(resources) else lambda: resources
        self._real = real
        self.is_async: bool = False

    def make_workflow(self) -> Workflow:
        """Return the workflow as a new process has it.

        Raises:
            ExplorationError: Where it cannot be made.
        """
        try:
            workflow = self._make()
        except (Exception, SystemExit) as error:
            raise ExplorationError(
                f"the workflow cannot be made: {type(error).__name__}: {text_of(error)}"
            ) from error
        if not isinstance(workflow, Workflow):
            raise ExplorationError(f"the workflow cannot be made: that returned a {type(workflow).__name__}")
        return workflow

    def play(self, case: Case, *, traced: bool = False) -> Played:
        """Play a case in a world that is reset before.

        Args:
            case: What is done to the run.
            traced: Whether the world is looked at before and after each call.

        Raises:
            ExplorationError: Where the workflow could not be made, or started.
        """
        self._world.reset()
        with _heeding_signals():
            if self._real:
                with tempfile.TemporaryDirectory(prefix="automa-explore-") as folder:
                    played = self._play(case, traced, f"sqlite:///{folder}/runs.db")
            else:
                played = self._play(case, traced, MemoryStore())
        played.world = self._world.snapshot()
        return played

    def _play(self, case: Case, traced: bool, store: Store | str) -> Played:  # noqa: FBT001  # passed on
        played, is_done, sitting = Played(), False, -1
        for number, crash in enumerate([*case.crashes, None]):
            look = self._world.snapshot if traced else None
            process = Process(case, number, crash, look, is_done, _die, sitting)
            found = self._in_child(process, store) if self._real else self._live(process, store)
            played.calls += process.calls
            played.points, is_done, sitting = process.points, process.is_done, process.sitting
            if crash is not None and found is not None:  # it did not come to that point
                played.is_complete = False
                return played
        assert found is not None  # noqa: S101  # the last process does not die
        played.outcome, played.errors = found
        return played

    def _live(self, process: Process, store: Store | str) -> tuple[str, list[str]] | None:
        """Live a process; return how the run has ended, or None where it has died before."""

        def handle(command: Command, run: Run) -> Generator[Command, Any, Any]:
            if run.run_id == RUN_ID:
                return (yield from process.handle(command, run))
            return (yield command)  # it is of a run that a step has started: nothing is done to that

        with interposed(handle):
            try:
                return self._carry_on(process, store)
            except Died:
                return None

    def _carry_on(self, process: Process, store: Store | str) -> tuple[str, list[str]]:
        workflow = self.make_workflow()
        process.rollback_on = workflow.definition.rollback_on
        resources = self._resources()
        state = copy.deepcopy(dict(self._state or {}))
        suspends = process.case.kind.startswith("suspend")
        on_cancel = "suspend" if suspends else "rollback"
        try:
            if process.number == 0:
                report = self._ask(
                    process,
                    workflow.start_async if self.is_async else workflow.start,
                    state,
                    run_id=RUN_ID,
                    store=store,
                    resources=resources,
                    on_cancel=on_cancel,
                )
            elif (
                process.case.kind == "abandon" and process.number == 1
            ):  # what it asked for is on record then
                report = self._roll_back(process, workflow, store, resources)
            else:
                report = self._resume(process, workflow, store, state, resources, on_cancel)
        except Cancellation:
            report = self._resume(process, workflow, store, state, resources, on_cancel)
        if process.case.kind in {"rollback", "undo-fails-after"} and report.outcome is Outcome.SUCCEEDED:
            report = self._roll_back(process, workflow, store, resources)
        if report.outcome is Outcome.NEEDS_ATTENTION and process.case.path:
            report = self._attend(process, workflow, store, resources, report)
        errors = [error for error in (report.error, *report.rollback_errors) if error is not None]
        outcome = "" if report.outcome is None else report.outcome.value
        return outcome, [f"{type(error).__name__}: {text_of(error)}" for error in errors]

    def _attend(
        self, process: Process, workflow: Workflow, store: Store | str, resources: Any, report: WorkflowReport
    ) -> WorkflowReport:
        """Do what an operator does with a run that needs attention because of a fault that is over now."""
        process.is_done = True
        if process.case.kind == "undo-fails-after":
            ask = workflow.retry_undo_async if self.is_async else workflow.retry_undo
            return self._ask(process, ask, RUN_ID, process.case.path, store, resources=resources)
        if report.rollback_errors:
            return report
        return self._resume(process, workflow, store, {}, resources, "suspend")  # it stands past its pivot

    def _roll_back(
        self, process: Process, workflow: Workflow, store: Store | str, resources: Any
    ) -> WorkflowReport:
        ask = workflow.rollback_async if self.is_async else workflow.rollback
        return self._ask(process, ask, RUN_ID, store, resources=resources)

    def _resume(  # noqa: PLR0913, PLR0917  # as in `Workflow.resume`
        self,
        process: Process,
        workflow: Workflow,
        store: Store | str,
        state: Any,
        resources: Any,
        on_cancel: str,
    ) -> WorkflowReport:
        ask = workflow.resume_async if self.is_async else workflow.resume
        return self._ask(process, ask, RUN_ID, store, state=state, resources=resources, on_cancel=on_cancel)

    def _ask(
        self, process: Process, method: Callable[..., Any], *arguments: Any, **options: Any
    ) -> WorkflowReport:
        process.sitting += 1
        if self.is_async and asyncio._get_running_loop() is not None:  # noqa: SLF001  # asks without raising
            raise ExplorationError(
                "async steps are explored on event loops of their own: explore outside of a running loop, "
                "with asyncio.to_thread(explore, …) say"
            )
        try:
            asked = method(*arguments, **options)
            report: WorkflowReport = asyncio.run(asked) if self.is_async else asked
        except JournalError as error:  # its ids differ, say
            raise ExplorationError(
                f"make_workflow does not make the same workflow each time: {error}"
            ) from error
        except SystemExit as error:
            raise ExplorationError(
                f"a step would have ended this process: SystemExit: {error}. One that fails raises an error"
            ) from error
        return report

    def _in_child(self, process: Process, store: Store | str) -> tuple[str, list[str]] | None:
        """Live a process of its own, a fork of this one; a crash is a SIGKILL."""
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # threads of the test runner do not matter here
            pid = os.fork()
        if pid == 0:
            _be_child(self, process, store, writer)
        os.close(writer)
        try:
            with open(reader, "rb") as pipe:  # noqa: PTH123  # it is no path
                told = json.loads(pipe.read() or b"{}")
        except BaseException:  # Ctrl-C say
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            os.waitpid(pid, 0)
        if "problem" in told:
            raise ExplorationError(f"a process could not be explored:\n{told['problem']}")
        if not told:
            raise ExplorationError("a process that carried the run on ended without a word")
        process.calls = [Called(**{**call, "traits": tuple(call["traits"])}) for call in told["calls"]]
        process.points, process.is_done, process.sitting = told["points"], told["is_done"], told["sitting"]
        return None if told["ended"] is None else (told["ended"][0], told["ended"][1])


def _be_child(player: Player, process: Process, store: Store | str, writer: int) -> NoReturn:
    """Be a process that lives up to its death, and tells before what it has done."""

    def tell(ended: tuple[str, list[str]] | None) -> None:
        calls = [asdict(call) for call in process.calls]
        told = {"calls": calls, "points": process.points, "is_done": process.is_done, "ended": ended}
        told["sitting"] = process.sitting
        _write_all(writer, json.dumps(told, default=repr).encode())

    def die() -> NoReturn:
        tell(None)
        os.kill(os.getpid(), signal.SIGKILL)
        raise Died  # never reached

    process.die = die
    try:
        tell(player._live(process, store))  # noqa: SLF001  # it is the player's other half
    except BaseException:  # noqa: BLE001  # a child must not come back
        _write_all(writer, json.dumps({"problem": traceback.format_exc()}).encode())
    finally:
        os._exit(0)


def _write_all(writer: int, data: bytes) -> None:
    while data:
        data = data[os.write(writer, data) :]


@contextlib.contextmanager
def _heeding_signals() -> Iterator[None]:
    """Raise in the end what handlers of signals have raised: a run may have held it back, and died then."""
    raised: list[BaseException] = []

    def heed(handler: Callable[..., Any], number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    is_main = threading.current_thread() is threading.main_thread()
    replaced = {number: each for number, each in handlers.items() if is_main and callable(each)}
    for number, handler in replaced.items():
        signal.signal(number, functools.partial(heed, handler))
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        if raised:
            raise raised[0]


def _die() -> NoReturn:
    raise Died


def _given(function: Callable[..., Any], world: World) -> Callable[[], Any]:
    """Return a function of nothing: of one that takes the world, or nothing."""
    try:
        parameters = inspect.signature(function).parameters.values()
        takes_world = any(  # a default alone does not ask for it, as in a step it does not for the context
            each.name == "world"
            or (
                each.default is each.empty and each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}
            )
            for each in parameters
            if each.kind is not each.KEYWORD_ONLY
        )
    except (TypeError, ValueError):
        takes_world = False
    return (lambda: function(world)) if takes_world else function
