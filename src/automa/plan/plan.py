"""The steps of a workflow, and what is undone in which order if one of them fails."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automa._core.expand import Expand
from automa._core.parallel import ParallelDefinition
from automa._core.status import RUN, ExecutionMode, Outcome, RollbackMode
from automa._core.steps import Step
from automa.errors import UnknownStepError
from automa.plan.pictures import mermaid, svg
from automa.plan.text import text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from automa._core.definition import Definition, Entry
    from automa._core.selection import ErrorSelection

Reached = tuple["PlannedStep", str]
"""A step that is run, and on what that depends; empty where nothing does."""


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
        prepare: Whether it has a prepare, which may skip it.
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
    prepare: bool = False
    attempts: int = 1
    timeout: float | None = None
    limit: int | None = None
    cancels: bool = False

    @property
    def is_nested(self) -> bool:
        """Whether it is a workflow or a parallel step, and fails by a step in it."""
        return self.kind in {"workflow", "parallel"}

    @property
    def may_be_skipped(self) -> bool:
        """Whether its condition, or its prepare, may keep it from being run."""
        return self.when or self.prepare

    @property
    def reason(self) -> str:
        """Why it stays where the run goes back; empty where it is undone."""
        return "" if self.has_undo else "irreversible" if self.irreversible else "no undo"

    def leaves(self) -> Iterator[PlannedStep]:
        """Yield the steps in it that are no workflows, or itself."""
        return (leaf for leaf, _ in self.reached())

    def reached(self, condition: str = "") -> Iterator[Reached]:
        """Yield its leaves, each with what it depends on that it is run.

        Args:
            condition: On what depends that it is run itself.
        """
        condition = IF_RUN if self.may_be_skipped else condition
        if not self.is_nested:
            yield self, IF_BUILT if self.kind == "expand" else condition
        for each in self.steps:
            yield from each.reached(condition)


IF_RUN = "if it was run"
IF_BEGUN = "if it was begun"
IF_BUILT = "what it has built"


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
    """What comes of a run in which a step fails by an error that sends it back, and all undos go well.

    Attributes:
        step: The step that fails.
        outcome: How the run ends.
        undone: The steps whose undo is called, in this order.
        stays: The steps that were run and are not undone, the last first, each with its reason.
        not_run: The steps that are not begun, in order.
        pivots: The points of no return of which one lies behind: the run is resumed forward.
        otherwise: What comes of it where none of these was run; None where one certainly was.
    """

    step: str
    outcome: Outcome
    undone: tuple[Fate, ...]
    stays: tuple[Fate, ...]
    not_run: tuple[str, ...] = ()
    pivots: tuple[str, ...] = ()
    otherwise: WayBack | None = None


@dataclass(frozen=True)
class Plan:
    """What a workflow would do.

    Attributes:
        workflow_id: The id of the workflow.
        mode: What a failed step means for the others.
        rollback_mode: What a failed undo means for the others.
        steps: Its steps in order.
        rollback_on: Which errors send it back, in words; by any other it halts, with nothing undone.
    """

    workflow_id: str
    mode: ExecutionMode
    rollback_mode: RollbackMode
    steps: tuple[PlannedStep, ...]
    rollback_on: str = "Exception"

    def leaves(self) -> Iterator[PlannedStep]:
        """Yield the steps, at any depth, that are no workflows: those that can fail themselves."""
        for step in self.steps:
            yield from step.leaves()

    def if_fails(self, step: str, skipped: Collection[str] = ()) -> WayBack:
        """Return what is undone if the run of a step fails, and what stays.

        Where that depends on whether a pivot was run, which may be skipped, the answer is for the case that
        it was, and has the other case in ``otherwise``.

        Args:
            step: The path of the step.
            skipped: The paths of steps, or workflows, that are taken to be skipped.

        Raises:
            UnknownStepError: Where there is no such step, or it is a workflow, which fails by a step in it.
        """
        if all(leaf.path != step for leaf in self.leaves()):
            raise UnknownStepError(
                f"workflow {self.workflow_id!r} has no step {step!r} that could fail itself"
            )
        before = itertools.takewhile(
            lambda each: each[0].path != step, self._run_if_fails(step, skipped, gives_up=True)
        )
        pivots = [each for each in before if each[0].pivot]
        certain = [leaf.path for leaf, condition in pivots if not condition]
        paths = tuple(certain[:1] or [leaf.path for leaf, _ in pivots])
        way = self._way_back(step, skipped, paths)
        if certain or not pivots:
            return way
        return dataclasses.replace(way, otherwise=self.if_fails(step, {*skipped, *paths}))

    def _way_back(self, failed: str, skipped: Collection[str], pivots: tuple[str, ...]) -> WayBack:
        # A branch that stops past a pivot gives up no others: they are wanted when it is resumed.
        ran = list(self._run_if_fails(failed, skipped, gives_up=not pivots))
        general, outcome = "", Outcome.UNDONE
        if pivots:
            general, outcome = f"past the pivot {' or '.join(pivots)}", Outcome.NEEDS_ATTENTION
        elif self.mode is not ExecutionMode.ROLLBACK:
            general, outcome = f"mode {self.mode.value}", Outcome.FAILED
        fates = [(leaf, Fate(leaf.path, general or leaf.reason, condition)) for leaf, condition in ran[::-1]]
        reached = {leaf.path for leaf, _ in ran}
        return WayBack(
            failed,
            outcome,
            tuple(fate for _, fate in fates if not fate.reason),
            tuple(fate for leaf, fate in fates if fate.reason and leaf.has_run),
            tuple(leaf.path for leaf in self.leaves() if leaf.path not in reached),
            pivots,
        )

    def _run_if_fails(self, failed: str, skipped: Collection[str], *, gives_up: bool) -> Iterator[Reached]:
        """Yield the steps that are run where one fails, but those that are skipped."""
        return (
            each
            for each in self._reached(self.steps, failed, gives_up=gives_up)
            if not any(each[0].path == path or each[0].path.startswith(f"{path}/") for path in skipped)
        )

    def _reached(self, steps: tuple[PlannedStep, ...], failed: str, *, gives_up: bool) -> Iterator[Reached]:
        """Yield the steps that are run where one fails, in the order of their list: that of branches too."""
        for step in steps:
            if all(leaf.path != failed for leaf in step.leaves()):
                yield from step.reached()
                continue
            if step.kind == "parallel":
                yield from self._beside(step, failed, gives_up=gives_up)
            elif step.is_nested:
                yield from self._reached(step.steps, failed, gives_up=gives_up)
            else:  # it has failed, so it was run
                yield step, IF_BUILT if step.kind == "expand" else ""
            if self.mode is not ExecutionMode.CONTINUE:
                return

    def _beside(self, parallel: PlannedStep, failed: str, *, gives_up: bool) -> Iterator[Reached]:
        """Yield the steps that are run in a parallel step in which one fails."""
        is_over, cancels = False, gives_up and parallel.cancels
        one_by_one = parallel.limit == 1
        for branch in parallel.steps:
            if any(leaf.path == failed for leaf in branch.leaves()):
                yield from self._reached((branch,), failed, gives_up=gives_up)
                is_over = True
            elif cancels and one_by_one and is_over:
                return
            elif cancels and not one_by_one:
                yield from ((leaf, IF_BEGUN) for leaf in branch.leaves())
            else:
                yield from branch.reached()

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values, with what comes of the failure of each step."""
        return {
            "workflow": self.workflow_id,
            "mode": self.mode.value,
            "rollback_mode": self.rollback_mode.value,
            "rollback_on": self.rollback_on,
            "steps": [dataclasses.asdict(step) for step in self.steps],
            "if_fails": [dataclasses.asdict(self.if_fails(leaf.path)) for leaf in self.leaves()],
        }

    def to_mermaid(self) -> str:
        """Return the plan as a flowchart of Mermaid: the way forward, and dotted the way back."""
        return mermaid(self)

    def to_svg(self) -> str:
        """Return the plan as a picture that needs nothing else: the way forward, and dashed the way back."""
        return svg(self)

    def to_html(self) -> str:
        """Return the plan as one page of HTML: picture, rules, and what comes of each failure."""
        from automa.plan.page import whole_page  # noqa: PLC0415  # few need it

        return whole_page(self)

    def _repr_html_(self) -> str:
        """Show the plan in a notebook."""
        from automa.plan.page import part  # noqa: PLC0415  # few need it

        return part(self)

    def __str__(self) -> str:
        return text(self)


