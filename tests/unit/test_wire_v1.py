"""The specification's formats: report trees, states, and workflows as documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automa import (
    Action,
    Outcome,
    RemoteError,
    Skip,
    Status,
    Step,
    WireError,
    Workflow,
    WorkflowDefinitionError,
    WorkflowReport,
)
from automa.wire import v0, v1

TREE = {
    "id": "wf",
    "isWorkflow": True,
    "action": "execute",
    "status": "failed",
    "startTime": "2026-06-17T10:30:00.12Z",
    "endTime": "2026-06-17T10:30:01Z",
    "error": "one step failed",
    "detail": "a remark",
    "metadata": {"host": "db1"},
    "executionMode": "rollback",
    "rollbackMode": "continue",
    "steps": [
        {
            "id": "n",
            "isWorkflow": True,
            "action": "execute",
            "status": "success",
            "startTime": "2026-06-17T10:30:00.12Z",
            "endTime": "0001-01-01T00:00:00Z",
            "steps": [
                {
                    "id": "a",
                    "isWorkflow": False,
                    "action": "execute",
                    "status": "skipped",
                    "startTime": "2026-06-17T10:30:00Z",
                    "endTime": "2026-06-17T10:30:00Z",
                    "detail": "why",
                }
            ],
            "rollback": {
                "id": "n",
                "isWorkflow": True,
                "action": "rollback",
                "status": "failed",
                "startTime": "2026-06-17T10:30:00Z",
                "endTime": "2026-06-17T10:30:00Z",
                "steps": [
                    {
                        "id": "a",
                        "isWorkflow": False,
                        "action": "rollback",
                        "status": "failed",
                        "startTime": "2026-06-17T10:30:00Z",
                        "endTime": "2026-06-17T10:30:00Z",
                        "error": "",
                    }
                ],
            },
        },
        {
            "id": "b",
            "isWorkflow": False,
            "action": "execute",
            "status": "failed",
            "startTime": "2026-06-17T10:30:00Z",
            "endTime": "2026-06-17T10:30:00Z",
            "error": "boom",
            "rollback": {
                "isWorkflow": False,
                "action": "rollback",
                "status": "success",
                "startTime": "2026-06-17T10:30:00Z",
                "endTime": "2026-06-17T10:30:00Z",
            },
        },
    ],
}


def test_a_tree_round_trips_as_json_and_yaml():
    """Nested trees, rollbacks with and without ids, metadata and empty errors come back as they were."""
    report = v1.report_from_dict(TREE)
    assert v1.report_to_dict(report) == TREE
    assert v1.report_to_dict(v1.report_from_json(v1.report_to_json(report, indent=1))) == TREE
    assert v1.report_to_dict(v1.report_from_yaml(v1.report_to_yaml(report))) == TREE


def test_a_root_that_is_a_single_step_round_trips():
    """A report of one step, no workflow, comes back as one."""
    document = {key: value for key, value in TREE.items() if key != "steps"} | {"isWorkflow": False}
    assert v1.report_to_dict(v1.report_from_dict(document)) == document


def test_the_outcome_is_the_same_after_a_round_trip():
    """Whether a run was undone, failed or needs attention is told by what was rolled back."""

    def fail():
        raise ValueError("x")

    steps = [Step("a"), Step("b", run=fail)]
    for options in (
        {},
        {"rollback_on": OSError},
        {"mode": "stop"},
        {"prepare": fail},
        {"prepare": fail, "mode": "stop"},
    ):
        report = Workflow("w", steps, **options).start()
        assert v1.report_from_dict(v1.report_to_dict(report)).outcome is report.outcome
    tree = v1.report_to_dict(Workflow("w", [Step("a", undo=fail), Step("b", run=fail)]).start())
    del tree["steps"][0]["rollback"]["error"]
    assert v1.report_from_dict(tree).outcome is Outcome.NEEDS_ATTENTION


def test_what_the_prepare_of_a_nested_workflow_notes_is_in_its_node():
    """Metadata of a nested workflow's prepare is written with its node."""
    inner = Workflow("n", [], prepare=lambda ctx: ctx.metadata.update(host="db1"))
    tree = v1.report_to_dict(Workflow("w", [inner]).start())
    assert tree["steps"][0]["metadata"] == {"host": "db1"}


def test_what_a_read_tree_tells():
    """A tree that was read answers like a report of our own."""
    report = v1.report_from_dict(TREE)
    assert [(r.step_id, str(r.action)) for r in report.step_reports] == [
        ("n", "run"),
        ("b", "run"),
        ("b", "rollback"),
        ("n", "rollback"),
    ]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert isinstance(report.error, RemoteError)
    assert str(report.error) == "boom"
    assert report.remaining.not_undone == ("n/a",)
    assert report.step_reports[0].workflow.end_time is None
    v0.from_json(v0.to_json(report))


