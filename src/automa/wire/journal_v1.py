"""The journal file of automa-spec 1.0.0, durability profile: a run as one JSON document.

The document is a snapshot: each step with its state, not the history by which it came there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from automa._core.status import ExecutionMode, RollbackMode
from automa.errors import JournalError, WireError
from automa.wire import documents, v1
from automa.wire.documents import expect, field

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
"""The version of the format; a document of another is refused."""

PHASES = ("forward", "compensating", "done")
STATES = ("pending", "started", "completed", "failed", "compensated")

EXTENSION = "x-automa"
"""The key under which this implementation keeps what the format has no place for; others drop it."""

_KEYS = (
    "version", "workflow_id", "execution_mode", "rollback_mode", "cursor", "shared", "steps", EXTENSION,
)  # fmt: skip
_STEP_KEYS = ("id", "state", "snapshot", "report", "cursor", "shared", "steps")


_encode = json.JSONEncoder(separators=(",", ":")).encode


def journal_to_json(document: Mapping[str, Any]) -> str:
    """Write a journal document."""
    return _encode(document)


def journal_from_json(text: str | bytes) -> dict[str, Any]:
    """Read a journal document; see `journal_from_dict`."""
    try:
        document = documents.parse_json(text)
    except WireError as error:
        raise JournalError(f"it is torn, or no journal: {error}") from None
    return journal_from_dict(document)


def journal_from_dict(document: Any) -> dict[str, Any]:
    """Check a journal document, and return it without the keys that the format does not know.

    Raises:
        JournalError: Where something is missing, unknown or of a wrong type; the message names the place.
    """
    try:
        return _journal(expect(document, dict, "journal"))
    except WireError as error:
        raise JournalError(f"it is torn, or no journal: {error}") from None
    except RecursionError:
        raise JournalError("it is no journal: it nests too deeply") from None


def _journal(document: dict[str, Any]) -> dict[str, Any]:
    version = document.get("version")
    if version != VERSION or type(version) is not int:
        raise JournalError(
            f"its version is {version!r}, and this automa reads version {VERSION}: "
            "use the automa that has written it"
        )
    place = "journal"
    field(document, "workflow_id", str, place)
    documents.word(ExecutionMode, field(document, "execution_mode", str, place), f"{place}.execution_mode")
    documents.word(RollbackMode, field(document, "rollback_mode", str, place), f"{place}.rollback_mode")
    expect(document.get(EXTENSION, {}), dict, f"{place}.{EXTENSION}")
    checked = {key: document[key] for key in _KEYS if key in document}
    return checked | _composite(document, place)


def _composite(document: dict[str, Any], place: str) -> dict[str, Any]:
    """Check what a journal and an entry of a nested workflow have in common."""
    cursor = field(document, "cursor", dict, place)
    phase = field(cursor, "phase", str, f"{place}.cursor")
    _one_of(PHASES, phase, f"{place}.cursor.phase")
    index = field(cursor, "index", int, f"{place}.cursor")
    _check_snapshot(field(document, "shared", dict, place), f"{place}.shared")
    steps = field(document, "steps", list, place)
    return {
        "cursor": {"phase": phase, "index": index},
        "shared": document["shared"],
        "steps": [_step(step, f"{place}.steps[{number}]") for number, step in enumerate(steps)],
    }


def _step(entry: Any, place: str) -> dict[str, Any]:
    expect(entry, dict, place)
    field(entry, "id", str, place)
    _one_of(STATES, field(entry, "state", str, place), f"{place}.state")
    checked = {key: entry[key] for key in _STEP_KEYS if key in entry}
    if entry.get("snapshot") is not None:
        _check_snapshot(expect(entry["snapshot"], dict, f"{place}.snapshot"), f"{place}.snapshot")
    if entry.get("report") is not None:
        v1.report_from_dict(expect(entry["report"], dict, f"{place}.report"))
    return checked | _composite(entry, place) if "steps" in entry else checked


def _check_snapshot(snapshot: dict[str, Any], place: str) -> None:
    for name in ("local", "global"):
        expect(snapshot.get(name, {}), dict, f"{place}.{name}")


def _one_of(words: tuple[str, ...], word: str, place: str) -> None:
    if word not in words:
        raise WireError(f"{place}: unknown {word!r} (there are: {', '.join(map(repr, words))})")
