"""A plan as a picture: as a flowchart of Mermaid, and as SVG that needs nothing else."""

from __future__ import annotations

import itertools
import unicodedata
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from automa._core.status import ExecutionMode
from automa.pictures.mermaid import label, way_back
from automa.pictures.words import spelt_out
from automa.plan.text import nodes, traits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa.plan.plan import Plan, PlannedStep


class Link(NamedTuple):
    """The way from a step to the next one.

    Attributes:
        before: The path of the step.
        after: The path of the next one.
        back: Whether a run goes back here: ``yes``, ``no`` past a pivot, or ``maybe`` past one that may be
            skipped.
    """

    before: str
    after: str
    back: str


def links(plan: Plan) -> Iterator[Link]:
    """Yield the ways between the steps, at any depth; there are none between branches."""
    pivots = {each.path: condition for step in plan.steps for each, condition in step.reached() if each.pivot}
    behind: list[str] = []  # on what the pivots that were passed so far depend

    def within(step: PlannedStep) -> Iterator[Link]:
        if step.path in pivots:
            behind.append(pivots[step.path])
        if step.kind != "parallel":
            yield from between(step.steps)
        else:
            for branch in step.steps:
                yield from within(branch)

    def between(steps: tuple[PlannedStep, ...]) -> Iterator[Link]:
        for step, after in itertools.zip_longest(steps, steps[1:]):
            yield from within(step)
            if after is not None:
                back = "no" if "" in behind else "maybe" if behind else "yes"
                yield Link(step.path, after.path, back if plan.mode is ExecutionMode.ROLLBACK else "no")

    return between(plan.steps)


def _labels(step: PlannedStep) -> tuple[str, str]:
    """Return what a step is shown with: its id, the last part of its path, and what it is known by."""
    kind = () if step.kind == "step" else (step.kind,)
    return spelt_out(step.path.rpartition("/")[2]), ", ".join((*kind, *traits(step)))


# Mermaid.


def mermaid(plan: Plan) -> str:
    """Return a plan as a flowchart of Mermaid."""
    names = {step.path: f"n{number}" for number, step in enumerate(nodes(plan.steps))}
    lines = ["flowchart TB"]
    for step in plan.steps:
        lines += _mermaid_nodes(step, names, "    ")
    for link in links(plan):
        before, after = names[link.before], names[link.after]
        lines.append(f"    {before} --> {after}")
        if link.back != "no":
            said = "undo" if link.back == "yes" else "undo, if no pivot was run"
            lines.append(way_back(before, after, f"↶ {said}"))
    lines += ["    classDef pivot stroke-width:4px", "    classDef stays stroke-dasharray:4 3"]
    for name, marked in (
        ("pivot", [names[leaf.path] for leaf in plan.leaves() if leaf.pivot]),
        ("stays", [names[leaf.path] for leaf in plan.leaves() if leaf.reason and not leaf.pivot]),
    ):
        if marked:
            lines.append(f"    class {','.join(marked)} {name}")
    return "\n".join(lines)


def _mermaid_nodes(step: PlannedStep, names: dict[str, str], indent: str) -> Iterator[str]:
    told = [each for each in _labels(step) if each]
    if not step.steps:
        opening, closing = ('{{"', '"}}') if step.pivot else ('["', '"]')
        yield f"{indent}{names[step.path]}{opening}{'<br/>'.join(map(label, told))}{closing}"
        return
    heading = label(", ".join(told))  # of a second line nothing would be seen
    yield f'{indent}subgraph {names[step.path]}["{heading}"]'
    yield f"{indent}    direction TB"
    for each in step.steps:
        yield from _mermaid_nodes(each, names, f"{indent}    ")
    yield f"{indent}end"


# SVG: sequences from top to bottom, branches from left to right.

_CHARACTER, _LINE, _PAD, _GAP, _LONGEST = 7.5, 18, 12, 34, 48
STYLE = """
    .automa-plan .page { fill: #ffffff }
    .automa-plan text { font: 12px ui-monospace, monospace; fill: #1f2328 }
    .automa-plan text.more { fill: #59636e }
    .automa-plan rect.box { fill: #f6f8fa; stroke: #59636e }
    .automa-plan rect.group { fill: none; stroke: #59636e }
    .automa-plan rect.pivot { stroke: #9a6700; stroke-width: 4 }
    .automa-plan rect.stays { stroke: #cf222e; stroke-dasharray: 5 3 }
    .automa-plan .forward { stroke: #1f2328 } .automa-plan .head { fill: #1f2328 }
    .automa-plan .back { stroke: #0969da; stroke-dasharray: 4 3 }
    .automa-plan .tail, .automa-plan text.way { fill: #0969da }
    @media screen and (prefers-color-scheme: dark) {
      .automa-plan .page { fill: #0d1117 }
      .automa-plan text, .automa-plan .head { fill: #f0f6fc }
      .automa-plan text.more { fill: #9198a1 }
      .automa-plan rect.box { fill: #212830; stroke: #9198a1 }
      .automa-plan rect.group { stroke: #9198a1 }
      .automa-plan rect.pivot { stroke: #d29922 }
      .automa-plan rect.stays { stroke: #f85149 }
      .automa-plan .forward { stroke: #f0f6fc }
      .automa-plan .back { stroke: #4493f8 } .automa-plan .tail, .automa-plan text.way { fill: #4493f8 }
    }
  """
