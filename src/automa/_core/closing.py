"""How the report of a run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.recording import redacted
from automa._core.reports import StepReport
from automa._core.status import FAILED, SKIPPED, SUCCESS, Outcome

if TYPE_CHECKING:
    from automa._core.commands import Halt
    from automa._core.runs import WorkflowRun


def close(workflow_run: WorkflowRun) -> None:
    """Close the report of a workflow that has been walked."""
    report = workflow_run.report
    if report.error is None:  # an interruption after a step that went well is in no step's report
        report.own_error = workflow_run.first_error
    if workflow_run.is_skipped:
        report.close(SKIPPED, Outcome.SUCCEEDED)
    elif workflow_run.first_error is None:
        report.close(SUCCESS, Outcome.SUCCEEDED)
    elif workflow_run.undo_failed:
        report.close(FAILED, Outcome.NEEDS_ATTENTION)
    elif workflow_run.is_undone:
        report.close(FAILED, Outcome.UNDONE)
    else:
        report.close(FAILED, Outcome.FAILED)


def close_halted(workflow_run: WorkflowRun, halt: Halt) -> None:
    """Close the report of a run that has stopped on its way; nested workflows on their way are told in it."""
    report = workflow_run.report
    for step_run in workflow_run.steps:
        nested = step_run.nested
        if nested is not None and nested.report.outcome is None:
            close_halted(nested, halt)
            part = StepReport(step_run.id, nested.report.action)
            part.start_time, part.workflow = nested.report.start_time, nested.report
            if halt.outcome is Outcome.NEEDS_ATTENTION:  # it has failed, and that is how it ends for now
                part.error = redacted(workflow_run.run, halt.error)
                part.close(part.action, FAILED)
            report.step_reports.append(part)
    if workflow_run.branches:
        workflow_run.put_in_order()
    report.own_error = halt.error = redacted(workflow_run.run, halt.error)
    report.stop(halt.outcome)
