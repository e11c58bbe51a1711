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
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from automa._core.context import Context
    from automa._core.definition import Definition
    from automa._core.records import Begun, Effect, Record, Requested
    from automa._core.reports import StepReport
    from automa._core.secrets import Redactor
    from automa._core.state import Changes, Delta, Guard
    from automa._core.status import Action, ExecutionMode, RollbackMode
    from automa.errors import BranchCancelled, StateError

    LoggerFor = Callable[[str, str], "logging.Logger | logging.LoggerAdapter[Any]"]


def _nothing() -> None:
    """Stand for a driver's function where there is none."""


def _not_turned_back(_: str) -> None:
    """Stand for a replay where there is none."""


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
        deadline: Until when the way forward may take; None where it may take as long as it likes.
        late_grace: Seconds to wait for a step that took too long in a thread, before it is undone.
        is_past_pivot: Whether a point of no return lies behind: nothing is undone any more.
        given_up: Why this branch of a `Parallel` is given up, or None.
        wake: Called where this branch is stopped from outside; the driver sets it.
        takes_detours: Whether every step is more than a plain one now.
        write_at_once: Writes a record while a step is at work; the driver sets it where there is a journal.
        left_at_work: The steps that took too long in a thread, and may be at work still.
        turned_back_after: Tells, by its records, what turned the run back after a step; a replay sets it.
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
        deadline: datetime | None = None,
        late_grace: float = 0.0,
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
        self.deadline: datetime | None = deadline
        self.late_grace: float = late_grace
        self.is_past_pivot: bool = False
        self.takes_detours: bool = deadline is not None
        self.write_at_once: Callable[[Effect], None] | None = None
        self.left_at_work: tuple[LeftAtWork, ...] = ()
        self._decided: tuple[BaseException, bool] | None = None
        self.given_up: BranchCancelled | None = None
        self.wake: Callable[[], object] = _nothing
        self.turned_back_after: Callable[[str], BaseException | None] = _not_turned_back
        self._branches: Sequence[Run] = ()
        self._parent: Run | None = None

    def record_at_once(self, effect: Effect) -> None:
        """Write a record while a step is at work, where there is a journal; else let it be heard of later."""
        write = self.write_at_once or self.record_later
        write(effect)

    def record_later(self, effect: Effect) -> None:
        """Let a record be heard of with the next ones that are written, if anybody hears."""
        if self.is_heard:
            self.unwritten.append(effect)

    def fork(self, count: int) -> Iterator[Run]:
        """Yield for each branch what its steps share; they see the results of the steps before it."""
        self._branches = branches = []  # each is told of an interruption from its beginning on
        for _ in range(count):
            branch = Run.__new__(Run)
            branch.__dict__ = self.__dict__.copy()
            branch.unwritten, branch.results = [], self.results.copy()
            branch.left_at_work = ()  # joined in the order of the branches, whichever was late first
            branch.takes_detours = self.takes_detours or self.is_heard  # only what is admitted is recorded
            branch.wake = _nothing
            branch._branches, branch._parent = (), self  # noqa: SLF001  # it is one of its own kind
            branches.append(branch)
            yield branch

    def join(self) -> None:
        """Take over what has come of the branches, which have ended."""
        for branch in self._branches:
            self.results.update(branch.results)
            self.unwritten += branch.unwritten
            self.left_at_work += branch.left_at_work
            self.must_undo = self.must_undo or branch.must_undo
            if branch.interruption is not None:
                self._join_interruption(branch, branch.interruption)
        self._branches = ()

    def _join_interruption(self, branch: Run, interruption: BaseException) -> None:
        if interruption is not branch.replayed:
            self.interrupt(interruption)
        elif self.interruption is self.replayed:  # each branch has an error of its own for what was replayed
            self.interruption = self.replayed = branch.replayed

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
        if self.interruption is not None and self.interruption is not self.replayed:
            return
        self.interruption = error
        if error is self.replayed:  # each branch is told by its own records
            return
        for branch in self._branches:
            if branch.interruption is None:
                branch.interrupt(error)
                branch.wake()
        if self._parent is not None:
            self._parent.interrupt(error)

    def give_up(self, error: BranchCancelled) -> None:
        """Note that this branch is given up: another one has failed."""
        if self.given_up is None:
            self.given_up = error
            for branch in self._branches:
                branch.give_up(error)
            self.wake()

    @property
    def stopped_by(self) -> BaseException | None:
        """Why no further step is started, or None."""
        return self.given_up if self.interruption is None else self.interruption

    def forget_late(self, left: LeftAtWork) -> None:
        """Note that nothing more is to be seen to about a step that took too long."""
        self.left_at_work = tuple(each for each in self.left_at_work if each is not left)

    def take_unwritten(self) -> list[Record]:
        """Return the records that have gathered, and begin anew."""
        records, self.unwritten = self.unwritten, []
        return records


