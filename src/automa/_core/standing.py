"""What stands of a run that has ended: what a way back that an operator asks for has to do with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.runs import StepState

if TYPE_CHECKING:
    from automa._core.records import Requested
    from automa._core.runs import StepRun, WorkflowRun


def last_to_undo(workflow_run: WorkflowRun) -> int:
    """Return the index of the last step of a workflow that may have to be undone, or -1."""
    for step_run in reversed(workflow_run.steps):
        if step_run.state is not StepState.PENDING:
            is_over = step_run.state in {StepState.COMPENSATED, StepState.COMPENSATION_FAILED}
            return step_run.index - 1 if is_over and step_run.nested is None else step_run.index
    return -1


def reopen(workflow_run: WorkflowRun, path: str, state: StepState = StepState.FAILED) -> None:
    """Let a step, and the workflows that it is in, stand as if it had not been undone."""
    for step_run in workflow_run.steps:
        if step_run.path == path:
            step_run.state = state
        elif path.startswith(f"{step_run.path}/") and step_run.nested is not None:
            step_run.state = state
            reopen(step_run.nested, path, state)


def redo_changes(workflow_run: WorkflowRun) -> None:
    """Give the state what each step had left, where it was taken back: going back takes it back again."""
    for branch in workflow_run.branches:
        redo_changes(branch)
    for step_run in () if workflow_run.branches else workflow_run.steps:
        if step_run.is_reverted:
            workflow_run.shared.redo(step_run.delta)
            step_run.is_reverted = False
        if step_run.nested is not None:
            redo_changes(step_run.nested)


def is_untouched(step_run: StepRun, request: Requested) -> bool:
    """Whether what an operator has asked for leaves a step as it is."""
    if step_run.state is StepState.COMPENSATION_FAILED:
        if step_run.nested is None:
            return step_run.path != request.path
        inside = request.path is not None and request.path.startswith(f"{step_run.path}/")
        return not inside and not has_standing(step_run.nested)
    return step_run.state not in STANDING


STANDING: tuple[StepState, ...] = (StepState.COMPLETED, StepState.FAILED)
"""The states of a step that was run and not taken back."""


def has_standing(workflow_run: WorkflowRun) -> bool:
    """Whether a step, at any depth, was run and not taken back yet."""
    return any(
        step_run.state in STANDING or (step_run.nested is not None and has_standing(step_run.nested))
        for step_run in workflow_run.steps
    )


def has_failed_undo(workflow_run: WorkflowRun) -> bool:
    """Whether the undo of a step has failed, and nobody has seen to it since."""
    return any(step_run.state is StepState.COMPENSATION_FAILED for step_run in workflow_run.steps)


def first_undo_error(workflow_run: WorkflowRun) -> BaseException | None:
    """Return why an undo has failed on this way back, or on an earlier one and still stands so; or None."""
    errors = workflow_run.report.rollback_errors
    return errors[0] if errors else _undo_error_of(workflow_run)


def _undo_error_of(workflow_run: WorkflowRun) -> BaseException | None:
    """Return why an undo has failed to which nobody has seen since, maybe on an earlier way back; or None."""
    for step_run in reversed(workflow_run.steps):
        if step_run.state is StepState.COMPENSATION_FAILED:
            return step_run.undo_error if step_run.nested is None else _undo_error_of(step_run.nested)
    return None
