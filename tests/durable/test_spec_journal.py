"""The specification's journal: what is written reads as it says, and what others wrote is resumed."""

from __future__ import annotations

import json

import pytest

from automa import JournalError, Outcome, RunExistsError, Skip, Step, Workflow
from automa.stores import FileStore
from automa.wire.journal_v1 import journal_from_dict, journal_from_json, journal_to_json

TIMES = {"startTime": "2026-06-17T10:30:00.123Z", "endTime": "2026-06-17T10:30:00.456Z"}


def node(step_id, action="execute", status="success", **more):
    return {"id": step_id, "isWorkflow": False, "action": action, "status": status, **TIMES, **more}


def bag(local=None, **shared):
    return {"local": local or {}, "global": shared}


def journal(steps, phase="forward", index=0, *, mode="rollback", rollback_mode="continue", shared=None):
    """A journal as another implementation would have written it."""
    return {
        "version": 1,
        "workflow_id": "w",
        "execution_mode": mode,
        "rollback_mode": rollback_mode,
        "cursor": {"phase": phase, "index": index},
        "shared": bag(**(shared or {})),
        "steps": steps,
    }


class Notes(list):
    """What steps did, with the state that they saw; and how to build the workflow of a journal."""

    def workflow(self, document, **fails):
        return Workflow(
            document["workflow_id"],
            [self.step(entry, fails) for entry in document["steps"]],
            mode=document["execution_mode"],
            rollback_mode=document["rollback_mode"],
        )

    def step(self, entry, fails):
        if "steps" in entry:
            return Workflow(entry["id"], [self.step(each, fails) for each in entry["steps"]])
        name = entry["id"]

        def run(ctx):
            self.append((name, dict(ctx.shared)))
            if fails.get(name):
                raise ValueError(name)

        def undo(ctx):
            self.append((f"-{name}", dict(ctx.shared), dict(ctx.local)))

        return Step(name, run=run, undo=undo)

    @property
    def names(self):
        return [each[0] for each in self]


def resume(document, tmp_path, **fails):
    """Resume a journal from its file; return what was done, the report, and the file afterwards."""
    path = tmp_path / "w-r.journal"
    path.write_text(json.dumps(document))
    notes = Notes()
    workflow = notes.workflow(document, **fails)
    report = workflow.resume("r", FileStore(tmp_path), missing="error")
    again = Notes().workflow(document, **fails).resume("r", FileStore(tmp_path), missing="error")
    assert str(again) == str(report)
    return notes, report, journal_from_json(path.read_bytes())


def test_a_foreign_run_goes_on_forward(tmp_path):
    """Completed steps are not run again; the started one is, and sees the state that the others have left."""
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag({"x": 1}, region="eu"), "report": node("a")},
            {"id": "b", "state": "completed", "snapshot": bag(region="eu", net=7)},
            {"id": "c", "state": "started"},
            {"id": "d", "state": "pending"},
        ],
        index=2,
        shared={"region": "eu", "net": 7},
    )
    notes, report, written = resume(document, tmp_path)
    assert notes == [("c", {"region": "eu", "net": 7}), ("d", {"region": "eu", "net": 7})]
    assert report.outcome is Outcome.SUCCEEDED
    assert report.step_reports[0].start_time.isoformat() == "2026-06-17T10:30:00.123000+00:00"
    assert [step["state"] for step in written["steps"]] == ["completed"] * 4
    assert written["cursor"] == {"phase": "done", "index": 3}


