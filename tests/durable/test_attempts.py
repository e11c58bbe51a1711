"""What a journal knows of attempts, of pivots, and of steps that are still at work."""

from __future__ import annotations

import threading

import pytest

from automa import GiveUp, JournalError, Outcome, Parallel, Retry, Step, Workflow
from automa.durable import load_history
from automa.journal.reading import read
from automa.runtime import sync_driver
from automa.stores import MemoryStore
from automa.wire import v1


class BoomError(Exception):
    """What a failing step raises."""


def failing(*_):
    raise BoomError("it failed")


@pytest.mark.guarantee("G8", "G9")
def test_an_attempt_that_failed_is_written_before_the_wait(monkeypatch):
    """While a run waits for the next attempt its journal tells of the one that failed."""
    store, waits = MemoryStore(), []
    monkeypatch.setattr(sync_driver, "_sleep", lambda *_: waits.append(store.load("w", "r")[-1]))
    Workflow("w", [Step("a", run=failing, retry=Retry(3, initial=1))]).start(run_id="r", store=store)
    assert [entry.get("failed") for entry in waits] == ["a", "a"]


@pytest.mark.guarantee("G2")
def test_a_step_that_failed_past_the_pivot_is_run_again_by_a_resume():
    """Past the pivot nothing is undone: the run stops, and a resume begins with the step that failed."""
    store, calls, faults = MemoryStore(), [], [BoomError("not yet"), BoomError("not yet")]

    def step(id, **options):
        return Step(
            id, run=lambda: calls.append(f"run {id}"), undo=lambda: calls.append(f"undo {id}"), **options
        )

    def run():
        calls.append("run b")
        if faults:
            raise faults.pop()

    last = Step("b", run=run, undo=lambda: calls.append("undo b"))
    workflow = Workflow("w", [step("a"), step("p", pivot=True), last, step("c")])
    assert workflow.start(run_id="r", store=store).outcome is Outcome.NEEDS_ATTENTION
    assert calls == ["run a", "run p", "run b"]
    assert workflow.resume("r", store).outcome is Outcome.NEEDS_ATTENTION
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert calls == ["run a", "run p", "run b", "run b", "run b", "run c"]


def test_an_undo_has_a_retry_of_its_own():
    """An undo is tried as often as its own retry has it, whatever that of the run is."""
    undos = []

    def undo(ctx):
        undos.append(ctx.step_id)
        raise BoomError("it failed")

    often, twice = Retry(4, initial=0), Retry(2, initial=0)
    steps = [
        Step("a", run=lambda: None, undo=undo, retry=often),
        Step("b", run=lambda: None, undo=undo, retry=often, undo_retry=twice),
        Step("c", run=failing, undo=undo, undo_retry=twice),
    ]
    assert Workflow("w", steps).start().outcome is Outcome.NEEDS_ATTENTION
    assert undos == ["c", "c", "b", "b", "a"]


def test_a_step_that_is_still_at_work_is_not_tried_again():
    """A step that took too long is undone, not begun a second time beside itself."""
    calls, is_over = [], threading.Event()

    def run():
        calls.append("run")
        is_over.wait(60)

    def undo():
        calls.append("undo")
        is_over.set()

    step = Step("a", run=run, undo=undo, timeout=0.01, retry=Retry(3, initial=0))
    Workflow("w", [step], late_grace=0).start()
    assert [call for call in calls if call == "run"] == ["run"]
    assert calls[1] == "undo"


def test_a_step_that_gives_up_is_not_tried_again():
    """`GiveUp` ends the attempts at once, of a run and of an undo."""
    calls = []

    def give_up(ctx):
        calls.append(ctx.action.value)
        raise GiveUp("it is hopeless")

    retry = Retry(5, initial=0)
    Workflow("w", [Step("a", run=give_up, undo=give_up, retry=retry, undo_retry=retry)]).start()
    assert calls == ["run", "rollback"]


@pytest.mark.guarantee("G10")
def test_a_workflow_that_was_given_up_can_be_read():
    """A nested workflow whose prepare was not called, since a branch beside it had failed, is told so by the journal."""
    store = MemoryStore()
    inner = Workflow("n", [Step("x", run=lambda: None)], prepare=lambda: None)
    both = Parallel("both", Step("a", run=failing), inner, limit=1, on_failure="cancel")
    report = Workflow("w", [both]).start(run_id="r", store=store)
    assert str(read(load_history(store, "w", "r")).report) == str(report)
    assert str(report.error) == "it failed"


@pytest.mark.guarantee("G10")
def test_what_failed_past_the_pivot_is_told_with_its_attempts_at_any_depth():
    """Past the pivot a nested workflow is told as failed, and a controller of one's own does not hide the attempts."""

    class Own(Step):
        def run(self, ctx, prev_success):
            return self.failed_run(prev_success, BoomError("it failed"))

    inner = Workflow("n", [Own("x", retry=Retry(3, initial=0))])
    report = Workflow("w", [Step("p", run=lambda: None, pivot=True), inner]).start()
    outer, (own,) = report.step_reports[-1], report.step_reports[-1].workflow.step_reports
    assert (outer.status, str(outer.error), own.attempts) == ("FAILED", "it failed", 3)
    assert v1.report_to_dict(v1.report_from_dict(v1.report_to_dict(report))) == v1.report_to_dict(report)


@pytest.mark.guarantee("G6")
def test_a_journal_that_does_not_fit_a_branch_is_refused():
    """What does not fit in the journal of a branch is raised, and the run does not wait for that branch for ever."""
    store = MemoryStore()
    both = Parallel("both", Step("a", run=lambda: 1), Step("b", run=lambda: 2))
    workflow = Workflow("w", [both, Step("p", run=lambda: None, pivot=True), Step("c", run=failing)])
    workflow.start(run_id="r", store=store)
    texts = store._journals["w", "r"]
    texts[:] = [text for text in texts if '"started": "both/a"' not in text]
    with pytest.raises(JournalError):
        workflow.resume("r", store)
