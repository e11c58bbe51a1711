"""What comes of a step's answer: where it stands, what is recorded, and who is next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.answers import event_of_rollback, event_of_run
from automa._core.attempts import UNKNOWN
from automa._core.commands import CutOff, Refused
from automa._core.decisions import (
    Onward,
    after_failure,
    after_rollback,
    after_success,
    fail,
    state_after_rollback,
    stop_if_suspended,
    stop_past_pivot,
)
from automa._core.events import AnyEvent, Failure, Success
from automa._core.recording import NOTHING_CHANGED, record, restore
from automa._core.reports import StepReport
from automa._core.results import as_journaled
from automa._core.runs import StepState
from automa._core.status import PREPARE, ROLLBACK, SKIPPED, UNDEFINED, Outcome
from automa.errors import ResultError, Skip, text_of

if TYPE_CHECKING:
    from automa._core.context import Context
    from automa._core.runs import Run, StepRun, WorkflowRun

_COMPLETED = StepState.COMPLETED


def accept_run(  # noqa: C901, PLR0912  # every step passes here, and calls cost
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Success, answer: object
) -> Onward:
    """Take what came of a step's run, and decide who is next."""
    event = event_of_run(workflow_run, step_run, sent, answer)
    run = workflow_run.run
    if isinstance(event, BaseException):
        if isinstance(answer, Refused):
            return accept_not_run(workflow_run, step_run, ctx, sent, answer.error)
        if isinstance(answer, CutOff):
            ctx.report.detail = UNKNOWN
        event = Failure.of_run(sent, event, ctx.report)
    if isinstance(event, Failure) and not isinstance(event.error, Exception):
        event.added[0].detail = UNKNOWN  # it was cut off somewhere in its work
        run.interrupt(event.error)
        if run.is_suspended:
            ctx.report.status = UNDEFINED
            workflow_run.report.step_reports.append(ctx.report)
            stop_if_suspended(run)
    committed = NOTHING_CHANGED
    if workflow_run.shared.touched or step_run.local is not None:
        committed = step_run.commit(workflow_run.shared, keep_delta=run.snapshots)
        if committed.invalid is not None and isinstance(event, Success):
            event = Failure.of_run(sent, committed.invalid, event.added[0])
    if run.begun is not None and event.added[0].result is not None:
        event = _with_journaled_result(run, step_run, sent, event)
    reports = event.added
    if isinstance(event, Success):
        record(workflow_run, step_run, event, ctx, committed)
        step_run.state = _COMPLETED
        run.results[step_run.path] = reports[0].result
        if run.interruption is None:
            return step_run.index + 1, event
        return after_success(workflow_run, step_run, event)
    if run.is_past_pivot:
        if reports[0] is not ctx.report:
            reports[0].adopt(ctx.report)
        stop_past_pivot(workflow_run, step_run, reports[0])
    is_at_work = isinstance(answer, CutOff) and answer.is_at_work
    record(workflow_run, step_run, event, ctx, committed, is_at_work=is_at_work)
    if reports[0].result is not None:  # it returned, and failed for another reason: its undo needs that
        run.results[step_run.path] = reports[0].result
    step_run.state = StepState.FAILED
    if len(reports) > 1:  # it has called its own rollback
        step_run.state = state_after_rollback(workflow_run, step_run, reports[1])
        restore(workflow_run, step_run)
    return after_failure(workflow_run, step_run, event)


def _with_journaled_result(run: Run, step_run: StepRun, sent: Success, event: AnyEvent) -> AnyEvent:
    """Give a report its result as the journal keeps it; where that cannot be, the step has failed."""
    report = event.added[0]
    try:
        report.result = as_journaled(report.result, step_run.path, run.guard)
    except ResultError as error:
        report.result = None
        if isinstance(event, Success):
            return Failure.of_run(sent, error, report)
    return event


def accept_not_run(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Success, error: BaseException
) -> Onward:
    """Take it that a step is not run: its condition or its prepare said so, or failed, or it was refused."""
    run = workflow_run.run
    if not isinstance(error, Exception):
        run.interrupt(error)
        stop_if_suspended(run)
    committed = step_run.commit(workflow_run.shared, keep_delta=run.snapshots)
    step_run.state = StepState.NOT_RUN
    if isinstance(error, Skip):
        ctx.report.detail = text_of(error) or None
        ctx.report.more.was_not_run = True
        success = Success.skipped(sent, ctx.report, ctx.action)
        record(workflow_run, step_run, success, None, committed)
        return after_success(workflow_run, step_run, success)
    return fail(workflow_run, step_run, Failure.of_run(sent, error, ctx.report, PREPARE), committed)


def accept_rollback(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Failure, answer: object
) -> Onward:
    """Take what came of a step's rollback, and decide who is next."""
    event = event_of_rollback(workflow_run, step_run, sent, answer)
    if isinstance(event, BaseException):
        if not isinstance(event, Exception):
            workflow_run.run.interrupt(event)
        event = Failure.of_rollback(sent, event, ctx.report)
    step_run.state = state_after_rollback(workflow_run, step_run, event.added[0])
    record(workflow_run, step_run, event, ctx, restore(workflow_run, step_run))
    return after_rollback(workflow_run, step_run, event)


def pass_back(workflow_run: WorkflowRun, step_run: StepRun, sent: Failure) -> Onward:
    """Pass by a step that was never run: its rollback is skipped (spec: compensation)."""
    report = StepReport(step_run.id, ROLLBACK)
    report.detail = "was not run"
    if step_run.nested is not None:
        report.workflow = step_run.nested.new_report(ROLLBACK)
        report.workflow.close(SKIPPED, Outcome.UNDONE)
    failure = Failure.skipped(sent, report)
    record(workflow_run, step_run, failure, None, restore(workflow_run, step_run))
    return after_rollback(workflow_run, step_run, failure)