def test_a_foreign_run_that_then_fails_is_undone_with_its_snapshots(tmp_path):
    """The undo of a step that another process has run gets the state and the local state of its snapshot."""
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag({"x": 1}, k=1)},
            {"id": "b", "state": "completed", "snapshot": bag({"y": 2}, k=2, m=3)},
            {"id": "c", "state": "started"},
        ],
        index=2,
        shared={"k": 2, "m": 3},
    )
    notes, report, _ = resume(document, tmp_path, c=True)
    assert notes[2:] == [("-b", {"k": 2, "m": 3}, {"y": 2}), ("-a", {"k": 1}, {"x": 1})]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize(
    ("mode", "names", "outcome"),
    [
        ("rollback", ["-b", "-a"], Outcome.UNDONE),
        ("stop", [], Outcome.FAILED),
        ("continue", ["c"], Outcome.FAILED),
    ],
)
def test_a_failed_step_met_in_forward_is_not_run_again(tmp_path, mode, names, outcome):
    """By the mode it is compensated, ends the run, or lets the next go on."""
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag()},
            {"id": "b", "state": "failed", "report": node("b", status="failed", error="no space")},
            {"id": "c", "state": "pending"},
        ],
        index=1,
        mode=mode,
    )
    notes, report, _ = resume(document, tmp_path)
    assert notes.names == names
    assert report.outcome is outcome
    assert str(report.error) == "no space"


def test_a_foreign_rollback_goes_on_where_it_was(tmp_path):
    """What is compensated is passed by; the run ends undone."""
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag(k=1)},
            {"id": "b", "state": "completed", "snapshot": bag(k=2)},
            {
                "id": "c",
                "state": "compensated",
                "report": node("c", status="failed", error="e", rollback=node("c", "rollback")),
            },
        ],
        "compensating",
        1,
    )
    notes, report, written = resume(document, tmp_path)
    assert notes.names == ["-b", "-a"]
    assert report.outcome is Outcome.UNDONE
    assert [step["state"] for step in written["steps"]] == ["compensated"] * 3


def test_a_foreign_undo_that_failed_is_not_undone_by_itself(tmp_path):
    """It needs attention: it is not called again, the steps before it are undone, and an operator can retry it."""
    failed = node("b", rollback=node("b", "rollback", "failed", error="stuck"))
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag()},
            {"id": "b", "state": "completed", "snapshot": bag(), "report": failed},
            {"id": "c", "state": "compensated", "report": node("c", status="failed", error="e")},
        ],
        "compensating",
        0,
    )
    notes, report, _ = resume(document, tmp_path)
    assert notes.names == ["-a"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert [str(error) for error in report.rollback_errors] == ["stuck"]
    notes = Notes()
    report = notes.workflow(document).retry_undo("r", "b", FileStore(tmp_path))
    assert notes.names == ["-b"]
    assert report.outcome is Outcome.UNDONE


def test_the_published_compensating_journal_is_resumed(tmp_path):
    """A failed step that the cursor has passed, uncompensated, counts as one whose undo failed."""
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag()},
            {"id": "b", "state": "compensated", "snapshot": bag()},
            {"id": "c", "state": "failed"},
        ],
        "compensating",
        0,
    )
    notes, report, _ = resume(document, tmp_path)
    assert notes.names == ["-a"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert "not why" in str(report.error)


def nested(state, steps, phase="forward", index=0, **more):
    cursor = {"phase": phase, "index": index}
    return {"id": "in", "state": state, "cursor": cursor, "shared": bag(k=1), "steps": steps, **more}


def test_a_foreign_nested_run_goes_on_inside(tmp_path):
    """The nested workflow is entered where it stood."""
    inner = [{"id": "x", "state": "completed", "snapshot": bag(k=1)}, {"id": "y", "state": "started"}]
    document = journal(
        [{"id": "a", "state": "completed", "snapshot": bag(k=1)}, nested("started", inner, index=1)],
        index=1,
        shared={"k": 1},
    )
    notes, report, written = resume(document, tmp_path)
    assert notes.names == ["y"]
    assert report.outcome is Outcome.SUCCEEDED
    assert written["steps"][1]["report"]["isWorkflow"] is True
    assert [step["id"] for step in written["steps"][1]["report"]["steps"]] == ["x", "y"]


def test_a_nested_run_that_had_undone_itself_is_not_run_again(tmp_path):
    """Died between its own way back and its parent's record of it: the parent goes back, and runs nothing."""
    inner = [
        {"id": "x", "state": "compensated", "snapshot": bag()},
        {"id": "y", "state": "compensated", "report": node("y", status="failed", error="inner")},
    ]
    document = journal(
        [{"id": "a", "state": "completed", "snapshot": bag()}, nested("started", inner, "done")], index=1
    )
    notes, report, _ = resume(document, tmp_path)
    assert notes.names == ["-a"]
    assert report.outcome is Outcome.UNDONE
    assert str(report.error) == "inner"


def test_a_nested_rollback_goes_on_inside(tmp_path):
    """A nested workflow on its way back, by its parent's failure, is gone back from where it was."""
    inner = [
        {"id": "x", "state": "completed", "snapshot": bag()},
        {"id": "y", "state": "compensated", "snapshot": bag()},
    ]
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag()},
            nested("completed", inner, "compensating", 0),
            {"id": "c", "state": "compensated", "report": node("c", status="failed", error="outer")},
        ],
        "compensating",
        1,
    )
    notes, report, _ = resume(document, tmp_path)
    assert notes.names == ["-x", "-a"]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        (["completed", "completed"], Outcome.SUCCEEDED),
        (["completed", "failed"], Outcome.FAILED),
        (["compensated", "compensated"], Outcome.UNDONE),
    ],
)
def test_a_foreign_run_that_has_ended_gives_its_report(tmp_path, states, outcome):
    """Nothing is run, and the outcome is that which the states tell."""
    steps = [{"id": f"s{number}", "state": state} for number, state in enumerate(states)]
    mode = "stop" if outcome is Outcome.FAILED else "rollback"
    notes, report, _ = resume(journal(steps, "done", 1, mode=mode), tmp_path)
    assert notes == []
    assert report.outcome is outcome


