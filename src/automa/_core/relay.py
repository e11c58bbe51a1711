"""The relay: carries each handoff to its receiver until there is none.

The walk of a run is a generator of commands (`Append`, `Deliver`). Whoever drives it does the
waiting and the writing, and sends back what a step answered. Everything that decides what happens
next in a run stands in this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automa._core import clock
from automa._core.answers import event_of_rollback, event_of_run
from automa._core.commands import Append, Command, Deliver, Halt, Interrupted, Raised
from automa._core.context import Context
from automa._core.events import Failure, Success
from automa._core.functions import Preparation, StepFunction
from automa._core.records import Answered, Cancelled, Ended, Request, Requested, Started, Suspended
from automa._core.reports import StepReport
from automa._core.results import as_journaled
from automa._core.runs import Committed, StepRun, StepState, WorkflowRun
from automa._core.standing import first_undo_error, has_failed_undo, is_untouched, redo_changes
from automa._core.status import (
    FAILED,
    PREPARE,
    ROLLBACK,
    RUN,
    SKIPPED,
    SUCCESS,
    ExecutionMode,
    Outcome,
    RollbackMode,
    Status,
)
from automa.errors import ResultError, RollbackRequested, Skip, StateError, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from automa._core.definition import Definition
    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa._core.state import State

AnyEvent = Success | Failure
Onward = tuple[int, AnyEvent]
"""Where to go on, an index of a step, and with what."""

_END = -1  # no step's index: the event leaves the workflow

_NOT_RUN, _COMPLETED = StepState.NOT_RUN, StepState.COMPLETED

_NOTHING_CHANGED = Committed()


def relay(workflow_run: WorkflowRun) -> Generator[Command, Any, WorkflowReport]:
    """Walk a workflow from its first step to the end of its way forward, or of its way back.

    Args:
        workflow_run: A new run of the root workflow.

    Returns:
        The closed report.
    """
    run = workflow_run.run
    if run.begun is not None:
        run.unwritten.append(run.begun)
    halt: Halt | None = None
    try:
        if (yield from _prepare_workflow(workflow_run)):
            yield from _carry(workflow_run, 0, Success.start_trigger(workflow_run.report))
        _close(workflow_run)
        answer = yield Append([*run.take_unwritten(), Ended(workflow_run.report)])
        while isinstance(answer, Requested):
            yield from _undo_more(workflow_run, answer)
            _close(workflow_run)
            answer = yield Append([*run.take_unwritten(), Ended(workflow_run.report)])
        halt = answer
    except Halt as stopped:
        halt = stopped
    while halt is not None:
        _close_halted(workflow_run, halt)
        records = run.take_unwritten()
        if halt.outcome is Outcome.SUSPENDED:
            records.append(Suspended(clock.now(), halt.error))
        halt = yield Append([*records, Ended(workflow_run.report)])
    return workflow_run.report


def _carry(workflow_run: WorkflowRun, index: int, event: AnyEvent) -> Generator[Command, Any, None]:
    """Carry an event from step to step, forward or backward, until it leaves the workflow."""
    run = workflow_run.run
    while 0 <= index < workflow_run.count:
        step_run = workflow_run.reach(index)
        step = step_run.step
        if (
            step_run.definition
            or step_run.state is _NOT_RUN
            or run.request
            or getattr(step, "prepare_function", None)
        ):
            onward = yield from _detour(workflow_run, step_run, event)
            if onward is not None:
                index, event = onward
                continue
        # What follows is `_deliver`, spelt out: every step passes here, and a generator costs.
        forward = isinstance(event, Success)
        ctx = Context(workflow_run, step_run, RUN if forward else ROLLBACK)
        workflow_run.shared.step = step_run.id
        if run.is_heard:
            run.unwritten.append(Started(ctx.path, ctx.action, ctx.report.start_time))
            halt = yield Append(run.take_unwritten())
            if halt is not None:
                raise halt
        answer = yield Deliver(step.run if forward else step.rollback, ctx, event)
        if isinstance(answer, Interrupted):
            run.interrupt(answer.error)
            answer = answer.answer
        if isinstance(event, Success):
            index, event = _accept_run(workflow_run, step_run, ctx, event, answer)
        else:
            index, event = _accept_rollback(workflow_run, step_run, ctx, event, answer)


def _detour(
    workflow_run: WorkflowRun, step_run: StepRun, event: AnyEvent
) -> Generator[Command, Any, Onward | None]:
    """Do what a plain step does not need; return where to go on, or None for the usual way."""
    if not isinstance(event, Success):
        if workflow_run.run.request is not None:
            onward = _as_requested(workflow_run, step_run, event, workflow_run.run.request)
            if onward is not None:
                return onward
        if step_run.state is _NOT_RUN:
            return _pass_back(workflow_run, step_run, event)
        if step_run.nested is not None:
            return (yield from _undo_nested(workflow_run, step_run, step_run.nested, event))
        return None
    if step_run.definition is not None:
        return (yield from _run_nested(workflow_run, step_run, step_run.definition, event))
    return (yield from _prepare(workflow_run, step_run, event))


def _deliver(
    workflow_run: WorkflowRun, ctx: Context, controller: Callable[..., Any], event: AnyEvent
) -> Generator[Command, Any, object]:
    """Deliver an event, written ahead, and return what was answered."""
    run = workflow_run.run
    workflow_run.shared.step = ctx.step_id
    if run.is_heard:
        run.unwritten.append(Started(ctx.path, ctx.action, ctx.report.start_time))
        halt = yield Append(run.take_unwritten())
        if halt is not None:
            raise halt
    answer = yield Deliver(controller, ctx, event)
    if isinstance(answer, Interrupted):
        run.interrupt(answer.error)
        return answer.answer
    return answer


def _prepare(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Success
) -> Generator[Command, Any, Onward | None]:
    """Prepare a step: what it returns goes into its local state. Where it fails the step is not run."""
    function = step_run.step.prepare_function
    if not isinstance(function, StepFunction):  # a foreign step may answer to any name
        return None
    ctx = Context(workflow_run, step_run, PREPARE)
    answer = yield from _deliver(workflow_run, ctx, Preparation(function, step_run.step), sent)
    error = _outcome_of_prepare(workflow_run, ctx.local, answer)
    if error is None:
        local = None if step_run.local is None else step_run.local.changes()
        _tell(workflow_run, step_run, ctx.report, Committed(workflow_run.shared.changes(), local))
        return None
    if not isinstance(error, Exception):
        workflow_run.run.interrupt(error)
        _stop_if_suspended(workflow_run.run)
    committed = step_run.commit(workflow_run.shared, keep_delta=workflow_run.run.snapshots)
    step_run.state = _NOT_RUN
    if isinstance(error, Skip):
        ctx.report.detail = text_of(error) or None
        success = Success.skipped(sent, ctx.report, PREPARE)
        _record(workflow_run, step_run, success, None, committed)
        return _after_success(workflow_run, step_run, success)
    failure = Failure.of_run(sent, error, ctx.report, PREPARE)
    _record(workflow_run, step_run, failure, None, committed)
    return _after_failure(workflow_run, step_run, failure)


def _prepare_workflow(workflow_run: WorkflowRun) -> Generator[Command, Any, bool]:
    """Prepare a workflow: what it returns goes into its shared state. Return whether its steps may run."""
    prepare = workflow_run.definition.prepare
    if prepare is None:
        return True
    run, report, shared = workflow_run.run, workflow_run.report, workflow_run.shared
    ctx = Context(workflow_run, workflow_run.itself, PREPARE)
    controller = Preparation(prepare, None)
    answer = yield from _deliver(workflow_run, ctx, controller, Success.start_trigger(report))
    report.metadata.update(ctx.metadata)
    error = _outcome_of_prepare(workflow_run, shared, answer)
    if error is not None and not isinstance(error, Exception):
        run.interrupt(error)
        _stop_if_suspended(run)
    committed = workflow_run.itself.commit(shared, keep_delta=False)
    if error is None:
        _tell(workflow_run, workflow_run.itself, ctx.report, committed)
        return True
    report.action = PREPARE
    if isinstance(error, Skip):
        workflow_run.is_skipped = True
        report.detail = text_of(error) or None
        if workflow_run.prefix == "":
            ctx.report.detail = report.detail
            _tell(workflow_run, workflow_run.itself, ctx.report, committed, SKIPPED)
        return False
    error = _redacted(run, error)
    report.prepare, workflow_run.first_error = ctx.report, error
    workflow_run.is_undone = _goes_back(workflow_run, error)
    ctx.report.error = error
    ctx.report.close(PREPARE, FAILED)
    if run.is_heard and workflow_run.prefix == "":
        path, goes_back = workflow_run.itself.path, workflow_run.is_undone
        run.unwritten.append(Answered(path, ctx.report, committed.shared, committed.local, goes_back))
    return False


def _tell(
    workflow_run: WorkflowRun,
    step_run: StepRun,
    report: StepReport,
    committed: Committed,
    status: Status = SUCCESS,
) -> None:
    """Tell those who listen how a prepare went; the report of the run has only what came of it."""
    if workflow_run.run.is_heard:
        report.close(PREPARE, status)
        workflow_run.run.unwritten.append(Answered(step_run.path, report, committed.shared, committed.local))


def _outcome_of_prepare(workflow_run: WorkflowRun, state: State, answer: object) -> BaseException | None:
    """Merge what a prepare returned into a state; return why it has failed or skipped, or None."""
    error: BaseException | None = None
    if isinstance(answer, Raised):
        error = answer.error
    elif isinstance(answer, Mapping):
        try:
            state.merge(dict(answer))
        except Exception as problem:  # noqa: BLE001  # it is a user's mapping
            error = problem
    elif answer is not None:
        error = StateError(
            f"prepare returns a dict of values to keep, or nothing, not {type(answer).__name__}"
        )
    if error is None or isinstance(error, Skip):
        invalid = state.check() or workflow_run.shared.check()
        error = error if invalid is None else invalid
    return workflow_run.run.interruption if error is None else error


def _pass_back(workflow_run: WorkflowRun, step_run: StepRun, sent: Failure) -> Onward:
    """Pass by a step that was never run: its rollback is skipped (spec: compensation)."""
    report = StepReport(step_run.id, ROLLBACK)
    report.detail = "was not run"
    if step_run.nested is not None:
        report.workflow = step_run.nested.new_report(ROLLBACK)
        report.workflow.close(SKIPPED, Outcome.UNDONE)
    failure = Failure.skipped(sent, report)
    _record(workflow_run, step_run, failure, None, _restore(workflow_run, step_run))
    return _after_rollback(workflow_run, step_run, failure)


def _restore(workflow_run: WorkflowRun, step_run: StepRun) -> Committed:
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
    return _NOTHING_CHANGED


def _accept_run(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Success, answer: object
) -> Onward:
    """Take what came of a step's run, and decide who is next."""
    answered = event_of_run(workflow_run, step_run, sent, answer)
    run = workflow_run.run
    event = Failure.of_run(sent, answered, ctx.report) if isinstance(answered, BaseException) else answered
    if isinstance(event, Failure) and not isinstance(event.error, Exception):
        event.added[0].detail = "unknown"  # it was cut off somewhere in its work
        run.interrupt(event.error)
        if run.is_suspended:
            ctx.report.status = Status.UNDEFINED
            workflow_run.report.step_reports.append(ctx.report)
            _stop_if_suspended(run)
    committed = _NOTHING_CHANGED
    if workflow_run.shared.touched or step_run.local is not None:
        committed = step_run.commit(workflow_run.shared, keep_delta=run.snapshots)
        if committed.invalid is not None and isinstance(event, Success):
            event = Failure.of_run(sent, committed.invalid, event.added[0])
    if run.begun is not None and event.added[0].result is not None:
        event = _with_journaled_result(run, step_run, sent, event)
    reports = event.added
    _record(workflow_run, step_run, event, ctx, committed)
    if isinstance(event, Success):
        step_run.state = _COMPLETED
        run.results[step_run.path] = reports[0].result
        if run.interruption is None:
            return step_run.index + 1, event
        return _after_success(workflow_run, step_run, event)
    if reports[0].result is not None:  # it returned, and failed for another reason: its undo needs that
        run.results[step_run.path] = reports[0].result
    step_run.state = StepState.FAILED
    if len(reports) > 1:  # it has called its own rollback
        step_run.state = _state_after_rollback(workflow_run, step_run, reports[1])
        _restore(workflow_run, step_run)
    return _after_failure(workflow_run, step_run, event)


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


