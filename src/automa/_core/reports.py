"""What happened, action by action (seed: StepReport, WorkflowReport)."""

from __future__ import annotations

from collections import UserDict
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core import clock, notebooks
from automa._core.status import (
    FAILED,
    ROLLBACK,
    RUN,
    SKIPPED,
    SUCCESS,
    UNDEFINED,
    Action,
    ExecutionMode,
    Outcome,
    RollbackMode,
    Status,
)
from automa.errors import BranchCancelled, WorkflowFailed, repr_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping
    from datetime import datetime, timedelta

    from automa._core.records import Effect, Late

StepIDs = list[str]
"""The ids of steps, in order (seed: StepIDs)."""


class Metadata(UserDict[str, "str | bytes"]):
    """Texts or bytes by name, checked where they are set."""

    def __setitem__(self, name: str, value: str | bytes) -> None:
        if not isinstance(name, str) or not isinstance(value, str | bytes):
            raise TypeError(
                f"metadata[{name!r}]: names are texts, values texts or bytes, not {type(value).__name__}"
            )
        super().__setitem__(name, value)


class More:
    """What few reports have, made when it is first asked for."""

    __slots__ = ("effects", "failed_attempts", "is_irreversible", "late", "metadata", "was_not_run")

    def __init__(self) -> None:
        self.metadata: Metadata = Metadata()
        self.effects: dict[tuple[str, str], Effect] = {}
        self.failed_attempts: tuple[StepReport, ...] = ()
        self.late: Late | None = None
        self.is_irreversible: bool = False
        self.was_not_run: bool = False

    def add_effects(self, effects: Iterable[Effect]) -> None:
        """Add effects in the order of time; one of the same kind and ref replaces an earlier one."""
        merged = sorted([*self.effects.values(), *effects], key=lambda effect: effect.at)
        self.effects = {(effect.kind, effect.ref): effect for effect in merged}


_NO_MODES = (None, None)


