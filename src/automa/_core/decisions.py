"""Where a run goes on: after a success, after a failure, after an undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.commands import Halt
from automa._core.events import AnyEvent, Failure, Success
from automa._core.recording import NOTHING_CHANGED, record, redact_report, sends_back
from automa._core.records import AttemptFailed, Cancelled
from automa._core.runs import StepState
from automa._core.status import FAILED, ExecutionMode, Outcome, RollbackMode

if TYPE_CHECKING:
    from automa._core.reports import StepReport
    from automa._core.runs import Committed, Run, StepRun, WorkflowRun

Onward = tuple[int, AnyEvent]
"""Where to go on, an index of a step, and with what."""

END = -1
"""No step's index: the event leaves the workflow."""


def after_success(workflow_run: WorkflowRun, step_run: StepRun, event: Success) -> Onward:
    """Decide where a success goes: on, unless the run was interrupted."""
    run, interruption = workflow_run.run, workflow_run.run.interruption
    if interruption is None and run.is_replaying:
        interruption = run.turned_back_after(step_run.path)
    if interruption is None:
        return step_run.index + 1, event
    if getattr(step_run.step, "pivot", False) is True and step_run.state is StepState.COMPLETED:
        pass_pivot(run)
    stop_if_suspended(run)
    if run.is_past_pivot:
        raise Halt(interruption, Outcome.NEEDS_ATTENTION)
    if run.begun is not None:
        run.unwritten.append(Cancelled(step_run.path, interruption))
    return after_failure(workflow_run, step_run, Failure(workflow_run.report, interruption))


def after_failure(workflow_run: WorkflowRun, step_run: StepRun, event: Failure) -> Onward:
    """Decide, by the execution mode, where a failure goes."""
    if workflow_run.first_error is None:
        workflow_run.first_error = event.error
    run = workflow_run.run
    if sends_back(workflow_run, event.error):
        if workflow_run.is_branch:  # it is undone once the branches beside it have ended
            return END, event
        workflow_run.is_undone = True
        if step_run.state in {StepState.COMPENSATED, StepState.COMPENSATION_FAILED}:
            return after_rollback(workflow_run, step_run, event)
        return step_run.index, event
    if workflow_run.modes.execution is ExecutionMode.CONTINUE:
        stop_if_suspended(run)
        if run.interruption is None:
            return step_run.index + 1, Success(workflow_run.report)
    return END, event


def fail(
    workflow_run: WorkflowRun, step_run: StepRun, event: Failure, committed: Committed = NOTHING_CHANGED
) -> Onward:
    """Record a failure, and decide where it goes.

    Raises:
        Halt: Past a pivot: the run stops, and the step is tried again when it is resumed.
    """
    stop_past_pivot(workflow_run, step_run, event.added[0])
    record(workflow_run, step_run, event, None, committed)
    return after_failure(workflow_run, step_run, event)


def stop_past_pivot(workflow_run: WorkflowRun, step_run: StepRun, report: StepReport) -> None:
    """Stop the run at a failed step, if it may not go back any more.

    Raises:
        Halt: Up to `relay`, which closes the report.
    """
    run = workflow_run.run
    if not run.is_past_pivot or report.error is None:
        return
    if run.redactor:
        redact_report(run, report)
    workflow_run.report.step_reports.append(report)
    if run.is_heard:
        run.unwritten.append(AttemptFailed(step_run.path, report, None))
    raise Halt(report.error, Outcome.NEEDS_ATTENTION)


def pass_pivot(run: Run) -> None:
    """Note that the point of no return lies behind: from now on every step is looked after."""
    run.is_past_pivot = run.takes_detours = True


def stop_if_suspended(run: Run) -> None:
    """Stop the walk where it is, if the run was interrupted and is to be resumed some time.

    Raises:
        Halt: Up to `relay`, which closes the report.
    """
    if run.interruption is not None and run.is_suspended:
        raise Halt(run.interruption, Outcome.SUSPENDED)


def after_rollback(workflow_run: WorkflowRun, step_run: StepRun, event: Failure) -> Onward:
    """Decide, by the rollback mode, whether the way back goes on."""
    if step_run.state is StepState.COMPENSATION_FAILED and workflow_run.modes.rollback is RollbackMode.STOP:
        return END, event
    return step_run.index - 1, event


def state_after_rollback(workflow_run: WorkflowRun, step_run: StepRun, report: StepReport) -> StepState:
    """Return where a step stands after its undo, and note where that has failed."""
    if report.status is not FAILED:
        return StepState.COMPENSATED
    workflow_run.undo_failed, step_run.undo_error = True, report.error
    return StepState.COMPENSATION_FAILED
