"""Rare turns of a journaled run: what happens between the usual ones."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from automa import JournalError, Outcome, RollbackRequested, Skip, Step, StoreError, Workflow
from automa.stores import FileStore, MemoryStore
from automa.wire.journal_v1 import journal_from_json
from tests.durable.crashes import Died, DyingStore, run_until_death
from tests.durable.test_spec_journal import Notes, bag, journal, nested, node, resume


class Broken(MemoryStore):
    """Cannot write from the n-th write on."""

    def __init__(self, at):
        super().__init__()
        self.left = at - 1

    def write(self, lease, key, entries, status):
        if not self.left:
            raise StoreError("disk full")
        self.left -= 1
        super().write(lease, key, entries, status)


@pytest.mark.guarantee("G1", "G10")
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_prepare_that_cannot_be_recorded_is_not_called(at):
    """Neither the workflow's nor a step's prepare runs where its start could not be written."""
    done = []
    step = Step("a", run=lambda: done.append("a"), prepare=lambda: done.append("~a"))
    report = Workflow("w", [step], prepare=lambda: done.append("~w")).start(store=Broken(at))
    assert done == ["~w", "~a", "a"][: at - 1]
    assert report.outcome is Outcome.INFRASTRUCTURE_ERROR


@pytest.mark.guarantee("G10")
def test_a_run_that_cannot_be_suspended_tells_of_both():
    """Interrupted, and then unable to write that down, the run stops with the error of the store."""
    ended = []

    class Keeps:
        def on_record(self, record):
            ended.append(record)

    def run():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [Step("a", run=run)]).start(store=Broken(2), observers=[Keeps()])
    assert ended[-1].report.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert "disk full" in str(ended[-1].report)


def test_a_result_of_a_step_that_failed_otherwise_is_kept_if_it_can_be():
    """A step that returned, and whose state is no JSON, has failed for the state; its undo gets a result that is JSON."""
    results = []

    for returned, kept in ((7, 7), (object(), None)):

        def run(ctx, returned=returned):
            ctx.shared["list"] = []
            ctx.shared["list"].append(object())
            return returned

        step = Step("a", run=run, undo=lambda ctx: results.append(ctx.result))
        report = Workflow("w", [step]).start(store=MemoryStore())
        assert "shared['list']" in str(report.error)
        assert results.pop() == kept


@pytest.mark.guarantee("G8")
def test_a_step_that_calls_its_own_rollback_is_replayed():
    """A controller that answers for both leaves two records, and is not called again."""
    calls = []

    class Literal(Step):
        def run(self, ctx, prev_success):
            calls.append("run")
            failed = self.failed_run(prev_success, ValueError("x"), ctx.report)
            return self.rollback(ctx, failed.event)

        def rollback(self, ctx, prev_failure):
            calls.append("rollback")
            return self.rollback_prev(prev_failure)

    workflow = Workflow("w", [Step("a", undo=lambda: calls.append("-a")), Literal("b")])
    store = DyingStore(4)
    report = run_until_death(workflow, store) or workflow.resume("r", store)
    assert calls == ["run", "rollback", "-a", "-a"] or calls == ["run", "rollback", "-a"]
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


async def suspended_after_a_step(store, undone):
    """Suspend a run right after its first step, which went well; return how to build its workflow."""
    inside, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def waits():
        loop.call_soon_threadsafe(inside.set)
        go_on.wait(60)

    def build(mode="rollback"):
        steps = [
            Step("a", run=waits, undo=lambda: undone.append("a")),
            Step("b", undo=lambda: undone.append("b")),
        ]
        return Workflow("w", steps, mode=mode)

    task = asyncio.create_task(build().start_async(run_id="r", store=store))
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    return build


async def test_rollback_of_a_run_that_was_suspended_between_two_steps():
    """The step that was not reached is not undone; read again, also after a death, the run is the same."""
    for at in (0, 3, 4):
        store, undone = DyingStore(), []
        build = await suspended_after_a_step(store, undone)
        assert [info.status for info in store.runs()] == ["suspended"]
        store.at = store.writes + at if at else 0
        try:
            report = await build().rollback_async("r", store, note="enough")
        except Died:
            store.at = 0
            report = await build().resume_async("r", store)
        assert set(undone) == {"a"}
        assert report.outcome is Outcome.UNDONE
        assert isinstance(report.error, RollbackRequested)
        assert str(await build().resume_async("r", store)) == str(report)


def test_rollback_of_a_foreign_run_that_halted_on_a_failure(tmp_path):
    """By its mode it would have ended; an operator asks for the way back, and gets it."""
    document = journal(
        [
            {"id": "a", "state": "completed", "snapshot": bag()},
            {"id": "b", "state": "failed", "report": node("b", status="failed", error="no space")},
        ],
        index=1,
        mode="stop",
    )
    (tmp_path / "w-r.journal").write_text(json.dumps(document))
    notes = Notes()
    report = notes.workflow(document).rollback("r", FileStore(tmp_path))
    assert notes.names == ["-b", "-a"]
    assert report.outcome is Outcome.UNDONE
    assert str(notes.workflow(document).resume("r", FileStore(tmp_path))) == str(report)


def test_rollback_of_a_run_that_died_in_a_prepare():
    """What was prepared, and not run, is not undone."""
    undone = []

    def build():
        step = Step("b", prepare=lambda: None, undo=lambda: undone.append("b"))
        return Workflow("w", [Step("a", undo=lambda: undone.append("a")), step])

    store = DyingStore(3)  # the answer of b's prepare
    assert run_until_death(build(), store) is None
    report = build().rollback("r", store)
    assert undone == ["a"]
    assert report.outcome is Outcome.UNDONE
    assert str(build().resume("r", store)) == str(report)


async def test_verify_that_is_interrupted():
    """An interruption while verify works suspends the run again; the step is still in doubt."""
    inside, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    runs, answers = [], [False, KeyboardInterrupt()]

    def verify():
        loop.call_soon_threadsafe(inside.set)
        go_on.wait(60)
        answer = answers.pop() if answers else True
        if isinstance(answer, BaseException):
            raise answer
        return answer

    workflow = Workflow("w", [Step("a", run=lambda: runs.append(1), verify=verify), Step("b")])
    store = DyingStore(2)
    with pytest.raises(Died):
        await workflow.start_async(run_id="r", store=store)
    store.at = 0
    go_on.set()
    with pytest.raises(KeyboardInterrupt):
        await workflow.resume_async("r", store)
    go_on.clear()
    inside.clear()
    task = asyncio.create_task(workflow.resume_async("r", store))
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs == [1]
    report = await workflow.resume_async("r", store)
    assert report.outcome is Outcome.SUCCEEDED
    assert runs == [1]


def test_keys_that_go_are_gone_after_a_resume():
    """A key that a step deletes does not come back; one set to what it was is no change."""
    seen = []

    def build():
        return Workflow(
            "w",
            [
                Step("a", run=lambda ctx: ctx.shared.pop("x"), prepare=lambda ctx: ctx.shared.update(same=1)),
                Step("b", run=lambda ctx: seen.append(dict(ctx.shared))),
            ],
        )

    store = DyingStore(4)
    assert run_until_death(build(), store, state={"x": 1, "same": 1}) is None
    build().resume("r", store)
    assert seen == [{"same": 1}, {"same": 1}]


def test_prepares_in_the_specification_s_file(tmp_path):
    """What a workflow's prepare sets is in its own state; a step skipped or failed by its prepare is not failed."""

    def skipped():
        raise Skip

    def fails():
        raise ValueError("unprepared")

    inner = Workflow("w", [Step("x")], prepare=lambda: {"inner": 1})
    steps = [inner, Step("s", prepare=skipped), Step("f", prepare=fails)]
    report = Workflow("w", steps, prepare=lambda: {"outer": 1}).start(run_id="r", store=FileStore(tmp_path))
    assert report.outcome is Outcome.UNDONE
    document = journal_from_json((tmp_path / "w-r.journal").read_bytes())
    assert document["shared"]["global"] == {"outer": 1}
    assert document["steps"][0]["shared"]["global"] == {"outer": 1}
    assert document["steps"][0]["steps"][0]["snapshot"]["global"] == {"outer": 1, "inner": 1}
    assert [step["state"] for step in document["steps"]] == ["compensated", "compensated", "compensated"]
    assert document["steps"][2]["report"]["action"] == "prepare"
    assert str(Workflow("w", steps, prepare=lambda: None).resume("r", FileStore(tmp_path))) == str(report)


