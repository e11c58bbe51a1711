"""What a run knows while it goes on: of itself, of each workflow in it, of each step."""

from __future__ import annotations

import contextlib
import copy
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.definition import part_of
from automa._core.reports import WorkflowReport
from automa._core.state import State
from automa._core.status import RUN
from automa._core.steps import Step
from automa.errors import repr_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from automa._core.definition import Definition
    from automa._core.records import Begun, Record, Requested
    from automa._core.secrets import Redactor
    from automa._core.state import Changes, Delta, Guard
    from automa._core.status import Action, ExecutionMode, RollbackMode
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
        snapshots: Whether an undo gets the state as its own step left it.
        compensates: Whether an error is one that sends the run back.

    Attributes:
        redactor: Keeps secrets out of what is written down.
        begun: The first record of the run, where it is journaled.
        suspends: Whether an interruption stops the run where it is, to be resumed, instead of undoing it.
        must_undo: Whether the way back is taken whatever the mode is: an operator has asked for it.
        request: What an operator has asked of a run that had ended, while it is being done.
        is_replaying: Whether what the run does is being done again from its records.
        replayed: What interrupted the run before it was resumed; it is not raised again.
        results: What the steps returned, by path.
        unwritten: Records that go with the next `Append`.
        interruption: What interrupted the run (a ``KeyboardInterrupt``, say), or None.
    """

    def __init__(  # noqa: PLR0913  # made in one place, by the workflow
        self,
        workflow_id: str,
        run_id: str,
        *,
        resources: Mapping[str, Any] | None,
        logger_for: LoggerFor,
        is_heard: bool,
        snapshots: bool,
        compensates: Callable[[BaseException], bool],
        redactor: Redactor,
        begun: Begun | None = None,
        suspends: bool = False,
    ) -> None:
        self.workflow_id: str = workflow_id
        self.run_id: str = run_id
        self.resources: Mapping[str, Any] = dict(resources or {})
        self.logger_for: LoggerFor = logger_for
        self.results: dict[str, Any] = {}
        self.is_heard: bool = is_heard
        self.snapshots: bool = snapshots
        self.compensates: Callable[[BaseException], bool] = compensates
        self.unwritten: list[Record] = []
        self.interruption: BaseException | None = None
        self.redactor: Redactor = redactor
        self.begun: Begun | None = begun
        self.suspends: bool = suspends
        self.must_undo: bool = False
        self.request: Requested | None = None
        self.replayed: BaseException | None = None
        self.is_replaying: bool = False
        self._decided: tuple[BaseException, bool] | None = None

    @property
    def guard(self) -> Guard | None:
        """What tells whether a text of the state has a secret in it; None where it is not written down."""
        return None if self.begun is None else self._finds_secret

    def _finds_secret(self, text: str) -> bool:
        """Whether there is a secret in a text; what is written already is not refused any more."""
        return not self.is_replaying and self.redactor.finds(text)

    @property
    def is_suspended(self) -> bool:
        """Whether an interruption is to stop the run where it is; one before a resume has been seen to."""
        is_new = self.interruption is not None and self.interruption is not self.replayed
        return is_new and self.suspends and not self.must_undo

    def sends_back(self, error: BaseException) -> bool:
        """Whether a failure is undone, in the mode that undoes: decided once for each error, at any depth."""
        if self._decided is None or self._decided[0] is not error:
            self._decided = (error, self._decide(error))
        return self._decided[1]

    def replay_decision(self, error: BaseException, sends_back: bool) -> None:  # noqa: FBT001  # it is the value
        """Decide as it was decided before: by the journal, not by the error's class, which may be lost."""
        self._decided = (error, sends_back)

    def _decide(self, error: BaseException) -> bool:
        if self.interruption is not None and not self.suspends:
            return True
        try:
            return self.compensates(error)
        except BaseException as problem:  # noqa: BLE001  # it is a user's function: in doubt all is undone
            if not isinstance(problem, Exception):
                self.interrupt(problem)
            with contextlib.suppress(Exception):
                error.add_note(f"rollback_on raised {repr_of(problem)}: undone all the same")
            return True

    def interrupt(self, error: BaseException) -> None:
        """Note what interrupts the run; the first interruption is the one that goes on in the end."""
        if self.interruption is None or self.interruption is self.replayed:
            self.interruption = error

    def take_unwritten(self) -> list[Record]:
        """Return the records that have gathered, and begin anew."""
        records, self.unwritten = self.unwritten, []
        return records


class StepState(Enum):
    """Where a step stands in a run (spec: the state of a step entry)."""

    PENDING = auto()
    NOT_RUN = auto()
    """Its prepare failed or skipped it: it was never run, and is never undone."""
    COMPLETED = auto()
    FAILED = auto()
    COMPENSATED = auto()
    COMPENSATION_FAILED = auto()


_PENDING = StepState.PENDING


