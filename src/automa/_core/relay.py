"""The relay: carries each handoff to its receiver until there is none.

The walk of a run is a generator of commands (`Append`, `Deliver`). Whoever drives it does the
waiting and the writing, and sends back what a step answered. Everything that decides what happens
next in a run stands in this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automa._core.commands import Append, Command, Deliver, Interrupted, Raised
from automa._core.context import Context
from automa._core.events import Event, Failure, Handoff, Success
from automa._core.records import Answered, Ended, Started
from automa._core.reports import StepReport
from automa._core.runs import StepRun, StepState, WorkflowRun
from automa._core.status import FAILED, ROLLBACK, RUN, Action, ExecutionMode, Outcome, RollbackMode, Status
from automa.errors import IllegalHandoff

if TYPE_CHECKING:
    from collections.abc import Generator

    from automa._core.reports import WorkflowReport

AnyEvent = Success | Failure
Onward = tuple[int, AnyEvent]
"""Where to go on, an index of a step, and with what."""

_END = -1  # no step's index: the event leaves the workflow

_COMPLETED = StepState.COMPLETED
_RAN, _ROLLED_BACK, _RAN_AND_ROLLED_BACK = (RUN,), (ROLLBACK,), (RUN, ROLLBACK)


def relay(workflow_run: WorkflowRun) -> Generator[Command, Any, WorkflowReport]:
    """Walk a workflow from its first step to the end of its way forward, or of its way back.

    Args:
        workflow_run: A new run of the root workflow.

    Returns:
        The closed report.
    """
    yield from _carry(workflow_run, 0, Success.start_trigger(workflow_run.report))
    _close(workflow_run)
    yield Append([*workflow_run.run.take_unwritten(), Ended(workflow_run.report)])
    return workflow_run.report


def _carry(workflow_run: WorkflowRun, index: int, event: AnyEvent) -> Generator[Command, Any, None]:
    """Carry an event from step to step, forward or backward, until it leaves the workflow."""
    run, nested = workflow_run.run, workflow_run.definition.nested
    while 0 <= index < workflow_run.count:
        step_run = workflow_run.reach(index)
        if index in nested:
            if isinstance(event, Success):
                index, event = yield from _run_nested(workflow_run, step_run, event)
            else:
                index, event = yield from _undo_nested(workflow_run, step_run, event)
            continue
        forward = isinstance(event, Success)
        ctx = Context(workflow_run, step_run, RUN if forward else ROLLBACK)
        workflow_run.shared.step = step_run.id
        if run.is_heard:
            run.unwritten.append(Started(ctx.path, ctx.action))
            yield Append(run.take_unwritten())
        answer = yield Deliver(step_run.step.run if forward else step_run.step.rollback, ctx, event)
        if isinstance(answer, Interrupted):
            run.interrupt(answer.error)
            answer = answer.answer
        if isinstance(event, Success):
            index, event = _accept_run(workflow_run, step_run, ctx, event, answer)
        else:
            index, event = _accept_rollback(workflow_run, step_run, ctx, event, answer)


def _accept_run(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Success, answer: object
) -> Onward:
    """Take what came of a step's run, and decide who is next."""
    answered = _event_of(workflow_run, step_run, sent, answer)
    event = Failure.of_run(sent, answered, ctx.report) if isinstance(answered, BaseException) else answered
    if workflow_run.shared.touched or step_run.local is not None:
        invalid = step_run.commit(workflow_run.shared)
        if invalid is not None and isinstance(event, Success):
            event = Failure.of_run(sent, invalid, event.added[0])
    reports = event.added
    _record(workflow_run, event, ctx)
    if isinstance(event, Success):
        step_run.state = _COMPLETED
        workflow_run.run.results[workflow_run.prefix + step_run.id] = reports[0].result
        return _after_success(workflow_run, step_run, event)
    step_run.state = StepState.FAILED if len(reports) == 1 else _state_after_rollback(reports[1])
    if not isinstance(event.error, Exception):
        reports[0].detail = "unknown"  # it was cut off somewhere in its work
        workflow_run.run.interrupt(event.error)
    return _after_failure(workflow_run, step_run, event)


