"""What stands between the core and the steps of a user (seed: its interfaces)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from automa._core.context import Context
    from automa._core.definition import Definition
    from automa._core.events import Failure, Handoff, Success
    from automa._core.records import Record
    from automa._core.reports import WorkflowReport
    from automa.workflow import Workflow

    Done = Callable[[Exception | None], None]
    """Is told how a write went: the error that `Lease.append` would have raised, or None."""


@runtime_checkable
class Forward(Protocol):
    """What moves a workflow forward (seed: Forward)."""

    def run(self, ctx: Context, prev_success: Success, /) -> Handoff | Awaitable[Handoff]:
        """Do the work of the step and answer to whom to hand over."""
        ...


@runtime_checkable
class Backward(Protocol):
    """What moves a workflow backward (seed: Backward)."""

    def rollback(self, ctx: Context, prev_failure: Failure, /) -> Handoff | Awaitable[Handoff]:
        """Undo the work of the step and answer to whom to hand over."""
        ...


@runtime_checkable
class Choreographer(Protocol):
    """A link of the chain: who comes next, who came before (seed: Choreographer)."""

    next: Forward | None
    prev: Backward | None


@runtime_checkable
class AtomicStep(Forward, Backward, Choreographer, Protocol):
    """A step: whatever has an id, runs, rolls back and knows its neighbours (seed: AtomicStep)."""

    @property
    def id(self) -> str:
        """The id of the step, unique in its workflow."""
        ...


@runtime_checkable
class Composite(Protocol):
    """A step that is a workflow: the relay walks its definition."""

    @property
    def id(self) -> str:
        """The id of the workflow, unique among its siblings."""
        ...

    @property
    def definition(self) -> Definition:
        """Its steps and modes."""
        ...


@runtime_checkable
class Observer(Protocol):
    """Hears of each record of a run, in order, once it is written.

    It cannot harm the run: where it raises, the run goes on, and the log of the workflow says who raised.

    A record does not tell of which run it is. An observer given to ``start`` hears one run; one given to
    a `Workflow` hears all of its runs, those that go on at once in the order in which it happens.

    More methods are looked for, and need not be there:

    - ``for_run(run_id)`` returns the observer that is to hear a run in place of this one. It is asked
      before each run, so that an observer of many runs can tell them apart, and keep what it counts apart.
      ``for_run_of(workflow_id, run_id)``, where there is one, is asked instead.
    - ``resumed(history)`` is given the records so far of a run that goes on, before it does.
    - ``step_starting(path, action, attempt)`` and ``step_returned(path, action, attempt)`` are called as a
      step is called, and when it has returned or was given up. They feed live views: nothing of it is
      durable then. Of the branches of a `Parallel` they tell from several threads. A context variable that
      the first one sets is seen by the step, wherever that works; the second one is called where the first
      one was, and may reset it.
    - ``traceparent()`` returns the span in which a journaled run begins, or None: it is kept with the run,
      and ``resumed`` finds it in the first record. It is asked of the observer of the run, or, where a run is
      submitted to an engine, of the one that the workflow has.
    """

    def on_record(self, record: Record, /) -> None:
        """Take note of a record: a step started, a step answered, the run ended."""
        ...


class RunInfo(NamedTuple):
    """A run in a store, as a list of runs tells it.

    Attributes:
        workflow_id: The id of the workflow.
        run_id: The id of the run.
        status: ``running``, or the outcome with which it has ended or stopped.
        created: When it began.
        updated: When it was last written.
        is_owned: Whether somebody who is alive carries it on.
    """

    workflow_id: str
    run_id: str
    status: str
    created: datetime
    updated: datetime
    is_owned: bool

    def matches(self, workflow_id: str | None, run_id: str | None, status: str | None) -> bool:
        """Whether the run is one of those that a list asks for; None asks for all."""
        return (
            workflow_id in {None, self.workflow_id}
            and run_id in {None, self.run_id}
            and status in {None, self.status}
        )


class RunFilter(NamedTuple):
    """Which of many runs are looked for.

    Attributes:
        workflow_id: Those of this workflow only.
        statuses: Those that stand so only.
        is_owned: Those only that somebody who is alive carries on, or only the others.
        text: Those only that have this in their id, or in that of their workflow; large and small letters
            of ASCII are the same.
    """

    workflow_id: str | None = None
    statuses: tuple[str, ...] | None = None
    is_owned: bool | None = None
    text: str = ""

    def matches(self, info: RunInfo) -> bool:
        """Whether a run is one of those."""
        text = _folded(self.text)
        return (
            self.workflow_id in {None, info.workflow_id}
            and (self.statuses is None or info.status in self.statuses)
            and self.is_owned in {None, info.is_owned}
            and (text in _folded(info.run_id) or text in _folded(info.workflow_id))
        )


def _folded(text: str) -> str:
    """Return a text with the large letters of ASCII made small, as SQL's LIKE compares."""
    return text.translate(_SMALL)


