"""The steps of a workflow, and what is undone in which order if one of them fails."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automa._core.expand import Expand
from automa._core.parallel import ParallelDefinition
from automa._core.status import RUN, ExecutionMode, Outcome, RollbackMode
from automa._core.steps import Step
from automa.errors import UnknownStepError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from automa._core.definition import Definition, Entry


@dataclass(frozen=True)
class PlannedStep:
    """A step as a plan tells it.

    Attributes:
        path: The ids from the outermost workflow's step down, joined by ``/``.
        kind: ``step``, ``expand``, ``workflow`` or ``parallel``.
        steps: The steps in it, where it is a workflow or a parallel step.
        pivot: Whether it is the point of no return.
        irreversible: Whether it cannot be undone by its nature.
        has_run: Whether it does anything.
        has_undo: Whether anything is called to take it back.
        when: Whether it has a condition, and may be skipped.
        attempts: How often its run is tried at most.
        timeout: The most seconds that an attempt may take.
        limit: How many branches go on at once at most.
        cancels: Whether the branches beside a failed one are given up.
    """

    path: str
    kind: str
    steps: tuple[PlannedStep, ...] = ()
    pivot: bool = False
    irreversible: bool = False
    has_run: bool = True
    has_undo: bool = True
    when: bool = False
    attempts: int = 1
    timeout: float | None = None
    limit: int | None = None
    cancels: bool = False

    def leaves(self) -> Iterator[PlannedStep]:
        """Yield the steps in it that are no workflows, or itself."""
        if self.kind in {"workflow", "parallel"}:
            for each in self.steps:
                yield from each.leaves()
        else:
            yield self


@dataclass(frozen=True)
class Fate:
    """What becomes of a step that was run.

    Attributes:
        path: The step.
        reason: Why it stays; empty where it is undone.
        condition: On what it depends that it was run at all; empty where nothing does.
    """

    path: str
    reason: str = ""
    condition: str = ""


@dataclass(frozen=True)
class WayBack:
    """What comes of a run in which a step fails, and all undos go well.

    Attributes:
        step: The step that fails.
        outcome: How the run ends.
        undone: The steps whose undo is called, in this order.
        stays: The steps that were run and are not undone, the last first, each with its reason.
        pivot: The point of no return that lies behind, if any: the run is resumed forward.
    """

    step: str
    outcome: Outcome
    undone: tuple[Fate, ...]
    stays: tuple[Fate, ...]
    pivot: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a workflow would do.

    Attributes:
        workflow_id: The id of the workflow.
        mode: What a failed step means for the others.
        rollback_mode: What a failed undo means for the others.
        steps: Its steps in order.
    """

    workflow_id: str
    mode: ExecutionMode
    rollback_mode: RollbackMode
    steps: tuple[PlannedStep, ...]

    def if_fails(self, step: str, skipped: Collection[str] = ()) -> WayBack:
        """Return what is undone if the run of a step fails, and what stays.

        Args:
            step: The path of the step.
            skipped: The paths of steps whose condition is taken to be false.

        Raises:
            UnknownStepError: Where there is no such step, or it is a workflow, which fails by a step in it.
        """
        leaves = {leaf.path: leaf for each in self.steps for leaf in each.leaves()}
        if step not in leaves:
            raise UnknownStepError(
                f"workflow {self.workflow_id!r} has no step {step!r} that could fail itself"
            )
        order = list(leaves)
        before = [leaves[path] for path in order[: order.index(step)]]
        pivot = next((each.path for each in before if each.pivot and each.path not in skipped), None)
        reached = list(self._reached(self.steps, step, gives_up=pivot is None))
        undone, stays = [], []
        for leaf, condition in reversed(reached):
            if leaf.path in skipped:
                continue
            reason = self._reason(leaf, pivot)
            if not reason:
                undone.append(Fate(leaf.path, "", condition))
            elif leaf.has_run:
                stays.append(Fate(leaf.path, reason, condition))
        outcome = Outcome.FAILED if self.mode is not ExecutionMode.ROLLBACK else Outcome.UNDONE
        outcome = Outcome.NEEDS_ATTENTION if pivot is not None else outcome
        return WayBack(step, outcome, tuple(undone), tuple(stays), pivot)

    def _reason(self, leaf: PlannedStep, pivot: str | None) -> str:
        """Return why a step stays; empty where it is undone."""
        if pivot is not None:
            return f"past the pivot {pivot}"
        if self.mode is not ExecutionMode.ROLLBACK:
            return f"mode {self.mode.value}"
        if leaf.has_undo:
            return ""
        return "irreversible" if leaf.irreversible else "no undo"

    def _reached(
        self, steps: tuple[PlannedStep, ...], failed: str, *, gives_up: bool
    ) -> Iterator[tuple[PlannedStep, str]]:
        """Yield the steps that are run where one fails, in the order of their list: that of branches too."""
        for step in steps:
            is_here = any(leaf.path == failed for leaf in step.leaves())
            if step.kind == "parallel" and is_here:
                yield from self._beside(step, failed, gives_up=gives_up)
            elif step.kind == "workflow" and is_here:
                yield from self._reached(step.steps, failed, gives_up=gives_up)
            else:
                for leaf in step.leaves():
                    yield leaf, _condition(leaf)
            if is_here and self.mode is not ExecutionMode.CONTINUE:
                return

    def _beside(
        self, parallel: PlannedStep, failed: str, *, gives_up: bool
    ) -> Iterator[tuple[PlannedStep, str]]:
        """Yield the steps that are run in a parallel step in which one fails."""
        is_over = False
        for branch in parallel.steps:
            if any(leaf.path == failed for leaf in branch.leaves()):
                yield from self._reached((branch,), failed, gives_up=gives_up)
                is_over = True
                continue
            cancels = parallel.cancels and gives_up  # a branch that stops past a pivot gives up no others
            if cancels and parallel.limit == 1 and is_over:
                return
            for leaf in branch.leaves():
                yield leaf, "if it was begun" if cancels and parallel.limit != 1 else _condition(leaf)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "workflow": self.workflow_id,
            "mode": self.mode.value,
            "rollback_mode": self.rollback_mode.value,
            "steps": [dataclasses.asdict(step) for step in self.steps],
            "if_fails": [
                dataclasses.asdict(self.if_fails(leaf.path)) for each in self.steps for leaf in each.leaves()
            ],
        }

    def __str__(self) -> str:
        lines = [f"workflow {self.workflow_id!r}, mode {self.mode.value}"]
        for leaf in (leaf for each in self.steps for leaf in each.leaves()):
            way = self.if_fails(leaf.path)
            undone = ", ".join(map(_told, way.undone)) or "nothing"
            stays = ", ".join(map(_told, way.stays))
            lines.append(
                f"  if {leaf.path} fails: {way.outcome.value}; undone: {undone}"
                + (f"; stays: {stays}" if stays else "")
            )
        return "\n".join(lines)