class StepRun:
    """What a run knows of one step: its copy and where it stands.

    Attributes:
        path: The ids from the root's step down to this one, escaped and joined by ``/``.
        step: The copy of the step made for this run; a nested workflow stands for itself.
        definition: The definition of the nested workflow, where the step is one.
        delta: What the step changed in the shared state.
        is_reverted: Whether what it changed was taken back.
        local: The state of this step alone, made when first asked for.
        nested: The run of the nested workflow, once it has begun.
        undo_error: Why its undo has failed last.
    """

    __slots__ = (
        "definition", "delta", "id", "index", "is_reverted", "local", "nested", "path", "state", "step",
        "undo_error",
    )  # fmt: skip

    def __init__(self, id: str, path: str, index: int, step: Any, definition: Definition | None) -> None:
        self.id: str = id
        self.path: str = path
        self.index: int = index
        self.step: Any = step
        self.definition: Definition | None = definition
        self.state: StepState = _PENDING
        self.delta: Delta | None = None
        self.is_reverted: bool = False
        self.local: State | None = None
        self.nested: WorkflowRun | None = None
        self.undo_error: BaseException | None = None

    def commit(self, shared: State, *, keep_delta: bool) -> Committed:
        """Make final what the step changed in the state; return it, and what is not JSON in it."""
        delta, invalid = shared.commit()
        self.delta = delta if keep_delta else None
        local = None
        if self.local is not None:
            local, invalid_local = self.local.commit()
            invalid = invalid or invalid_local
        return Committed(_after(delta), _after(local), invalid)


class Committed(NamedTuple):
    """What a commit has made final.

    Attributes:
        shared: What changed in the shared state.
        local: What changed in the state of the step alone.
        invalid: What is not JSON, and was taken back.
    """

    shared: Changes | None = None
    local: Changes | None = None
    invalid: StateError | None = None


def _after(delta: Delta | None) -> Changes | None:
    return None if delta is None else {key: after for key, (_, after) in delta.items()}


def _broken_step(step_id: str, error: Exception) -> Step:
    """Return what stands for a step that could not be copied, and fails for it."""

    def fail() -> None:
        raise error

    return Step(step_id, run=fail)


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
        itself: Stands for the workflow where its own prepare is called.
        is_skipped: Whether its own prepare said that there is nothing to do.
        is_undone: Whether a failure has sent it on the way back.
        undo_failed: Whether an undo has failed on that way.
    """

    __slots__ = (
        "count", "definition", "first_error", "ids", "is_skipped", "is_undone", "itself",
        "modes", "prefix", "report", "run", "shared", "steps", "undo_failed",
    )  # fmt: skip

    def __init__(
        self, run: Run, definition: Definition, shared: State, modes: Modes, ids: tuple[str, ...] = ()
    ) -> None:
        self.run: Run = run
        self.definition: Definition = definition
        self.shared: State = shared
        self.modes: Modes = modes
        self.ids: tuple[str, ...] = ids
        self.prefix: str = "".join(f"{part_of(step_id)}/" for step_id in ids)
        self.report: WorkflowReport = self.new_report()
        self.first_error: BaseException | None = None
        self.count: int = len(definition.steps)
        self.steps: list[StepRun] = []
        self.itself: StepRun = StepRun(definition.id, self.prefix[:-1] or definition.id, -1, None, None)
        self.is_skipped: bool = False
        self.is_undone: bool = False
        self.undo_failed: bool = False

    def new_report(self, action: Action = RUN) -> WorkflowReport:
        """Return an empty report of this workflow."""
        report = WorkflowReport(self.definition.id, self.definition.step_ids)
        report.action = action
        report.run_id = self.run.run_id
        report.execution_mode, report.rollback_mode = self.modes
        return report

    def nest(self, step_run: StepRun, definition: Definition) -> WorkflowRun:
        """Return a new run of a nested workflow: it gets a copy of the state, and nothing flows back."""
        shared = State("shared", self.shared.clone(), warn=False)
        shared.guard = self.run.guard  # afterwards: what is there is written already
        return WorkflowRun(self.run, definition, shared, self.modes, (*self.ids, step_run.id))

    def reach(self, index: int) -> StepRun:
        """Return a step of this run; it and the one after it are copied when they are first needed."""
        steps = self.steps
        while len(steps) <= index + 1 and len(steps) < self.count:
            self._add(len(steps))
        return steps[index]

    def _add(self, index: int) -> None:
        """Copy a step and link it with the one before; a nested workflow stands for itself, without links."""
        steps = self.steps
        step, step_id, part, nested = self.definition.entries[index]
        before = steps[-1] if index else None
        if nested is None:
            try:
                copy_itself = getattr(step, "__copy__", None)
                step = copy.copy(step) if copy_itself is None else copy_itself()
            except Exception as error:  # noqa: BLE001  # it went well when the workflow was built
                step = _broken_step(step_id, error)
            step.prev = None if before is None else before.step
        if before is not None and before.definition is None:
            before.step.next = step
        steps.append(StepRun(step_id, self.prefix + part, index, step, nested))

    def step_at(self, index: int) -> object:
        """Return the copy of a step that has been reached, or None beyond either end."""
        return self.steps[index].step if 0 <= index < self.count else None

    def ids_of(self, step_run: StepRun) -> tuple[str, ...]:
        """Return the ids from the root's step down to a step of this workflow."""
        return self.ids if step_run is self.itself else (*self.ids, step_run.id)