_SMALL = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@runtime_checkable
class Lease(Protocol):
    """The right to carry on one run: as long as it is held, nobody else has it."""

    def append(self, entries: Sequence[dict[str, Any]], status: str) -> None:
        """Write entries behind those of the run; when it returns they are durable, all or none.

        Whoever holds the lease calls it again once it has returned, also from branches side by side.

        Args:
            entries: JSON objects.
            status: How the run stands after them: ``running``, or an outcome.

        Raises:
            RunExistsError: Where it is the first write of a run that was started before.
            OwnershipLost: Where somebody else has taken the run over; nothing was written.
            StoreError: Where they could not be written.
        """
        ...

    def delete(self) -> None:
        """Delete the run.

        Raises:
            StoreError: Where it could not be deleted.
        """
        ...

    def release(self) -> None:
        """Give the run back; it may be called more than once, and does not raise."""
        ...


@runtime_checkable
class GroupCommitLease(Lease, Protocol):
    """A lease whose writes share commits with those of other runs, with no thread that waits for each."""

    def append_soon(self, entries: Sequence[dict[str, Any]], status: str, done: Done) -> None:
        """Write entries as `append` does, without waiting.

        Whoever holds the lease writes nothing else until the write is done.

        Args:
            entries: JSON objects.
            status: How the run stands after them.
            done: Called once they are durable, or could not be written; from any thread, in which it must
                neither wait, nor write, nor raise.
        """
        ...


