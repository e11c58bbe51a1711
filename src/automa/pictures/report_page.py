"""A report as one page of HTML, and as the part of a page that a notebook shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.definition import part_of
from automa._core.records import Begun
from automa.pictures.accounts import asked_section, effects_section, state_section
from automa.pictures.failures import articles
from automa.pictures.markup import Markup, escaped, joined, tag
from automa.pictures.page import facts, folded, fragment, listed, moment, named, page, saying, section
from automa.pictures.rows import rows_of, thinned
from automa.pictures.timeline import timeline
from automa.pictures.tree import every, tree_of
from automa.pictures.words import (
    LEFT_OUT,
    LONGEST_ID,
    counted,
    known,
    remarks_of,
    said_of_run,
    shortened,
    span,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from automa._core.reports import StepReport, WorkflowReport
    from automa.pictures.rows import Journaled
    from automa.pictures.tree import Node

_MOST_ROWS = 1_000
_MOST_ROWS_IN_NOTEBOOKS = 100
_MOST_NODES = 1_000
_MOST_OPEN = 100
"""How many steps are shown unfolded at most."""
_LONGEST_REMARK = 300
_LONGEST_LEFT = 4_000


def whole_page(report: WorkflowReport, journaled: Journaled | None = None) -> str:
    """Return a report as one page of HTML, which needs nothing else.

    Args:
        report: The report.
        journaled: What a journal tells beside it: state, requests, steps at work.
    """
    title = _title(report)
    errors = articles(report, goes_on=_goes_on(journaled))
    main = [
        *([section("errors", "What went wrong", *errors)] if errors else []),
        section("time", "In the order of time", *timeline(rows_of(report, journaled), _MOST_ROWS)),
        *_tree_section(tree_of(report, journaled)),
        *state_section(journaled),
        *effects_section(report),
        *asked_section(journaled),
    ]
    parts = (
        tag("header", tag("h1", title), *_head(report, journaled)),
        tag("main", joined(*main, between=Markup("\n"))),
        tag("footer", "Made by automa. Times are UTC. This page loads nothing and runs no script."),
    )
    return page(title, parts)


def part(report: WorkflowReport, journaled: Journaled | None = None) -> str:
    """Return a report as a part of a page, with its own style: its head, its errors and its actions.

    Args:
        report: The report.
        journaled: What a journal tells beside it.
    """
    parts = [
        tag("h2", _title(report)),
        *_head(report, journaled),
        *articles(report, goes_on=_goes_on(journaled)),
        *timeline(rows_of(report, journaled), _MOST_ROWS_IN_NOTEBOOKS),
    ]
    return fragment(_title(report), parts)


def _title(report: WorkflowReport) -> str:
    return f"Run of {shortened(report.workflow_id, LONGEST_ID)}"


def _goes_on(journaled: Journaled | None) -> bool:
    return journaled is not None and journaled.status in {"running", "interrupted"}


def _head(report: WorkflowReport, journaled: Journaled | None) -> Iterator[Markup]:
    said = said_of_run(report, None if journaled is None else journaled.status)
    yield tag("p", saying(said), class_="outcome")
    if report.detail is not None:
        yield tag("p", shortened(report.detail))
    begun = known(report.start_time)
    # A run that is read on its way has not ended; its report tells when it was read.
    ended = None if journaled is not None and report.is_stopped else known(report.end_time)
    at_work = () if journaled is None else tuple(journaled.at_work)
    remaining = report.remaining
    shows_standing = report.error is not None and not _goes_on(journaled)
    yield facts(
        [
            ("run", named(report.run_id) if report.run_id else ""),
            ("began", moment(begun)),
            ("ended", moment(ended)),
            ("took", "" if begun is None or ended is None else span(ended - begun)),
            ("mode", "" if report.execution_mode is None else report.execution_mode.value),
            *_facts_of_journal(journaled),
            ("at work", listed(at_work)),
            ("not run", listed([each for each in remaining.not_run if part_of(each) not in at_work])),
            ("not undone", listed(remaining.not_undone) if shows_standing else ""),
        ]
    )


def _facts_of_journal(journaled: Journaled | None) -> Iterator[tuple[str, str]]:
    if journaled is None:
        return
    for begun in journaled.history[:1]:
        if isinstance(begun, Begun):
            yield "from", named(begun.target) if begun.target else ""
            yield "version", named(begun.version) if begun.version else ""
            yield "deadline", moment(begun.deadline)


# The steps as a tree.


def _tree_section(nodes: Sequence[Node]) -> Iterator[Markup]:
    every_node = list(every(nodes))
    if not every_node:
        return
    matters = (node.look in {"bad", "open"} for node in every_node)
    kept = [each for each in thinned(every_node, _MOST_NODES, matters) if not isinstance(each, int)]
    tree = _Tree({path for node in kept for path in _outer(node.path)})
    yield section("steps", "Steps", tag("ul", *tree.items(nodes), class_="tree"))


def _outer(path: str) -> Iterator[str]:
    """Yield a path, and the paths of what it stands in."""
    yield path
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


class _Tree:
    """Steps as lists in lists, which can be folded.

    Args:
        wanted: The paths of those that are shown.
    """

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._open = "" if len(wanted) <= _MOST_OPEN else None

    def items(self, nodes: Sequence[Node]) -> Iterator[Markup]:
        """Yield steps, and how many are left out between them."""
        left_out = 0
        for node in (*nodes, None):
            if node is not None and node.path not in self._wanted:
                left_out += 1
                continue
            if left_out:
                said = f"{LEFT_OUT.mark} {counted(left_out, 'step')} {LEFT_OUT.words} here"
                yield tag("li", said, class_="dim")
                left_out = 0
            if node is not None:
                yield self._item(node)

    def _item(self, node: Node) -> Markup:
        line = [named(node.id), *(saying(said) for said in node.said())]
        for report in filter(None, (node.forward, node.back)):
            line += [tag("small", told) for told in _told(report)]
        left = [part for report in (node.forward, node.back) if report for part in _left(report)]
        if not node.steps:
            return tag("li", *line, *left)
        inside = tag("ul", *self.items(node.steps))
        return tag("li", tag("details", tag("summary", *line), inside, open=self._open))


def _left(report: StepReport) -> Iterator[Markup]:
    """Yield what an action has left in its report: what a command has printed, say."""
    kept = [(name, _text(value)) for name, value in report.metadata.items()]
    if kept:
        pairs = [
            (shortened(name, LONGEST_ID), tag("pre", escaped(shortened(text, _LONGEST_LEFT), lines=True)))
            for name, text in kept
        ]
        yield folded(f"what {report.action.value} left", facts(pairs))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _told(report: StepReport) -> Iterator[str]:
    remarks = "  ".join(remarks_of(report))
    if remarks and report.workflow is None:  # of a workflow, the steps in it tell
        yield shortened(remarks, _LONGEST_REMARK)