def test_prepares_run_again_where_a_journal_does_not_tell_of_them(tmp_path):
    """Of a foreign run the workflow's prepare is called again, and that of steps still to be run."""
    document = journal(
        [{"id": "a", "state": "completed", "snapshot": bag()}, {"id": "b", "state": "started"}], index=1
    )
    (tmp_path / "w-r.journal").write_text(json.dumps(document))
    done = []
    steps = [
        Step(
            name, run=lambda ctx: done.append(ctx.step_id), prepare=lambda ctx: done.append(f"~{ctx.step_id}")
        )
        for name in "ab"
    ]
    report = Workflow("w", steps, prepare=lambda: done.append("~w")).resume("r", FileStore(tmp_path))
    assert done == ["~w", "~b", "b"]
    assert report.outcome is Outcome.SUCCEEDED


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "its version is 2"),
        ({"version": True}, "its version is True"),
        ({"version": None}, "its version is None"),
        ({"workflow_id": 7}, "journal.workflow_id: expected a text"),
        ({"execution_mode": "explode"}, "journal.execution_mode: unknown"),
        ({"rollback_mode": "rollback"}, "journal.rollback_mode: unknown"),
        ({"cursor": {"phase": "sideways", "index": 0}}, "journal.cursor.phase: unknown 'sideways'"),
        ({"cursor": {"phase": "forward"}}, "journal.cursor.index: missing"),
        ({"shared": {"global": []}}, "journal.shared.global: expected an object"),
        ({"steps": {}}, "journal.steps: expected a list"),
        ({"steps": [{"id": "a"}]}, r"journal.steps\[0\].state: missing"),
        ({"steps": [{"id": "a", "state": "lost"}]}, r"journal.steps\[0\].state: unknown 'lost'"),
        ({"steps": [{"id": "a", "state": "completed", "report": {}}]}, "missing"),
        ({"steps": [{"id": "a", "state": "completed", "snapshot": 1}]}, "snapshot: expected an object"),
        ({"x-automa": 7}, "journal.x-automa: expected an object"),
    ],
)
def test_a_document_that_is_none_is_refused_with_the_place(change, message):
    """The message tells where, and what was expected."""
    with pytest.raises(JournalError, match=message):
        journal_from_dict(journal([]) | change)


