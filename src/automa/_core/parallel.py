"""Steps side by side: a nested workflow whose branches start together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from automa._core.definition import Definition
from automa.errors import BranchCancelled, WorkflowDefinitionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automa._core.protocols import AtomicStep, Composite
    from automa._core.runs import Run, StepRun, WorkflowRun
    from automa._core.state import Guard

OnFailure = Literal["finish", "cancel"]


class ParallelDefinition(Definition):
    """A parallel step as the relay sees it; it does not change.

    Args:
        id: Its id.
        steps: Its branches.
        limit: How many go on at once at most; None where all do.
        cancels: Whether the others are given up when one has failed.

    Raises:
        WorkflowDefinitionError: Where it could not be run as it is written.
    """

    traits = ("parallel",)

    def __init__(
        self, id: str, steps: tuple[AtomicStep | Composite, ...], *, limit: int | None, cancels: bool
    ) -> None:
        super().__init__(id, steps)
        self.limit: int | None = limit
        self.cancels: bool = cancels
        self.branches: list[Definition] = [Definition(id, [step]) for step in steps]
        if self.has_pivot:
            raise WorkflowDefinitionError(
                f"parallel {id!r} has a pivot in it: put the point of no return before it, or after it"
            )


class Parallel:
    """Steps that run side by side, as one step of a workflow.

    Each branch is a step, a workflow or a `Parallel`. It gets a copy of the shared state as it is when the
    branches start; what it changes there only it and its undo see. What it returns flows back: the result of
    the whole is a dict of the branches' results by id. In `start` branches work in threads of their own,
    in `start_async` as tasks.

    Where a branch fails nothing is undone before all have ended; then all that executed is undone, one after
    the other, the last begun first.

    Args:
        id: The id of the step.
        *steps: The branches, begun in this order.
        limit: How many go on at once at most; by default all.
        on_failure: What the failure of one means for the others: ``finish``, they come to their end;
            ``cancel``, those that have not begun are not begun, and async ones at work are cancelled: their
            effect is unknown, and they are undone.

    Raises:
        WorkflowDefinitionError: Where it could not be run as it is written.

    Example:
        >>> from automa import Parallel, Step, Workflow
        >>> both = Parallel("both", Step("a", run=lambda: 1), Step("b", run=lambda: 2))
        >>> Workflow("w", [both]).start().results
        {'both': {'a': 1, 'b': 2}}
    """

    def __init__(
        self,
        id: str,
        *steps: AtomicStep | Composite,
        limit: int | None = None,
        on_failure: OnFailure = "finish",
    ) -> None:
        if on_failure not in {"finish", "cancel"}:
            raise WorkflowDefinitionError(
                f"parallel {id!r}: on_failure is 'finish' or 'cancel', not {on_failure!r}"
            )
        if limit is not None and (type(limit) is not int or limit < 1):
            raise WorkflowDefinitionError(f"parallel {id!r}: limit is a whole number from 1, not {limit!r}")
        if any(isinstance(step, list | tuple) for step in steps):
            raise WorkflowDefinitionError(
                f"parallel {id!r}: the branches are given one by one, as in Parallel(id, first, second)"
            )
        self._definition = ParallelDefinition(id, steps, limit=limit, cancels=on_failure == "cancel")

    @property
    def id(self) -> str:
        """The id of the step."""
        return self._definition.id

    @property
    def definition(self) -> Definition:
        """Its branches, as the relay sees them."""
        return self._definition

    @property
    def steps(self) -> tuple[AtomicStep | Composite, ...]:
        """The branches as they were given; runs work on copies of them."""
        return self._definition.steps

    def __repr__(self) -> str:
        return f"<Parallel {self.id}, {len(self.steps)} branches>"


def forked(workflow_run: WorkflowRun, step_run: StepRun, definition: ParallelDefinition) -> WorkflowRun:
    """Return a new run of a parallel step, each branch with a copy of the state.

    Raises:
        StateError: Where the state cannot be copied.
    """
    nested = step_run.nested = workflow_run.nest(step_run, definition)
    runs = workflow_run.run.fork(len(definition.branches))
    nested.branches = [nested.branch(*each) for each in zip(definition.branches, runs, strict=True)]
    return nested


def joined(workflow_run: WorkflowRun, nested: WorkflowRun) -> None:
    """Bring together what the branches of a parallel step have come to."""
    run = workflow_run.run
    run.join()
    for branch in nested.branches:
        nested.steps += branch.steps
        nested.undo_failed = nested.undo_failed or branch.undo_failed
    nested.put_in_order()  # they stand as they ended
    failed = [branch for branch in nested.branches if branch.first_error is not None]
    own = [branch for branch in failed if not isinstance(branch.first_error, BranchCancelled)]
    for branch in (own or failed)[:1]:
        assert branch.first_error is not None  # noqa: S101  # it is one of those that failed
        nested.first_error = branch.first_error
        run.replay_decision(branch.first_error, branch.run.sends_back(branch.first_error))
    _adopt(nested.branches, run, run.guard)


def _adopt(workflow_runs: Sequence[WorkflowRun], run: Run, guard: Guard | None) -> None:
    """Let what were branches go on, backward, with the whole run."""
    for workflow_run in workflow_runs:
        workflow_run.run = run
        workflow_run.shared.guard = guard
        for step_run in workflow_run.steps:
            if step_run.local is not None:
                step_run.local.guard = guard
            if step_run.nested is not None:
                _adopt((step_run.nested, *step_run.nested.branches), run, guard)
