"""Whether a journal and a workflow fit: a run is resumed by the definition with which it was begun."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from automa._core.expand import topology_of
from automa._core.steps import Step
from automa.errors import JournalError
from automa.journal.entries import topology_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from automa._core.definition import Definition
    from automa._core.records import Begun, Topology

__all__ = [
    "check_fit",
    "differences",
    "missing_undos",
    "topology_of",
    "version_of",
    "version_of_begun",
    "without_undo",
]


def version_of(definition: Definition) -> str:
    """Return what names the version of a workflow: as its author has, else what a journal would compare."""
    modes = (definition.mode, definition.rollback_mode)
    return _version(definition.version, modes, definition.snapshots, topology_of(definition))


def version_of_begun(begun: Begun) -> str:
    """Return the version of the workflow with which a run was begun."""
    modes = (begun.execution_mode, begun.rollback_mode)
    return _version(begun.version, modes, begun.snapshots, begun.steps)


def _version(named: str | None, modes: tuple[str, str], snapshots: object, steps: Iterable[Topology]) -> str:
    if named is not None:
        return named
    text = json.dumps([*map(str, modes), snapshots, topology_to_json(steps)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def without_undo(definition: Definition, prefix: str = "") -> tuple[str, ...]:
    """Return the paths of the steps that have no undo, at any depth."""
    paths: list[str] = []
    for step, _, part, nested in definition.entries:
        if nested is not None:
            paths += without_undo(nested, f"{prefix}{part}/")
        elif isinstance(step, Step) and not step.has_undo:
            paths.append(prefix + part)
    return tuple(paths)


def missing_undos(begun: Begun, definition: Definition, executed: Iterable[str]) -> list[str]:
    """Return those of the executed steps that had an undo, and have none in this definition.

    Args:
        begun: The first record of the run.
        definition: The workflow as it is now.
        executed: The paths of the steps that would be undone.
    """
    gone = set(without_undo(definition)) - set(begun.without_undo)
    return [] if begun.is_foreign else [path for path in executed if path in gone]


def differences(begun: Begun, definition: Definition) -> list[str]:
    """Return what differs between a journal and a workflow, a line each; nothing where they fit."""
    found = []
    if begun.workflow_id != definition.id:
        found.append(f"the workflow was {begun.workflow_id!r}, and is {definition.id!r}")
    if begun.version != definition.version and not begun.is_foreign:
        was, is_now = (each or "not named" for each in (begun.version, definition.version))
        found.append(f"the version was {was}, and is {is_now}")
    modes = (begun.execution_mode, begun.rollback_mode)
    present = (definition.mode, definition.rollback_mode)
    for name, was, is_now in zip(("mode", "rollback_mode"), modes, present, strict=True):
        if was is not is_now:
            found.append(f"its {name} was {was.value!r}, and is {is_now.value!r}")
    if begun.snapshots is not definition.snapshots:
        found.append(f"snapshots was {begun.snapshots}, and is {definition.snapshots}")
    return found + _step_differences(begun.steps, topology_of(definition), "")


def _step_differences(was: Sequence[Topology], is_now: Sequence[Topology], prefix: str) -> list[str]:
    ids, now_ids = [step.id for step in was], [step.id for step in is_now]
    if ids != now_ids:
        where = f" of {prefix[:-1]!r}" if prefix else ""
        gone = [step_id for step_id in ids if step_id not in now_ids]
        new = [step_id for step_id in now_ids if step_id not in ids]
        told = [f"missing: {', '.join(gone)}"] if gone else []
        told += [f"new: {', '.join(new)}"] if new else []
        told = told or [f"the order was {', '.join(ids)}, and is {', '.join(now_ids)}"]
        return [f"the steps{where} differ ({'; '.join(told)})"]
    found = []
    for before, now in zip(was, is_now, strict=True):
        if (before.steps is None) is not (now.steps is None):
            kinds = ("a step", "a workflow")
            was_kind, now_kind = kinds[before.steps is not None], kinds[now.steps is not None]
            found.append(f"{prefix}{before.id} was {was_kind}, and is {now_kind}")
        elif before.traits != now.traits:
            was_so, is_so = (" ".join(each.traits) or "plain" for each in (before, now))
            found.append(f"{prefix}{before.id} was {was_so}, and is {is_so}")
        elif before.steps is not None and now.steps is not None:
            found += _step_differences(before.steps, now.steps, f"{prefix}{before.id}/")
    return found


def check_fit(begun: Begun, definition: Definition) -> None:
    """Check that a run can be carried on by a workflow.

    Raises:
        JournalError: Where it cannot; the message says what differs.
    """
    found = differences(begun, definition)
    if found:
        raise JournalError(
            f"run {begun.run_id!r} was begun by another definition: {'; '.join(found)}. "
            "Resume it with the definition with which it was begun, or roll it back with that"
        )