class LeftAtWork(NamedTuple):
    """A step that took too long in a thread, where nobody can stop it.

    Attributes:
        step_run: What the run knows of it.
        ctx: The context that it still has.
        report: The report of its run.
    """

    step_run: StepRun
    ctx: Context
    report: StepReport


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

    def mark(self, shared: State) -> Mark:
        """Return what has changed in the state since the last commit: by the prepare of the step."""
        return Mark(shared.changes(), None if self.local is None else self.local.changes())

    def go_back_to(self, mark: Mark, shared: State) -> None:
        """Take back what has changed in the state since a mark was set."""
        shared.discard()
        shared.replay(mark.shared)
        if self.local is not None:
            self.local.discard()
            self.local.replay(mark.local)

    def commit(self, shared: State, *, keep_delta: bool) -> Committed:
        """Make final what the step changed in the state; return it, and what is not JSON in it."""
        delta, invalid = shared.commit()
        self.delta = delta if keep_delta else None
        local = None
        if self.local is not None:
            local, invalid_local = self.local.commit()
            invalid = invalid or invalid_local
        return Committed(_after(delta), _after(local), invalid)


class Mark(NamedTuple):
    """How far a step had changed the state.

    Attributes:
        shared: What had changed in the shared state.
        local: What had changed in the state of the step alone.
    """

    shared: Changes | None
    local: Changes | None


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
        is_skipped: Whether its own prepare said that there is nothing to do.
        is_undone: Whether a failure has sent it on the way back.
        undo_failed: Whether an undo has failed on that way.
        is_branch: Whether it is, or is in, a branch of a `Parallel`: nothing is undone before all have ended.
        branches: The branches, each a run of its own, where the workflow is a `Parallel`.
    """

    __slots__ = (
        "_itself",
        "branches",
        "count",
        "definition",
        "first_error",
        "ids",
        "is_branch",
        "is_skipped",
        "is_undone",
        "modes",
        "prefix",
        "report",
        "run",
        "shared",
        "steps",
        "undo_failed",
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
        self._itself: StepRun | None = None
        self.is_skipped: bool = False
        self.is_undone: bool = False
        self.undo_failed: bool = False
        self.is_branch: bool = False
        self.branches: Sequence[WorkflowRun] = ()

    @property
    def itself(self) -> StepRun:
        """Stands for the workflow where its own prepare is called."""
        if self._itself is None:
            path = self.prefix[:-1] or self.definition.id
            self._itself = StepRun(self.definition.id, path, -1, None, None)
        return self._itself

    def branch(self, definition: Definition, run: Run) -> WorkflowRun:
        """Return a run of one branch of this parallel step: with a copy of the state, and the same report."""
        branch = WorkflowRun.__new__(WorkflowRun)
        branch.run, branch.definition, branch.count = run, definition, 1
        branch.steps, branch.branches = [], ()
        branch.shared = self.shared.as_committed()
        if run.begun is not None:
            branch.shared.guard = run.guard
        branch.modes, branch.ids, branch.prefix, branch.report = (
            self.modes,
            self.ids,
            self.prefix,
            self.report,
        )
        branch.first_error = branch._itself = None  # noqa: SLF001  # it is one of its own kind
        branch.is_skipped = branch.is_undone = branch.undo_failed = False
        branch.is_branch = True
        return branch

    def new_report(self, action: Action = RUN) -> WorkflowReport:
        """Return an empty report of this workflow."""
        report = WorkflowReport(self.definition.id, self.definition.step_ids)
        report.action = action
        report.is_parallel = "parallel" in self.definition.traits
        report.run_id = self.run.run_id
        report.execution_mode, report.rollback_mode = self.modes
        return report

    def put_in_order(self) -> None:
        """Let the reports of the steps stand in the order in which the steps are listed."""
        places = {step_id: place for place, step_id in enumerate(self.definition.step_ids)}
        self.report.step_reports.sort(key=lambda report: places[report.step_id])

    def nest(self, step_run: StepRun, definition: Definition) -> WorkflowRun:
        """Return a new run of a nested workflow: it gets a copy of the state, and nothing flows back."""
        shared = State("shared", self.shared.clone(), warn=False)
        shared.guard = self.run.guard  # afterwards: what is there is written already
        nested = WorkflowRun(self.run, definition, shared, self.modes, (*self.ids, step_run.id))
        nested.is_branch = self.is_branch
        return nested

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
