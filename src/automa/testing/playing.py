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
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from automa._core.status import Outcome
from automa.errors import AutomaError, JournalError, text_of
from automa.stores.memory import MemoryStore
from automa.testing.cases import Called, Case, Played
from automa.testing.interposing import interposed
from automa.testing.process import Cancellation, Died, Process
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from types import FrameType

    from automa._core.commands import Command
    from automa._core.protocols import Store
    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa.testing.worlds import World

RUN_ID = "explored"


class ExplorationError(AutomaError):
    """The workflow or the world cannot be explored: it is not a matter of crashes."""


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
            elif process.case.kind == "abandon" and process.number == 1:  # then it is on record
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
            warnings.simplefilter("ignore", DeprecationWarning)  # a test runner has threads of its own
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
