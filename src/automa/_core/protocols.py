"""What stands between the core and the steps of a user (seed: its interfaces)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from automa._core.context import Context
    from automa._core.definition import Definition
    from automa._core.events import Failure, Handoff, Success
    from automa._core.records import Record
    from automa._core.reports import WorkflowReport


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
    - ``resumed(history)`` is given the records so far of a run that goes on, before it does.
    - ``step_starting(path, action, attempt)`` and ``step_returned(path, action, attempt)`` are called as a
      step is called, and when it has returned or was given up. They feed live views: nothing of it is
      durable then. Of the branches of a `Parallel` they tell from several threads.
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


@runtime_checkable
class Lease(Protocol):
    """The right to carry on one run: as long as it is held, nobody else has it."""

    def append(self, entries: Sequence[dict[str, Any]], status: str) -> None:
        """Write entries behind those of the run; when it returns they are durable, all or none.

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
