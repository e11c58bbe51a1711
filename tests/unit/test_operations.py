"""Operating many runs from Python."""

from __future__ import annotations

import datetime
import sqlite3

import pytest

from automa import Outcome, RunRequestError, Step, Workflow, WorkflowDefinitionError, operations
from automa.stores import MemoryStore, open_store


def suspended(store, workflow, run_id):
    """Begin a run that an interruption suspends before its last step."""
    with pytest.raises(KeyboardInterrupt):
        workflow.start(store=store, run_id=run_id)


def interrupting(workflow_id="w"):
    """Return a workflow whose last step is interrupted when it is called for the first and second time."""
    calls = []

    def run():
        calls.append(1)
        if len(calls) <= 2:
            raise KeyboardInterrupt

    return Workflow(workflow_id, [Step("a"), Step("b", run=run)])


def test_resume_all_from_python():
    """resume_all continues what it can, oldest first, and tells of the rest; it raises for no run."""
    store, workflow = MemoryStore(), interrupting()
    for run_id in ("r1", "r2"):
        suspended(store, workflow, run_id)
    suspended(store, interrupting("other"), "r3")
    outcomes = operations.resume_all(store, workflow)
    assert [(each.run_id, each.report and each.report.outcome) for each in outcomes] == [
        ("r1", Outcome.SUCCEEDED),
        ("r2", Outcome.SUCCEEDED),
        ("r3", None),
    ]
    assert outcomes[2].problem == "it is of the workflow 'other', and given was 'w'"


async def test_resume_all_async_tells_each_outcome_at_once():
    """on_outcome hears of each run as soon as it has ended."""
    store, workflow = MemoryStore(), interrupting()
    suspended(store, workflow, "r1")
    suspended(store, workflow, "r2")
    heard = []
    outcomes = await operations.resume_all_async(store, [workflow], on_outcome=heard.append)
    assert heard == outcomes
    assert [each.problem for each in heard] == [None, None]


def test_an_async_workflow_is_a_problem_for_the_synchronous_resume_all():
    """A workflow that needs resume_all_async is told as the problem of its runs."""

    async def wait():
        pass

    store = MemoryStore()
    suspended(store, interrupting(), "r1")
    (outcome,) = operations.resume_all(store, Workflow("w", [Step("a"), Step("b", run=wait)]))
    assert "has the async step 'b'" in outcome.problem


def test_two_workflows_of_one_id_are_refused():
    """It would be chance which of them carries a run on."""
    with pytest.raises(WorkflowDefinitionError, match="two workflows have the id 'w'"):
        operations.resume_all(MemoryStore(), [Workflow("w"), Workflow("w")])


def test_prune_checks_what_it_is_asked():
    """An unknown status and a negative age are refused, and nothing is deleted."""
    store = MemoryStore()
    Workflow("w").start(store=store, run_id="r1")
    with pytest.raises(RunRequestError, match="'gone' is no status"):
        operations.prune(store, older_than=datetime.timedelta(), statuses=["gone"])
    with pytest.raises(RunRequestError, match="is negative"):
        operations.prune(store, older_than=datetime.timedelta(-1), statuses="done")
    assert len(list(store.runs())) == 1
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=31)
    (run,) = operations.prune(store, older_than=datetime.timedelta(30), statuses="done", now=later)
    assert run.run_id == "r1"
    assert list(store.runs()) == []


def test_prune_leaves_a_run_that_was_taken_up_meanwhile(tmp_path):
    """Between the list and the deletion somebody may have gone on: what is no longer so is not deleted."""
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    workflow = Workflow("w", [Step("a", undo=lambda: 1 / 0)])
    workflow.start(store=store, run_id="r1")
    real = store.take

    def take(workflow_id, run_id):
        store.take = real
        workflow.rollback(run_id, store)
        return real(workflow_id, run_id)

    store.take = take
    assert operations.prune(store, older_than=datetime.timedelta(), statuses="done") == []
    assert [info.status for info in store.runs()] == ["needs_attention"]


@pytest.mark.parametrize("text", ["{", "[1]", "null", '[{"to": 99999999999999999999}]'])
def test_one_damaged_run_holds_up_no_other(tmp_path, text):
    """A run whose last entries are damaged in the SQLite file is listed all the same, and told as a problem."""
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    workflow = interrupting()
    for run_id in ("r1", "r2"):
        suspended(store, workflow, run_id)
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("UPDATE writes SET entries = ? WHERE id = (SELECT max(id) FROM writes)", (text,))
    connection.commit()
    connection.close()
    assert [info.run_id for info in store.runs()] == ["r2", "r1"]
    fine, damaged = operations.resume_all(store, workflow)
    assert fine.problem is None
    assert damaged.report is None
    assert "entry" in damaged.problem or "cannot be read" in damaged.problem
    assert len(operations.check_runs(store, workflow)) == 1


def test_check_tells_of_an_undo_that_is_gone():
    """A step that was run, or was at work, with an undo, and has none in the new definition, is named."""

    def stops():
        raise KeyboardInterrupt

    def build(undo):
        inner = Workflow("in", [Step("x", undo=undo), Step("never")])
        return Workflow("w", [inner, Step("b", run=stops, undo=undo), Step("c", undo=undo)])

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        build(lambda: None).start(run_id="r", store=store)
    assert [check.problems for check in operations.check_runs(store, build(lambda: None))] == [()]
    (check,) = operations.check_runs(store, build(None))
    assert check.problems == (
        "step in/x was run with an undo, and has none any more",
        "step b was run with an undo, and has none any more",
    )
