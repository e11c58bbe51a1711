"""What a step may answer: to whom it may hand over, with which event and which reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.commands import CutOff, Raised, Refused
from automa._core.events import Event, Failure, Handoff, Success
from automa._core.status import FAILED, ROLLBACK, RUN, SKIPPED, SUCCESS, UNDEFINED
from automa.errors import IllegalHandoff, repr_of

if TYPE_CHECKING:
    from automa._core.reports import StepReport
    from automa._core.runs import StepRun, WorkflowRun
    from automa._core.status import Action


def event_of_run(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Success, answer: object
) -> Success | Failure | BaseException:
    """Return the event with which a step's run may answer, else the error that its answer is.

    Legal is a `Success` to the next; a `Failure` to itself; and, where it has called its own
    rollback, which makes two reports, a `Failure` to the step before.
    """
    if not isinstance(answer, Handoff):
        return _not_a_handoff(step_run, answer)
    event = answer.event
    if isinstance(event, Success):
        after = step_run.index + 1
        receiver = workflow_run.steps[after].step if after < workflow_run.count else None
        if answer.to is receiver and event.base is sent.base and len(event.added) == 1:
            report = event.added[0]
            if report.action is RUN and report.step_id == step_run.id and report.status in _WENT_WELL:
                return event if report.error is None else report.error  # an error is a failure (spec: status)
    elif isinstance(event, Failure):
        reports = event.added
        is_twofold = len(reports) > 1
        receiver = workflow_run.step_at(step_run.index - 1) if is_twofold else step_run.step
        if answer.to is receiver and event.base is sent.base and reports and not reports[2:]:
            is_own = _is_own(reports[0], step_run, RUN)
            if is_own and (not is_twofold or _is_own(reports[1], step_run, ROLLBACK)):
                return event
    else:
        receiver = workflow_run.step_at(step_run.index + 1)
    return _illegal(step_run, answer, "run", receiver)


def event_of_rollback(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Failure, answer: object
) -> Failure | BaseException:
    """Return the event with which a step's rollback may answer, else the error that its answer is.

    Legal is a `Failure` to the step before.
    """
    if not isinstance(answer, Handoff):
        return _not_a_handoff(step_run, answer)
    event, receiver = answer.event, workflow_run.step_at(step_run.index - 1)
    if (
        isinstance(event, Failure)
        and answer.to is receiver
        and event.base is sent.base
        and len(event.added) == 1
        and _is_own(event.added[0], step_run, ROLLBACK)
    ):
        report = event.added[0]
        return event if report.error is None or report.status is FAILED else report.error
    return _illegal(step_run, answer, "rollback", receiver)


_WENT_WELL = (SUCCESS, SKIPPED)


def _is_own(report: StepReport, step_run: StepRun, action: Action) -> bool:
    """Whether a report is a closed one of a step's own, of this action: that of a run tells why it failed."""
    if report.action is not action or report.step_id != step_run.id:
        return False
    if report.status is FAILED:
        return report.error is not None
    return action is ROLLBACK and report.status is not UNDEFINED


def _not_a_handoff(step_run: StepRun, answer: object) -> BaseException:
    if isinstance(answer, Raised | Refused | CutOff):
        return answer.error
    return IllegalHandoff(f"step {step_run.path} answered with {repr_of(answer)}, not with a Handoff")


def _illegal(step_run: StepRun, answer: Handoff, action: str, receiver: object) -> IllegalHandoff:
    event = answer.event
    what = f"step {step_run.path}: its {action} handed {_article(event)} to {_name(answer.to)}"
    if isinstance(event, Event):
        told = ", ".join(f"{report.action} {report.step_id} {report.status}" for report in event.added)
        what += f", with {f'the reports: {told}' if told else 'no report'}"
    return IllegalHandoff(
        f"{what}; expected was an event made from the one that it got, with its own closed report, "
        f"to {_name(receiver)}"
    )


def _article(event: object) -> str:
    return f"a {type(event).__name__}" if isinstance(event, Event) else repr_of(event)


def _name(receiver: object) -> str:
    if receiver is None:
        return "the end of the workflow"
    step_id = getattr(receiver, "id", None)
    return f"step {step_id!r}" if isinstance(step_id, str) else repr_of(receiver)