def test_a_nested_workflow_that_undid_itself_in_the_specification_s_file(tmp_path):
    """Its state is compensated where it went back all the way, and failed where an undo of it failed."""

    def stuck():
        raise RuntimeError("stuck")

    report = Workflow("w", [Workflow("empty")]).start(run_id="r", store=FileStore(tmp_path))
    assert report.outcome is Outcome.SUCCEEDED
    for undo, state in ((None, "compensated"), (stuck, "failed")):
        inner = Workflow("in", [Step("x", undo=undo), Step("y", run=lambda: 1 / 0)])
        store = FileStore(tmp_path / state)
        Workflow("w", [Step("a"), inner]).start(run_id="r", store=store)
        document = journal_from_json((tmp_path / state / "w-r.journal").read_bytes())
        assert document["steps"][1]["state"] == state
        assert document["steps"][1]["cursor"]["phase"] == "done"


@pytest.mark.guarantee("G6")
def test_an_entry_about_a_step_that_is_not_there_is_refused(tmp_path):
    """The file store reads no journal whose entries tell of unknown steps."""
    store = FileStore(tmp_path)
    lease = store.create("w", "r")
    begun = {
        "begun": 1,
        "workflow": "w",
        "run": "r",
        "at": 0,
        "modes": ["stop", "stop"],
        "steps": ["a"],
        "state": {},
    }
    with pytest.raises(JournalError, match="it tells of a step b that it has not"):
        lease.append([begun, {"started": "b", "at": 0}], "running")
    lease.release()