def _accept_rollback(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Failure, answer: object
) -> Onward:
    """Take what came of a step's rollback, and decide who is next."""
    event = event_of_rollback(workflow_run, step_run, sent, answer)
    if isinstance(event, BaseException):
        if not isinstance(event, Exception):
            workflow_run.run.interrupt(event)
        event = Failure.of_rollback(sent, event, ctx.report)
    step_run.state = _state_after_rollback(workflow_run, step_run, event.added[0])
    _record(workflow_run, step_run, event, ctx, _restore(workflow_run, step_run))
    return _after_rollback(workflow_run, step_run, event)


def _run_nested(
    workflow_run: WorkflowRun, step_run: StepRun, definition: Definition, sent: Success
) -> Generator[Command, Any, Onward]:
    """Walk a nested workflow forward, as one step of the workflow around it.

    Where it fails it undoes itself, so that it is not to be undone again.
    """
    report = StepReport(step_run.id, RUN)
    _announce(workflow_run, step_run, report)
    try:
        nested = step_run.nested = workflow_run.nest(step_run, definition)
    except StateError as error:  # somebody has changed the state from outside, between two steps
        step_run.state = _NOT_RUN
        refused = Failure.of_run(sent, error, report, PREPARE)
        _record(workflow_run, step_run, refused)
        return _after_failure(workflow_run, step_run, refused)
    nested.report.start_time = report.start_time
    if (yield from _prepare_workflow(nested)):
        yield from _carry(nested, 0, Success.start_trigger(nested.report))
    _close(nested)
    report.workflow = nested.report
    action = nested.report.action
    if nested.first_error is None:
        if nested.is_skipped:
            success = Success.skipped(sent, report, action)
            report.detail = nested.report.detail
        else:
            report.result = workflow_run.run.results[step_run.path] = nested.report.results
            success = Success.of(sent, report)
        report.end_time = nested.report.end_time
        step_run.state = _NOT_RUN if nested.is_skipped else _COMPLETED
        _record(workflow_run, step_run, success)
        return _after_success(workflow_run, step_run, success)
    workflow_run.undo_failed = workflow_run.undo_failed or nested.undo_failed
    failure = Failure.of_run(sent, nested.first_error, report, action)
    report.end_time = nested.report.end_time
    step_run.state = _NOT_RUN if action is PREPARE else _STATE_AFTER[nested.report.outcome]
    _record(workflow_run, step_run, failure)
    return _after_failure(workflow_run, step_run, failure)


