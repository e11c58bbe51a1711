"""The relay: carries each handoff to its receiver until there is none.

The walk of a run is a generator of commands (`Append`, `Deliver`). Whoever drives it does the
waiting and the writing, and sends back what a step answered. Everything that decides what happens
next in a run stands in this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automa._core.answers import event_of_rollback, event_of_run
from automa._core.commands import Append, Command, Deliver, Interrupted, Raised
from automa._core.context import Context
from automa._core.events import Failure, Success
from automa._core.functions import Preparation, StepFunction
from automa._core.records import Answered, Ended, Started
from automa._core.reports import StepReport
from automa._core.runs import StepRun, StepState, WorkflowRun
from automa._core.status import (
    FAILED,
    PREPARE,
    ROLLBACK,
    RUN,
    SKIPPED,
    ExecutionMode,
    Outcome,
    RollbackMode,
    Status,
)
from automa.errors import Skip, StateError, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from automa._core.definition import Definition
    from automa._core.reports import WorkflowReport
    from automa._core.state import State

AnyEvent = Success | Failure
Onward = tuple[int, AnyEvent]
"""Where to go on, an index of a step, and with what."""

_END = -1  # no step's index: the event leaves the workflow

_NOT_RUN, _COMPLETED = StepState.NOT_RUN, StepState.COMPLETED


def relay(workflow_run: WorkflowRun) -> Generator[Command, Any, WorkflowReport]:
    """Walk a workflow from its first step to the end of its way forward, or of its way back.

    Args:
        workflow_run: A new run of the root workflow.

    Returns:
        The closed report.
    """
    if (yield from _prepare_workflow(workflow_run)):
        yield from _carry(workflow_run, 0, Success.start_trigger(workflow_run.report))
    _close(workflow_run)
    yield Append([*workflow_run.run.take_unwritten(), Ended(workflow_run.report)])
    return workflow_run.report


def _carry(workflow_run: WorkflowRun, index: int, event: AnyEvent) -> Generator[Command, Any, None]:
    """Carry an event from step to step, forward or backward, until it leaves the workflow."""
    run = workflow_run.run
    while 0 <= index < workflow_run.count:
        step_run = workflow_run.reach(index)
        step = step_run.step
        if step_run.definition or step_run.state is _NOT_RUN or getattr(step, "prepare_function", None):
            onward = yield from _detour(workflow_run, step_run, event)
            if onward is not None:
                index, event = onward
                continue
        # What follows is `_deliver`, spelt out: every step passes here, and a generator costs.
        forward = isinstance(event, Success)
        ctx = Context(workflow_run, step_run, RUN if forward else ROLLBACK)
        workflow_run.shared.step = step_run.id
        if run.is_heard:
            run.unwritten.append(Started(ctx.path, ctx.action))
            yield Append(run.take_unwritten())
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
        run.unwritten.append(Started(ctx.path, ctx.action))
        yield Append(run.take_unwritten())
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
        _tell(workflow_run, step_run, ctx.report)
        return None
    step_run.commit(workflow_run.shared, keep_delta=workflow_run.run.snapshots)
    step_run.state = _NOT_RUN
    if isinstance(error, Skip):
        ctx.report.detail = text_of(error) or None
        success = Success.skipped(sent, ctx.report, PREPARE)
        _record(workflow_run, step_run, success)
        return _after_success(workflow_run, step_run, success)
    failure = Failure.of_run(sent, error, ctx.report, PREPARE)
    _record(workflow_run, step_run, failure)
    if not isinstance(error, Exception):
        workflow_run.run.interrupt(error)
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
    shared.commit()
    if error is None:
        _tell(workflow_run, workflow_run.itself, ctx.report)
        return True
    report.action = PREPARE
    if isinstance(error, Skip):
        workflow_run.is_skipped = True
        report.detail = text_of(error) or None
        return False
    report.prepare, workflow_run.first_error = ctx.report, error
    if not isinstance(error, Exception):
        run.interrupt(error)
    workflow_run.is_undone = workflow_run.modes.execution is ExecutionMode.ROLLBACK and run.sends_back(error)
    ctx.report.error = error
    ctx.report.close(PREPARE, FAILED)
    if run.is_heard and workflow_run.prefix == "":
        run.unwritten.append(Answered(workflow_run.itself.path, ctx.report))
    return False


def _tell(workflow_run: WorkflowRun, step_run: StepRun, report: StepReport) -> None:
    """Tell those who listen that a prepare went well; the report of the run has only what came of it."""
    if workflow_run.run.is_heard:
        report.close(PREPARE, Status.SUCCESS)
        workflow_run.run.unwritten.append(Answered(step_run.path, report))


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
    _record(workflow_run, step_run, failure)
    _restore(workflow_run, step_run)
    return _after_rollback(workflow_run, step_run, failure)


def _restore(workflow_run: WorkflowRun, step_run: StepRun) -> None:
    """Give the state the values that it had before a step: those that the step before it left."""
    shared = workflow_run.shared
    if not workflow_run.run.snapshots:
        shared.commit()
    elif shared.touched or step_run.delta is not None:
        shared.revert(step_run.delta)


def _accept_run(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Success, answer: object
) -> Onward:
    """Take what came of a step's run, and decide who is next."""
    answered = event_of_run(workflow_run, step_run, sent, answer)
    event = Failure.of_run(sent, answered, ctx.report) if isinstance(answered, BaseException) else answered
    if workflow_run.shared.touched or step_run.local is not None:
        invalid = step_run.commit(workflow_run.shared, keep_delta=workflow_run.run.snapshots)
        if invalid is not None and isinstance(event, Success):
            event = Failure.of_run(sent, invalid, event.added[0])
    reports = event.added
    _record(workflow_run, step_run, event, ctx)
    if isinstance(event, Success):
        step_run.state = _COMPLETED
        run = workflow_run.run
        run.results[step_run.path] = reports[0].result
        if run.interruption is None:
            return step_run.index + 1, event
        return _after_success(workflow_run, step_run, event)
    if reports[0].result is not None:  # it returned, and failed for another reason: its undo needs that
        workflow_run.run.results[step_run.path] = reports[0].result
    step_run.state = StepState.FAILED
    if len(reports) > 1:  # it has called its own rollback
        step_run.state = _state_after_rollback(workflow_run, reports[1])
        _restore(workflow_run, step_run)
    if not isinstance(event.error, Exception):
        reports[0].detail = "unknown"  # it was cut off somewhere in its work
        workflow_run.run.interrupt(event.error)
    return _after_failure(workflow_run, step_run, event)


