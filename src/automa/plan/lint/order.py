"""Rules about the order of steps, and what becomes of them when a later one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.status import ExecutionMode
from automa.plan.lint.effects import is_harmless, raises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa._core.definition import Definition
    from automa._core.retry import Retry
    from automa.plan.lint.sites import Function, Site
    from automa.plan.lint.sources import Sources

    Found = Iterator[tuple[str, Site, Function | None, str]]
    """The code of a rule, the step, its function that is meant, and the message."""


def check_order(root: Definition, sites: list[Site], sources: Sources) -> Found:
    """Find steps that stand in the wrong place, or lack an undo: SAGA001 to SAGA004."""
    if root.mode is not ExecutionMode.ROLLBACK:  # nothing is undone; nested modes do not count
        return
    for site in sites:
        passed = next((each for each in site.before if _is_surely_passed(each)), None)
        if passed is not None:
            yield from _check_past_pivot(site, passed, sources)
        elif not site.is_marked("pivot"):
            yield from _check_before_pivot(site, sources)
    for pivot in [site for site in sites if site.is_marked("pivot")][:1]:
        for site in pivot.before:
            if site.is_marked("irreversible"):
                message = (
                    f"it cannot be undone, and comes before the pivot {_name(pivot)}, up to which all is to "
                    "be undone. Put it after the pivot."
                )
                yield "SAGA004", site, site.run, message


def _name(site: Site) -> str:
    """Return how messages name a step."""
    return repr(site.path)


def _check_past_pivot(site: Site, pivot: Site, sources: Sources) -> Found:
    """Check a step that comes when nothing is undone any more."""
    if site.is_marked("pivot"):
        message = f"it is a second pivot: from {_name(pivot)} on nothing is undone. Leave one of them."
        yield "SAGA004", site, site.run, message
        return
    if site.of("undo"):
        message = (
            f"its undo is never called: it comes after the pivot {_name(pivot)}, and from there on nothing "
            "is undone. Put it before the pivot, or leave the undo out."
        )
        yield "SAGA004", site, site.of("undo")[0], message
    if _may_fail_at_once(site, sources):
        message = (
            "it comes after the pivot and is tried but once: if it fails, the run stops, and waits for "
            "somebody. Give it a retry."
        )
        yield "SAGA002", site, site.run, message


def _check_before_pivot(site: Site, sources: Sources) -> Found:
    """Check a step that is undone when a later one fails."""
    irreversible = next((each for each in site.before if each.is_marked("irreversible")), None)
    if irreversible is not None and site.of("undo"):
        message = (
            f"it can be undone, but comes after {_name(irreversible)}, which cannot: if it fails, that one "
            "stays. Put it before."
        )
        yield "SAGA001", site, site.run, message
    elif irreversible is not None and _may_fail_at_once(site, sources):
        message = (
            f"it may fail after {_name(irreversible)}, which cannot be undone, and is tried but once. Put "
            "it before, or give it a retry."
        )
        yield "SAGA002", site, site.run, message
    if not site.can_undo and not site.is_marked("irreversible") and _does_something(site, sources):
        message = (
            "it does something and has no undo: when a later step fails, what it did is left, and the report "
            "calls it undone. Give it an undo, or say irreversible=True."
        )
        yield "SAGA003", site, site.run, message


def _does_something(site: Site, sources: Sources) -> bool:
    """Whether a step has a run that is not evidently without effect."""
    return any(not is_harmless(each, sources) for each in site.of("run"))


def _may_fail_at_once(site: Site, sources: Sources) -> bool:
    """Whether a step is tried but once, and calls what may fail, or raises itself."""
    if getattr(site.step, "retry", None) is not None:
        return False
    return _does_something(site, sources) or any(raises(each) for each in site.of("run"))


def _is_surely_passed(site: Site) -> bool:
    """Whether a step is a pivot, and nothing leaves it out: neither a condition nor a `Skip`."""
    if not site.is_marked("pivot") or site.has("when") or site.unseen:
        return False
    codes = [each.function.__code__ for each in site.of("run")]
    return not any({"Skip", "skipped_run"} & {*code.co_names, *code.co_freevars} for code in codes)


_MOST_ATTEMPTS = 1000  # that are looked at


def check_deadline(root: Definition, sites: list[Site]) -> Found:
    """Find limits of a step that the deadline of the run makes void: SAGA008."""
    if root.deadline is None:
        return
    deadline = root.deadline.total_seconds()
    for site in sites:
        timeout: float | None = getattr(site.step, "timeout", None)
        retry: Retry | None = getattr(site.step, "retry", None)
        if timeout is not None and timeout > deadline:
            message = (
                f"its timeout, {timeout:g} s, is longer than the deadline of the run, {deadline:g} s, which "
                "always comes first. Make one of them fit."
            )
            yield "SAGA008", site, site.run, message
        elif retry is not None and _least_wait(retry) > deadline:
            message = (
                f"the waits between its {retry.attempts} attempts alone take longer than the deadline of the "
                f"run, {deadline:g} s: the last is never made. Make one of them fit."
            )
            yield "SAGA008", site, site.run, message


def _least_wait(retry: Retry) -> float:
    """Return the least seconds that are waited before the last attempt."""
    return sum(retry.delay(attempt, 0.0) for attempt in range(1, min(retry.attempts, _MOST_ATTEMPTS)))
