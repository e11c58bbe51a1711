"""A report as a flowchart of Mermaid: the steps, what became of each, and the way that the run took."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from automa._core.status import Action
from automa.pictures.rows import rows_of, thinned
from automa.pictures.tree import every, tree_of
from automa.pictures.words import (
    LEFT_OUT,
    counted,
    said_of,
    said_of_run,
    shortened,
    spelt_out,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from automa._core.reports import WorkflowReport
    from automa.pictures.rows import Journaled
    from automa.pictures.tree import Node

_MOST_NODES = (200, 100, 50, 25)
_LONGEST_LABEL = 48
_LONGEST = 45_000
"""Mermaid refuses more than 50,000 characters."""

_CLASSES = {
    "good": "stroke:#1a7f37,stroke-width:2px",
    "bad": "stroke:#cf222e,stroke-width:4px",
    "back": "stroke:#0969da,stroke-width:2px,stroke-dasharray:6 3",
    "none": "stroke:#6e7781,stroke-dasharray:2 3",
    "open": "stroke:#9a6700,stroke-width:2px",
}


def label(text: str) -> str:
    """Return a text with all that could mean something in a label of Mermaid as a numbered character."""
    return re.sub(r"^[-+]|[^\w ,/+-]", lambda found: f"#{ord(found[0])};", spelt_out(text), flags=re.ASCII)


def way_back(before: str, after: str, said: str) -> str:
    """Return the way back from a step to the one before it, which a mark tells to lead back.

    An arrow would not do: with a circle in it, Mermaid may well draw the end of a workflow on top.

    Args:
        before: The name of the earlier step.
        after: That of the later one.
        said: What is written on it.
    """
    return f'    {before} -.-|"{label(said)}"| {after}'


def flowchart(report: WorkflowReport, journaled: Journaled | None = None) -> str:
    """Return a report as a flowchart: solid arrows lead forward, dotted lines back."""
    nodes = tree_of(report, journaled)
    texts = _texts(nodes, report, journaled)
    drawn = ""
    for most in _MOST_NODES:
        drawn = "\n".join(_lines(nodes, texts, _head(report, journaled), most))
        if len(drawn) <= _LONGEST:
            break
    return drawn


def _head(report: WorkflowReport, journaled: Journaled | None) -> list[str]:
    said = said_of_run(report, None if journaled is None else journaled.status)
    return [shortened(report.workflow_id, _LONGEST_LABEL), f"{said.mark} {said.words}"]


def _texts(
    nodes: Sequence[Node], report: WorkflowReport, journaled: Journaled | None
) -> dict[str, list[str]]:
    """Return what is written on each step: its id, and what became of it, with the places in time."""
    places: dict[tuple[str, bool], list[int]] = {}
    for number, row in enumerate((row for row in rows_of(report, journaled) if row.kind != "workflow"), 1):
        places.setdefault((row.path, row.is_back), []).append(number)
    texts = {}
    for node in every(nodes):
        ways = [each.action is Action.ROLLBACK for each in (node.forward, node.back) if each is not None]
        texts[node.path] = [shortened(node.id, _LONGEST_LABEL)]
        for said, way in itertools.zip_longest(node.said(), ways):
            at = places.get((node.path, way), [])[-3:]
            when = f" ({', '.join(map(str, at))})" if at else ""
            texts[node.path].append(f"{said.mark} {said.words}{when}")
    return texts


class _Chart(NamedTuple):
    """What is drawn: the names of steps in Mermaid by path, and what is written on them."""

    names: dict[str, str]
    texts: dict[str, list[str]]


def _lines(nodes: Sequence[Node], texts: dict[str, list[str]], head: list[str], most: int) -> Iterator[str]:
    listed = list(every(nodes))
    matters = (node.look in {"bad", "open"} for node in listed)
    kept = [each for each in thinned(listed, most, matters) if not isinstance(each, int)]
    names: dict[str, str] = {}
    for node in kept:
        parts = node.path.split("/")
        for path in itertools.accumulate(parts, "{}/{}".format):
            names.setdefault(path, f"n{len(names)}")
    chart = _Chart(names, texts)
    if len(names) < len(listed):
        head = [*head, f"{LEFT_OUT.mark} {counted(len(listed) - len(names), 'step')} {LEFT_OUT.words}"]
    yield "flowchart TB"
    yield f'    head(["{_written(head)}"])'
    for node in nodes:
        yield from _drawn(node, chart, "    ")
    yield from _links(nodes, chart)
    for look, style in _CLASSES.items():
        marked = [names[each.path] for each in listed if each.path in names and each.look == look]
        if marked:
            yield f"    classDef {look} {style}"
            yield f"    class {','.join(marked)} {look}"


def _written(lines: list[str]) -> str:
    return "<br/>".join(map(label, lines))


def _drawn(node: Node, chart: _Chart, indent: str) -> Iterator[str]:
    if node.path not in chart.names:
        return
    name, text = chart.names[node.path], _written(chart.texts[node.path])
    inside = [each for each in node.steps if each.path in chart.names]
    if not inside:
        yield f'{indent}{name}["{text}"]'
        return
    heading = label(", ".join(chart.texts[node.path]))  # of a second line nothing would be seen
    yield f'{indent}subgraph {name}["{heading}"]'
    yield f"{indent}    direction TB"
    for each in inside:
        yield from _drawn(each, chart, f"{indent}    ")
    yield f"{indent}end"


def _links(nodes: Sequence[Node], chart: _Chart) -> Iterator[str]:
    for node in nodes:
        if node.is_parallel:  # none of its branches comes after another
            for branch in node.steps:
                yield from _links([branch], chart)
        else:
            yield from _links(node.steps, chart)
    kept = [(place, node) for place, node in enumerate(nodes) if node.path in chart.names]
    for (place, before), (next_place, after) in itertools.pairwise(kept):
        one, other = chart.names[before.path], chart.names[after.path]
        between = next_place - place - 1
        skipped = label(f"{counted(between, 'step')} {LEFT_OUT.words}")
        said = f'|"{skipped}"|' if between else ""
        yield f"    {one} {'-->' if after.was_begun else '---'}{said} {other}"
        if before.back is not None and after.was_begun:
            back = said_of(Action.ROLLBACK, before.back.status)
            yield way_back(one, other, f"{back.mark} {back.words}")