def test_the_tree_of_a_run():
    """A report of our own as a tree: exactly the specification's fields, each step with its rollback and modes."""

    def skip(ctx):
        ctx.metadata["text"], ctx.metadata["bytes"] = b"\xc3\xa9", b"\xff"
        raise Skip("why")

    def fail():
        raise ValueError

    inner = Workflow("n", [Step("a", run=skip)])
    tree = v1.report_to_dict(Workflow("w", [inner, Step("b", run=fail)]).start())

    def shape(node):
        for name in ("startTime", "endTime"):
            assert node.pop(name).endswith("Z")
        for child in [*node.get("steps", []), *([node["rollback"]] if "rollback" in node else [])]:
            shape(child)
        return node

    modes = {"executionMode": "rollback", "rollbackMode": "continue"}
    undone = {
        "isWorkflow": False,
        "action": "rollback",
        "status": "skipped",
        "detail": "no undo function",
        **modes,
    }
    ran = {"isWorkflow": True, "action": "execute", **modes}
    assert shape(tree) == {
        "id": "w", **ran, "status": "failed", "error": "ValueError",
        "steps": [
            {
                "id": "n", **ran, "status": "success",
                "steps": [
                    {
                        "id": "a", "isWorkflow": False, "action": "execute", "status": "skipped", "detail": "why",
                        "metadata": {"text": "é", "bytes": "/w=="}, **modes,
                    }
                ],
                "rollback": {
                    "id": "n", "isWorkflow": True, "action": "rollback", "status": "success", **modes,
                    "steps": [{"id": "a", **undone}],
                },
            },
            {
                "id": "b", "isWorkflow": False, "action": "execute", "status": "failed", "error": "ValueError", **modes,
                "rollback": {"id": "b", **undone},
            },
        ],
    }  # fmt: skip


def test_the_tree_of_a_workflow_that_was_skipped_or_failed_in_its_prepare():
    """The root tells the action prepare, with the reason."""

    def skip():
        raise Skip("why")

    tree = v1.report_to_dict(Workflow("w", [Step("a")], prepare=skip).start())
    assert (tree["action"], tree["status"], tree["detail"]) == ("prepare", "skipped", "why")
    tree = v1.report_to_dict(Workflow("w", [Step("a")], prepare=lambda: 1 / 0).start())
    assert (tree["action"], tree["status"], tree["error"]) == ("prepare", "failed", "division by zero")
    assert v1.report_from_dict(tree).action is Action.PREPARE


def test_a_report_that_has_not_ended_is_not_written():
    """The format has no word for what still goes on."""
    with pytest.raises(WireError, match="'w' has not ended"):
        v1.report_to_dict(WorkflowReport("w", []))


def changed(change):
    import copy

    tree = copy.deepcopy(TREE)
    change(tree)
    return tree


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update(action="run"),
            "report.action: unknown action 'run' (there are: 'prepare', 'execute'",
        ),
        (lambda t: t.update(status="SUCCESS"), "report.status: unknown status 'SUCCESS'"),
        (lambda t: t.update(executionMode="fast"), "report.executionMode: unknown executionmode 'fast'"),
        (lambda t: t.pop("id"), "report.id: missing"),
        (lambda t: t["steps"][1].pop("id"), "report.steps[1].id: missing"),
        (lambda t: t["steps"][1].pop("isWorkflow"), "report.steps[1].isWorkflow: missing"),
        (lambda t: t["steps"][1].update(error=7), "report.steps[1].error: expected a text or null"),
        (lambda t: t["steps"][1].update(metadata={"k": 7}), "report.steps[1].metadata['k']: expected a text"),
        (lambda t: t["steps"][1]["rollback"].update(status="x"), "report.steps[1].rollback.status: unknown"),
        (lambda t: t["steps"][0].update(steps={}), "report.steps[0].steps: expected a list, found an object"),
        (lambda t: t.update(startTime="now"), "report.startTime: 'now' is no RFC 3339 time"),
        (lambda t: t["steps"][1].update(id="n"), "report.steps[1].id: 'n' is there twice"),
        (lambda t: t["steps"][1]["rollback"].update(id="x"), "rollback.id: 'x' is not the id of its step"),
        (
            lambda t: t["steps"][1]["rollback"].update(action="execute"),
            "rollback.action: expected 'rollback'",
        ),
        (
            lambda t: t["steps"][1].update(steps=[t["steps"][0]]),
            "report.steps[1].steps: only a workflow has steps",
        ),
        (lambda t: t["steps"].append(7), "report.steps[2]: expected an object, found an integer"),
    ],
)
def test_a_tree_with_something_wrong_is_refused_with_the_place(change, message):
    """An unknown word, a missing field or a wrong type is named with its place."""
    with pytest.raises(WireError) as caught:
        v1.report_from_dict(changed(change))
    assert message in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
BAGS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON, max_size=4)


@given(BAGS, BAGS)
def test_states_round_trip(local, shared):
    """A state reads back equal from JSON and YAML."""
    document = {"local": local, "global": shared}
    snapshot = v1.state_from_dict(document)
    assert v1.state_to_dict(snapshot) == document
    assert v1.state_to_dict(v1.state_from_json(v1.state_to_json(snapshot))) == document


def test_a_state_as_yaml():
    """States can be written as YAML."""
    document = {"local": {"a": [1, {"b": None}]}, "global": {"c": 2.5}}
    assert v1.state_to_dict(v1.state_from_yaml(v1.state_to_yaml(v1.state_from_dict(document)))) == document


