"""Texts as pictures show them: spelt out, not too long; times and what became of steps in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.clock import ZERO_TIME
from automa._core.status import Action, Outcome, Status
from automa.errors import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa._core.reports import StepReport, WorkflowReport

LONGEST_ID = 200
"""How many characters of an id or a path are shown at most."""

LONGEST_TEXT = 2_000
"""How many characters of a message or a value are shown at most."""


def spelt_out(text: str, *, lines: bool = False) -> str:
    """Return a text with all that is no visible character spelt out, so that it steers no reader.

    Args:
        text: Any text.
        lines: Whether line ends are kept.
    """
    if text.isprintable():
        return text
    kept = "\n" if lines else ""
    return "".join(each if each.isprintable() or each in kept else repr(each)[1:-1] for each in text)


def shortened(text: str, most: int = LONGEST_TEXT) -> str:
    """Return a text, or its beginning and how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters in all)"


def json_text(value: Any) -> str:
    """Return a JSON value as a text that is not too long."""
    return shortened(json.dumps(value, ensure_ascii=False))


def counted(number: int, what: str) -> str:
    """Return a number with its noun, in the plural where it is not one."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# Times.


def known(time: datetime | None) -> datetime | None:
    """Return a time with its zone; None where it is the zero time of the seed, or none."""
    if time is None:
        return None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return None if time == ZERO_TIME else time


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def span(length: timedelta | None) -> str:
    """Return how long something took, in the two largest units that it has; empty where nobody knows."""
    if length is None:
        return ""
    seconds = max(0.0, length.total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            lower, lower_unit = {"d": (3_600, "h"), "h": (60, "m"), "m": (1, "s")}[unit]
            return f"{whole} {unit} {rest // lower} {lower_unit}" if rest // lower else f"{whole} {unit}"
    return f"{seconds:.3f} s"


# What became of steps.


class Said(NamedTuple):
    """What became of something: in a mark, in words, and in a colour, which never stands alone.

    Attributes:
        mark: A character.
        words: The same in words.
        look: The name of its colour: ``good bad back none open``.
    """

    mark: str
    words: str
    look: str


_RAN = {
    Status.SUCCESS: Said("→", "ran", "good"),
    Status.FAILED: Said("✗", "failed", "bad"),
    Status.SKIPPED: Said("-", "skipped", "none"),
    Status.UNDEFINED: Said("…", "not ended", "open"),
}
_WENT_BACK = {
    Status.SUCCESS: Said("↶", "undone", "back"),
    Status.FAILED: Said("✗", "undo failed", "bad"),
    Status.SKIPPED: Said("-", "undo skipped", "none"),
    Status.UNDEFINED: Said("…", "undo not ended", "open"),
}
NOT_RUN = Said("·", "not run", "none")
LEFT_OUT = Said("⋮", "left out", "none")


def said_of(action: Action, status: Status) -> Said:
    """Return what became of an action."""
    if action is Action.ROLLBACK:
        return _WENT_BACK[status]
    said = _RAN[status]
    return said if action is Action.RUN else said._replace(words=f"prepare {said.words}")


def said_at_work(action: Action) -> Said:
    """Return what is said of a step that was at work last."""
    words = {Action.RUN: "at work", Action.ROLLBACK: "undo at work", Action.PREPARE: "prepare at work"}
    return Said("…", words[action], "open")


_OUTCOMES = {
    Outcome.SUCCEEDED.value: ("✓", "good"),
    Outcome.UNDONE.value: ("↶", "back"),
    Outcome.FAILED.value: ("✗", "bad"),
    Outcome.NEEDS_ATTENTION.value: ("⚠", "bad"),
    Outcome.INFRASTRUCTURE_ERROR.value: ("⚠", "bad"),
    "interrupted": ("⚠", "bad"),
    Status.SUCCESS.value.lower(): ("✓", "good"),  # reports of the seed tell no more
}


def said_of_run(report: WorkflowReport, status: str | None = None) -> Said:
    """Return how a run ended, or how it stands.

    Args:
        report: Its report.
        status: How it stands by the list of runs, where it is in one.
    """
    status = status or (report.status.value.lower() if report.outcome is None else report.outcome.value)
    mark, look = _OUTCOMES.get(status, ("…", "open"))
    return Said(mark, status.replace("_", " "), look)


def error_text(error: BaseException) -> str:
    """Return what an error says: its class and its message."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def remarks_of(report: StepReport) -> Iterator[str]:
    """Yield why an action did not simply succeed, and what else is to be said of it."""
    if report.error is not None:
        yield error_text(report.error)
    elif report.detail is not None:
        yield report.detail
    yield from (f"({remark})" for remark in report.remarks)
