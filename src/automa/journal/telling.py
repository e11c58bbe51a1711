"""How a journal is told in words: on the command line, and on the web page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.definition import part_of
from automa._core.records import (
    Answered,
    AttemptFailed,
    Begun,
    Cancelled,
    Effect,
    Ended,
    Expanded,
    Late,
    Resumed,
    Started,
    Suspended,
)
from automa._core.status import Action, Status
from automa.errors import text_of
from automa.journal.journal import RUNNING
from automa.pictures.words import spelt_out
from automa.wire.documents import format_time

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from automa._core.protocols import RunInfo
    from automa._core.records import Record
    from automa._core.reports import WorkflowReport

INTERRUPTED = "interrupted"
"""How a run is shown that has not ended, and that nobody who is alive carries on."""


def shown_status(info: RunInfo) -> str:
    """Return how a run stands."""
    return INTERRUPTED if info.status == RUNNING and not info.is_owned else info.status


_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def age_of(age: timedelta) -> str:
    """Return an age in the largest unit of which it has one."""
    seconds = max(0, int(age.total_seconds()))
    return next((f"{seconds // size}{unit}" for unit, size in _UNITS if seconds >= size), f"{seconds}s")


def plain(text: str) -> str:
    """Return a text with its control characters spelt out: a message must not steer the terminal."""
    return spelt_out(text, lines=True)


def reason_of(error: BaseException | None) -> str:
    """Return an error in one line; nothing where there is none."""
    return "" if error is None else f"{type(error).__name__}: {text_of(error)}"


def failed_undos(report: WorkflowReport) -> list[str]:
    """Return the paths of the steps whose undo was called in vain, and nobody has seen to it since.

    They come in the order of undoing; a workflow is told by its steps.
    """
    stand: dict[str, Status] = {}

    def look(inner: WorkflowReport, prefix: str) -> None:
        for step in inner.step_reports:
            path = prefix + part_of(step.step_id)
            if step.workflow is not None:
                look(step.workflow, f"{path}/")
            elif step.action is Action.ROLLBACK:
                stand[path] = step.status

    look(report, "")
    return [path for path, status in stand.items() if status is Status.FAILED]


def told(record: Record) -> tuple[datetime | None, str]:  # noqa: C901, PLR0911  # a kind of record a line
    """Return when a record was made, and what it tells."""
    match record:
        case Begun():
            return record.at, f"begun{'' if record.target is None else f' by {record.target}'}"
        case Started(path, action, at):
            return at, f"{action} {path}"
        case Answered(path, report):
            why = reason_of(report.error) or report.detail or ""
            return report.end_time, f"{report.action} {path} {report.status}{why and f'  {why}'}"
        case AttemptFailed(path, report, delay):
            again = "tried again when it is resumed" if delay is None else f"tried again after {delay:.3g} s"
            return report.end_time, f"{report.action} {path} FAILED  {reason_of(report.error)}; {again}"
        case Expanded(path, steps):
            return None, f"built by {path}: {', '.join(step.id for step in steps) or 'nothing'}"
        case Effect(path, _, at, kind, ref):
            return at, f"done outside by {path}: {kind} {ref}"
        case Late(path, at, is_back, error):
            what = "came to its end, too late" if is_back else "is still at work"
            return at, f"{path} {what}  {reason_of(error)}"
        case Cancelled(path, error):
            return None, f"turned back after {path}: {reason_of(error)}"
        case Ended(report):
            return report.end_time, f"ended {report.outcome}"
        case Suspended(at, error):
            return at, f"suspended: {reason_of(error)}"
        case Resumed(at, deadline, note):
            until = "" if deadline is None else f", deadline {format_time(deadline)}"
            return at, f"resumed{until}{note and f', {note!r}'}"
    of_what = "" if record.path is None else f" {record.path}"
    return record.at, f"asked for: {record.request}{of_what}{record.note and f', {record.note!r}'}"
