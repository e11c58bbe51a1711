"""Moving what an event adds into the report, and into the records that are to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.events import Failure
from automa._core.records import Answered, AttemptFailed, Started
from automa._core.runs import Committed
from automa._core.status import PREPARE, ROLLBACK, SUCCESS, ExecutionMode, Status

if TYPE_CHECKING:
    from automa._core.context import Context
    from automa._core.events import Success
    from automa._core.reports import StepReport
    from automa._core.runs import Run, StepRun, WorkflowRun
    from automa._core.state import Changes

NOTHING_CHANGED = Committed()


def record(  # noqa: PLR0913  # what is recorded
    workflow_run: WorkflowRun,
    step_run: StepRun,
    event: Success | Failure,
    ctx: Context | None = None,
    committed: Committed = NOTHING_CHANGED,
    *,
    is_at_work: bool = False,
) -> None:
    """Move what an accepted event adds into the report, and line it up to be written."""
    reports = event.added
    if ctx is not None and reports[0] is not ctx.report:  # a controller of its own may bring its own report
        reports[0].adopt(ctx.report)
    reports[0].modes = reports[-1].modes = workflow_run.modes
    workflow_run.report.step_reports.extend(reports)
    run = workflow_run.run
    if run.redactor:
        redact(run, event)
    if run.is_heard:
        path, sent_back = step_run.path, None
        if run.begun is not None and isinstance(event, Failure) and reports[0].action is not ROLLBACK:
            sent_back = sends_back(workflow_run, event.error)
        changed = committed.shared, committed.local
        run.unwritten.append(Answered(path, reports[0], *changed, sent_back, is_at_work))
        run.unwritten += [Answered(path, report) for report in reports[1:]]
    event.added = ()


def sends_back(workflow_run: WorkflowRun, error: BaseException) -> bool:
    """Whether a failure sends the run on the way back, at once or once the branches beside it have ended."""
    run = workflow_run.run
    return run.must_undo or (workflow_run.modes.execution is ExecutionMode.ROLLBACK and run.sends_back(error))


def redact(run: Run, event: Success | Failure) -> None:
    """Keep secrets out of what an event adds to the report, and out of its error."""
    for report in event.added:
        before = report.error
        redact_report(run, report)
        if isinstance(event, Failure) and report.error is not None and event.error is before:
            event.error = report.error


def redact_report(run: Run, report: StepReport) -> None:
    """Keep secrets out of a report."""
    if report.detail is not None:
        report.detail = run.redactor.text(report.detail)
    if report.has_metadata:
        for name, value in report.metadata.items():
            report.metadata[name] = run.redactor.text(value) if isinstance(value, str) else value
    if report.error is not None:
        report.error = redacted(run, report.error)


def redacted(run: Run, error: BaseException) -> BaseException:
    """Return an error without secrets; what it means for the run was decided by the error itself."""
    if not run.redactor:
        return error
    without = run.redactor.error(error)
    if without is not error:
        run.replay_decision(without, run.sends_back(error))
    return without


def record_prepare(  # noqa: PLR0913, PLR0917  # likewise
    workflow_run: WorkflowRun,
    step_run: StepRun,
    report: StepReport,
    shared: Changes | None,
    local: Changes | None,
    status: Status = SUCCESS,
) -> None:
    """Tell those who listen how a prepare went; the report of the run has only what came of it."""
    if workflow_run.run.is_heard:
        report.close(PREPARE, status)
        workflow_run.run.unwritten.append(Answered(step_run.path, report, shared, local))


def record_attempt(run: Run, step_run: StepRun, report: StepReport, delay: float | None) -> None:
    """Line up the record of an attempt that has failed, and is not the last."""
    if run.redactor:
        redact_report(run, report)
    if run.is_heard:
        run.unwritten.append(AttemptFailed(step_run.path, report, delay))


def announce(workflow_run: WorkflowRun, step_run: StepRun, report: StepReport) -> None:
    """Line up the record that a nested workflow starts; it is written with its first step's."""
    if workflow_run.run.is_heard:
        workflow_run.run.unwritten.append(Started(step_run.path, report.action, report.start_time))


def restore(workflow_run: WorkflowRun, step_run: StepRun) -> Committed:
    """Give the state the values that it had before a step: those that the step before it left.

    Without snapshots what the undo has changed stays; it is returned.
    """
    shared = workflow_run.shared
    if not workflow_run.run.snapshots:
        return step_run.commit(shared, keep_delta=False)
    if shared.touched or step_run.delta is not None:
        shared.revert(step_run.delta)
        step_run.is_reverted = True
    if step_run.local is not None:  # should the undo be tried again, it gets what the run has left
        step_run.local.discard()
    return NOTHING_CHANGED