@runtime_checkable
class Store(Protocol):
    """Keeps the journals of runs. `automa.testing.check_store` tells whether one does it well."""

    def create(self, workflow_id: str, run_id: str) -> Lease:
        """Own a run that is about to be started; the first `Lease.append` begins it.

        Raises:
            RunExistsError: Where there is a run of that workflow with that id.
            StoreError: Where the store cannot be used.
        """
        ...

    def take(self, workflow_id: str, run_id: str) -> Lease:
        """Own a run that was started before.

        Raises:
            RunNotFoundError: Where there is none.
            RunOwnedError: Where somebody who is alive owns it.
            StoreError: Where the store cannot be used.
        """
        ...

    def load(self, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the entries of a run, in the order in which they were written.

        Raises:
            RunNotFoundError: Where there is none.
            JournalError: Where they cannot be read, all of them.
            StoreError: Where the store cannot be used.
        """
        ...

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first.

        Args:
            workflow_id: Those of this workflow only.
            run_id: Those with this id only.
            status: Those that stand so only.

        Raises:
            StoreError: Where the store cannot be used.
        """
        ...

    def close(self) -> None:
        """Give back what the store holds; it may be called more than once."""
        ...


@runtime_checkable
class Cancellable(Store, Protocol):
    """A store through which a run can be cancelled that somebody else carries on: `LocalEngine` needs it."""

    def ask_cancel(self, workflow_id: str, run_id: str, note: str) -> None:
        """Note, durably, that a run is to be undone.

        Raises:
            StoreError: Where the store cannot be used.
        """
        ...

    def asked_cancels(self) -> dict[tuple[str, str], str]:
        """Return why runs are to be undone, by workflow and run.

        Raises:
            StoreError: Where the store cannot be used.
        """
        ...

    def forget_cancel(self, workflow_id: str, run_id: str) -> None:
        """Forget that a run was to be undone: it has ended.

        Raises:
            StoreError: Where the store cannot be used.
        """
        ...


@runtime_checkable
class Searchable(Store, Protocol):
    """A store that finds some runs among a hundred thousand, from any of them on: pages of lists need it."""

    def find_runs(
        self,
        wanted: RunFilter,
        *,
        before: RunInfo | None = None,
        after: RunInfo | None = None,
        limit: int,
    ) -> list[RunInfo]:
        """Return runs, the newest first: as `Store.runs` yields them, but no more than are needed.

        Args:
            wanted: Which runs.
            before: Those only that follow this one in the whole list: that began before it.
            after: Those only that stand in front of this one, the nearest of them.
            limit: How many at most.

        Raises:
            StoreError: Where the store cannot be used.
        """
        ...


@runtime_checkable
class RunOnEngine(Protocol):
    """A run on an engine, as `Engine.submit` returns it."""

    workflow_id: str
    run_id: str

    def wait(self, timeout: float | None = None) -> WorkflowReport:
        """Wait until the run has ended, or has stopped; see `Engine.wait`."""
        ...

    def report(self) -> WorkflowReport:
        """Return what has happened so far; see `Engine.report`."""
        ...

    def cancel(self, note: str = "") -> None:
        """Have the run undone; see `Engine.cancel`."""
        ...


@runtime_checkable
class Worker(Protocol):
    """Carries on runs of an engine, in this process."""

    def run(self) -> None:
        """Carry on runs in this thread, until `stop` is called."""
        ...

    async def serve(self) -> None:
        """Carry on runs on the running event loop, until `stop` is called; steps at work then end first."""
        ...

    def stop(self) -> None:
        """Have the worker come to its end; from any thread, and from the handler of a signal."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Carries on runs on the workers of a fleet, whichever of them die.

    A run is begun with `submit` by whoever has the workflow, and carried on by the workers that have the same
    version of it. Its id is unique among the runs of its workflow; where no workflow is named, it is looked
    for among those of all.
    """

    def submit(
        self,
        workflow: Workflow,
        state: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        deadline: float | timedelta | datetime | None = None,
    ) -> RunOnEngine:
        """Begin a run, and return without waiting for it.

        Args:
            workflow: The workflow; its steps are not called here.
            state: The first values of the shared state: JSON values.
            run_id: The id of the run; one is made where none is given.
            deadline: Until when the way forward may take, as in `automa.Workflow.start`.

        Raises:
            RunExistsError: Where there is a run of that id; nothing was started.
            EngineError: Where the engine cannot be used.
            AutomaError: As in `automa.Workflow.start`; nothing was started.
        """
        ...

    def report(self, run_id: str, *, workflow_id: str | None = None) -> WorkflowReport:
        """Return what a run has done so far; its outcome is ``suspended`` while it goes on.

        Raises:
            RunNotFoundError: Where there is no such run, or there are several.
            EngineError: Where the engine cannot be used.
        """
        ...

    def wait(
        self, run_id: str, *, workflow_id: str | None = None, timeout: float | None = None
    ) -> WorkflowReport:
        """Wait until a run has ended, or needs attention; return its report.

        Args:
            run_id: The id of the run.
            workflow_id: The id of its workflow.
            timeout: The most seconds to wait.

        Raises:
            TimeoutError: Where it takes longer; the run goes on.
            RunNotFoundError: As in `report`.
            EngineError: As in `report`.
        """
        ...

    def cancel(self, run_id: str, *, workflow_id: str | None = None, note: str = "") -> None:
        """Have a run undone that goes on.

        An async step at work is cut off, and undone as one of unknown effect; any other one ends first.

        Args:
            run_id: The id of the run.
            workflow_id: The id of its workflow.
            note: Why; it becomes the error of the run.

        Raises:
            RunRequestError: Where it has ended, or is past its pivot.
            RunNotFoundError: As in `report`.
            EngineError: As in `report`.
        """
        ...

    def resume(
        self,
        run_id: str,
        *,
        workflow_id: str | None = None,
        deadline: float | timedelta | datetime | None = None,
        note: str = "",
    ) -> RunOnEngine:
        """Carry on a run that has stopped past its pivot.

        Args:
            run_id: The id of the run.
            workflow_id: The id of its workflow.
            deadline: As in `submit`.
            note: A remark; it is recorded.

        Raises:
            RunRequestError: Where it goes on, or has ended.
            RunNotFoundError: As in `report`.
            EngineError: As in `report`.
        """
        ...

    def rollback(self, run_id: str, *, workflow_id: str | None = None, note: str = "") -> RunOnEngine:
        """Undo a run that has ended.

        Raises:
            RunRequestError: Where it goes on, is undone already, or is past its pivot.
            RunNotFoundError: As in `report`.
            EngineError: As in `report`.
        """
        ...

    def retry_undo(
        self, run_id: str, step: str, *, workflow_id: str | None = None, note: str = ""
    ) -> RunOnEngine:
        """Call an undo that failed once more; see `automa.Workflow.retry_undo`.

        Raises:
            RunRequestError: Where the undo of that step has not failed.
            RunNotFoundError: As in `report`.
            EngineError: As in `report`.
        """
        ...

    def mark_undone(
        self, run_id: str, step: str, *, note: str, workflow_id: str | None = None
    ) -> RunOnEngine:
        """Take a step whose undo failed for undone; see `automa.Workflow.mark_undone`.

        Raises:
            RunRequestError: Where the undo of that step has not failed.
            RunNotFoundError: As in `report`.
            EngineError: As in `report`.
        """
        ...

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first.

        Args:
            workflow_id: Those of this workflow only.
            run_id: Those with this id only.
            status: Those that stand so only: ``running``, or an outcome.

        Raises:
            EngineError: Where the engine cannot be used.
        """
        ...

    def worker(
        self,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> Worker:
        """Return a worker that carries on the runs of these workflows, once it is run.

        Args:
            workflows: The workflow, or workflows; several versions of one may be among them.
            resources: Live objects for the steps.
            observers: Those who hear of the records of each run.

        Raises:
            WorkflowDefinitionError: Where two have the same id and version.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds; it may be called more than once."""
        ...


@runtime_checkable
class AtomicWorkflow(Protocol):
    """A workflow that can be started (seed: AtomicWorkflow)."""

    @property
    def id(self) -> str:
        """The id of the workflow."""
        ...

    def start(self, state: Mapping[str, Any] | None = None, /) -> WorkflowReport:
        """Run the workflow and return what happened."""
        ...

    def end(self) -> None:
        """Clean up after the last run."""
        ...


@runtime_checkable
class AtomicStepRegistry(Protocol):
    """Steps by id, and workflows built of them (seed: AtomicStepRegistry)."""

    def register_steps(self, steps: Mapping[str, AtomicStep | Composite | None], /) -> AtomicStepRegistry:
        """Add steps under the ids by which they are looked up."""
        ...

    def get_step(self, step_id: str, /) -> AtomicStep | Composite | None:
        """Return the step with that id, or None."""
        ...

    def build_workflow(self, workflow_id: str, step_ids: Iterable[str], /) -> AtomicWorkflow:
        """Build a workflow of the steps with those ids, in that order."""
        ...
