"""A plan as one page of HTML, and as the part of a page that a notebook shows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from automa.pictures.markup import Markup, joined, tag
from automa.pictures.page import facts, folded, fragment, listed, named, page, section, table
from automa.pictures.words import LONGEST_ID, counted, shortened
from automa.plan.pictures import STYLE, svg
from automa.plan.text import nodes, rules, traits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from automa.plan.plan import Fate, Plan, PlannedStep, WayBack

_MOST_DRAWN = 200
_MOST_ROWS = 1_000
_MOST_ANSWERS = 50
_MOST_LISTED = 100


def whole_page(plan: Plan) -> str:
    """Return a plan as one page of HTML."""
    title = f"Plan of {shortened(plan.workflow_id, LONGEST_ID)}"
    main = (
        section("picture", "Picture", *_picture(plan)),
        section("rules", "What holds for all steps", tag("ul", *map(_rule, rules(plan)))),
        section("steps", "Steps", *_table(plan)),
        section("failures", "If a step fails", *_answers(plan)),
    )
    parts = (
        tag("header", tag("h1", title), _facts(plan)),
        tag("main", joined(*main, between=Markup("\n"))),
        tag("footer", "Made by automa; nothing was run. This page loads nothing and runs no script."),
    )
    return page(title, parts, [STYLE])


def part(plan: Plan) -> str:
    """Return a plan as a part of a page: its picture, and what holds for all steps."""
    title = f"Plan of {shortened(plan.workflow_id, LONGEST_ID)}"
    told = folded("What holds for all steps", tag("ul", *map(_rule, rules(plan))))
    return fragment(title, (tag("h2", title), _facts(plan), *_picture(plan), told))


def _rule(rule: str) -> Markup:
    return tag("li", shortened(rule))


def _facts(plan: Plan) -> Markup:
    told = [("mode", plan.mode.value), ("if an undo fails", plan.rollback_mode.value)]
    return facts([*told, ("goes back on", shortened(plan.rollback_on, LONGEST_ID))])


def _picture(plan: Plan) -> Iterator[Markup]:
    steps, left_out = _first(plan.steps, _MOST_DRAWN)
    yield tag("div", Markup(svg(dataclasses.replace(plan, steps=steps))), class_="picture")
    if left_out:
        yield tag("p", f"{counted(left_out, 'step')} more, left out of the picture.", class_="dim")


def _first(steps: Iterable[PlannedStep], most: int) -> tuple[tuple[PlannedStep, ...], int]:
    """Return the first steps, those in them counted too, and how many are left out."""
    kept: list[PlannedStep] = []
    left_out = 0
    for step in steps:
        if most <= 0:
            left_out += sum(1 for _ in nodes([step]))
            continue
        inside, fewer = _first(step.steps, most - 1)
        kept.append(dataclasses.replace(step, steps=inside))
        left_out += fewer
        most -= 1 + sum(1 for _ in nodes(inside))
    return tuple(kept), left_out


def _table(plan: Plan) -> Iterator[Markup]:
    steps = list(nodes(plan.steps))
    rows = ((named(each.path), each.kind, ", ".join(traits(each))) for each in steps[:_MOST_ROWS])
    if steps:
        yield table("Steps", ("step", "kind", "traits"), rows)
    yield from _rest(len(steps), _MOST_ROWS)


def _rest(count: int, most: int) -> Iterator[Markup]:
    if count > most:
        yield tag("p", f"{counted(count - most, 'step')} more, left out.", class_="dim")


def _answers(plan: Plan) -> Iterator[Markup]:
    leaves = list(plan.leaves())
    if not leaves:
        yield tag("p", "There is no step that could fail.")
    for leaf in leaves[:_MOST_ANSWERS]:
        yield folded(joined("If ", named(leaf.path), " fails"), *_way(plan.if_fails(leaf.path)))
    yield from _rest(len(leaves), _MOST_ANSWERS)


def _way(way: WayBack) -> Iterator[Markup]:
    yield facts(
        [
            ("the run ends", way.outcome.value.replace("_", " ")),
            ("past the pivot", listed(way.pivots)),
            ("undone", _fates(way.undone) or "nothing"),
            ("stays", _fates(way.stays)),
            ("not run", listed(way.not_run, _MOST_LISTED)),
        ]
    )
    if way.otherwise is not None:
        yield tag("p", "Where none of these pivots was run:")
        yield from _way(way.otherwise)


def _fates(fates: tuple[Fate, ...]) -> str:
    return listed([_fate(fate) for fate in fates], _MOST_LISTED)


def _fate(fate: Fate) -> Markup:
    told = ", ".join(filter(None, (fate.reason, fate.condition)))
    return joined(named(fate.path), f" ({shortened(told, LONGEST_ID)})" if told else "")
