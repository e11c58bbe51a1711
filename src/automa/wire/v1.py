"""The formats of automa-spec 1.0.0, core profile: report trees, states, and workflows as documents.

A `WorkflowReport` keeps actions in the order in which they happened; the specification's report is a
tree in which each step carries its own rollback. This module turns the one into the other. Times
are UTC, to the millisecond.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from automa._core.clock import ZERO_TIME
from automa._core.reports import StepReport, WorkflowReport
from automa._core.state import State
from automa._core.status import Action, ExecutionMode, Outcome, RollbackMode, Status
from automa._core.steps import Step
from automa.errors import RemoteError, Skip, WireError, WorkflowDefinitionError, text_of
from automa.wire import documents
from automa.wire.documents import expect, field

if TYPE_CHECKING:
    from datetime import datetime

    from automa._core.protocols import AtomicStep, Composite

__all__ = [
    "Snapshot",
    "SpecFailure",
    "default_behaviours",
    "report_from_dict",
    "report_from_json",
    "report_from_yaml",
    "report_to_dict",
    "report_to_json",
    "report_to_yaml",
    "state_from_dict",
    "state_from_json",
    "state_from_yaml",
    "state_to_dict",
    "state_to_json",
    "state_to_yaml",
    "step_report_to_dict",
    "validation_report",
    "workflow_from_dict",
]

_MILLISECONDS = 3
_EXACT = 2**53
"""The largest integer that is written as a number (spec: numeric boundaries); beyond it as a text."""

_ACTIONS = {Action.PREPARE: "prepare", Action.RUN: "execute", Action.ROLLBACK: "rollback"}
_ACTIONS_BACK = {word: action for action, word in _ACTIONS.items()}
_STATUSES = {Status.SUCCESS: "success", Status.FAILED: "failed", Status.SKIPPED: "skipped"}
_STATUSES_BACK = {word: status for status, word in _STATUSES.items()}


# Reports


def report_to_dict(report: WorkflowReport) -> dict[str, Any]:
    """Return a report as the specification's tree, in JSON values.

    Raises:
        WireError: Where an action has not ended: the format has no word for that.
    """
    error = report.error
    node = _node(
        report.workflow_id,
        report.action,
        report.status,
        (report.start_time, report.end_time),
        is_workflow=not isinstance(report, _PlainReport),
    )
    if report.detail is not None:
        node["detail"] = report.detail
    if report.metadata:
        node["metadata"] = _metadata_to_dict(report.metadata)
    if report.own_error is not None:
        error = report.own_error
    if error is not None:
        node["error"] = _error_text(error)
    steps = _tree(report.step_reports)
    if steps:
        node["steps"] = steps
    return node | _modes_to_dict(report.execution_mode, report.rollback_mode)


def report_from_dict(document: Mapping[str, Any]) -> WorkflowReport:
    """Read a report from the specification's tree.

    Its errors are texts, and come back as `RemoteError`; actions come back in the order of the
    tree: what was run, then what was rolled back, the last first.

    Raises:
        WireError: Where something is missing, unknown or of a wrong type; the message names the place.
    """
    place = "report"
    expect(document, dict, place)
    try:
        steps = _children(document, place)
    except RecursionError:
        raise WireError("report: nests too deeply") from None
    kind = WorkflowReport if field(document, "isWorkflow", bool, place) else _PlainReport
    report = kind(field(document, "id", str, place), [step.step_id for step in steps])
    report.action, report.status, report.start_time, report.end_time = _common(document, place)
    report.own_error = _error(document, place)
    report.detail = _optional(document, "detail", place)
    report.metadata.update(_metadata(document, place))
    report.execution_mode, report.rollback_mode = _modes_from_dict(document, place)
    report.step_reports = _in_order(steps, document, place)
    report.outcome = _outcome(report)
    return report


def _tree(reports: Iterable[StepReport]) -> list[dict[str, Any]]:
    """Return the nodes of the steps, in the order in which they were reached, each with its rollback."""
    nodes: dict[str, dict[str, Any]] = {}
    for report in reports:
        node = step_report_to_dict(report)
        if report.action is Action.ROLLBACK and report.step_id in nodes:
            nodes[report.step_id]["rollback"] = node
        else:
            nodes[report.step_id] = node
    return list(nodes.values())


def step_report_to_dict(report: StepReport) -> dict[str, Any]:
    """Return the report of one action as a node of the specification's tree.

    Raises:
        WireError: Where the action has not ended.
    """
    node = _node(
        report.step_id,
        report.action,
        report.status,
        (report.start_time, report.end_time),
        is_workflow=report.workflow is not None,
    )
    if isinstance(report, _NamelessReport):
        del node["id"]
    if report.detail is not None:
        node["detail"] = report.detail
    if report.error is not None:
        node["error"] = _error_text(report.error)
    metadata = _metadata_to_dict(report.metadata) if report.has_metadata else {}
    if report.workflow is not None:
        metadata |= _metadata_to_dict(report.workflow.metadata)
    if metadata:
        node["metadata"] = metadata
    if report.workflow is not None:
        steps = _tree(report.workflow.step_reports)
        if steps:
            node["steps"] = steps
    return node | _modes_to_dict(*report.modes)


def _node(
    node_id: str,
    action: Action,
    status: Status,
    times: tuple[datetime | None, datetime | None],
    *,
    is_workflow: bool,
) -> dict[str, Any]:
    if status not in _STATUSES:
        raise WireError(f"{node_id!r} has not ended: a report is written when it has")
    start, end = (documents.format_time(time or ZERO_TIME, _MILLISECONDS) for time in times)
    return {
        "id": node_id,
        "isWorkflow": is_workflow,
        "action": _ACTIONS[action],
        "status": _STATUSES[status],
        "startTime": start,
        "endTime": end,
    }


def _error_text(error: BaseException) -> str:
    return text_of(error) if isinstance(error, RemoteError) else text_of(error) or type(error).__name__


def _metadata_to_dict(metadata: Mapping[str, str | bytes]) -> dict[str, str]:
    return {name: _metadata_text(value) for name, value in metadata.items()}


def _metadata_text(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")


def _modes_to_dict(execution: ExecutionMode | None, rollback: RollbackMode | None) -> dict[str, str]:
    modes = {"executionMode": execution, "rollbackMode": rollback}
    return {name: mode.value for name, mode in modes.items() if mode is not None}


def _modes_from_dict(
    document: Mapping[str, Any], place: str
) -> tuple[ExecutionMode | None, RollbackMode | None]:
    execution, rollback = (_optional(document, name, place) for name in ("executionMode", "rollbackMode"))
    return (
        None if execution is None else documents.word(ExecutionMode, execution, f"{place}.executionMode"),
        None if rollback is None else documents.word(RollbackMode, rollback, f"{place}.rollbackMode"),
    )


def _children(document: Mapping[str, Any], place: str) -> list[StepReport]:
    children = expect(document.get("steps", []), list, f"{place}.steps")
    if children and not field(document, "isWorkflow", bool, place):
        raise WireError(f"{place}.steps: only a workflow has steps")
    steps = [_step_from_dict(child, f"{place}.steps[{index}]") for index, child in enumerate(children)]
    seen: set[str] = set()
    for index, step in enumerate(steps):
        if step.step_id in seen:
            raise WireError(f"{place}.steps[{index}].id: {step.step_id!r} is there twice")
        seen.add(step.step_id)
    return steps


def _in_order(steps: list[StepReport], document: Mapping[str, Any], place: str) -> list[StepReport]:
    """Return the actions of steps: what was run, then what was rolled back, the last first."""
    rollbacks = []
    for index, (step, child) in enumerate(zip(steps, document.get("steps", []), strict=True)):
        if child.get("rollback") is not None:
            here = f"{place}.steps[{index}].rollback"
            rollback = _step_from_dict(child["rollback"], here, step.step_id)
            if rollback.step_id != step.step_id:
                raise WireError(f"{here}.id: {rollback.step_id!r} is not the id of its step")
            if rollback.action is not Action.ROLLBACK:
                raise WireError(f"{here}.action: expected 'rollback', found {_ACTIONS[rollback.action]!r}")
            rollbacks.append(rollback)
    return steps + rollbacks[::-1]


def _step_from_dict(document: Any, place: str, step_id: str | None = None) -> StepReport:
    """Read a node; that of a rollback may leave out its id, which is then that of its step."""
    expect(document, dict, place)
    action, status, start, end = _common(document, place)
    if step_id is not None and "id" not in document:
        report: StepReport = _NamelessReport(step_id, action)
    else:
        report = StepReport(field(document, "id", str, place), action)
    report.status, report.start_time, report.end_time = status, start, end
    report.detail = _optional(document, "detail", place)
    report.error = _error(document, place)
    report.metadata.update(_metadata(document, place))
    report.modes = _modes_from_dict(document, place)
    steps = _children(document, place)
    if field(document, "isWorkflow", bool, place):
        nested = report.workflow = WorkflowReport(report.step_id, [step.step_id for step in steps])
        nested.action, nested.status, nested.start_time, nested.end_time = action, status, start, end
        nested.execution_mode, nested.rollback_mode = report.modes
        nested.own_error = report.error
        nested.step_reports = _in_order(steps, document, place)
        nested.outcome = _outcome(nested)
    return report


class _PlainReport(WorkflowReport):
    """A report whose root is no workflow, but a single step."""

    __slots__ = ()


class _NamelessReport(StepReport):
    """A report whose node had no id of its own, and is to be written without one again."""

    __slots__ = ()


def _metadata(document: Mapping[str, Any], place: str) -> dict[str, str]:
    metadata: dict[str, str] = expect(document.get("metadata", {}), dict, f"{place}.metadata")
    for name, value in metadata.items():
        expect(value, str, f"{place}.metadata[{name!r}]")
    return metadata


def _common(
    document: Mapping[str, Any], place: str
) -> tuple[Action, Status, datetime | None, datetime | None]:
    action = _word(_ACTIONS_BACK, "action", document, place)
    status = _word(_STATUSES_BACK, "status", document, place)
    start, end = (
        documents.parse_time(field(document, name, str, place), f"{place}.{name}")
        for name in ("startTime", "endTime")
    )
    return action, status, None if start == ZERO_TIME else start, None if end == ZERO_TIME else end


Member = TypeVar("Member")


def _word(words: Mapping[str, Member], name: str, document: Mapping[str, Any], place: str) -> Member:
    word = field(document, name, str, place)
    if word not in words:
        known = ", ".join(map(repr, words))
        raise WireError(f"{place}.{name}: unknown {name} {word!r} (there are: {known})")
    return words[word]


def _error(document: Mapping[str, Any], place: str) -> RemoteError | None:
    text = _optional(document, "error", place)
    return None if text is None else RemoteError(text)


def _optional(document: Mapping[str, Any], name: str, place: str) -> str | None:
    text: str | None = expect(document.get(name), (str, type(None)), f"{place}.{name}")
    return text


def _outcome(report: WorkflowReport) -> Outcome:
    if report.status is not Status.FAILED:
        return Outcome.UNDONE if report.action is Action.ROLLBACK else Outcome.SUCCEEDED
    went_back = [step for step in report.step_reports if step.action is Action.ROLLBACK]
    if any(step.status is Status.FAILED for step in went_back) or report.rollback_errors:
        return Outcome.NEEDS_ATTENTION
    had_nothing = report.action is Action.PREPARE and report.execution_mode is ExecutionMode.ROLLBACK
    return Outcome.UNDONE if went_back or had_nothing else Outcome.FAILED


def report_to_json(report: WorkflowReport, *, indent: int | None = None) -> str:
    """Write a report as JSON; see `report_to_dict`."""
    return json.dumps(report_to_dict(report), indent=indent)


def report_from_json(text: str | bytes) -> WorkflowReport:
    """Read a report from JSON; see `report_from_dict`."""
    return report_from_dict(documents.parse_json(text))


def report_to_yaml(report: WorkflowReport) -> str:
    """Write a report as YAML (extra ``yaml``), with the field names of the JSON; see `report_to_dict`."""
    return documents.dump_yaml(report_to_dict(report))


def report_from_yaml(text: str | bytes) -> WorkflowReport:
    """Read a report from YAML (extra ``yaml``); see `report_from_dict`."""
    return report_from_dict(documents.parse_yaml(text))


# States


class Snapshot(NamedTuple):
    """The state at one moment: that of a step, and that which all steps share.

    Attributes:
        local: The values of the step alone.
        shared: The values that all steps share; ``global`` in the specification's documents.
    """

    local: State
    shared: State


def state_to_dict(snapshot: Snapshot) -> dict[str, Any]:
    """Return a state as the specification writes it; integers beyond 2^53 become texts, to be exact."""
    return {"local": _exact(snapshot.local.clone()), "global": _exact(snapshot.shared.clone())}


def state_from_dict(document: Mapping[str, Any]) -> Snapshot:
    """Read a state from the specification's document.

    Raises:
        WireError: Where something is missing or of a wrong type; the message names the place.
        StateError: Where a value is not JSON.
    """
    expect(document, dict, "state")
    local, shared = (field(document, name, dict, "state") for name in ("local", "global"))
    return Snapshot(State("local", local, warn=False), State("shared", shared, warn=False))


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if type(value) is int and not -_EXACT <= value <= _EXACT:
        return str(value)
    return value


def state_to_json(snapshot: Snapshot, *, indent: int | None = None) -> str:
    """Write a state as JSON; see `state_to_dict`."""
    return json.dumps(state_to_dict(snapshot), indent=indent)


def state_from_json(text: str | bytes) -> Snapshot:
    """Read a state from JSON; see `state_from_dict`."""
    return state_from_dict(documents.parse_json(text))


def state_to_yaml(snapshot: Snapshot) -> str:
    """Write a state as YAML (extra ``yaml``); see `state_to_dict`."""
    return documents.dump_yaml(state_to_dict(snapshot))


def state_from_yaml(text: str | bytes) -> Snapshot:
    """Read a state from YAML (extra ``yaml``); see `state_from_dict`."""
    return state_from_dict(documents.parse_yaml(text))


# Workflows as documents


class SpecFailure(Exception):  # noqa: N818  # the word of the specification's documents
    """What a step raises whose document says that it fails."""


Behaviour = Callable[..., Any]
Behaviours = Callable[[str, str], Behaviour | None]
"""Gives the function for a phase (``prepare``, ``execute``, ``rollback``) and the word in the document."""

Made = TypeVar("Made")


def default_behaviours(phase: str, word: str) -> Behaviour | None:
    """Return the function that does no more than a document says.

    Args:
        phase: ``prepare``, ``execute`` or ``rollback``.
        word: ``success``, ``failed``, ``skipped``, or ``none`` for no function at all.

    Raises:
        WireError: Where the word is unknown.
    """
    if word == "none":
        return None
    if word not in _STATUSES_BACK:
        known = ", ".join(map(repr, [*_STATUSES_BACK, "none"]))
        raise WireError(f"unknown {phase} {word!r} (there are: {known})")

    def behave(ctx: Any) -> None:
        if word == "failed":
            raise SpecFailure(f'{phase} of step "{ctx.step_id}" failed')
        if word == "skipped":
            raise Skip(f'{phase} of step "{ctx.step_id}" skipped')

    return behave


def workflow_from_dict(
    document: Mapping[str, Any],
    make: Callable[..., Made],
    behaviours: Behaviours = default_behaviours,
) -> Made:
    """Build a workflow from a document of the specification, as strictly as that demands.

    Modes that are not named are the specification's: ``stop`` and ``continue``; a nested workflow
    takes its parent's. A phase that a step does not name is ``success`` for its rollback, and absent
    for its prepare.

    Args:
        document: The workflow, as in the published fixtures: ``id``, ``executionMode``,
            ``rollbackMode``, ``steps`` with ``id``, ``execute``, ``rollback``, ``prepare``, or ``steps``.
        make: `automa.Workflow`, or what is called likewise.
        behaviours: Gives the functions for the words of the document.

    Raises:
        WorkflowDefinitionError: Where an id is empty or there twice, or a step has no execute.
        WireError: Where the document is not of that shape.

    Example:
        >>> from automa import Workflow
        >>> document = {"id": "wf", "steps": [{"id": "s1", "execute": "failed"}]}
        >>> print(workflow_from_dict(document, Workflow).start())
        workflow 'wf' ended failed: SpecFailure: execute of step "s1" failed
          run      s1 FAILED  SpecFailure('execute of step "s1" failed')
    """
    place = "workflow"
    expect(document, dict, place)
    return make(
        expect(document.get("id", ""), str, f"{place}.id"),
        _spec_steps(document, make, behaviours, place),
        **_spec_options(document, behaviours, place),
    )


def _spec_options(document: Mapping[str, Any], behaviours: Behaviours, place: str) -> dict[str, Any]:
    return {
        "mode": document.get("executionMode", ExecutionMode.STOP),
        "rollback_mode": document.get("rollbackMode", RollbackMode.CONTINUE),
        "prepare": behaviours("prepare", _spec_word(document, "prepare", place)),
    }


def _spec_word(document: Mapping[str, Any], phase: str, place: str) -> str:
    """Return the word for a phase; where it is absent or empty, the one that stands for that."""
    word: str = expect(document.get(phase, ""), str, f"{place}.{phase}")
    return word or _PHASES[phase]


def _spec_steps(
    document: Mapping[str, Any], make: Callable[..., Any], behaviours: Behaviours, place: str
) -> list[AtomicStep | Composite]:
    steps: list[AtomicStep | Composite] = []
    for index, entry in enumerate(field(document, "steps", list, place)):
        here = f"{place}.steps[{index}]"
        expect(entry, dict, here)
        step_id = expect(entry.get("id", ""), str, f"{here}.id")
        if "steps" in entry:
            nested = _spec_steps(entry, make, behaviours, here)
            steps.append(make(step_id, nested, **_spec_options(entry, behaviours, here)))
            continue
        run, undo, prepare = (behaviours(phase, _spec_word(entry, phase, here)) for phase in _PHASES)
        if run is None:
            raise WorkflowDefinitionError(f"step {step_id!r} has no execute")
        steps.append(Step(step_id, run=run, undo=undo, prepare=prepare))
    return steps


_PHASES = {"execute": "none", "rollback": "success", "prepare": "none"}
"""The phases of a step, and the words that stand for those that a document leaves out."""


def validation_report(workflow_id: str, error: WorkflowDefinitionError) -> WorkflowReport:
    """Return the report of a workflow that could not be built: it failed in its prepare (spec: validation).

    Args:
        workflow_id: The id of the workflow.
        error: Why it could not be built.
    """
    report = WorkflowReport(workflow_id, [])
    report.action = Action.PREPARE
    report.prepare = StepReport(workflow_id, Action.PREPARE)
    report.prepare.error = error
    report.prepare.close(Action.PREPARE, Status.FAILED)
    report.close(Status.FAILED, Outcome.FAILED)
    return report