def _undo_nested(
    workflow_run: WorkflowRun, step_run: StepRun, nested: WorkflowRun, sent: Failure
) -> Generator[Command, Any, Onward]:
    """Walk a nested workflow that has succeeded back, as one undo of the workflow around it."""
    report = StepReport(step_run.id, ROLLBACK)
    _announce(workflow_run, step_run, report)
    nested.report, nested.undo_failed = nested.new_report(ROLLBACK), False
    nested.report.start_time = report.start_time
    yield from _carry(nested, len(nested.steps) - 1, Failure(nested.report, sent.error))
    report.workflow = nested.report
    error = first_undo_error(nested)
    nested.undo_failed = error is not None
    if error is not None:
        nested.report.close(Status.FAILED, Outcome.NEEDS_ATTENTION)
        event = Failure.of_rollback(sent, error, report)
    else:
        nested.report.close(Status.SUCCESS, Outcome.UNDONE)
        event = Failure.of(sent, report)
    report.end_time = nested.report.end_time
    step_run.state = _state_after_rollback(workflow_run, step_run, report)
    _record(workflow_run, step_run, event)
    return _after_rollback(workflow_run, step_run, event)


def _after_success(workflow_run: WorkflowRun, step_run: StepRun, event: Success) -> Onward:
    run, interruption = workflow_run.run, workflow_run.run.interruption
    if interruption is None:
        return step_run.index + 1, event
    _stop_if_suspended(run)
    if run.begun is not None:
        run.unwritten.append(Cancelled(step_run.path, interruption))
    failure = Failure(workflow_run.report, interruption)
    return _after_failure(workflow_run, step_run, failure)


