"""What went wrong in a run: each error with what it came from."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from automa._core.definition import part_of
from automa._core.status import Action, Status
from automa.errors import encode_error
from automa.pictures.markup import Markup, escaped, tag
from automa.pictures.page import folded, named
from automa.pictures.words import LONGEST_ID, counted, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa._core.reports import WorkflowReport
    from automa.errors import EncodedError

_MOST_FAILURES = 50
_MOST_CAUSES = 20
_MOST_MEMBERS = 20
_DEEPEST = 5


class Failure(NamedTuple):
    """An error of a run, and where it came up.

    Attributes:
        path: The path of the step; empty where it is the run's own.
        action: What the step was asked to do.
        error: The error.
    """

    path: str
    action: Action
    error: BaseException


def failures_of(report: WorkflowReport, prefix: str = "") -> Iterator[Failure]:
    """Yield the errors of a run, each where it came up first."""
    reports = report.step_reports if report.prepare is None else [report.prepare, *report.step_reports]
    for step in reports:
        path = prefix + part_of(step.step_id)
        inside = [] if step.workflow is None else list(failures_of(step.workflow, f"{path}/"))
        yield from inside
        is_told = any(each.error is step.error for each in inside)
        if step.status is Status.FAILED and step.error is not None and not is_told:
            yield Failure(path, step.action, step.error)


def articles(report: WorkflowReport, *, goes_on: bool) -> list[Markup]:
    """Return what went wrong, the error of the run first.

    Args:
        report: The report.
        goes_on: Whether the run goes on, so that why it stopped is not to be told.
    """
    found = list(failures_of(report))
    own, first = report.own_error, report.error
    if own is not None and not goes_on and all(each.error is not own for each in found):
        found.append(Failure("", report.action, own))
    found.sort(key=lambda failure: failure.error is not first)  # it is stable
    shown = [_article(failure, is_first=failure.error is first) for failure in found[:_MOST_FAILURES]]
    if len(found) > len(shown):
        shown.append(tag("p", f"{counted(len(found) - len(shown), 'further error')} left out.", class_="dim"))
    return shown


def _article(failure: Failure, *, is_first: bool) -> Markup:
    kind = (
        "The error of the run"
        if is_first
        else "Undo failed"
        if failure.action is Action.ROLLBACK
        else "Error"
    )
    where = [" in ", named(failure.path)] if failure.path else []
    return tag("article", tag("h3", kind, *where), *_error(encode_error(failure.error)))


def _error(error: EncodedError, depth: int = 0) -> Iterator[Markup]:
    """Yield an error, its notes, its members and what it came from."""
    yield _told(error)
    yield from _members(error, depth)
    links = error.chain()
    inside: list[Markup] = []
    for outer, link in pairwise(links[: _MOST_CAUSES + 1]):
        how = "came up while this was handled" if outer.context else "caused by"
        inside += [tag("p", how, class_="dim"), _told(link)]
    if len(links) > _MOST_CAUSES + 1:
        inside.append(tag("p", "Further causes are left out.", class_="dim"))
    if inside:
        yield folded(counted(min(len(links) - 1, _MOST_CAUSES), "cause"), *inside, is_open=True)


def _told(error: EncodedError) -> Markup:
    members = f" ({counted(len(error.exceptions), 'sub-exception')})" if error.exceptions else ""
    lines = [f"{error.message}{members}", *error.notes]
    text = escaped(shortened("\n".join(line for line in lines if line)), lines=True)
    name = shortened(error.type.removeprefix("builtins."), LONGEST_ID)
    return tag("pre", tag("b", name, class_="bad"), ": " if text else "", text)


def _members(error: EncodedError, depth: int) -> Iterator[Markup]:
    if error.exceptions is None:
        return
    members = error.exceptions[:_MOST_MEMBERS] if depth < _DEEPEST else ()
    items = [tag("li", *_error(member, depth + 1)) for member in members]
    if len(error.exceptions) > len(members):
        items.append(tag("li", f"{len(error.exceptions) - len(members):,} more, left out", class_="dim"))
    yield tag("ul", *items)