def test_a_foreign_rollback_of_a_nested_workflow_that_is_over(tmp_path):
    """A nested workflow undone by its parent, and one that undid itself, are both read as what they were."""
    inner = [{"id": "x", "state": "compensated", "snapshot": bag()}]
    own = [{"id": "y", "state": "compensated", "report": node("y", status="failed", error="own")}]
    failed = {**node("in", status="failed", error="own"), "isWorkflow": True}
    document = journal(
        [
            nested("compensated", inner, "done") | {"id": "first"},
            nested("compensated", own, "done", report=failed),
        ],
        "compensating",
        0,
    )
    notes, report, _ = resume(document, tmp_path)
    assert notes.names == []
    assert report.outcome is Outcome.UNDONE
    assert str(report.error) == "own"


def test_a_foreign_run_that_ended_with_steps_left_standing(tmp_path):
    """With rollback_mode stop a failed undo ends the run; what was not reached is neither undone nor failed."""
    stuck = node("b", status="failed", error="e", rollback=node("b", "rollback", "failed", error="stuck"))
    document = journal(
        [
            {
                "id": "a",
                "state": "completed",
                "snapshot": bag(),
                "report": node("a", status="skipped", detail="d"),
            },
            {"id": "b", "state": "failed", "report": stuck},
            {"id": "c", "state": "pending"},
        ],
        "done",
        1,
        rollback_mode="stop",
    )
    document["steps"][1]["state"] = "failed"
    notes, report, _ = resume(document, tmp_path)
    assert notes == []
    assert [str(each.status) for each in report.step_reports][:2] == ["SKIPPED", "FAILED"]