def _after_failure(workflow_run: WorkflowRun, step_run: StepRun, event: Failure) -> Onward:
    """Decide, by the execution mode, where a failure goes."""
    if workflow_run.first_error is None:
        workflow_run.first_error = event.error
    mode, run = workflow_run.modes.execution, workflow_run.run
    if _goes_back(workflow_run, event.error):
        workflow_run.is_undone = True
        if step_run.state in {StepState.COMPENSATED, StepState.COMPENSATION_FAILED}:
            return _after_rollback(workflow_run, step_run, event)
        return step_run.index, event
    if mode is ExecutionMode.CONTINUE:
        _stop_if_suspended(run)
        if run.interruption is None:
            return step_run.index + 1, Success(workflow_run.report)
    return _END, event


def _goes_back(workflow_run: WorkflowRun, error: BaseException) -> bool:
    """Whether a failure sends the run on the way back."""
    run = workflow_run.run
    return run.must_undo or (workflow_run.modes.execution is ExecutionMode.ROLLBACK and run.sends_back(error))


def _stop_if_suspended(run: Run) -> None:
    """Stop the walk where it is, if the run was interrupted and is to be resumed some time.

    Raises:
        Halt: Up to `relay`, which closes the report.
    """
    if run.interruption is not None and run.is_suspended:
        raise Halt(run.interruption, Outcome.SUSPENDED)


