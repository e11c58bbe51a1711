"""How runs in a store are told: as lines, and as JSON."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO

from automa._core.records import (
    Answered,
    AttemptFailed,
    Begun,
    Cancelled,
    Effect,
    Ended,
    Expanded,
    Late,
    Requested,
    Resumed,
    Started,
    Suspended,
)
from automa._core.status import Outcome
from automa.cli.output import standard_output
from automa.cli.views import plain, quiet_console, report_table
from automa.errors import text_of
from automa.journal.journal import RUNNING
from automa.pictures import Journaled, report_to_html, report_to_mermaid, report_to_svg
from automa.wire import v0
from automa.wire.documents import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from automa._core.protocols import RunInfo
    from automa._core.records import Record
    from automa._core.reports import WorkflowReport
    from automa.journal.reading import Reading

INTERRUPTED = "interrupted"
"""How a run is shown that has not ended, and that nobody who is alive carries on."""


def shown_status(info: RunInfo) -> str:
    """Return how a run stands."""
    return INTERRUPTED if info.status == RUNNING and not info.is_owned else info.status


def run_to_dict(info: RunInfo) -> dict[str, Any]:
    """Return a run in a list as JSON values."""
    return {
        "run_id": info.run_id,
        "workflow_id": info.workflow_id,
        "status": shown_status(info),
        "created": format_time(info.created),
        "updated": format_time(info.updated),
        "is_owned": info.is_owned,
    }


def table_of(infos: Sequence[RunInfo], now: datetime) -> str:
    """Return runs as lines: columns as wide as they must be, so that no id is cut off."""
    rows = [("RUN", "WORKFLOW", "STATUS", "AGE", "UPDATED")]
    rows += [
        (
            plain(info.run_id),
            plain(info.workflow_id),
            shown_status(info),
            age_of(now - info.created),
            format_time(info.updated, 0),
        )
        for info in infos
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def age_of(age: timedelta) -> str:
    """Return an age in the largest unit of which it has one."""
    seconds = max(0, int(age.total_seconds()))
    return next((f"{seconds // size}{unit}" for unit, size in _UNITS if seconds >= size), f"{seconds}s")


def to_json(info: RunInfo, reading: Reading, entries: list[dict[str, Any]]) -> str:
    """Return what a journal tells as JSON."""
    document = {
        "run_id": info.run_id,
        "workflow_id": info.workflow_id,
        "status": shown_status(info),
        "report": v0.to_dict(reading.report),
        "states": {path: state.name.lower() for path, state in reading.states.items()},
        "shared": reading.shared,
        "at_work": [{"path": path, "action": action.value} for path, action in reading.at_work.items()],
        "records": entries,
    }
    return json.dumps(document, indent=2)


class RunFormat(StrEnum):
    """The forms in which a run is shown."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"
    SVG = "svg"
    MERMAID = "mermaid"


_PICTURES: dict[RunFormat, Callable[[WorkflowReport, Journaled], str]] = {
    RunFormat.HTML: report_to_html,
    RunFormat.SVG: report_to_svg,
    RunFormat.MERMAID: report_to_mermaid,
}


def picture_of(info: RunInfo, reading: Reading, history: Sequence[Record], form: RunFormat) -> str:
    """Return what a journal tells as a picture.

    Args:
        info: The run in the list of runs.
        reading: What its journal tells.
        history: Its records.
        form: As what.
    """
    journaled = Journaled(shown_status(info), history, reading.shared, reading.at_work)
    return _PICTURES[form](reading.report, journaled)


def print_run(info: RunInfo, reading: Reading, history: Sequence[Record], file: TextIO | None = None) -> None:
    """Print what a journal tells.

    Args:
        info: The run in the list of runs.
        reading: What its journal tells.
        history: The records that are told each; none, where they are not wanted.
        file: Where to; to standard output, where none is given.

    Raises:
        InputError: Where it cannot be printed.
    """
    lines = ["", "steps:"]
    lines += [f"  {path}  {_state_of(path, reading)}" for path in reading.states]
    lines += ["state:", f"  {json.dumps(reading.shared)}"]
    if history:
        lines += ["records:", *(f"  {_record_line(record)}" for record in history)]
    console = quiet_console() if file is None else quiet_console(file=file, width=100, color_system=None)
    with standard_output("the answer"):
        console.print(plain(_headline(info, reading)), soft_wrap=True, markup=False, highlight=False)
        console.print(report_table(reading.report, has_title=False))
        console.print(plain("\n".join(lines)), soft_wrap=True, markup=False, highlight=False)


def _headline(info: RunInfo, reading: Reading) -> str:
    if reading.is_done:
        return reading.report.headline
    status = shown_status(info)
    calls = ", ".join(f"{action} {path}" for path, action in reading.at_work.items())
    doing = calls and f", at work: {calls}"
    if status == Outcome.NEEDS_ATTENTION:
        return f"{reading.report.headline}; it is past its pivot: resume it"
    why = f": {_reason(reading.report.error)}" if status == Outcome.SUSPENDED else ""
    return f"workflow {info.workflow_id!r} is {status.replace('_', ' ')}{doing}{why}"


def _state_of(path: str, reading: Reading) -> str:
    state = reading.states[path].name.lower().replace("_", " ")
    return f"{state}, at work: {reading.at_work[path]}" if path in reading.at_work else state


def _reason(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {text_of(error)}"


def _record_line(record: Record) -> str:
    at, text = _told(record)
    return f"{'' if at is None else format_time(at):<27}  {text}"


def _told(record: Record) -> tuple[datetime | None, str]:  # noqa: C901, PLR0911  # a kind of record a line
    """Return when a record was made, and what it tells."""
    match record:
        case Begun():
            return record.at, f"begun{'' if record.target is None else f' by {record.target}'}"
        case Started(path, action, at):
            return at, f"{action} {path}"
        case Answered(path, report):
            why = _reason(report.error) or report.detail or ""
            return report.end_time, f"{report.action} {path} {report.status}{why and f'  {why}'}"
        case AttemptFailed(path, report, delay):
            again = "tried again when it is resumed" if delay is None else f"tried again after {delay:.3g} s"
            return report.end_time, f"{report.action} {path} FAILED  {_reason(report.error)}; {again}"
        case Expanded(path, steps):
            return None, f"built by {path}: {', '.join(step.id for step in steps) or 'nothing'}"
        case Effect(path, _, at, kind, ref):
            return at, f"done outside by {path}: {kind} {ref}"
        case Late(path, at, is_back, error):
            return (
                at,
                f"{path} {'came to its end, too late' if is_back else 'is still at work'}  {_reason(error)}",
            )
        case Cancelled(path, error):
            return None, f"turned back after {path}: {_reason(error)}"
        case Ended(report):
            return report.end_time, f"ended {report.outcome}"
        case Suspended(at, error):
            return at, f"suspended: {_reason(error)}"
        case Resumed(at, deadline):
            return at, "resumed" + ("" if deadline is None else f", deadline {format_time(deadline)}")
        case Requested(at, request, path, note):
            of_what = "" if path is None else f" {path}"
            return at, f"asked for: {request}{of_what}{note and f', {note!r}'}"