@pytest.mark.guarantee("G6")
def test_deep_nesting_is_refused():
    """A document that nests beyond all measure is refused, not crashed on."""
    text = '{"version":1,"steps":' + "[" * 100_000
    with pytest.raises(JournalError, match="torn, or no journal"):
        journal_from_json(text)


def test_unknown_keys_are_ignored(tmp_path):
    """What a later implementation adds does not hinder this one."""
    document = journal([{"id": "a", "state": "started", "colour": "blue"}]) | {"mood": "good"}
    assert "mood" not in journal_from_json(journal_to_json(document))
    notes, _, _ = resume(document, tmp_path)
    assert notes.names == ["a"]


@pytest.mark.guarantee("G6")
def test_entries_that_do_not_fit_the_document_are_not_used(tmp_path):
    """Where another implementation has gone on and kept our key, the document counts, not the stale entries."""
    done = []
    workflow = Workflow(
        "w", [Step("a", run=lambda: done.append("a")), Step("b", run=lambda: done.append("b"))]
    )
    workflow.start(run_id="r", store=FileStore(tmp_path))
    path = tmp_path / "w-r.journal"
    document = json.loads(path.read_text())
    document["cursor"] = {"phase": "forward", "index": 1}
    document["steps"][1] = {"id": "b", "state": "started"}
    path.write_text(json.dumps(document))
    done.clear()
    report = workflow.resume("r", FileStore(tmp_path))
    assert done == ["b"]
    assert report.outcome is Outcome.SUCCEEDED


def test_a_file_of_another_workflow_is_refused(tmp_path):
    """A file whose name and content disagree is not taken, and is listed as unreadable."""
    (tmp_path / "other-r.journal").write_text(json.dumps(journal([])))
    (tmp_path / "w-torn.journal").write_text('{"version": 1')
    store = FileStore(tmp_path)
    with pytest.raises(JournalError, match="it is of the workflow 'w'"):
        Workflow("other").resume("r", store)
    with pytest.raises(RunExistsError):
        Workflow("other").start(run_id="r", store=store)
    assert {(info.run_id, info.status) for info in store.runs()} == {
        ("other-r", "unreadable"),
        ("w-torn", "unreadable"),
    }


def test_what_is_written_is_what_the_specification_says(tmp_path):
    """States, cursor, snapshots and reports of a run whose nested workflow succeeded, and whose last step failed."""
    states = []

    def look(ctx):
        document = json.loads((tmp_path / "w-r.journal").read_text())
        states.append(
            (
                document["cursor"]["phase"],
                document["cursor"]["index"],
                [step["state"] for step in document["steps"]],
            )
        )

    def skips(ctx):
        look(ctx)
        raise Skip("not needed")

    def fails(ctx):
        look(ctx)
        raise ValueError("boom")

    inner = Workflow("in", [Step("x", run=lambda ctx: ctx.shared.update(inner=1), undo=look)])
    workflow = Workflow("w", [Step("a", run=skips, undo=look), inner, Step("b", run=fails, undo=look)])
    report = workflow.start(run_id="r", store=FileStore(tmp_path))
    assert report.outcome is Outcome.UNDONE
    assert states == [
        ("forward", 0, ["started", "pending", "pending"]),
        ("forward", 2, ["completed", "completed", "started"]),
        ("compensating", 2, ["completed", "completed", "failed"]),
        ("compensating", 1, ["completed", "completed", "compensated"]),
        ("compensating", 0, ["completed", "compensated", "compensated"]),
    ]
    document = json.loads((tmp_path / "w-r.journal").read_text())
    assert document["cursor"]["phase"] == "done"
    assert document["steps"][0]["report"]["status"] == "skipped"
    assert document["steps"][0]["report"]["detail"] == "not needed"
    assert document["steps"][2]["report"]["error"] == "boom"
    assert document["steps"][2]["report"]["rollback"]["status"] == "success"
    assert "snapshot" not in document["steps"][1]
    assert document["steps"][1]["steps"][0]["snapshot"]["global"]["inner"] == 1
    assert "inner" not in document["steps"][0]["snapshot"]["global"]