def _undo_more(workflow_run: WorkflowRun, request: Requested) -> Generator[Command, Any, None]:
    """Do what an operator has asked of a run that had ended: go back once more, over what still stands."""
    run = workflow_run.run
    redo_changes(workflow_run)
    run.request, workflow_run.is_undone = request, True
    if workflow_run.first_error is None:
        workflow_run.first_error = RollbackRequested(request.note or "asked for by an operator")
    failure = Failure(workflow_run.report, workflow_run.first_error)
    yield from _carry(workflow_run, len(workflow_run.steps) - 1, failure)
    run.request = None
    workflow_run.undo_failed = has_failed_undo(workflow_run)


def _as_requested(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Failure, request: Requested
) -> Onward | None:
    """Pass by a step that a request does not touch, or mark it; return None where it is to be undone."""
    if is_untouched(step_run, request):
        _restore(workflow_run, step_run)
        return step_run.index - 1, sent
    if request.request is not Request.MARK_UNDONE or step_run.path != request.path:
        return None
    report = StepReport(step_run.id, ROLLBACK)
    report.detail = f"marked as undone: {request.note}"
    failure = Failure.skipped(sent, report)
    step_run.state = StepState.COMPENSATED
    _record(workflow_run, step_run, failure, None, _restore(workflow_run, step_run))
    return _after_rollback(workflow_run, step_run, failure)


def _after_rollback(workflow_run: WorkflowRun, step_run: StepRun, event: Failure) -> Onward:
    """Decide, by the rollback mode, whether the way back goes on."""
    if step_run.state is StepState.COMPENSATION_FAILED and workflow_run.modes.rollback is RollbackMode.STOP:
        return _END, event
    return step_run.index - 1, event


def _state_after_rollback(workflow_run: WorkflowRun, step_run: StepRun, report: StepReport) -> StepState:
    if report.status is not FAILED:
        return StepState.COMPENSATED
    workflow_run.undo_failed, step_run.undo_error = True, report.error
    return StepState.COMPENSATION_FAILED


