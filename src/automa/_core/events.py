"""What travels between steps: `Success` forward, `Failure` backward, in a `Handoff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core import clock
from automa._core.status import FAILED, ROLLBACK, RUN, SKIPPED, SUCCESS

if TYPE_CHECKING:
    from automa._core.protocols import Backward, Forward
    from automa._core.reports import StepReport, WorkflowReport
    from automa._core.status import Action, Status


class Event:
    """Carries the growing report of a run, and what its sender adds to it.

    What the sender adds waits in `added` until the relay has accepted the answer: an answer that
    is refused, or that comes too late, leaves no trace in the report.
    """

    __slots__ = ("added", "base")

    def __init__(self, workflow_report: WorkflowReport, added: tuple[StepReport, ...] = ()) -> None:
        self.base: WorkflowReport = workflow_report
        self.added: tuple[StepReport, ...] = added

    @property
    def workflow_report(self) -> WorkflowReport:
        """The report of the run so far, with what the sender adds."""
        if not self.added:
            return self.base
        report = self.base.copy()
        report.step_reports.extend(self.added)
        return report


class Success(Event):
    """Travels forward: the step before has succeeded or was skipped (seed: Success)."""

    __slots__ = ()

    @classmethod
    def start_trigger(cls, report: WorkflowReport) -> Success:
        """Return the event that starts the first step (seed: NewStartTrigger)."""
        return cls(report)

    @classmethod
    def of(cls, prev_success: Success, report: StepReport) -> Success:
        """Return the event of a step that succeeded (seed: NewSuccess)."""
        report.action, report.status, report.end_time = RUN, SUCCESS, clock.now()
        return cls(prev_success.base, (*prev_success.added, report))

    @classmethod
    def skipped(cls, prev_success: Success, report: StepReport, action: Action = RUN) -> Success:
        """Return the event of a step that had nothing to do (seed: NewSkippedRun)."""
        report.close(action, SKIPPED)
        return cls(prev_success.base, (*prev_success.added, report))


class Failure(Event):
    """Travels backward: a later step has failed (seed: Failure).

    Attributes:
        error: The first error of the run.
    """

    __slots__ = ("error",)

    def __init__(
        self, workflow_report: WorkflowReport, error: BaseException, added: tuple[StepReport, ...] = ()
    ) -> None:
        self.base: WorkflowReport = workflow_report  # no `super().__init__`: every undo passes here
        self.added: tuple[StepReport, ...] = added
        if not isinstance(error, BaseException):
            raise TypeError(f"a failure has an exception as its error, not {error!r}")
        self.error: BaseException = error

    @classmethod
    def of_run(
        cls, prev_success: Success, error: BaseException, report: StepReport, action: Action = RUN
    ) -> Failure:
        """Return the event of a step that failed; it goes to the step's own rollback (seed: NewFailedRun).

        Args:
            prev_success: The event that the step got.
            error: Why it failed.
            report: The report of the action.
            action: ``prepare`` where it failed before its run.
        """
        failure = cls(prev_success.base, error, (*prev_success.added, report))
        report.error = error
        report.close(action, FAILED)
        return failure

    @classmethod
    def of(cls, prev_failure: Failure, report: StepReport) -> Failure:
        """Return the event of a step that undid what it had done (seed: NewFailure)."""
        return cls._undo(prev_failure, report, SUCCESS)

    @classmethod
    def skipped(cls, prev_failure: Failure, report: StepReport) -> Failure:
        """Return the event of a step that had nothing to undo (seed: NewSkippedRollback)."""
        return cls._undo(prev_failure, report, SKIPPED)

    @classmethod
    def of_rollback(cls, prev_failure: Failure, error: BaseException, report: StepReport) -> Failure:
        """Return the event of a step whose undo failed (seed: NewFailedRollback).

        The first error stays the error of the event; this one is kept in the step's report.
        """
        if not isinstance(error, BaseException):
            raise TypeError(f"a failure has an exception as its error, not {error!r}")
        report.error = error
        return cls._undo(prev_failure, report, FAILED)

    @classmethod
    def _undo(cls, prev_failure: Failure, report: StepReport, status: Status) -> Failure:
        report.close(ROLLBACK, status)
        return cls(prev_failure.base, prev_failure.error, (*prev_failure.added, report))


AnyEvent = Success | Failure


class Handoff:
    """The answer of a step: to whom it hands over, and with which event.

    Args:
        to: The receiver; None where there is no step beyond.
        event: What it receives.
    """

    __slots__ = ("event", "to")

    def __init__(self, to: Forward | Backward | None, event: Success | Failure) -> None:
        self.to: Forward | Backward | None = to
        self.event: Success | Failure = event

    def __repr__(self) -> str:
        return f"Handoff(to={self.to!r}, event={self.event!r})"
