"""What a step may answer: to whom it may hand over, with which event and which reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.commands import Raised
from automa._core.events import Event, Failure, Handoff, Success
from automa._core.status import FAILED, ROLLBACK, RUN, SKIPPED, SUCCESS, UNDEFINED
from automa.errors import IllegalHandoff, repr_of

if TYPE_CHECKING:
    from automa._core.reports import StepReport
    from automa._core.runs import StepRun, WorkflowRun
    from automa._core.status import Action

_RAN: tuple[Action, ...] = (RUN,)
_ROLLED_BACK: tuple[Action, ...] = (ROLLBACK,)
_RAN_AND_ROLLED_BACK: tuple[Action, ...] = (RUN, ROLLBACK)


def event_of_run(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Success, answer: object
) -> Success | Failure | BaseException:
    """Return the event with which a step's run may answer, else the error that its answer is.

    Legal is a `Success` to the next; a `Failure` to itself; and, where it has called its own
    rollback, which makes two reports, a `Failure` to the step before.
    """
    if not isinstance(answer, Handoff):
        return _not_a_handoff(workflow_run, step_run, answer)
    event, reports = answer.event, answer.event.added if isinstance(answer.event, Event) else ()
    if isinstance(event, Success):
        receiver, actions = workflow_run.step_at(step_run.index + 1), _RAN
        ended = len(reports) == 1 and reports[0].status in _WENT_WELL
    elif len(reports) == 1:
        receiver, actions = step_run.step, _RAN
        ended = _has_failed(reports[0])
    else:
        receiver, actions = workflow_run.step_at(step_run.index - 1), _RAN_AND_ROLLED_BACK
        ended = len(reports) == 2 and _has_failed(reports[0]) and reports[1].status is not UNDEFINED  # noqa: PLR2004
    if (
        ended
        and answer.to is receiver
        and isinstance(event, Success | Failure)
        and _are_own(reports, step_run, actions)
        and event.base is sent.base
    ):
        return event
    return _illegal(workflow_run, step_run, answer, "run", receiver)


def event_of_rollback(
    workflow_run: WorkflowRun, step_run: StepRun, sent: Failure, answer: object
) -> Failure | BaseException:
    """Return the event with which a step's rollback may answer, else the error that its answer is.

    Legal is a `Failure` to the step before.
    """
    if not isinstance(answer, Handoff):
        return _not_a_handoff(workflow_run, step_run, answer)
    event, receiver = answer.event, workflow_run.step_at(step_run.index - 1)
    if (
        isinstance(event, Failure)
        and answer.to is receiver
        and len(event.added) == 1
        and event.added[0].status is not UNDEFINED
        and _are_own(event.added, step_run, _ROLLED_BACK)
        and event.base is sent.base
    ):
        return event
    return _illegal(workflow_run, step_run, answer, "rollback", receiver)


_WENT_WELL = (SUCCESS, SKIPPED)


def _has_failed(report: StepReport) -> bool:
    return report.status is FAILED and report.error is not None


def _are_own(reports: tuple[StepReport, ...], step_run: StepRun, actions: tuple[Action, ...]) -> bool:
    """Whether reports are a step's own, of these actions."""
    first, last = reports[0], reports[-1]
    return (
        first.step_id == last.step_id == step_run.id
        and first.action is actions[0]
        and last.action is actions[-1]
    )


def _not_a_handoff(workflow_run: WorkflowRun, step_run: StepRun, answer: object) -> BaseException:
    if isinstance(answer, Raised):
        return answer.error
    path = workflow_run.path_of(step_run)
    return IllegalHandoff(f"step {path} answered with {repr_of(answer)}, not with a Handoff")


def _illegal(
    workflow_run: WorkflowRun, step_run: StepRun, answer: Handoff, action: str, receiver: object
) -> IllegalHandoff:
    event = answer.event
    what = (
        f"step {workflow_run.path_of(step_run)}: its {action} handed {_article(event)} to {_name(answer.to)}"
    )
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
