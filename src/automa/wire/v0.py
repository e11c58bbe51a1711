"""The reports of the Go package ``automa`` v0.2, as JSON and as YAML.

The field names are those of the Go tags, errors have the shape in which the Go package writes
them, metadata is base64 in JSON and a list of byte values in YAML. Of a nested workflow the outer
level is written. What this format has no place for (results, why a step was skipped, notes and
groups of errors) is not in it: `automa.wire.v1` has more.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from automa._core.clock import ZERO_TIME
from automa._core.reports import StepReport, WorkflowReport
from automa._core.status import Action, Status
from automa.errors import EncodedError, WireError, decode_error, encode_error
from automa.wire import documents
from automa.wire.documents import expect, field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["from_dict", "from_json", "from_yaml", "to_dict", "to_json", "to_yaml"]


def to_dict(report: WorkflowReport) -> dict[str, Any]:
    """Return a report as the JSON values that `to_json` writes."""
    steps = report.step_reports if report.prepare is None else [report.prepare, *report.step_reports]
    return {
        "workflowID": report.workflow_id,
        "startTime": _time(report.start_time),
        "endTime": _time(report.end_time),
        "status": report.status.value,
        "stepSequence": list(report.step_sequence),
        "stepReports": [_step_to_dict(step) for step in steps],
    }


def from_dict(document: Mapping[str, Any]) -> WorkflowReport:
    """Read a report from the JSON values that `to_dict` gives, or Go wrote.

    Raises:
        WireError: Where something is missing, unknown or of a wrong type; the message names the place.
    """
    place = "report"
    expect(document, dict, place)
    sequence = field(document, "stepSequence", (list, type(None)), place) or []
    for index, step_id in enumerate(sequence):
        expect(step_id, str, f"{place}.stepSequence[{index}]")
    report = WorkflowReport(field(document, "workflowID", str, place), sequence)
    report.start_time = _read_time(document, "startTime", place)
    report.end_time = _read_time(document, "endTime", place)
    report.status = documents.word(Status, field(document, "status", str, place), f"{place}.status")
    steps = field(document, "stepReports", (list, type(None)), place) or []
    report.step_reports = [_step_from_dict(step, f"{place}.stepReports[{i}]") for i, step in enumerate(steps)]
    return report


def to_json(report: WorkflowReport, *, indent: int | None = None) -> str:
    """Write a report as JSON, in ASCII: it can go anywhere.

    Args:
        report: The report.
        indent: How many spaces to indent by; None puts all on one line.
    """
    return json.dumps(to_dict(report), indent=indent)


def from_json(text: str | bytes) -> WorkflowReport:
    """Read a report from JSON.

    Raises:
        WireError: Where it is no such document; the message names the place.
    """
    return from_dict(documents.parse_json(text))


def to_yaml(report: WorkflowReport) -> str:
    """Write a report as YAML; needs the extra ``yaml``.

    Raises:
        ImportError: Where the extra is not installed.
    """
    return documents.dump_yaml(_to_yaml_names(to_dict(report)))


def from_yaml(text: str | bytes) -> WorkflowReport:
    """Read a report from YAML; needs the extra ``yaml``.

    Raises:
        WireError: Where it is no such document; the message names the place.
        ImportError: Where the extra is not installed.
    """
    return from_dict(_from_yaml_names(expect(documents.parse_yaml(text), dict, "report")))


def _step_to_dict(report: StepReport) -> dict[str, Any]:
    return {
        "stepID": report.step_id,
        "action": report.action.value,
        "startTime": _time(report.start_time),
        "endTime": _time(report.end_time),
        "status": report.status.value,
        "reason": {"Error": None if report.error is None else _error_to_dict(encode_error(report.error))},
        "metadata": {
            name: base64.b64encode(_bytes(value)).decode("ascii") for name, value in report.metadata.items()
        },
    }


def _step_from_dict(document: Any, place: str) -> StepReport:
    expect(document, dict, place)
    action = documents.word(Action, field(document, "action", str, place), f"{place}.action")
    report = StepReport(field(document, "stepID", str, place), action)
    report.start_time = _read_time(document, "startTime", place)
    report.end_time = _read_time(document, "endTime", place)
    report.status = documents.word(Status, field(document, "status", str, place), f"{place}.status")
    reason = field(document, "reason", (dict, type(None)), place)
    if reason is not None:
        error = field(reason, "Error", (dict, type(None)), f"{place}.reason")
        report.error = (
            None if error is None else decode_error(_error_from_dict(error, f"{place}.reason.Error"))
        )
    metadata = field(document, "metadata", (dict, type(None)), place) or {}
    for name, value in metadata.items():
        expect(name, str, f"{place}.metadata")
        report.metadata[name] = _read_bytes(value, f"{place}.metadata[{name!r}]")
    return report


def _bytes(value: str | bytes) -> bytes:
    # A file's name may hold bytes that are no text (PEP 383): they must not stop the report.
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _read_bytes(value: Any, place: str) -> bytes:
    """Return bytes: from base64 (JSON), a list of byte values (Go's YAML), or ``!!binary``."""
    if isinstance(value, bytes):
        return value
    try:
        if isinstance(value, list):
            return bytes(value)
        return base64.b64decode(expect(value, (str, type(None)), place) or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"{place}: neither base64 nor a list of byte values: {error}") from None


def _time(time: datetime | None) -> str:
    return documents.format_time(ZERO_TIME if time is None else time)


def _read_time(document: Mapping[str, Any], key: str, place: str) -> datetime | None:
    time = documents.parse_time(field(document, key, str, place), f"{place}.{key}")
    return None if time == ZERO_TIME else time


def _error_to_dict(error: EncodedError) -> dict[str, Any]:
    """Return an error as the Go package writes it: a leaf, or a wrapper around its cause."""
    document: dict[str, Any] = {}
    for link in reversed(error.shortened(_MOST_CAUSES).chain()):
        details = {"original_type_name": link.type, "error_type_mark": {"family_name": link.type}}
        body: dict[str, Any] = {"message": link.message, "details": details}
        document = {"wrapper": {"cause": {"Error": document}, **body}} if document else {"leaf": body}
    return document


_MOST_CAUSES = 50  # each nests three levels deeper, which readers do not follow for ever


def _error_from_dict(document: dict[str, Any], place: str) -> EncodedError:
    bodies: list[dict[str, Any]] = []
    while True:
        kind = "wrapper" if document.get("wrapper") is not None else "leaf"
        body = field(document, kind, dict, place)
        place += f".{kind}"
        details = field(body, "details", dict, place)
        bodies.append(
            {
                "type": field(details, "original_type_name", str, f"{place}.details"),
                "message": field(body, "message", str, place),
            }
        )
        if kind == "leaf":
            break
        document = field(body, "cause", dict, place)
        place += ".cause"
        if "Error" in document:
            document = field(document, "Error", dict, place)
            place += ".Error"
    error: EncodedError | None = None
    for fields in reversed(bodies):
        error = EncodedError(**fields, cause=error)
    assert error is not None  # noqa: S101  # the loop has read at least one
    return error


_YAML_NAMES = {
    "workflowID": "workflow_id",
    "startTime": "start_time",
    "endTime": "end_time",
    "stepSequence": "step_sequence",
    "stepReports": "step_reports",
    "stepID": "step_id",
    "Error": "error",
    "original_type_name": "originaltypename",
    "error_type_mark": "errortypemark",
    "family_name": "familyname",
}
_JSON_NAMES = {yaml_name: json_name for json_name, yaml_name in _YAML_NAMES.items()}


def _to_yaml_names(value: Any) -> Any:
    """Return a document with the field names, and the form of bytes, that Go has in YAML."""
    if isinstance(value, list):
        return [_to_yaml_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        _YAML_NAMES.get(key, key): (
            {name: list(base64.b64decode(text)) for name, text in item.items()}
            if key == "metadata"
            else _to_yaml_names(item)
        )
        for key, item in value.items()
    }


def _from_yaml_names(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_yaml_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        _JSON_NAMES.get(key, key): item if key == "metadata" else _from_yaml_names(item)
        for key, item in value.items()
    }