_STATE_AFTER: dict[Outcome | None, StepState] = {
    Outcome.UNDONE: StepState.COMPENSATED,
    Outcome.NEEDS_ATTENTION: StepState.COMPENSATION_FAILED,
    Outcome.FAILED: StepState.FAILED,
}
"""What the outcome of a nested workflow that failed makes of it as a step."""


def _record(
    workflow_run: WorkflowRun,
    step_run: StepRun,
    event: AnyEvent,
    ctx: Context | None = None,
    committed: Committed = _NOTHING_CHANGED,
) -> None:
    """Move what an accepted event adds into the report, and line it up to be written."""
    reports = event.added
    if ctx is not None and reports[0] is not ctx.report:  # a controller of its own may bring its own report
        reports[0].adopt_metadata(ctx.report)
    reports[0].modes = reports[-1].modes = workflow_run.modes
    workflow_run.report.step_reports.extend(reports)
    run = workflow_run.run
    if run.redactor:
        _redact(run, event)
    if run.is_heard:
        path, goes_back = step_run.path, None
        if run.begun is not None and isinstance(event, Failure) and reports[0].action is not ROLLBACK:
            goes_back = _goes_back(workflow_run, event.error)
        run.unwritten.append(Answered(path, reports[0], committed.shared, committed.local, goes_back))
        run.unwritten += [Answered(path, report) for report in reports[1:]]
    event.added = ()


def _redact(run: Run, event: AnyEvent) -> None:
    """Keep secrets out of what an event adds to the report, and out of its error."""
    for report in event.added:
        if report.detail is not None:
            report.detail = run.redactor.text(report.detail)
        if report.has_metadata:
            for name, value in report.metadata.items():
                report.metadata[name] = run.redactor.text(value) if isinstance(value, str) else value
        if report.error is not None:
            before, report.error = report.error, _redacted(run, report.error)
            if isinstance(event, Failure) and event.error is before:
                event.error = report.error


def _redacted(run: Run, error: BaseException) -> BaseException:
    """Return an error without secrets; what it means for the run was decided by the error itself."""
    if not run.redactor:
        return error
    redacted = run.redactor.error(error)
    if redacted is not error:
        run.replay_decision(redacted, run.sends_back(error))
    return redacted


def _announce(workflow_run: WorkflowRun, step_run: StepRun, report: StepReport) -> None:
    """Line up the record that a nested workflow starts; it is written with its first step's."""
    if workflow_run.run.is_heard:
        workflow_run.run.unwritten.append(Started(step_run.path, report.action, report.start_time))


def _close(workflow_run: WorkflowRun) -> None:
    """Close the report of a workflow that has been walked."""
    report = workflow_run.report
    if report.error is None:  # an interruption after a step that went well is in no step's report
        report.own_error = workflow_run.first_error
    if workflow_run.is_skipped:
        report.close(SKIPPED, Outcome.SUCCEEDED)
    elif workflow_run.first_error is None:
        report.close(Status.SUCCESS, Outcome.SUCCEEDED)
    elif workflow_run.undo_failed:
        report.close(Status.FAILED, Outcome.NEEDS_ATTENTION)
    elif workflow_run.is_undone:
        report.close(Status.FAILED, Outcome.UNDONE)
    else:
        report.close(Status.FAILED, Outcome.FAILED)


def _close_halted(workflow_run: WorkflowRun, halt: Halt) -> None:
    """Close the report of a run that has stopped on its way; nested workflows on their way are told in it."""
    report = workflow_run.report
    for step_run in workflow_run.steps:
        nested = step_run.nested
        if nested is not None and nested.report.outcome is None:
            _close_halted(nested, halt)
            part = StepReport(step_run.id, nested.report.action)
            part.start_time, part.workflow = nested.report.start_time, nested.report
            report.step_reports.append(part)
    report.own_error = halt.error = _redacted(workflow_run.run, halt.error)
    report.close(Status.UNDEFINED, halt.outcome)