def _accept_rollback(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, sent: Failure, answer: object
) -> Onward:
    """Take what came of a step's rollback, and decide who is next."""
    event = _event_of(workflow_run, step_run, sent, answer)
    if isinstance(event, BaseException):
        if not isinstance(event, Exception):
            workflow_run.run.interrupt(event)
        event = Failure.of_rollback(sent, event, ctx.report)
    assert isinstance(event, Failure)  # noqa: S101  # nothing else is a legal answer of a rollback
    step_run.state = _state_after_rollback(event.added[0])
    _record(workflow_run, event, ctx)
    if workflow_run.shared.touched or step_run.delta is not None:
        workflow_run.shared.revert(step_run.delta)
    return _after_rollback(workflow_run, step_run, event)


def _run_nested(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Success
) -> Generator[Command, Any, Onward]:
    """Walk a nested workflow forward, as one step of the workflow around it.

    Where it fails it undoes itself, so that it is not to be undone again.
    """
    report = StepReport(step_run.id, RUN)
    _announce(workflow_run, report)
    nested = step_run.nested = workflow_run.nest(step_run)
    yield from _carry(nested, 0, Success.start_trigger(nested.report))
    _close(nested)
    report.workflow = nested.report
    if nested.first_error is None:
        report.result = nested.report.results
        success = Success.of(sent, report)
        step_run.state = _COMPLETED
        _record(workflow_run, success)
        return _after_success(workflow_run, step_run, success)
    failure = Failure.of_run(sent, nested.first_error, report)
    step_run.state = _STATE_AFTER[nested.report.outcome]
    _record(workflow_run, failure)
    return _after_failure(workflow_run, step_run, failure)


def _undo_nested(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Failure
) -> Generator[Command, Any, Onward]:
    """Walk a nested workflow that has succeeded back, as one undo of the workflow around it."""
    report = StepReport(step_run.id, ROLLBACK)
    _announce(workflow_run, report)
    nested = step_run.nested
    assert nested is not None  # noqa: S101  # only what has run is undone
    nested.report = nested.new_report()
    yield from _carry(nested, nested.count - 1, Failure(nested.report, sent.error))
    report.workflow = nested.report
    errors = nested.report.rollback_errors
    if errors:
        nested.report.close(Status.FAILED, Outcome.NEEDS_ATTENTION)
        event = Failure.of_rollback(sent, errors[0], report)
    else:
        nested.report.close(Status.SUCCESS, Outcome.UNDONE)
        event = Failure.of(sent, report)
    step_run.state = _state_after_rollback(report)
    _record(workflow_run, event)
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
    mode = workflow_run.modes.execution
    if mode is ExecutionMode.ROLLBACK:
        if step_run.state in {StepState.COMPENSATED, StepState.COMPENSATION_FAILED}:
            return _after_rollback(workflow_run, step_run, event)
        return step_run.index, event
    if mode is ExecutionMode.CONTINUE and workflow_run.run.interruption is None:
        return step_run.index + 1, Success(workflow_run.report)
    return _END, event


def _after_rollback(workflow_run: WorkflowRun, step_run: StepRun, event: Failure) -> Onward:
    """Decide, by the rollback mode, whether the way back goes on."""
    if step_run.state is StepState.COMPENSATION_FAILED and workflow_run.modes.rollback is RollbackMode.STOP:
        return _END, event
    return step_run.index - 1, event


def _state_after_rollback(report: StepReport) -> StepState:
    return StepState.COMPENSATION_FAILED if report.status is FAILED else StepState.COMPENSATED


