"""What a run knows while it goes on: of itself, of each workflow in it, of each step."""

from __future__ import annotations

import copy
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.reports import WorkflowReport
from automa._core.state import State

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from automa._core.definition import Definition
    from automa._core.records import Record
    from automa._core.state import Delta
    from automa._core.status import ExecutionMode, RollbackMode
    from automa.errors import StateError

    LoggerFor = Callable[[str, str], "logging.Logger | logging.LoggerAdapter[Any]"]


class Modes(NamedTuple):
    """The modes in effect in a run."""

    execution: ExecutionMode
    rollback: RollbackMode


class Run:
    """What all workflows of one run share.

    Args:
        workflow_id: The id of the workflow that was started.
        run_id: The id of the run.
        resources: Live objects for the steps.
        logger_for: Gives the logger of a run and a step.
        is_heard: Whether anybody wants records of the steps; without, none are made.

    Attributes:
        results: What the steps returned, by path.
        unwritten: Records that go with the next `Append`.
        interruption: What interrupted the run (a ``KeyboardInterrupt``, say), or None.
    """

    def __init__(
        self,
        workflow_id: str,
        run_id: str,
        *,
        resources: Mapping[str, Any] | None,
        logger_for: LoggerFor,
        is_heard: bool,
    ) -> None:
        self.workflow_id: str = workflow_id
        self.run_id: str = run_id
        self.resources: Mapping[str, Any] = dict(resources or {})
        self.logger_for: LoggerFor = logger_for
        self.results: dict[str, Any] = {}
        self.is_heard: bool = is_heard
        self.unwritten: list[Record] = []
        self.interruption: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Note what interrupts the run; the first interruption is the one that goes on in the end."""
        if self.interruption is None:
            self.interruption = error

    def take_unwritten(self) -> list[Record]:
        """Return the records that have gathered, and begin anew."""
        records, self.unwritten = self.unwritten, []
        return records


class StepState(Enum):
    """Where a step stands in a run (spec: the state of a step entry)."""

    PENDING = auto()
    COMPLETED = auto()
    FAILED = auto()
    COMPENSATED = auto()
    COMPENSATION_FAILED = auto()


_PENDING = StepState.PENDING


class StepRun:
    """What a run knows of one step: its copy and where it stands.

    Attributes:
        step: The copy of the step made for this run; a nested workflow stands for itself.
        delta: What the step changed in the shared state.
        local: The state of this step alone, made when first asked for.
        nested: The run of the nested workflow, once it has begun.
    """

    __slots__ = ("delta", "id", "index", "local", "nested", "state", "step")

    def __init__(self, definition: Definition, index: int) -> None:
        step = definition.steps[index]
        self.id: str = definition.step_ids[index]
        self.index: int = index
        self.step: Any = step if index in definition.nested else _copy(step)
        self.state: StepState = _PENDING
        self.delta: Delta | None = None
        self.local: State | None = None
        self.nested: WorkflowRun | None = None

    def commit(self, shared: State) -> StateError | None:
        """Keep what the step's run changed in the state; return what is not JSON in it."""
        self.delta, invalid = shared.commit()
        if self.local is not None:
            _, invalid_local = self.local.commit()
            invalid = invalid or invalid_local
        return invalid


def _copy(step: Any) -> Any:
    """Return a shallow copy of a step; ``__copy__`` decides how, where a class has one."""
    copy_itself = getattr(step, "__copy__", None)
    return copy.copy(step) if copy_itself is None else copy_itself()


class WorkflowRun:
    """What a run knows of one workflow in it: the root, or one nested in another.

    Args:
        run: The run.
        definition: The workflow.
        shared: The state that its steps see.
        modes: The modes in effect: those of the root, at every depth.
        ids: The ids of the nested workflows from the root down to this one.

    Attributes:
        prefix: What the paths of its steps begin with; empty at the root.
        report: What has happened in it.
        count: The number of its steps.
        first_error: The first error of its forward part.
        steps: Its steps as far as they have been reached, and one more.
    """

    __slots__ = (
        "count",
        "definition",
        "first_error",
        "ids",
        "modes",
        "prefix",
        "report",
        "run",
        "shared",
        "steps",
    )

    def __init__(
        self, run: Run, definition: Definition, shared: State, modes: Modes, ids: tuple[str, ...] = ()
    ) -> None:
        self.run: Run = run
        self.definition: Definition = definition
        self.shared: State = shared
        self.modes: Modes = modes
        self.ids: tuple[str, ...] = ids
        self.prefix: str = "".join(f"{step_id}/" for step_id in ids)
        self.report: WorkflowReport = self.new_report()
        self.first_error: BaseException | None = None
        self.count: int = len(definition.steps)
        self.steps: list[StepRun] = []

    def new_report(self) -> WorkflowReport:
        """Return an empty report of this workflow."""
        report = WorkflowReport(self.definition.id, self.definition.step_ids)
        report.run_id = self.run.run_id
        report.execution_mode, report.rollback_mode = self.modes
        return report

    def nest(self, step_run: StepRun) -> WorkflowRun:
        """Return a new run of a nested workflow: it gets a copy of the state, and nothing flows back."""
        shared = State("shared", self.shared.clone())
        return WorkflowRun(self.run, step_run.step.definition, shared, self.modes, (*self.ids, step_run.id))

    def reach(self, index: int) -> StepRun:
        """Return a step of this run; it and the one after it are copied when they are first needed."""
        steps = self.steps
        while len(steps) <= index + 1 and len(steps) < self.count:
            self._add(StepRun(self.definition, len(steps)))
        return steps[index]

    def _add(self, step_run: StepRun) -> None:
        """Add a step and link it with the one before; a nested workflow is a link that needs none itself."""
        steps, nested = self.steps, self.definition.nested
        if steps:
            before = steps[-1]
            if before.index not in nested:
                before.step.next = step_run.step
            if step_run.index not in nested:
                step_run.step.prev = before.step
        steps.append(step_run)

    def step_at(self, index: int) -> object:
        """Return the copy of a step that has been reached, or None beyond either end."""
        return self.steps[index].step if 0 <= index < self.count else None