"""No variables of CSS: of the programs that draw SVG only browsers know them."""


class _Box(NamedTuple):
    """Where a step is drawn."""

    x: float
    y: float
    width: float
    height: float


def svg(plan: Plan) -> str:
    """Return a plan as SVG."""
    places: dict[str, _Box] = {}
    title = f"workflow {spelt_out(plan.workflow_id)}, mode {plan.mode.value}"
    width, height = _size_of_sequence(plan.steps)
    width = max(width, _wide(_cut(title)) + 8.0, 260.0)
    _place_sequence(plan.steps, _PAD, _PAD + 2 * _LINE, width, places)
    width, height = width + 2 * _PAD, height + 2 * _PAD + 2 * _LINE
    shapes = [_shape(step, places[step.path]) for step in nodes(plan.steps)]
    arrows = [_arrows(places[link.before], places[link.after], link.back) for link in links(plan)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="automa-plan" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img">\n'
        f"  <title>{escape(title)}</title>\n  <style>{STYLE}</style>\n"
        f'  <rect class="page" width="{width:g}" height="{height:g}"/>\n'
        f"{_text(_PAD, _PAD + 8, title)}"
        f"{_text(_PAD, _PAD + 8 + _LINE, 'solid: the way forward; dashed: back', 'more')}"
        + "".join(shapes + arrows)
        + "</svg>"
    )


def _size(step: PlannedStep) -> tuple[float, float]:
    width = max(_wide(_cut(each)) for each in _labels(step)) + 2 * _PAD
    head = 2 * _LINE + _PAD
    if not step.steps:
        return max(width, 120.0), head
    if step.kind == "parallel":
        sizes = [_size(branch) for branch in step.steps]
        inner = sum(each[0] for each in sizes) + _PAD * (len(sizes) - 1), max(each[1] for each in sizes)
    else:
        inner = _size_of_sequence(step.steps)
    return max(width, inner[0] + 2 * _PAD), head + inner[1] + _PAD


def _size_of_sequence(steps: tuple[PlannedStep, ...]) -> tuple[float, float]:
    sizes = [_size(step) for step in steps]
    height = sum(each[1] for each in sizes) + _GAP * max(0, len(sizes) - 1)
    return max((each[0] for each in sizes), default=0.0), height


def _place_sequence(
    steps: tuple[PlannedStep, ...], x: float, y: float, width: float, places: dict[str, _Box]
) -> None:
    for step in steps:
        own_width, height = _size(step)
        _place(step, _Box(x + (width - own_width) / 2, y, own_width, height), places)
        y += height + _GAP


def _place(step: PlannedStep, box: _Box, places: dict[str, _Box]) -> None:
    places[step.path] = box
    x, y = box.x + _PAD, box.y + 2 * _LINE + _PAD
    if step.kind != "parallel":
        _place_sequence(step.steps, x, y, box.width - 2 * _PAD, places)
        return
    for branch in step.steps:
        width, height = _size(branch)
        _place(branch, _Box(x, y, width, height), places)
        x += width + _PAD


def _shape(step: PlannedStep, box: _Box) -> str:
    classes = ["group" if step.steps else "box"]
    if step.pivot:
        classes.append("pivot")
    elif step.reason:
        classes.append("stays")
    named, more = _labels(step)
    return (
        f'  <g><title>{escape(spelt_out(step.path))}</title><rect class="{" ".join(classes)}" x="{box.x:g}" '
        f'y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/></g>\n'
        + _text(box.x + _PAD, box.y + _LINE, named)
        + _text(box.x + _PAD, box.y + 2 * _LINE, more, "more")
    )


def _arrows(before: _Box, after: _Box, back: str) -> str:
    x, top, bottom = before.x + before.width / 2, before.y + before.height, after.y
    drawn = _arrow(x - 8, top, bottom - 7, "forward", "head")
    if back != "no":
        drawn += _arrow(x + 8, bottom, top + 7, "back", "tail")
        said = "undo" if back == "yes" else "undo, if no pivot was run"
        drawn += _text(x + 16, (top + bottom) / 2 + 4, said, "way")
    return drawn


def _arrow(x: float, start: float, end: float, line: str, head: str) -> str:
    point = 7 if end > start else -7
    return (
        f'  <path class="{line}" d="M{x:g} {start:g}V{end:g}"/>'
        f'<path class="{head}" d="M{x - 4:g} {end:g}h8l-4 {point}z"/>\n'
    )


def _text(x: float, y: float, text: str, name: str = "") -> str:
    kind = f' class="{name}"' if name else ""
    return f'  <text x="{x:g}" y="{y:g}"{kind}>{escape(_cut(text))}</text>\n'


def _cut(text: str) -> str:
    """Return a text that is short enough to be drawn; the whole is in the title of the step."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _wide(text: str) -> float:
    """Return about how wide a text is drawn."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text) * _CHARACTER