def plan_of(definition: Definition) -> Plan:
    """Return the plan of a workflow."""
    return Plan(
        definition.id,
        definition.mode,
        definition.rollback_mode,
        _steps_of(definition, ""),
        _selection(definition.rollback_on),
    )


def _selection(errors: ErrorSelection) -> str:
    """Return in words which errors are meant."""
    if isinstance(errors, tuple | type):
        classes = errors if isinstance(errors, tuple) else (errors,)
        return " or ".join(each.__name__ for each in classes) or "no error"
    return f"what {getattr(errors, '__qualname__', type(errors).__qualname__)} says"


def _steps_of(definition: Definition, prefix: str) -> tuple[PlannedStep, ...]:
    return tuple(_step_of(entry, prefix + entry.part) for entry in definition.entries)


def _step_of(entry: Entry, path: str) -> PlannedStep:
    nested, step = entry.nested, entry.step
    if isinstance(nested, ParallelDefinition):
        inner = _steps_of(nested, f"{path}/")
        return PlannedStep(path, "parallel", inner, limit=nested.limit, cancels=nested.cancels)
    if nested is not None:
        return PlannedStep(
            path, "workflow", _steps_of(nested, f"{path}/"), prepare=nested.prepare is not None
        )
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
        prepare=step.prepare_function is not None,
        attempts=1 if step.retry is None else step.retry.attempts,
        timeout=step.timeout,
    )
