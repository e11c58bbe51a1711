"""What stands between the core and the steps of a user (seed: its interfaces)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

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
    """Hears of each record of a run, in order, once it is written; it cannot harm the run."""

    def on_record(self, record: Record, /) -> None:
        """Take note of a record: a step started, a step answered, the run ended."""
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
