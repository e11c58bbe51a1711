"""What every engine does alike: it begins runs, tells of them, and passes on what an operator asks.

On an engine a run is a chain of turns, each a workflow of the engine's own: the first, and another one for
each thing that an operator asks of it once it has stopped. Each is given the history so far, and adds to it.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core import clock
from automa._core.records import Begun, Request, Requested, Resumed
from automa._core.status import Outcome
from automa.durable import check_request, find_run
from automa.engines.parts import Host
from automa.errors import RunRequestError
from automa.journal.entries import EntryEncoder, decode_entries
from automa.journal.fit import version_of_begun
from automa.journal.reading import Reading, read
from automa.workflow import Workflow, begun_of, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from automa._core.protocols import Observer, RunInfo
    from automa._core.reports import WorkflowReport
    from automa.workflow import Deadline

    Entry = dict[str, Any]


class RunHandle:
    """A run on an engine.

    Args:
        engine: The engine.
        workflow_id: The id of its workflow.
        run_id: Its id.
    """

    def __init__(self, engine: EngineBase, workflow_id: str, run_id: str) -> None:
        self._engine = engine
        self.workflow_id: str = workflow_id
        self.run_id: str = run_id

    def wait(self, timeout: float | None = None) -> WorkflowReport:
        """Wait until the run has ended, or has stopped; see `automa.abc.Engine.wait`."""
        return self._engine.wait(self.run_id, workflow_id=self.workflow_id, timeout=timeout)

    def report(self) -> WorkflowReport:
        """Return what has happened so far; see `automa.abc.Engine.report`."""
        return self._engine.report(self.run_id, workflow_id=self.workflow_id)

    def cancel(self, note: str = "") -> None:
        """Have the run undone; see `automa.abc.Engine.cancel`."""
        self._engine.cancel(self.run_id, workflow_id=self.workflow_id, note=note)

    def __repr__(self) -> str:
        return f"<RunHandle {self.workflow_id} {self.run_id}>"


class Name(NamedTuple):
    """Names a turn of a run.

    Attributes:
        workflow_id: The id of the workflow.
        version: The version of the workflow with which the run began.
        run_id: The id of the run.
        number: Which turn, from 0.
    """

    workflow_id: str
    version: str
    run_id: str
    number: int


class Turn(NamedTuple):
    """A turn of a run, as an engine tells of it.

    Attributes:
        name: Its name.
        entries: The whole history of the run.
        end: How it has ended: the outcome of the run; None while it goes on.
    """

    name: Name
    entries: list[Entry]
    end: str | None


class EngineBase(abc.ABC):
    """What every engine does alike; one implements `begin_turn`, `last_turn`, `signal_cancel` and `runs`."""

    # What an engine does in its own way

    @abc.abstractmethod
    def begin_turn(self, name: Name, entries: Sequence[Entry]) -> None:
        """Begin a turn of a run, durably.

        Raises:
            RunExistsError: Where there is one of that name.
            EngineError: Where the engine cannot be used.
        """

    @abc.abstractmethod
    def last_turn(self, workflow_id: str, run_id: str) -> Turn:
        """Return the last turn of a run.

        Raises:
            RunNotFoundError: Where there is no such run.
            EngineError: Where the engine cannot be used.
        """

    @abc.abstractmethod
    def signal_cancel(self, name: Name, note: str) -> None:
        """Tell a turn that its run is to be undone, durably.

        Raises:
            EngineError: Where the engine cannot be used.
        """

    @abc.abstractmethod
    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first; see `automa.abc.Engine.runs`."""

    @abc.abstractmethod
    def worker(
        self,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkerBase:
        """Return a worker; see `automa.abc.Engine.worker`."""

    def close(self) -> None:  # noqa: B027  # few hold anything
        """Give back what the engine holds; it may be called more than once."""

    def wait_for_end(self, workflow_id: str, run_id: str, timeout: float | None) -> Turn:
        """Wait until the last turn of a run has ended; an engine that can be asked to wait does better.

        Raises:
            TimeoutError: Where it takes longer.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_GLANCE
        while True:
            turn = self.last_turn(workflow_id, run_id)
            if turn.end is not None:
                return turn
            left = pause if until is None else until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"run {run_id!r} goes on still, after {timeout:g} s")
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, _LAST_GLANCE)

    # What is the same

    def submit(
        self,
        workflow: Workflow,
        state: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> RunHandle:
        """Begin a run; see `automa.abc.Engine.submit`."""
        begun = begun_of(workflow, state, run_id, deadline)
        name = Name(workflow.id, workflow.version, begun.run_id, 0)
        self.begin_turn(name, EntryEncoder().encode([begun]))
        return RunHandle(self, workflow.id, begun.run_id)

    def report(self, run_id: str, *, workflow_id: str | None = None) -> WorkflowReport:
        """Return what a run has done so far; see `automa.abc.Engine.report`."""
        return self._read(self.last_turn(self._found(run_id, workflow_id), run_id)).report

    def wait(
        self, run_id: str, *, workflow_id: str | None = None, timeout: float | None = None
    ) -> WorkflowReport:
        """Wait until a run has ended, or has stopped; see `automa.abc.Engine.wait`."""
        turn = self.wait_for_end(self._found(run_id, workflow_id), run_id, timeout)
        return self._read(turn).report

    def cancel(self, run_id: str, *, workflow_id: str | None = None, note: str = "") -> None:
        """Have a run undone that goes on; see `automa.abc.Engine.cancel`."""
        turn = self.last_turn(self._found(run_id, workflow_id), run_id)
        if turn.end is not None:
            advice = "" if turn.end == Outcome.UNDONE else ": to undo it, roll it back"
            raise RunRequestError(f"run {run_id!r} has ended ({turn.end}){advice}")
        if self._read(turn).is_past_pivot:
            raise RunRequestError(f"run {run_id!r} is past its pivot, the point of no return")
        self.signal_cancel(turn.name, note)

    def resume(
        self,
        run_id: str,
        *,
        workflow_id: str | None = None,
        deadline: Deadline | None = None,
        note: str = "",
    ) -> RunHandle:
        """Carry on a run that has stopped past its pivot; see `automa.abc.Engine.resume`."""
        until = None if deadline is None else moment(deadline)
        turn = self._stopped_turn(run_id, workflow_id)
        if self._read(turn).is_done:
            raise RunRequestError(f"run {run_id!r} has ended ({turn.end}): there is nothing to carry on")
        return self._another(turn, Resumed(clock.now(), until, note))

    def rollback(self, run_id: str, *, workflow_id: str | None = None, note: str = "") -> RunHandle:
        """Undo a run that has ended; see `automa.abc.Engine.rollback`."""
        return self._requested(run_id, workflow_id, Request.ROLLBACK, None, note)

    def retry_undo(
        self, run_id: str, step: str, *, workflow_id: str | None = None, note: str = ""
    ) -> RunHandle:
        """Call an undo that failed once more; see `automa.abc.Engine.retry_undo`."""
        return self._requested(run_id, workflow_id, Request.RETRY_UNDO, step, note)

    def mark_undone(self, run_id: str, step: str, *, note: str, workflow_id: str | None = None) -> RunHandle:
        """Take a step whose undo failed for undone; see `automa.abc.Engine.mark_undone`."""
        return self._requested(run_id, workflow_id, Request.MARK_UNDONE, step, note)

    def _requested(
        self, run_id: str, workflow_id: str | None, request: Request, step: str | None, note: str
    ) -> RunHandle:
        turn = self._stopped_turn(run_id, workflow_id)
        check_request(self._read(turn), request, step)
        return self._another(turn, Requested(clock.now(), request, step, note))

    def _another(self, turn: Turn, record: Requested | Resumed) -> RunHandle:
        """Begin another turn of a run.

        Raises:
            RunRequestError: Where somebody else was quicker.
        """
        name = turn.name._replace(number=turn.name.number + 1)
        self.begin_turn(name, [*turn.entries, *EntryEncoder().encode([record])])
        return RunHandle(self, name.workflow_id, name.run_id)

    def _stopped_turn(self, run_id: str, workflow_id: str | None) -> Turn:
        turn = self.last_turn(self._found(run_id, workflow_id), run_id)
        if turn.end is None:
            raise RunRequestError(f"run {run_id!r} goes on: wait for its end, or cancel it")
        return turn

    def _found(self, run_id: str, workflow_id: str | None) -> str:
        """Return the id of the workflow whose run has this id.

        Raises:
            RunNotFoundError: Where there is no such run, or there are several.
        """
        return find_run(self, run_id) if workflow_id is None else workflow_id

    @staticmethod
    def _read(turn: Turn) -> Reading:
        return read(decode_entries(turn.entries))


def version_of_entries(entries: Sequence[Entry]) -> str:
    """Return the version of the workflow with which a run began, by its history."""
    begun = decode_entries(entries[:1])[0]
    assert isinstance(begun, Begun)  # noqa: S101  # decode_entries has checked it
    return version_of_begun(begun)


_FIRST_GLANCE, _LAST_GLANCE = 0.02, 1.0  # seconds between two looks at a run that is waited for


_MOST_THREADS = 256  # begun when they are needed: a step that waited for one would be begun late


class WorkerBase(abc.ABC):
    """Carries on runs of an engine, in this process, until it is told to stop.

    Args:
        workflows: Those whose runs it carries on.
        resources: Live objects for the steps.
        observers: Those who hear of the records of each run.
        writes_ahead: Whether it is to be durable that a step is called before it is.
        keeps_misfits: Whether a run that does not fit is waited with; see `automa.engines.parts.Host`.

    Raises:
        WorkflowDefinitionError: Where two workflows have the same id and version.
    """

    def __init__(
        self,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
        writes_ahead: bool = False,
        keeps_misfits: bool = True,
    ) -> None:
        self.host: Host = Host(
            workflows,
            resources=resources,
            observers=observers,
            writes_ahead=writes_ahead,
            keeps_misfits=keeps_misfits,
        )

    @abc.abstractmethod
    async def serve(self) -> None:
        """Carry on runs on the running event loop, until `stop` is called; steps at work then end first."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Have `serve` come to its end; it may be called from any thread, and by the handler of a signal."""

    def run(self) -> None:
        """Carry on runs in this thread, until `stop` is called."""

        async def serve() -> None:
            threads = ThreadPoolExecutor(_MOST_THREADS, "automa-step")  # a step that is not async takes one
            asyncio.get_running_loop().set_default_executor(threads)
            await self.serve()

        asyncio.run(serve())

    @contextlib.contextmanager
    def in_background(self) -> Iterator[None]:
        """Carry on runs in a thread, as long as the block lasts."""
        raised: list[BaseException] = []

        def run() -> None:
            try:
                self.run()
            except BaseException as error:  # noqa: BLE001  # it is raised where the block ends
                raised.append(error)

        thread = threading.Thread(target=run, name="automa worker", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()
        if raised:
            raise raised[0]