_STATE_AFTER: dict[Outcome | None, StepState] = {
    Outcome.UNDONE: StepState.COMPENSATED,
    Outcome.NEEDS_ATTENTION: StepState.COMPENSATION_FAILED,
    Outcome.FAILED: StepState.FAILED,
}
"""What the outcome of a nested workflow that failed makes of it as a step."""


def _record(workflow_run: WorkflowRun, event: AnyEvent, ctx: Context | None = None) -> None:
    """Move what an accepted event adds into the report, and line it up to be written."""
    reports = event.added
    if ctx is not None and reports[0] is not ctx.report:  # a controller of its own may bring its own report
        reports[0].adopt_metadata(ctx.report)
    workflow_run.report.step_reports += reports
    if workflow_run.run.is_heard:
        path = workflow_run.prefix + reports[0].step_id
        workflow_run.run.unwritten += [Answered(path, report) for report in reports]
    event.added = ()


def _announce(workflow_run: WorkflowRun, report: StepReport) -> None:
    """Line up the record that a nested workflow starts; it is written with its first step's."""
    if workflow_run.run.is_heard:
        workflow_run.run.unwritten.append(Started(workflow_run.prefix + report.step_id, report.action))


def _close(workflow_run: WorkflowRun) -> None:
    """Close the report of a workflow that has been walked."""
    report = workflow_run.report
    if workflow_run.first_error is None:
        report.close(Status.SUCCESS, Outcome.SUCCEEDED)
    elif report.rollback_errors:
        report.close(Status.FAILED, Outcome.NEEDS_ATTENTION)
    elif workflow_run.modes.execution is ExecutionMode.ROLLBACK:
        report.close(Status.FAILED, Outcome.UNDONE)
    else:
        report.close(Status.FAILED, Outcome.FAILED)


def _event_of(
    workflow_run: WorkflowRun, step_run: StepRun, sent: AnyEvent, answer: object
) -> AnyEvent | BaseException:
    """Return the event of a step's answer if it may answer so, else the error that this is.

    Legal is: a `Success` to the next; from a run, a `Failure` to itself, or to the step before
    where it has called its own rollback, which makes two reports; from a rollback, a `Failure` to
    the step before.
    """
    if not isinstance(answer, Handoff) or not isinstance(answer.event, Event):
        return _not_a_handoff(workflow_run, step_run, answer)
    to, event = answer.to, answer.event
    reports, ran = event.added, isinstance(sent, Success)
    actions: tuple[Action, ...]
    if isinstance(event, Success):
        receiver, actions = workflow_run.step_at(step_run.index + 1), _RAN
    elif ran and len(reports) == 1:
        receiver, actions = step_run.step, _RAN
    else:
        receiver, actions = (
            workflow_run.step_at(step_run.index - 1),
            _RAN_AND_ROLLED_BACK if ran else _ROLLED_BACK,
        )
    if to is receiver and len(reports) == len(actions) and event.base is sent.base:
        first, last = reports[0], reports[-1]
        if (
            first.action is actions[0]
            and last.action is actions[-1]
            and first.step_id == last.step_id == step_run.id
        ):
            return event
    return IllegalHandoff(
        f"step {workflow_run.prefix}{step_run.id}: its {RUN if ran else ROLLBACK} handed a "
        f"{type(event).__name__} with the reports {[*map(repr, reports)]} to {_name(to)}; expected was "
        f"{' and '.join(actions)} of this step, made from the event that it got, to {_name(receiver)}"
    )


def _not_a_handoff(workflow_run: WorkflowRun, step_run: StepRun, answer: object) -> BaseException:
    if isinstance(answer, Raised):
        return answer.error
    return IllegalHandoff(
        f"step {workflow_run.prefix}{step_run.id} answered with {answer!r}, "
        "not with a Handoff of a Success or a Failure"
    )


def _name(receiver: object) -> str:
    return "the end of the workflow" if receiver is None else f"step {getattr(receiver, 'id', receiver)!r}"
