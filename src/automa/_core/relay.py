"""The relay: carries each handoff to its receiver until there is none.

The walk of a run is a generator of commands (`Append`, `Deliver`, …). Whoever drives it does the
waiting and the writing, and sends back what a step answered. What an answer means for the step stands in
`accepting`, where the run goes on in `decisions`; here the walk goes there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automa._core import clock
from automa._core.accepting import accept_not_run, accept_rollback, accept_run, pass_back
from automa._core.attempts import ask_condition, build, call, prepare, wait_for_late, write
from automa._core.closing import close, close_halted
from automa._core.commands import (
    Append,
    Branch,
    Command,
    CutOff,
    Deliver,
    Fork,
    Halt,
    Interrupted,
    Raised,
    Refused,
)
from automa._core.context import Context
from automa._core.decisions import (
    Onward,
    after_rollback,
    after_success,
    fail,
    pass_pivot,
    state_after_rollback,
    stop_if_suspended,
)
from automa._core.events import AnyEvent, Failure, Success
from automa._core.expand import Expand, definition_of, topology_of
from automa._core.functions import Preparation
from automa._core.parallel import ParallelDefinition, forked, joined
from automa._core.recording import announce, record, record_prepare, redacted, restore, sends_back
from automa._core.records import Answered, Ended, Expanded, Late, Request, Requested, Started, Suspended
from automa._core.reports import StepReport
from automa._core.runs import StepState
from automa._core.standing import (
    first_undo_error,
    has_failed_undo,
    is_untouched,
    last_to_undo,
    redo_changes,
    reopen,
)
from automa._core.status import (
    FAILED,
    PREPARE,
    ROLLBACK,
    RUN,
    SKIPPED,
    SUCCESS,
    Outcome,
    RollbackMode,
)
from automa._core.steps import Step
from automa.errors import RollbackRequested, Skip, StateError, WorkflowDefinitionError, text_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from automa._core.definition import Definition
    from automa._core.reports import WorkflowReport
    from automa._core.runs import StepRun, WorkflowRun

_NOT_RUN, _COMPLETED = StepState.NOT_RUN, StepState.COMPLETED


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
        yield from _settle(workflow_run)
        close(workflow_run)
        answer = yield Append([*run.take_unwritten(), Ended(workflow_run.report)])
        while isinstance(answer, Requested):
            yield from _undo_more(workflow_run, answer)
            close(workflow_run)
            answer = yield Append([*run.take_unwritten(), Ended(workflow_run.report)])
        halt = answer
    except Halt as stopped:
        halt = stopped
    while halt is not None:
        close_halted(workflow_run, halt)
        records = run.take_unwritten()
        if halt.outcome is not Outcome.INFRASTRUCTURE_ERROR and run.begun is not None:
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
            or run.takes_detours
            or not getattr(step, "is_plain", True)
        ):
            index, event = yield from _detour(workflow_run, step_run, event)
            continue
        # What follows is `call`, spelt out: every step passes here, and a generator costs.
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
            index, event = accept_run(workflow_run, step_run, ctx, event, answer)
        else:
            index, event = accept_rollback(workflow_run, step_run, ctx, event, answer)


def _detour(  # noqa: PLR0911  # a kind of step a line
    workflow_run: WorkflowRun, step_run: StepRun, event: AnyEvent
) -> Generator[Command, Any, Onward]:
    """Carry an event to what is more than a plain step; return where to go on."""
    if isinstance(event, Success):
        definition = step_run.definition
        if isinstance(definition, ParallelDefinition):
            return (yield from _run_parallel(workflow_run, step_run, definition, event))
        if definition is not None:
            return (yield from _run_nested(workflow_run, step_run, definition, event))
        if isinstance(step_run.step, Expand):
            return (yield from _run_expanded(workflow_run, step_run, step_run.step, event))
        return (yield from _run_step(workflow_run, step_run, event))
    if workflow_run.run.request is not None:
        onward = _as_requested(workflow_run, step_run, event, workflow_run.run.request)
        if onward is not None:
            return onward
    if step_run.state is _NOT_RUN:
        return pass_back(workflow_run, step_run, event)
    if step_run.nested is not None:
        return (yield from _undo_nested(workflow_run, step_run, step_run.nested, event))
    return (yield from _undo_step(workflow_run, step_run, event))


def _run_step(workflow_run: WorkflowRun, step_run: StepRun, sent: Success) -> Generator[Command, Any, Onward]:
    """Run a step with all that belongs to it: its condition, its prepare, its attempts."""
    step = step_run.step
    own = step if isinstance(step, Step) else None  # a foreign step may answer to any name
    if own is not None and own.when_function is not None:
        ctx, error = yield from ask_condition(workflow_run, step_run, own.when_function, sent)
        if error is not None:
            return accept_not_run(workflow_run, step_run, ctx, sent, error)
    if own is not None and own.prepare_function is not None:
        controller = Preparation(own.prepare_function, step)
        ctx, error = yield from prepare(workflow_run, step_run, controller, sent)
        if error is not None:
            return accept_not_run(workflow_run, step_run, ctx, sent, error)
        record_prepare(workflow_run, step_run, ctx.report, *step_run.mark(workflow_run.shared))
    ctx, answer = yield from call(workflow_run, step_run, RUN, sent)
    onward = accept_run(workflow_run, step_run, ctx, sent, answer)
    if own is not None and own.pivot and step_run.state is _COMPLETED:
        pass_pivot(workflow_run.run)
    return onward


def _undo_step(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Failure
) -> Generator[Command, Any, Onward]:
    """Undo a step, once it is no longer at work, in as many attempts as it has."""
    run = workflow_run.run
    for left in run.left_at_work:
        if left.step_run is step_run:
            yield from wait_for_late(run, left, run.late_grace)
            break
    ctx, answer = yield from call(workflow_run, step_run, ROLLBACK, sent)
    if getattr(step_run.step, "irreversible", False) is True:
        ctx.report.more.is_irreversible = True
    return accept_rollback(workflow_run, step_run, ctx, sent, answer)


def _prepare_workflow(workflow_run: WorkflowRun) -> Generator[Command, Any, bool]:
    """Prepare a workflow: what it returns goes into its shared state. Return whether its steps may run."""
    function = workflow_run.definition.prepare
    if function is None:
        return True
    run, report, itself = workflow_run.run, workflow_run.report, workflow_run.itself
    sent, controller = Success.start_trigger(report), Preparation(function, None)
    ctx, error = yield from prepare(workflow_run, itself, controller, sent)
    report.metadata.update(ctx.metadata)
    if error is not None and not isinstance(error, Exception):
        run.interrupt(error)
        stop_if_suspended(run)
    committed = itself.commit(workflow_run.shared, keep_delta=False)
    if error is None:
        record_prepare(workflow_run, itself, ctx.report, committed.shared, committed.local)
        return True
    report.action = PREPARE
    if isinstance(error, Skip):
        workflow_run.is_skipped = True
        report.detail = text_of(error) or None
        if workflow_run.prefix == "":
            ctx.report.detail = report.detail
            record_prepare(workflow_run, itself, ctx.report, committed.shared, committed.local, SKIPPED)
        return False
    error = redacted(run, error)
    report.prepare, workflow_run.first_error = ctx.report, error
    workflow_run.is_undone = sends_back(workflow_run, error)
    ctx.report.error = error
    ctx.report.close(PREPARE, FAILED)
    if run.is_heard and workflow_run.prefix == "":
        run.unwritten.append(
            Answered(itself.path, ctx.report, committed.shared, committed.local, workflow_run.is_undone)
        )
    return False


def _run_nested(
    workflow_run: WorkflowRun, step_run: StepRun, definition: Definition, sent: Success
) -> Generator[Command, Any, Onward]:
    """Walk a nested workflow forward, as one step of the workflow around it.

    Where it fails it undoes itself, so that it is not to be undone again.
    """
    report = StepReport(step_run.id, RUN)
    announce(workflow_run, step_run, report)
    try:
        nested = step_run.nested = workflow_run.nest(step_run, definition)
    except StateError as error:
        return _refuse_state(workflow_run, step_run, sent, report, error)
    nested.report.start_time = report.start_time
    if (yield from _prepare_workflow(nested)):
        yield from _carry(nested, 0, Success.start_trigger(nested.report))
    return _end_nested(workflow_run, step_run, nested, sent, report)


def _run_expanded(
    workflow_run: WorkflowRun, step_run: StepRun, step: Expand, sent: Success
) -> Generator[Command, Any, Onward]:
    """Build what a step stands for, and walk that."""
    ctx, built = yield from build(workflow_run, step_run, step, sent)
    if isinstance(built, Raised | Refused | CutOff):
        return accept_not_run(workflow_run, step_run, ctx, sent, built.error)
    try:
        definition = definition_of(built, workflow_run, step)
    except WorkflowDefinitionError as error:
        return accept_not_run(workflow_run, step_run, ctx, sent, error)
    if workflow_run.run.is_heard:
        is_parallel = isinstance(definition, ParallelDefinition)
        name = None if definition.id == step_run.id else definition.id
        expanded = Expanded(step_run.path, topology_of(definition), is_parallel, name)
        workflow_run.run.unwritten.append(expanded)
    if isinstance(definition, ParallelDefinition):
        return (yield from _run_parallel(workflow_run, step_run, definition, sent))
    return (yield from _run_nested(workflow_run, step_run, definition, sent))


def _run_parallel(
    workflow_run: WorkflowRun, step_run: StepRun, definition: ParallelDefinition, sent: Success
) -> Generator[Command, Any, Onward]:
    """Walk the branches of a parallel step forward, side by side; nothing is undone before all have ended."""
    run = workflow_run.run
    report = StepReport(step_run.id, RUN)
    announce(workflow_run, step_run, report)
    try:
        nested = forked(workflow_run, step_run, definition)
    except StateError as error:
        return _refuse_state(workflow_run, step_run, sent, report, error)
    nested.report.start_time = report.start_time
    if run.is_heard:
        yield from write(run)
    for branch in nested.branches:  # the history may have told of a request only now
        branch.run.must_undo = run.must_undo
    branches = [
        Branch(nested.prefix + part, _walk_branch(branch), branch.run)
        for branch, (_, _, part, _) in zip(nested.branches, definition.entries, strict=True)
    ]
    ends = yield Fork(step_run.path, branches, definition.limit, definition.cancels)
    joined(workflow_run, nested)
    halts = [end for end in ends if isinstance(end, Halt)]
    if halts:
        raise max(halts, key=lambda halt: _HALTS.index(halt.outcome))
    return _end_nested(workflow_run, step_run, nested, sent, report)


_HALTS = (Outcome.NEEDS_ATTENTION, Outcome.SUSPENDED, Outcome.INFRASTRUCTURE_ERROR)
"""Why branches may stop; of several reasons the last one here counts."""


def _walk_branch(branch: WorkflowRun) -> Generator[Command, Any, Halt | bool]:
    """Walk a branch forward; return whether it went well, or what has stopped it."""
    try:
        yield from _carry(branch, 0, Success.start_trigger(branch.report))
        if branch.run.unwritten:
            yield from write(branch.run)
    except Halt as halt:
        return (yield from _leave_branch(branch, halt))
    return branch.first_error is None


def _leave_branch(branch: WorkflowRun, halt: Halt) -> Generator[Command, Any, Halt]:
    """Write what is known of a branch that is stopped: those beside it may go on for long."""
    if branch.run.unwritten and halt.outcome is not Outcome.INFRASTRUCTURE_ERROR:
        another = yield Append(branch.run.take_unwritten())
        return halt if another is None else another
    return halt


def _refuse_state(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Success, report: StepReport, error: StateError
) -> Onward:
    """Fail a nested workflow that cannot have the state, which somebody has changed between two steps."""
    if workflow_run.run.is_past_pivot:
        raise Halt(error, Outcome.NEEDS_ATTENTION) from None
    step_run.state = _NOT_RUN
    return fail(workflow_run, step_run, Failure.of_run(sent, error, report, PREPARE))


def _end_nested(
    workflow_run: WorkflowRun, step_run: StepRun, nested: WorkflowRun, sent: Success, report: StepReport
) -> Onward:
    """Take what came of a nested workflow, and decide who is next."""
    close(nested)
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
        record(workflow_run, step_run, success)
        return after_success(workflow_run, step_run, success)
    workflow_run.undo_failed = workflow_run.undo_failed or nested.undo_failed
    failure = Failure.of_run(sent, nested.first_error, report, action)
    report.end_time = nested.report.end_time
    if action is PREPARE:
        step_run.state = _NOT_RUN
    elif nested.branches or nested.is_branch:  # it has not gone back yet
        step_run.state = StepState.FAILED
    else:
        step_run.state = _STATE_AFTER[nested.report.outcome]
    return fail(workflow_run, step_run, failure)


def _undo_nested(
    workflow_run: WorkflowRun, step_run: StepRun, nested: WorkflowRun, sent: Failure
) -> Generator[Command, Any, Onward]:
    """Walk a nested workflow back, as one undo of the workflow around it."""
    report = StepReport(step_run.id, ROLLBACK)
    announce(workflow_run, step_run, report)
    nested.report, nested.undo_failed = nested.new_report(ROLLBACK), False
    nested.report.start_time = report.start_time
    for part in reversed(nested.branches) if nested.branches else (nested,):  # a branch goes back alone
        part.report = nested.report
        last = last_to_undo(part) if workflow_run.run.request is None else len(part.steps) - 1
        yield from _carry(part, last, Failure(nested.report, sent.error))
        if has_failed_undo(part) and workflow_run.modes.rollback is RollbackMode.STOP:
            break
    report.workflow = nested.report
    error = first_undo_error(nested)
    nested.undo_failed = error is not None
    if error is not None:
        nested.report.close(FAILED, Outcome.NEEDS_ATTENTION)
        event = Failure.of_rollback(sent, error, report)
    else:
        nested.report.close(SUCCESS, Outcome.UNDONE)
        event = Failure.of(sent, report)
    report.end_time = nested.report.end_time
    step_run.state = state_after_rollback(workflow_run, step_run, report)
    record(workflow_run, step_run, event)
    return after_rollback(workflow_run, step_run, event)


def _settle(workflow_run: WorkflowRun) -> Generator[Command, Any, None]:
    """See what became of steps that took too long, before the run ends.

    One that has come to an end after its undo is undone once more: it may have done its work after it.
    """
    run = workflow_run.run
    while run.left_at_work:
        left = run.left_at_work[0]
        step_run = left.step_run
        is_undone = step_run.state in {StepState.COMPENSATED, StepState.COMPENSATION_FAILED}
        if (yield from wait_for_late(run, left, 0.0)):
            if is_undone:
                reopen(workflow_run, step_run.path)
                now, note = clock.now(), "it came to its end after its undo"
                yield from _undo_more(workflow_run, Requested(now, Request.RETRY_UNDO, step_run.path, note))
            continue
        run.forget_late(left)
        left.report.more.late = late = Late(step_run.path, clock.now(), is_back=False)
        if run.is_heard:
            run.unwritten.append(late)
        if is_undone:
            workflow_run.report.detail = f"late effect possible: step {step_run.path} is still at work"
            step_run.undo_error = step_run.undo_error or left.report.error
            reopen(workflow_run, step_run.path, StepState.COMPENSATION_FAILED)
            workflow_run.undo_failed = True


def _undo_more(workflow_run: WorkflowRun, request: Requested) -> Generator[Command, Any, None]:
    """Do what an operator has asked of a run that had ended: go back once more, over what still stands."""
    run = workflow_run.run
    redo_changes(workflow_run)
    run.request, run.takes_detours, workflow_run.is_undone = request, True, True
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
        restore(workflow_run, step_run)
        return step_run.index - 1, sent
    if request.request is not Request.MARK_UNDONE or step_run.path != request.path:
        return None
    report = StepReport(step_run.id, ROLLBACK)
    report.detail = f"marked as undone: {request.note}"
    failure = Failure.skipped(sent, report)
    step_run.state = StepState.COMPENSATED
    record(workflow_run, step_run, failure, None, restore(workflow_run, step_run))
    return after_rollback(workflow_run, step_run, failure)


_STATE_AFTER: dict[Outcome | None, StepState] = {
    Outcome.UNDONE: StepState.COMPENSATED,
    Outcome.NEEDS_ATTENTION: StepState.COMPENSATION_FAILED,
    Outcome.FAILED: StepState.FAILED,
}
"""What the outcome of a nested workflow that failed makes of it as a step."""
