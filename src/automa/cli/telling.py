"""How runs in a store are told: as lines, and as JSON."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO

from automa._core.status import Outcome
from automa.cli.output import standard_output
from automa.cli.views import quiet_console, report_table
from automa.journal.telling import age_of, plain, reason_of, shown_status, told
from automa.pictures import Journaled, report_to_html, report_to_mermaid, report_to_svg
from automa.wire import v0
from automa.wire.documents import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from automa._core.protocols import RunInfo
    from automa._core.records import Record
    from automa._core.reports import WorkflowReport
    from automa.journal.reading import Reading


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
    why = f": {reason_of(reading.report.error)}" if status == Outcome.SUSPENDED else ""
    return f"workflow {info.workflow_id!r} is {status.replace('_', ' ')}{doing}{why}"


def _state_of(path: str, reading: Reading) -> str:
    state = reading.states[path].name.lower().replace("_", " ")
    return f"{state}, at work: {reading.at_work[path]}" if path in reading.at_work else state


def _record_line(record: Record) -> str:
    at, text = told(record)
    return f"{'' if at is None else format_time(at):<27}  {text}"
