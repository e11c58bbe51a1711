"""Fixtures of behaviour: a workflow of steps with declared outcomes, and what running it must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automa.errors import WorkflowDefinitionError
from automa.wire import v1
from automa.wire.documents import expect, field
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from automa._core.context import Context


def check_behavior(fixture: Mapping[str, Any]) -> list[str]:
    """Run the workflow of a fixture, and return what differs from what it expects.

    Raises:
        WireError: Where the fixture is not of the published shape.
    """
    document = field(fixture, "workflow", dict, "fixture")
    expected = field(fixture, "expect", dict, "fixture")
    calls = _Calls()
    try:
        workflow = v1.workflow_from_dict(document, Workflow, calls.behaviours)
    except WorkflowDefinitionError as error:
        report = v1.validation_report(str(document.get("id", "")), error)
    else:
        report = workflow.start()
    tree = v1.report_to_dict(report)
    found: dict[str, Any] = {
        "workflowStatus": tree["status"],
        "workflowAction": tree["action"],
        "executionOrder": calls.order["execute"],
        "rollbackOrder": calls.order["rollback"],
    }
    problems = [] if expected else ["expect: is empty, so that nothing would be checked"]
    problems += [
        f"{name}: expected {expected[name]!r}, found {found.get(name, 'no such thing')!r}"
        for name in expected
        if name != "steps" and (name not in found or expected[name] != found[name])
    ]
    nodes = dict(_nodes(tree))
    for step_id, wanted in expect(expected.get("steps", {}), dict, "expect.steps").items():
        expect(wanted, dict, f"expect.steps.{step_id}")
        problems += _check_step(step_id, wanted, nodes.get(step_id))
    return problems


class _Calls:
    """Gives the functions of a document's steps, and notes in which order they are called."""

    def __init__(self) -> None:
        self.order: dict[str, list[str]] = {"execute": [], "rollback": [], "prepare": []}

    def behaviours(self, phase: str, word: str) -> v1.Behaviour | None:
        behave = v1.default_behaviours(phase, word)
        if behave is None:
            return None

        def noted(ctx: Context) -> Any:
            self.order[phase].append(ctx.step_id)
            return behave(ctx)

        return noted


def _nodes(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the nodes of the steps below a node, at any depth, with their ids."""
    for node in tree.get("steps", []):
        yield node["id"], node
        yield from _nodes(node)


def _check_step(step_id: str, wanted: Mapping[str, Any], node: Mapping[str, Any] | None) -> list[str]:
    if node is None:
        return [f"steps.{step_id}: is not in the report"]
    rollback = node.get("rollback", {}).get("status")
    found = {"status": node["status"], "action": node["action"], "rollbackStatus": rollback}
    return [
        f"steps.{step_id}.{name}: expected {wanted[name]!r}, found {found.get(name, 'no such thing')!r}"
        for name in wanted
        if name not in found or wanted[name] != found[name]
    ]
