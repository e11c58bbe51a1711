"""Journals of the durability profile: whether they are read, and how their runs are resumed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automa._core.steps import Step
from automa.stores.file import FileStore
from automa.wire.documents import field
from automa.wire.journal_v1 import journal_from_dict, journal_from_json, journal_to_json
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUSES = {"SUCCESS": "success", "FAILED": "failed", "SKIPPED": "skipped"}


def read_and_write(fixture: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the journal of a fixture, and what comes of it when it is read and written."""
    document = field(fixture, "journal", dict, "fixture")
    return document, journal_from_json(journal_to_json(journal_from_dict(document)))


def check_resume(fixture: Mapping[str, Any]) -> list[str]:
    """Resume the run of a fixture from its file; return what differs from what is expected."""
    document = field(fixture, "journal", dict, "fixture")
    expected = field(fixture, "expect", dict, "fixture")
    ran: list[str] = []
    undone: list[str] = []
    workflow = Workflow(
        document["workflow_id"],
        _steps(document["steps"], ran, undone),
        mode=document["execution_mode"],
        rollback_mode=document["rollback_mode"],
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{workflow.id}-fixture.journal").write_text(json.dumps(document), encoding="utf-8")
        report = workflow.resume("fixture", FileStore(folder), missing="error")
    found = {
        "reExecute": ran,
        "compensate": undone,
        "workflowStatus": _STATUSES.get(report.status.value, report.status.value),
    }
    return [
        f"{name}: expected {expected[name]!r}, found {value!r}"
        for name, value in found.items()
        if name in expected and expected[name] != value
    ]


def _steps(entries: list[dict[str, Any]], ran: list[str], undone: list[str]) -> list[Any]:
    """Return steps for the entries of a journal, that note when they are called."""
    steps: list[Any] = []
    for entry in entries:
        step_id = entry["id"]
        if "steps" in entry:
            steps.append(Workflow(step_id, _steps(entry["steps"], ran, undone)))
        else:
            steps.append(_noting_step(step_id, ran, undone))
    return steps


def _noting_step(step_id: str, ran: list[str], undone: list[str]) -> Step:
    return Step(step_id, run=lambda: ran.append(step_id), undo=lambda: undone.append(step_id))