class StepReport:
    """What one action of one step did (seed: StepReport).

    Args:
        step_id: The id of the step.
        action: What the step was asked to do.

    Attributes:
        start_time: When the action began, UTC.
        end_time: When it ended, UTC; None while it goes on.
        status: How it ended.
        error: Why it failed, or None.
        detail: Why it was skipped, or another remark on how it ended.
        result: What the step's run returned.
        workflow: The report of the nested workflow, where the step is one.
        modes: The execution mode and the rollback mode in effect.
    """

    __slots__ = (
        "_more", "action", "detail", "end_time", "error", "modes", "result",
        "start_time", "status", "step_id", "workflow",
    )  # fmt: skip

    def __init__(self, step_id: str, action: Action) -> None:
        self.step_id: str = step_id
        self.action: Action = action
        self.start_time: datetime | None = clock.now()
        self.end_time: datetime | None = None
        self.status: Status = UNDEFINED
        self.error: BaseException | None = None
        self.detail: str | None = None
        self.result: Any = None
        self.workflow: WorkflowReport | None = None
        self.modes: tuple[ExecutionMode | None, RollbackMode | None] = _NO_MODES
        self._more: More | None = None

    @property
    def more(self) -> More:
        """What few reports have; for whoever adds to it."""
        if self._more is None:
            self._more = More()
        return self._more

    @property
    def metadata(self) -> MutableMapping[str, str | bytes]:
        """What the step noted beside its result: texts or bytes by name."""
        return self.more.metadata

    @property
    def has_metadata(self) -> bool:
        """Whether the step noted anything."""
        return self._more is not None and bool(self._more.metadata)

    @property
    def failed_attempts(self) -> tuple[StepReport, ...]:
        """The reports of the attempts that failed before this one."""
        return () if self._more is None else self._more.failed_attempts

    @property
    def attempts(self) -> int:
        """How often the step was tried."""
        return 1 + len(self.failed_attempts)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What the step has really done outside, in all its attempts, as it told with `record_effect`."""
        if self._more is None:
            return ()
        every = More()
        for report in (*self._more.failed_attempts, self):
            every.add_effects(report.own_effects)
        return tuple(every.effects.values())

    @property
    def own_effects(self) -> tuple[Effect, ...]:
        """What the step has really done outside in this attempt alone."""
        return () if self._more is None else tuple(self._more.effects.values())

    @property
    def late(self) -> Late | None:
        """What became of the step after it had taken too long in a thread; None where nothing is known."""
        return None if self._more is None else self._more.late

    @property
    def is_irreversible(self) -> bool:
        """Whether it tells that the step cannot be undone by its nature."""
        return self._more is not None and self._more.is_irreversible

    @property
    def was_not_run(self) -> bool:
        """Whether it tells that the step was skipped without having been called: its condition was false."""
        return self._more is not None and self._more.was_not_run

    def adopt(self, other: StepReport) -> None:
        """Take over what was noted in another report of the same action."""
        if other._more is None:
            return
        mine, theirs = self.more, other._more
        mine.metadata.update(dict(theirs.metadata.data))  # at once: a thread may be at work on it
        mine.failed_attempts = mine.failed_attempts or theirs.failed_attempts
        mine.is_irreversible = mine.is_irreversible or theirs.is_irreversible
        if theirs.effects:
            mine.add_effects(tuple(theirs.effects.values()))

    @property
    def reason(self) -> BaseException | str | None:
        """Why the action did not simply succeed: the error, or why it was skipped."""
        return self.detail if self.error is None else self.error

    @property
    def remarks(self) -> list[str]:
        """What is to be said of the action beside its reason: for whoever prints it."""
        remarks = [] if self.error is None or self.detail is None else [self.detail]
        if self.failed_attempts:
            remarks.append(f"{self.attempts} attempts")
        if self.late is not None:
            remarks.append("came to its end, too late" if self.late.is_back else "is still at work")
        return remarks

    @property
    def duration(self) -> timedelta | None:
        """How long the action took; None while it goes on."""
        if self.start_time is None or self.end_time is None:
            return None
        return self.end_time - self.start_time

    def close(self, action: Action, status: Status) -> None:
        """Set how and when the action ended."""
        self.action = action
        self.status = status
        self.end_time = clock.now()

    def __repr__(self) -> str:
        reason = (
            "" if self.reason is None else f" ({self.detail if self.error is None else text_of(self.error)})"
        )
        return f"<StepReport {self.step_id} {self.action} {self.status}{reason}>"


def _was_run(actions: list[StepReport]) -> bool:
    return any(report.action is RUN and not report.was_not_run for report in actions)


def _standing(step_id: str, actions: list[StepReport]) -> list[str]:
    """Return what stands of a step that was run: itself, or those inside it that were not undone."""
    last = actions[-1]
    went_back = last.action is ROLLBACK or (last.workflow is not None and last.status is FAILED)
    if went_back and any(report.workflow is not None for report in actions):
        # A workflow that went back: those of its steps that still stand.
        return [f"{step_id}/{path}" for path in _inside(step_id, actions).remaining.not_undone]
    if went_back and last.status is not FAILED and not last.is_irreversible:
        return []
    return [step_id]


def _inside(step_id: str, actions: list[StepReport]) -> WorkflowReport:
    """Return one report of all that a step, where it is a workflow, did in these actions."""
    inside = [report.workflow for report in actions if report.workflow is not None]
    nested = WorkflowReport(step_id, inside[0].step_sequence if inside else ())
    nested.step_reports = [each for report in inside for each in report.step_reports]
    return nested


class Remaining(NamedTuple):
    """What a run left over, by step id; of a nested workflow that was undone in part, by path."""

    not_run: tuple[str, ...]
    """Steps that were not reached, in order."""
    not_undone: tuple[str, ...]
    """Steps that were reached and whose effects stand, the last first: the order of undoing."""


class WorkflowReport:
    """What a whole run did (seed: WorkflowReport).

    Args:
        workflow_id: The id of the workflow.
        step_sequence: The ids of its steps, in order.

    Attributes:
        run_id: The id of the run; empty where the report was read from the seed's format.
        start_time: When the run began, UTC.
        end_time: When it ended, UTC; None while it goes on.
        action: ``run``; ``prepare`` where the workflow's own prepare failed; ``rollback`` for the way
            back of a nested workflow that had succeeded.
        prepare: What the workflow's own prepare did, where it failed.
        status: How it ended.
        outcome: How it ended, in the terms of whoever has to act on it.
        detail: Why the workflow was skipped, or another remark on how it ended.
        own_error: An error of the workflow that is no step's: what interrupted it between two steps, or
            why it could not go on.
        step_reports: What each action did, in the order in which they happened.
        is_parallel: Whether its steps are the branches of a parallel step; no format of reports keeps that.
    """

    __slots__ = (
        "_is_stopped", "_metadata", "action", "detail", "end_time", "execution_mode", "is_parallel",
        "outcome", "own_error", "prepare", "rollback_mode", "run_id", "start_time", "status", "step_reports",
        "step_sequence", "workflow_id",
    )  # fmt: skip

    def __init__(self, workflow_id: str, step_sequence: Iterable[str]) -> None:
        self.workflow_id: str = workflow_id
        self.run_id: str = ""
        self.action: Action = RUN
        self.prepare: StepReport | None = None
        self.own_error: BaseException | None = None
        self.detail: str | None = None
        self._metadata: Metadata | None = None
        self._is_stopped: bool = False
        self.is_parallel: bool = False
        self.step_sequence: StepIDs = list(step_sequence)
        self.start_time: datetime | None = clock.now()
        self.end_time: datetime | None = None
        self.status: Status = UNDEFINED
        self.outcome: Outcome | None = None
        self.execution_mode: ExecutionMode | None = None
        self.rollback_mode: RollbackMode | None = None
        self.step_reports: list[StepReport] = []

    @property
    def metadata(self) -> MutableMapping[str, str | bytes]:
        """What the workflow's own prepare noted: texts or bytes by name."""
        if self._metadata is None:
            self._metadata = Metadata()
        return self._metadata

    def append(self, step_report: StepReport, action: Action, status: Status) -> None:
        """Add a step's report, setting how and when it ended (seed: Append)."""
        step_report.close(action, status)
        self.step_reports.append(step_report)

    def close(self, status: Status, outcome: Outcome) -> None:
        """Set how and when the run ended."""
        self.status = status
        self.outcome = outcome
        self.end_time = clock.now()

    def stop(self, outcome: Outcome) -> None:
        """Set why and when the run stopped on its way."""
        self._is_stopped = True
        self.close(FAILED if outcome is Outcome.NEEDS_ATTENTION else UNDEFINED, outcome)

    def copy(self) -> WorkflowReport:
        """Return a copy with a list of step reports of its own."""
        copy = WorkflowReport.__new__(WorkflowReport)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.step_reports = list(self.step_reports)
        return copy

    @property
    def is_stopped(self) -> bool:
        """Whether the run has stopped on its way, and can be resumed where it is journaled."""
        return self._is_stopped

    @property
    def duration(self) -> timedelta | None:
        """How long the run took; None while it goes on."""
        if self.start_time is None or self.end_time is None:
            return None
        return self.end_time - self.start_time

    @property
    def error(self) -> BaseException | None:
        """The first error of the run; errors of undos never take its place."""
        failures = [] if self.prepare is None else [self.prepare]
        failures += [report for report in self.step_reports if report.action is not ROLLBACK]
        errors = [report.error for report in failures if report.status is FAILED]
        first = next((error for error in errors if not isinstance(error, BranchCancelled)), None)
        return next(iter(errors), self.own_error) if first is None else first

    @property
    def rollback_errors(self) -> list[BaseException]:
        """The errors of failed undos, those of nested workflows included, in order."""
        return [
            report.error
            for report in self.leaf_reports()
            if report.action is ROLLBACK and report.status is FAILED and report.error is not None
        ]

    @property
    def results(self) -> dict[str, Any]:
        """What each step's run returned, by step id."""
        return {
            report.step_id: report.result
            for report in self.step_reports
            if report.action is RUN and report.status is SUCCESS
        }

    @property
    def effects(self) -> list[Effect]:
        """What the run has really done outside and not undone, as its steps told; in order.

        An undo that was skipped, for want of one say, has undone nothing.
        """
        effects: list[Effect] = []
        for step_id, actions in self._actions().items():
            if _was_run(actions) and (_standing(step_id, actions) or actions[-1].status is SKIPPED):
                inside = _inside(step_id, actions)
                effects += inside.effects
                effects += [
                    effect for each in actions if each.action is not ROLLBACK for effect in each.effects
                ]
        return sorted(effects, key=lambda effect: effect.at)

    def _actions(self) -> dict[str, list[StepReport]]:
        """Return the reports of each step, by id."""
        actions: dict[str, list[StepReport]] = {}
        for report in self.step_reports:
            actions.setdefault(report.step_id, []).append(report)
        return actions

    @property
    def remaining(self) -> Remaining:
        """What the run left over: steps not run, and steps that ran and are not undone."""
        actions = self._actions()
        return Remaining(
            tuple(step_id for step_id in self.step_sequence if not _was_run(actions.get(step_id, []))),
            tuple(
                path
                for step_id in reversed(self.step_sequence)
                if _was_run(actions.get(step_id, []))
                for path in _standing(step_id, actions[step_id])
            ),
        )

    def raise_for_status(self) -> None:
        """Raise where the workflow failed, or has stopped on its way.

        Raises:
            WorkflowFailed: Caused by the first error; it carries this report.
        """
        if self.status is FAILED or self.is_stopped:
            raise WorkflowFailed(self.headline, self) from self.error

    def leaf_reports(self) -> Iterator[StepReport]:
        """Yield the reports of steps that are no workflows, to any depth."""
        for report in self.step_reports:
            if report.workflow is None:
                yield report
            else:
                yield from report.workflow.leaf_reports()

    @property
    def headline(self) -> str:
        """How the run ended, in one line."""
        ended = self.status.value if self.outcome is None else self.outcome.value.replace("_", " ")
        error = self.own_error if self.is_stopped else self.error
        reason = "" if error is None else f": {type(error).__name__}: {text_of(error)}"
        if self.outcome is Outcome.NEEDS_ATTENTION and self.detail is not None:
            reason += f" ({self.detail})"
        return f"workflow {self.workflow_id!r} ended {ended}{reason}"

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.lines("  ")])

    def lines(self, indent: str) -> Iterator[str]:
        """Yield a line for each action, nested workflows indented below theirs."""
        reports = self.step_reports if self.prepare is None else [self.prepare, *self.step_reports]
        width = max((len(report.step_id) for report in reports), default=0)
        for report in reports:
            told = [] if report.reason is None else [repr_of(report.reason)]
            told += [f"({remark})" for remark in report.remarks]
            yield "  ".join([f"{indent}{report.action:<8} {report.step_id:<{width}} {report.status}", *told])
            if report.workflow is not None:
                yield from report.workflow.lines(indent + "  ")

    def __repr__(self) -> str:
        return f"<WorkflowReport {self.workflow_id} {self.status}, {len(self.step_reports)} actions>"

    def _repr_html_(self) -> str | None:
        """Show the report in a notebook."""
        return notebooks.html_of(self)
