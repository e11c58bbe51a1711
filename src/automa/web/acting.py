"""What operators may ask of a run, and who does it: a thread of this server, or the workers of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core import clock
from automa._core.protocols import Cancellable
from automa._core.records import Request
from automa.durable import check_request
from automa.errors import AutomaError, RunOwnedError, RunRequestError, text_of
from automa.journal.fit import version_of_begun
from automa.journal.telling import failed_undos
from automa.web.seeing import to_undo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from automa._core.protocols import Store
    from automa._core.records import Begun, Record
    from automa._core.reports import WorkflowReport
    from automa.engines.engine import EngineBase
    from automa.web.source import Seen, Source
    from automa.workflow import Workflow


class Kind(StrEnum):
    """What an operator may ask of a run."""

    RESUME = "resume"
    CANCEL = "cancel"
    ROLLBACK = "rollback"
    RETRY_UNDO = "retry_undo"
    MARK_UNDONE = "mark_undone"


class Asked(NamedTuple):
    """What is asked of a run.

    Attributes:
        kind: What.
        workflow_id: The id of the workflow.
        run_id: The id of the run.
        step: The path of the step that it is about; empty where it is about the run.
        who: Who asks.
        why: Why.
    """

    kind: Kind
    workflow_id: str
    run_id: str
    step: str
    who: str
    why: str

    @property
    def note(self) -> str:
        """What is recorded."""
        return f"{self.who}: {self.why}"


class Choice(NamedTuple):
    """Something that may be asked of a run as it stands.

    Attributes:
        kind: What.
        step: The path of the step that it is about; empty where it is about the run.
        obstacle: Why it cannot be asked here; empty where it can.
        undoes: The paths of the steps that would be undone, in order, as far as that is known.
    """

    kind: Kind
    step: str = ""
    obstacle: str = ""
    undoes: tuple[str, ...] = ()


class Deed:
    """What this server does, or did, for an operator; it observes the run.

    Attributes:
        asked: What was asked.
        at: When.
        is_over: Whether it has come to its end.
        outcome: How the run stands since then; empty where that is not known.
        problem: What went wrong; empty where nothing did.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked: Asked = asked
        self.at: datetime = clock.now()
        self.is_over: bool = False
        self.outcome: str = ""
        self.problem: str = ""
        self.error: AutomaError | None = None
        self.accepted: threading.Event = threading.Event()
        self.turned_back: str | None = None
        self._cancel: Callable[[], object] | None = None
        self._is_told_to_stop = False

    def resumed(self, _history: list[Record]) -> None:
        """Note that the run is ours, and what was asked is recorded."""
        self.accepted.set()

    def on_record(self, record: Record) -> None:
        """Do nothing: what happens is in the journal."""

    async def carry(
        self,
        begin: Callable[[], Awaitable[WorkflowReport]],
        roll_back: Callable[[str], Awaitable[WorkflowReport]],
    ) -> None:
        """Carry the run on; where it is told to turn back on its way, do that instead."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  # this runs in one
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if self._is_told_to_stop:
            task.cancel()
        try:
            report = await begin()
        except asyncio.CancelledError:
            if self.turned_back is None:
                raise
            task.uncancel()
            report = await roll_back(self.turned_back)
        self.outcome = "" if report.outcome is None else report.outcome.value

    def turn_back(self, note: str) -> None:
        """Have the run stop after the step at work, and undone then."""
        self.turned_back = note
        self.stop()

    def stop(self) -> None:
        """Have the run stop after the step at work; a way back goes to its end."""
        self._is_told_to_stop = True
        if self._cancel is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended already
                self._cancel()


class Crew:
    """Does what operators ask of runs.

    Args:
        source: Where the runs are.
        workflows: Those whose runs can be carried on here; none, where the runs are on an engine.
        resources: Live objects for the steps.
    """

    def __init__(
        self, source: Source, workflows: Iterable[Workflow] = (), resources: Mapping[str, Any] | None = None
    ) -> None:
        self._source = source
        self._workflows = {(each.id, each.version): each for each in workflows}
        self._resources = resources
        self._lock = threading.Lock()
        self._deeds: dict[tuple[str, str], Deed] = {}
        self._threads: set[threading.Thread] = set()
        self._is_stopping = False

    @property
    def workflow_ids(self) -> list[str]:
        """The ids of the workflows whose runs can be carried on here."""
        return sorted({workflow_id for workflow_id, _ in self._workflows})

    def deed(self, workflow_id: str, run_id: str) -> Deed | None:
        """Return what this server did last for a run, or does."""
        return self._deeds.get((workflow_id, run_id))

    def choices(self, seen: Seen) -> list[Choice]:
        """Return what may be asked of a run as it stands."""
        return list(self._choices(seen))

    def _choices(self, seen: Seen) -> Iterator[Choice]:
        reading = seen.reading
        if not seen.has_stopped:
            past = "it is past its pivot, the point of no return" if reading.is_past_pivot else ""
            obstacle = past or self._turned(reading.begun) or self._deaf()
            yield Choice(Kind.CANCEL, "", obstacle, tuple(to_undo(seen)))
            return
        lacks = self._lacks(reading.begun)
        if not reading.is_done:
            yield Choice(Kind.RESUME, "", lacks)
        for path in failed_undos(reading.report):
            if reading.is_done:
                yield Choice(Kind.RETRY_UNDO, path, lacks)
                yield Choice(Kind.MARK_UNDONE, path, lacks)
        with contextlib.suppress(RunRequestError):
            check_request(reading, Request.ROLLBACK, None)
            if self._source.engine is None or reading.is_done:
                undone = tuple(to_undo(seen))
                if undone or not reading.is_done:
                    yield Choice(Kind.ROLLBACK, "", lacks, undone)

    def _turned(self, begun: Begun) -> str:
        """Return by what a run goes back already; empty where it does not, as far as is known here."""
        deed = self.deed(begun.workflow_id, begun.run_id)
        if deed is None or deed.is_over or (deed.asked.kind is Kind.RESUME and deed.turned_back is None):
            return ""
        return "it goes back already"

    def _deaf(self) -> str:
        """Return why nobody could be told to cancel a run; empty where that can be."""
        if self._source.engine is not None or isinstance(self._source.store, Cancellable):
            return ""
        return "this store does not pass on cancellations"

    def _lacks(self, begun: Begun) -> str:
        """Return why no run of a workflow can be carried on here; empty where it can."""
        if self._source.engine is not None or self._workflow(begun) is not None:
            return ""
        return (
            f"it calls steps of the workflow {begun.workflow_id!r}, which this page was not given: "
            "start it as  automa ui FILE[:NAME] --store URL"
        )

    def _workflow(self, begun: Begun) -> Workflow | None:
        """Return the workflow of a run: of its version, if that is there."""
        exact = self._workflows.get((begun.workflow_id, version_of_begun(begun)))
        others = (each for (name, _), each in self._workflows.items() if name == begun.workflow_id)
        return next(others, None) if exact is None else exact

    def do(self, asked: Asked) -> None:
        """Do what is asked; return as soon as it is recorded, and goes on.

        Raises:
            AutomaError: Where that cannot be; nothing was changed.
        """
        seen = self._source.see(asked.workflow_id, asked.run_id)
        if asked.kind is Kind.CANCEL:
            self._cancel(asked, seen)
        elif self._source.engine is not None:
            _ask_engine(self._source.engine, asked)
        else:
            self._begin(asked, seen)

    def _cancel(self, asked: Asked, seen: Seen) -> None:
        """Have a run undone that goes on."""
        deed = self.deed(asked.workflow_id, asked.run_id)
        if self._source.engine is not None:
            self._source.engine.cancel(asked.run_id, workflow_id=asked.workflow_id, note=asked.note)
        elif seen.has_stopped:
            raise RunRequestError(f"run {asked.run_id!r} has stopped: to undo it, roll it back")
        elif seen.reading.is_past_pivot:
            raise RunRequestError(f"run {asked.run_id!r} is past its pivot, the point of no return")
        elif self._turned(seen.reading.begun):
            raise RunRequestError(f"run {asked.run_id!r}: {self._turned(seen.reading.begun)}")
        elif deed is not None and not deed.is_over:
            deed.turn_back(asked.note)
        elif isinstance(self._source.store, Cancellable):
            self._source.store.ask_cancel(asked.workflow_id, asked.run_id, asked.note)
        else:
            raise RunRequestError(self._deaf())

    def _begin(self, asked: Asked, seen: Seen) -> None:
        """Carry a run on in a thread."""
        begun = seen.reading.begun
        workflow = self._workflow(begun)
        if workflow is None:
            raise RunRequestError(f"run {asked.run_id!r}: {self._lacks(begun)}")
        if asked.kind is Kind.RESUME and seen.reading.is_done:
            raise RunRequestError(f"run {asked.run_id!r} has ended: there is nothing to carry on")
        key = (asked.workflow_id, asked.run_id)
        deed = Deed(asked)
        with self._lock:
            other = self._deeds.get(key)
            if self._is_stopping or (other is not None and not other.is_over):
                why = "this server is about to stop" if self._is_stopping else "it is being carried on here"
                raise RunOwnedError(f"run {asked.run_id!r}: {why}")
            self._deeds[key] = deed
            thread = threading.Thread(
                target=self._carry, args=(deed, workflow), name="automa ui run", daemon=True
            )
            self._threads.add(thread)
        thread.start()
        deed.accepted.wait()
        if deed.error is not None:
            with self._lock:
                self._deeds.pop(key, None)
            raise deed.error

    def _carry(self, deed: Deed, workflow: Workflow) -> None:
        store = self._source.store
        assert store is not None  # noqa: S101  # on an engine its workers do this
        more = {"resources": self._resources, "observers": [deed]}

        def roll_back(note: str) -> Awaitable[WorkflowReport]:
            return workflow.rollback_async(deed.asked.run_id, store, note=note, resources=self._resources)

        try:
            asyncio.run(deed.carry(lambda: _begin_run(workflow, store, deed.asked, more), roll_back))
        except AutomaError as error:
            deed.error, deed.problem = error, text_of(error)
        except asyncio.CancelledError:
            deed.problem = "it was stopped with this server; resume it"
        except BaseException as error:  # noqa: BLE001  # an interruption that a step has raised
            deed.problem = f"{type(error).__name__}: {text_of(error)}"
        finally:
            deed.is_over = True
            deed.accepted.set()
            self._threads.discard(threading.current_thread())

    def stop(self) -> int:
        """Have all runs stop after the steps at work; return how many there are."""
        with self._lock:
            self._is_stopping = True
            going = [deed for deed in self._deeds.values() if not deed.is_over]
        for deed in going:
            deed.stop()
        return len(going)

    def join(self) -> None:
        """Wait until all runs have stopped."""
        for thread in list(self._threads):
            thread.join()


def _begin_run(
    workflow: Workflow, store: Store, asked: Asked, more: dict[str, Any]
) -> Awaitable[WorkflowReport]:
    """Begin what is asked, on the running event loop."""
    match asked.kind:
        case Kind.RESUME:
            return workflow.resume_async(
                asked.run_id, store, missing="error", on_cancel="suspend", note=asked.note, **more
            )
        case Kind.ROLLBACK:
            return workflow.rollback_async(asked.run_id, store, note=asked.note, **more)
        case Kind.RETRY_UNDO:
            return workflow.retry_undo_async(asked.run_id, asked.step, store, note=asked.note, **more)
    return workflow.mark_undone_async(asked.run_id, asked.step, store, note=asked.note, **more)


def _ask_engine(engine: EngineBase, asked: Asked) -> None:
    """Have the workers of an engine do what is asked."""
    run_id, workflow_id, note = asked.run_id, asked.workflow_id, asked.note
    match asked.kind:
        case Kind.RESUME:
            engine.resume(run_id, workflow_id=workflow_id, note=note)
        case Kind.ROLLBACK:
            engine.rollback(run_id, workflow_id=workflow_id, note=note)
        case Kind.RETRY_UNDO:
            engine.retry_undo(run_id, asked.step, workflow_id=workflow_id, note=note)
        case _:
            engine.mark_undone(run_id, asked.step, workflow_id=workflow_id, note=note)