def _condition(leaf: PlannedStep) -> str:
    if leaf.kind == "expand":
        return "what it has built in the run"
    return "if its condition held" if leaf.when else ""


def _told(fate: Fate) -> str:
    remarks = ", ".join(filter(None, (fate.reason, fate.condition)))
    return f"{fate.path} ({remarks})" if remarks else fate.path


def plan_of(definition: Definition) -> Plan:
    """Return the plan of a workflow."""
    return Plan(definition.id, definition.mode, definition.rollback_mode, _steps_of(definition, ""))


def _steps_of(definition: Definition, prefix: str) -> tuple[PlannedStep, ...]:
    return tuple(_step_of(entry, prefix + entry.part) for entry in definition.entries)


def _step_of(entry: Entry, path: str) -> PlannedStep:
    nested, step = entry.nested, entry.step
    if isinstance(nested, ParallelDefinition):
        inner = _steps_of(nested, f"{path}/")
        return PlannedStep(path, "parallel", inner, limit=nested.limit, cancels=nested.cancels)
    if nested is not None:
        return PlannedStep(path, "workflow", _steps_of(nested, f"{path}/"))
    if not isinstance(step, Step):  # its own controllers answer for both ways
        return PlannedStep(path, "step")
    is_expand = isinstance(step, Expand)
    return PlannedStep(
        path,
        "expand" if is_expand else "step",
        pivot=step.pivot,
        irreversible=step.irreversible,
        has_run=is_expand or step.function_of(RUN) is not None or type(step).run is not Step.run,
        has_undo=step.has_undo,
        when=step.when_function is not None,
        attempts=1 if step.retry is None else step.retry.attempts,
        timeout=step.timeout,
    )