def _accept_rollback(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Failure, answer: object
) -> Onward:
    """Take what came of a step's rollback, and decide who is next."""
    event = event_of_rollback(workflow_run, step_run, sent, answer)
    if isinstance(event, BaseException):
        if not isinstance(event, Exception):
            workflow_run.run.interrupt(event)
        event = Failure.of_rollback(sent, event, ctx.report)
    step_run.state = _state_after_rollback(workflow_run, event.added[0])
    _record(workflow_run, step_run, event, ctx)
    _restore(workflow_run, step_run)
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
        step_run.state = _NOT_RUN if nested.is_skipped else _COMPLETED
        _record(workflow_run, step_run, success)
        return _after_success(workflow_run, step_run, success)
    workflow_run.undo_failed = workflow_run.undo_failed or nested.undo_failed
    failure = Failure.of_run(sent, nested.first_error, report, action)
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
    yield from _carry(nested, nested.count - 1, Failure(nested.report, sent.error))
    report.workflow = nested.report
    if nested.undo_failed:
        nested.report.close(Status.FAILED, Outcome.NEEDS_ATTENTION)
        event = Failure.of_rollback(sent, nested.report.rollback_errors[0], report)
    else:
        nested.report.close(Status.SUCCESS, Outcome.UNDONE)
        event = Failure.of(sent, report)
    step_run.state = _state_after_rollback(workflow_run, report)
    _record(workflow_run, step_run, event)
    return _after_rollback(workflow_run, step_run, event)


def _after_success(workflow_run: WorkflowRun, step_run: StepRun, event: Success) -> Onward:
    interruption = workflow_run.run.interruption
    if interruption is None:
        return step_run.index + 1, event
    failure = Failure(workflow_run.report, interruption)
    return _after_failure(workflow_run, step_run, failure)


def _after_failure(workflow_run: WorkflowRun, step_run: StepRun, event: Failure) -> Onward:
    """Decide, by the execution mode, where a failure goes."""
    if workflow_run.first_error is None:
        workflow_run.first_error = event.error
    mode, run = workflow_run.modes.execution, workflow_run.run
    if mode is ExecutionMode.ROLLBACK and run.sends_back(event.error):
        workflow_run.is_undone = True
        if step_run.state in {StepState.COMPENSATED, StepState.COMPENSATION_FAILED}:
            return _after_rollback(workflow_run, step_run, event)
        return step_run.index, event
    if mode is ExecutionMode.CONTINUE and run.interruption is None:
        return step_run.index + 1, Success(workflow_run.report)
    return _END, event


def _after_rollback(workflow_run: WorkflowRun, step_run: StepRun, event: Failure) -> Onward:
    """Decide, by the rollback mode, whether the way back goes on."""
    if step_run.state is StepState.COMPENSATION_FAILED and workflow_run.modes.rollback is RollbackMode.STOP:
        return _END, event
    return step_run.index - 1, event


def _state_after_rollback(workflow_run: WorkflowRun, report: StepReport) -> StepState:
    if report.status is not FAILED:
        return StepState.COMPENSATED
    workflow_run.undo_failed = True
    return StepState.COMPENSATION_FAILED


_STATE_AFTER: dict[Outcome | None, StepState] = {
    Outcome.UNDONE: StepState.COMPENSATED,
    Outcome.NEEDS_ATTENTION: StepState.COMPENSATION_FAILED,
    Outcome.FAILED: StepState.FAILED,
}
"""What the outcome of a nested workflow that failed makes of it as a step."""


def _record(
    workflow_run: WorkflowRun, step_run: StepRun, event: AnyEvent, ctx: Context | None = None
) -> None:
    """Move what an accepted event adds into the report, and line it up to be written."""
    reports = event.added
    if ctx is not None and reports[0] is not ctx.report:  # a controller of its own may bring its own report
        reports[0].adopt_metadata(ctx.report)
    reports[0].modes = reports[-1].modes = workflow_run.modes
    workflow_run.report.step_reports.extend(reports)
    if workflow_run.run.is_heard:
        path = step_run.path
        workflow_run.run.unwritten += [Answered(path, report) for report in reports]
    event.added = ()


def _announce(workflow_run: WorkflowRun, step_run: StepRun, report: StepReport) -> None:
    """Line up the record that a nested workflow starts; it is written with its first step's."""
    if workflow_run.run.is_heard:
        workflow_run.run.unwritten.append(Started(step_run.path, report.action))


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
