"""How a step is called that is more than a plain one: its condition, prepare, attempts and limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from automa._core import clock
from automa._core.answers import event_of_rollback, event_of_run
from automa._core.commands import (
    Append,
    Await,
    Back,
    Command,
    CutOff,
    Deliver,
    Halt,
    Interrupted,
    Limit,
    Raised,
    Refused,
    Sleep,
)
from automa._core.context import Context
from automa._core.events import AnyEvent, Failure, Handoff, Success
from automa._core.functions import Admission, Condition, Expansion, Preparation, StepFunction
from automa._core.recording import record_attempt
from automa._core.records import AttemptFailed, Late, Started
from automa._core.results import as_journaled
from automa._core.retry import Retry
from automa._core.runs import LeftAtWork, Mark
from automa._core.status import FAILED, PREPARE, ROLLBACK, RUN, Action
from automa._core.steps import Step
from automa.errors import (
    DeadlineExceeded,
    ResultError,
    Skip,
    StateError,
    StepTimeout,
    UnknownOutcomeError,
    repr_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from automa._core.expand import Expand
    from automa._core.reports import StepReport
    from automa._core.runs import Run, StepRun, WorkflowRun
    from automa._core.state import Changes, State


def deliver(
    workflow_run: WorkflowRun, ctx: Context, controller: Callable[..., Any], event: AnyEvent
) -> Generator[Command, Any, object]:
    """Deliver an event, written ahead, and return what was answered."""
    run, limit = workflow_run.run, _limit_of(workflow_run.run, ctx)
    workflow_run.shared.step = ctx.step_id
    if run.is_heard:
        if ctx.action is not ROLLBACK:  # what is not called is not recorded as started
            admitted = _uninterrupted(run, (yield Deliver(_ADMISSION, ctx, event, limit)))
            if admitted is not None:
                return admitted
        run.unwritten.append(Started(ctx.path, ctx.action, ctx.report.start_time))
        yield from write(run)
    return _uninterrupted(run, (yield Deliver(controller, ctx, event, limit)))


_ADMISSION = Admission()


def write(run: Run) -> Generator[Command, Any, None]:
    """Write what has gathered.

    Raises:
        Halt: Where that cannot be.
    """
    halt = yield Append(run.take_unwritten())
    if halt is not None:
        raise halt


def _uninterrupted(run: Run, answer: object) -> object:
    """Return an answer; note what interrupted the run meanwhile."""
    if isinstance(answer, Interrupted):
        run.interrupt(answer.error)
        return answer.answer
    return answer


def _limit_of(run: Run, ctx: Context) -> Limit | None:
    """Return how long a call may take: the time-out of its step, or what is left until the deadline."""
    seconds, limit = None, None
    if isinstance(ctx.step, Step) and ctx.action is not PREPARE:
        seconds = ctx.step.timeout if ctx.action is RUN else ctx.step.undo_timeout
    if seconds is not None:
        limit = Limit(seconds, StepTimeout(f"{ctx.action} of step {ctx.path} took longer than {seconds:g} s"))
    if run.deadline is None or ctx.action is ROLLBACK:
        return limit
    left = (run.deadline - clock.now()).total_seconds()
    if limit is not None and limit.seconds <= left:
        return limit
    return Limit(left, DeadlineExceeded(f"step {ctx.path}: the deadline was {run.deadline.isoformat()}"))


def ask_condition(
    workflow_run: WorkflowRun, step_run: StepRun, when: StepFunction, sent: Success
) -> Generator[Command, Any, tuple[Context, BaseException | None]]:
    """Ask whether a step is to be run; return a `Skip` where it is not, an error where nobody can tell."""
    run, shared = workflow_run.run, workflow_run.shared
    shared.step = step_run.id
    failed: list[StepReport] = []
    while True:
        if run.unwritten:  # what it decides by is durable then
            yield from write(run)
        ctx = Context(workflow_run, step_run, RUN)
        try:
            answer = _uninterrupted(run, (yield Deliver(Condition(when, step_run.step), ctx, sent)))
        except Halt:
            workflow_run.report.step_reports += failed
            raise
        if not isinstance(answer, AttemptFailed):
            break
        failed = [answer.report]
        record_attempt(run, step_run, answer.report, answer.delay)  # as in `build`
    shared.discard()
    if step_run.local is not None:
        step_run.local.discard()
    if isinstance(answer, Raised | Refused):
        return ctx, answer.error
    try:
        is_wanted = bool(answer)
    except Exception as error:  # noqa: BLE001  # it is a user's object
        return ctx, error
    name = when.name if when.name.isidentifier() else "its condition"
    return ctx, None if is_wanted else Skip(f"{name} is false")


def build(
    workflow_run: WorkflowRun, step_run: StepRun, step: Expand, sent: Success
) -> Generator[Command, Any, tuple[Context, object]]:
    """Call what builds the steps that a step stands for; what it changes in the state is dropped."""
    run = workflow_run.run
    workflow_run.shared.step = step_run.id
    failed: list[StepReport] = []
    while True:
        ctx = Context(workflow_run, step_run, RUN)
        controller = Expansion(step.build_function, step)
        try:
            answer = _uninterrupted(run, (yield Deliver(controller, ctx, sent, _limit_of(run, ctx))))
        except Halt:
            workflow_run.report.step_reports += failed
            raise
        if not isinstance(answer, AttemptFailed):
            break
        failed = [answer.report]
        record_attempt(run, step_run, answer.report, answer.delay)  # the run had stopped, past its pivot
    if isinstance(answer, CutOff) and answer.is_at_work:
        return _cut_off(workflow_run, step_run, ctx, answer, Mark(None, None)), answer
    step_run.go_back_to(Mark(None, None), workflow_run.shared)
    return ctx, answer


def prepare(
    workflow_run: WorkflowRun, step_run: StepRun, controller: Preparation, sent: Success
) -> Generator[Command, Any, tuple[Context, BaseException | None]]:
    """Call a prepare, and keep what it returns in the state; return why it has failed or skipped, or None.

    That of a step keeps it in the state of the step alone, that of a workflow in the shared state.
    """
    run, mark = workflow_run.run, step_run.mark(workflow_run.shared)
    failed: list[StepReport] = []
    while True:
        ctx = Context(workflow_run, step_run, PREPARE)
        try:
            answer = yield from deliver(workflow_run, ctx, controller, sent)
        except Halt:
            if controller.step is not None:
                workflow_run.report.step_reports += failed
            elif failed:  # the prepare of a nested workflow
                workflow_run.report.action, workflow_run.report.prepare = PREPARE, failed[0]
            raise
        if not isinstance(answer, AttemptFailed):
            break
        failed = [answer.report]
        step_run.go_back_to(mark, workflow_run.shared)  # the run had stopped there, past its pivot
        record_attempt(run, step_run, answer.report, answer.delay)
    if isinstance(answer, CutOff):
        return _cut_off(workflow_run, step_run, ctx, answer, mark), answer.error
    state = workflow_run.shared if controller.step is None else ctx.local
    return ctx, _outcome_of_prepare(workflow_run, state, answer)


def _outcome_of_prepare(workflow_run: WorkflowRun, state: State, answer: object) -> BaseException | None:
    error: BaseException | None = None
    if isinstance(answer, Raised | Refused):
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


def call(
    workflow_run: WorkflowRun, step_run: StepRun, action: Action, event: AnyEvent
) -> Generator[Command, Any, tuple[Context, object]]:
    """Call a step as often as its retry has it; return the context of the last attempt, and its answer."""
    run, step = workflow_run.run, step_run.step
    controller = step.run if action is RUN else step.rollback
    mark = step_run.mark(workflow_run.shared)
    number = tries = 1
    failed: tuple[StepReport, ...] = ()
    ctx = _next_attempt(workflow_run, step_run, action, failed, number)
    while True:
        try:
            answer = yield from deliver(workflow_run, ctx, controller, event)
        except Halt:
            if failed:  # the last is what is known of the step, and tells of those before it
                failed[-1].more.failed_attempts = failed[:-1]
                workflow_run.report.step_reports.append(failed[-1])
            raise
        number = ctx.attempt + 1
        again = (
            answer
            if isinstance(answer, AttemptFailed)  # so it was, before the run was resumed
            else _again(workflow_run, step_run, ctx, event, answer, tries)
        )
        if again is None:
            break
        step_run.go_back_to(mark, workflow_run.shared)
        record_attempt(run, step_run, again.report, again.delay)
        failed = (*failed, again.report)
        tries = 1 if again.delay is None else tries + 1
        if again.delay is not None:
            yield from write(run)
            waited = yield Sleep(again.delay, f"before attempt {number} of {ctx.path}", action is ROLLBACK)
            if isinstance(waited, Raised | Refused):
                return _next_attempt(workflow_run, step_run, action, failed, number), waited
        ctx = _next_attempt(workflow_run, step_run, action, failed, number)
    if isinstance(answer, CutOff):
        return _cut_off(workflow_run, step_run, ctx, answer, mark), answer
    if isinstance(answer, Refused) and ctx.report.failed_attempts:  # those may have had an effect
        return ctx, Raised(answer.error)
    return ctx, answer


def _next_attempt(
    workflow_run: WorkflowRun,
    step_run: StepRun,
    action: Action,
    failed: tuple[StepReport, ...],
    number: int,
) -> Context:
    """Return the context of an attempt, whose report knows of those that failed before."""
    ctx = Context(workflow_run, step_run, action)
    ctx.attempt = number
    if failed:
        ctx.report.more.failed_attempts = failed
    return ctx


def _again(  # noqa: PLR0913, PLR0917  # all that it depends on
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, event: AnyEvent, answer: object, tries: int
) -> AttemptFailed | None:
    """Return the record of a failed attempt, if there is to be another one."""
    run, step = workflow_run.run, step_run.step
    retry = getattr(step, "undo_retry" if ctx.action is ROLLBACK else "retry", None)
    is_final = isinstance(answer, Refused) or (isinstance(answer, CutOff) and answer.is_at_work)
    if is_final or run.is_replaying or not isinstance(retry, Retry):  # what is replayed was decided before
        return None
    error = _error_in(workflow_run, step_run, event, answer)
    if error is None or not _is_tried_again(retry.tries_again, tries, error):
        return None
    delay = retry.delay(tries, clock.random())
    if ctx.action is RUN:
        if run.must_undo or (run.interruption is not None and not run.is_suspended):
            return None
        if run.deadline is not None and clock.now() + timedelta(seconds=delay) >= run.deadline:
            return None
    report = ctx.report
    if report.failed_attempts:  # they are told by the last one
        report.more.failed_attempts = ()
    report.error = error
    if isinstance(answer, CutOff):
        report.detail = UNKNOWN
    report.close(ctx.action, FAILED)
    return AttemptFailed(step_run.path, report, delay)


def _is_tried_again(
    tries_again: Callable[[int, BaseException], bool], tries: int, error: BaseException
) -> bool:
    try:
        return tries_again(tries, error)
    except Exception as problem:  # noqa: BLE001  # it is a user's function
        error.add_note(f"retry on raised {repr_of(problem)}: not tried again")
        return False


UNKNOWN = "unknown"
"""The remark on an action of which nobody knows whether it has had its effect."""


def _error_in(
    workflow_run: WorkflowRun, step_run: StepRun, event: AnyEvent, answer: object
) -> BaseException | None:
    """Return why a call has failed, or None."""
    if isinstance(answer, CutOff):
        return answer.error
    if isinstance(event, Success):
        ran = event_of_run(workflow_run, step_run, event, answer)
        if isinstance(ran, Failure):
            return ran.error if len(ran.added) == 1 else None  # else it has undone itself already
        return ran if isinstance(ran, BaseException) else None
    undone = event_of_rollback(workflow_run, step_run, event, answer)
    return undone if isinstance(undone, BaseException) else undone.added[0].error


def _cut_off(
    workflow_run: WorkflowRun, step_run: StepRun, ctx: Context, answer: CutOff, mark: Mark
) -> Context:
    """Go on without a step that was cut off: its state stays with it, if it is still at work."""
    after = _next_attempt(workflow_run, step_run, ctx.action, (), ctx.attempt)
    after.report.adopt(ctx.report)
    after.report.start_time = ctx.report.start_time
    if answer.is_at_work:
        local = step_run.local
        if local is not None:  # its undo needs what it has noted for it, as far as it got
            mark = mark._replace(local=_changes_now(local) or mark.local)
        ctx.set_apart()
        workflow_run.shared = workflow_run.shared.as_committed()
        step_run.local = None if local is None else local.as_committed()
        step_run.go_back_to(mark, workflow_run.shared)
        if ctx.action is RUN:
            workflow_run.run.left_at_work += (LeftAtWork(step_run, ctx, after.report),)
    return after


def _changes_now(state: State) -> Changes | None:
    """Return what a step at work has changed by now; None where it is just changing it."""
    try:
        return state.changes()
    except Exception:  # noqa: BLE001  # it is in other hands
        return None


def wait_for_late(run: Run, left: LeftAtWork, seconds: float) -> Generator[Command, Any, bool]:
    """Wait for a step that is still at work; return whether it has come to an end, and note how."""
    if run.unwritten:  # what came before is durable while we wait, and precedes what the wait tells
        yield from write(run)
    answer = yield Await(left.step_run.path, seconds, left.ctx.report)
    if answer is None:
        return False
    late = _late_of(left, answer, run)
    if late.error is not None and run.redactor:
        late = late._replace(error=run.redactor.error(late.error))
    left.report.adopt(left.ctx.report)
    left.report.more.late = late
    if late.result is not None:
        run.results[late.path] = late.result
    run.forget_late(left)
    if run.is_heard:
        run.unwritten.append(late)
    return True


def _late_of(left: LeftAtWork, answer: object, run: Run) -> Late:
    """Return what became of a step that came back too late."""
    path, now = left.step_run.path, clock.now()
    if isinstance(answer, Late):  # so it was, before the run was resumed
        return answer
    if not isinstance(answer, Back):
        died = UnknownOutcomeError(f"the process in which step {path} was at work has died")
        return Late(path, now, is_back=True, error=died)
    if isinstance(answer.answer, Raised):
        return Late(path, now, is_back=True, error=answer.answer.error)
    if isinstance(answer.answer, Handoff) and isinstance(answer.answer.event, Failure):
        return Late(path, now, is_back=True, error=answer.answer.event.error)
    result = left.ctx.report.result
    try:
        if run.begun is not None:
            result = as_journaled(result, path, run.guard)
    except ResultError as error:
        return Late(path, now, is_back=True, error=error)
    return Late(path, now, is_back=True, result=result)
