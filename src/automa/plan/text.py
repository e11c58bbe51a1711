"""A plan as text: a table of the steps, then rules that hold for all of them, each told once."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING

from automa._core.status import ExecutionMode, RollbackMode
from automa.pictures.words import spelt_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from automa.plan.plan import Plan, PlannedStep

WIDTH = 100
"""How wide a line of the rules is at most; ids are not broken."""


def text(plan: Plan) -> str:
    """Return a plan as text that grows with the number of steps, and no faster."""
    lines = [f"workflow {spelt_out(plan.workflow_id)}, mode {plan.mode.value}", "", *_table(plan)]
    for rule in rules(plan):
        lines += textwrap.wrap(
            rule, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def traits(step: PlannedStep) -> Iterator[str]:
    """Yield what a step is known by, in words."""
    if step.kind == "step":
        yield step.reason or "undo"
    if not step.has_run:
        yield "no run"
    if step.pivot:
        yield "pivot"
    if step.when:
        yield "when"
    if step.prepare:
        yield "prepare"
    if step.attempts > 1:
        yield f"{step.attempts} attempts"
    if step.timeout is not None:
        yield f"{step.timeout:g} s"
    if step.limit is not None:
        yield f"{step.limit} at once"
    if step.cancels:
        yield "cancels"


def nodes(steps: Iterable[PlannedStep]) -> Iterator[PlannedStep]:
    """Yield steps at any depth, each before those in it."""
    for step in steps:
        yield step
        yield from nodes(step.steps)


def _table(plan: Plan) -> Iterator[str]:
    rows = [("step", "kind", "traits")]
    rows += [(spelt_out(step.path), step.kind, ", ".join(traits(step))) for step in nodes(plan.steps)]
    path_width, kind_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    for path, kind, more in rows:
        yield f"  {path:<{path_width}}  {kind:<{kind_width}}  {more}".rstrip()
    yield ""


def rules(plan: Plan) -> Iterator[str]:
    """Yield what holds for all steps, each rule once."""
    leaves = list(plan.leaves())
    if not leaves:
        yield "no step, so none that could fail"
        return
    if plan.mode is ExecutionMode.STOP:
        yield (
            "whichever step fails: nothing is undone; it and those before it stay, those after it are not "
            "run; the run ends failed"
        )
    elif plan.mode is ExecutionMode.CONTINUE:
        yield "whichever step fails: nothing is undone, all others are run; the run ends failed"
    else:
        yield from _rules_of_rollback(plan, leaves)
    parallels = [step for step in nodes(plan.steps) if step.kind == "parallel"]
    if finishing := [step for step in parallels if not step.cancels]:
        yield f"if a step in {_listed(finishing)} fails: the branches beside it come to their end first"
    if cancelling := [step for step in parallels if step.cancels]:
        yield (
            f"if a step in {_listed(cancelling)} fails: branches that have not begun are not begun, "
            "async ones at work are cancelled, and the others come to their end"
        )
    if parallels and plan.mode is ExecutionMode.ROLLBACK:
        yield "branches are undone once all have ended, each as a whole, the last listed first"


def _rules_of_rollback(plan: Plan, leaves: list[PlannedStep]) -> Iterator[str]:
    pivots = _pivots(plan)
    first = next((at for at, leaf in enumerate(leaves) if leaf.path in pivots), len(leaves) - 1)
    certain = next((at for at, leaf in enumerate(leaves) if pivots.get(leaf.path) == ""), len(leaves) - 1)
    until = "" if first == len(leaves) - 1 else f", up to {spelt_out(leaves[first].path)},"
    back = "it is undone, then those before it in reverse; the run ends undone"
    yield f"whichever step{until} fails: {back}"
    if first < certain:
        maybe = [leaf for leaf in leaves[first:certain] if leaf.path in pivots]
        yield (
            f"if {_between(leaves, first + 1, certain)} fails: the same, if none of the pivots before it "
            f"({_listed(maybe)}) was run; if one was, {_STOPS}"
        )
    if certain < len(leaves) - 1:
        yield (
            f"if {_between(leaves, certain + 1, len(leaves) - 1)} fails: past the pivot "
            f"{spelt_out(leaves[certain].path)} {_STOPS}"
        )
    before = leaves[: certain + 1]
    undone = [leaf for leaf in before if leaf.has_undo]
    yield f"the whole way back, from the step that fails: {_listed(reversed(undone)) or 'nothing'}"
    for reason, stays in itertools.groupby(
        sorted((leaf for leaf in before if leaf.reason and leaf.has_run), key=lambda leaf: leaf.reason),
        key=lambda leaf: leaf.reason,
    ):
        yield f"stays, once run ({reason}): {_listed(stays)}"
    if plan.rollback_on not in {"Exception", "BaseException"}:
        yield (
            f"it goes back on {spelt_out(plan.rollback_on)}; on any other error nothing is undone, "
            "and the run ends failed"
        )
    if plan.rollback_mode is RollbackMode.STOP:
        yield "if an undo fails: the way back halts there; the run needs attention"
    else:
        yield "if an undo fails: those before it are called all the same; the run needs attention"
    if any(step.may_be_skipped for step in nodes(plan.steps)):
        yield "a step that its condition (when), or a prepare, has skipped was not run, and is not undone"
    if any(leaf.kind == "expand" for leaf in leaves):
        yield "what an expand builds is known in the run only, and undone as a workflow is"


_STOPS = "nothing is undone, whatever the error; the run stops, needs attention, and is resumed forward"


def _pivots(plan: Plan) -> dict[str, str]:
    """Return the pivots in order, each with what it depends on that it is run."""
    reached = (each for step in plan.steps for each in step.reached())
    return {leaf.path: condition for leaf, condition in reached if leaf.pivot}


def _between(leaves: list[PlannedStep], first: int, last: int) -> str:
    """Return words for the steps from one to another."""
    names = spelt_out(leaves[first].path), spelt_out(leaves[last].path)
    return names[0] if first == last else f"{names[0]} … {names[1]}"


def _listed(steps: Iterable[PlannedStep]) -> str:
    return ", ".join(spelt_out(step.path) for step in steps)