def test_integers_that_others_round_are_written_as_texts():
    """2^53 is still a number; one more is a text, which get_int reads back exactly."""
    snapshot = v1.state_from_dict(
        {"local": {}, "global": {"n": 2**53, "big": [2**53 + 1], "x": -(2**53) - 1}}
    )
    document = v1.state_to_dict(snapshot)
    assert document["global"] == {"n": 2**53, "big": [str(2**53 + 1)], "x": str(-(2**53) - 1)}
    assert v1.state_from_dict(document).shared.get_int("x") == -(2**53) - 1


def test_a_state_that_is_none_is_refused():
    """Both namespaces must be there, and be objects."""
    with pytest.raises(WireError, match="state.global: missing"):
        v1.state_from_dict({"local": {}})
    with pytest.raises(WireError, match="state.local: expected an object"):
        v1.state_from_dict({"local": [], "global": {}})


def document(**fields):
    return {"id": "wf", "steps": [{"id": "s1", "execute": "success"}], **fields}


def test_a_document_becomes_a_workflow():
    """Declared outcomes are played; modes that are not named are the specification's, nested ones inherited."""
    steps = [
        {"id": "a", "execute": "success", "rollback": "failed"},
        {"id": "b", "execute": "skipped", "prepare": ""},
        {
            "id": "n",
            "steps": [
                {"id": "c", "execute": "success"},
                {"id": "d", "execute": "success", "prepare": "failed"},
            ],
        },
    ]
    workflow = v1.workflow_from_dict(document(steps=steps, executionMode="rollback"), Workflow)
    report = workflow.start()
    told = [(r.step_id, str(r.action), str(r.status)) for r in report.step_reports]
    assert told == [
        ("a", "run", "SUCCESS"),
        ("b", "run", "SKIPPED"),
        ("n", "run", "FAILED"),
        ("b", "rollback", "SUCCESS"),
        ("a", "rollback", "FAILED"),
    ]
    assert v1.workflow_from_dict(document(), Workflow).definition.mode == "stop"


def test_a_prepare_of_a_workflow_in_a_document_is_played():
    """A workflow that declares a failed prepare, nested or at the root, runs nothing."""
    nested = {"id": "n", "prepare": "failed", "steps": [{"id": "s", "execute": "success"}]}
    report = v1.workflow_from_dict(document(steps=[nested]), Workflow).start()
    assert [(r.step_id, str(r.action), str(r.status)) for r in report.step_reports] == [
        ("n", "prepare", "FAILED")
    ]
    report = v1.workflow_from_dict(document(prepare="failed"), Workflow).start()
    assert (report.action, report.step_reports) == (Action.PREPARE, [])


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"steps": [{"id": "s1"}]}, WorkflowDefinitionError, "step 's1' has no execute"),
        ({"steps": [{"execute": "success"}]}, WorkflowDefinitionError, "the id of a step is empty"),
        (
            {"steps": [{"id": "s1", "execute": False}]},
            WireError,
            "workflow.steps[0].execute: expected a text",
        ),
        (
            {"steps": [{"id": "n", "steps": [], "rollbackMode": "rollback"}]},
            WorkflowDefinitionError,
            "no RollbackMode",
        ),
        ({"prepare": "explode"}, WireError, "unknown prepare 'explode'"),
        ({"steps": [{"id": "s1", "execute": "none"}]}, WorkflowDefinitionError, "step 's1' has no execute"),
        ({"steps": [{"id": "", "execute": "success"}]}, WorkflowDefinitionError, "the id of a step is empty"),
        (
            {"steps": [{"id": "s", "execute": "success"}] * 2},
            WorkflowDefinitionError,
            "the step id 's' twice",
        ),
        ({"id": ""}, WorkflowDefinitionError, "the id of a workflow is empty"),
        ({"executionMode": "fly"}, WorkflowDefinitionError, "'fly' is no ExecutionMode"),
        ({"steps": [{"id": "s", "execute": "explode"}]}, WireError, "unknown execute 'explode'"),
        ({"steps": [{"id": "s", "execute": 7}]}, WireError, "workflow.steps[0].execute: expected a text"),
        ({"steps": 7}, WireError, "workflow.steps: expected a list"),
        ({"steps": [7]}, WireError, "workflow.steps[0]: expected an object"),
    ],
)
def test_a_document_that_is_no_valid_workflow_is_refused(fields, kind, message):
    """As strictly as the specification demands: a missing execute, an empty or duplicate id, an unknown word."""
    with pytest.raises(kind) as caught:
        v1.workflow_from_dict(document(**fields), Workflow)
    assert message in str(caught.value)


def test_the_report_of_a_workflow_that_could_not_be_built():
    """It failed in its prepare, no step was run, and the reason is in it."""
    report = v1.validation_report("wf", WorkflowDefinitionError("no execute"))
    tree = v1.report_to_dict(report)
    assert (tree["action"], tree["status"], tree["error"]) == ("prepare", "failed", "no execute")
    assert report.status is Status.FAILED
