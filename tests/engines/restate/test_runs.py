"""What is so of runs through a Restate server, beside the contract of all engines."""

from __future__ import annotations

import asyncio
import threading
import uuid

import pytest

from automa import Parallel, Retry, Step, Workflow
from automa.errors import EngineError, RunExistsError, RunNotFoundError, RunRequestError
from tests.engines.restate.conftest import wait_until


def fresh(steps, **options):
    """Return a workflow of which nobody has heard."""
    return Workflow(f"w {uuid.uuid4().hex[:8]}.ä", steps, **options)


def test_a_delay_before_another_attempt_is_one_of_the_server(engine, serving):
    """A step that has failed is tried again after its delay."""
    calls = []

    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise OSError("not yet")

    workflow = fresh([Step("a", run=flaky, retry=Retry(3, initial=0.1))])
    serving(workflow)
    assert engine.submit(workflow).wait(30).outcome == "succeeded"
    assert len(calls) == 3


def test_a_cancelled_run_does_not_sit_in_a_delay(engine, serving):
    """A cancellation ends the wait before another attempt; that before another undo is waited for."""
    undone, tried = [], []

    def refuse():
        tried.append(1)
        raise OSError("not today")

    def undo():
        undone.append(1)
        if len(undone) < 3:
            raise OSError("not yet")

    steps = [
        Step("a", run=lambda: 1, undo=undo, undo_retry=Retry(3, initial=0.1)),
        Step("b", run=refuse, retry=Retry(3, initial=3600, maximum=3600)),
    ]
    workflow = fresh(steps)
    serving(workflow)
    handle = engine.submit(workflow)
    wait_until(lambda: tried)
    handle.cancel()
    assert handle.wait(30).outcome == "undone"
    assert len(undone) == 3


def test_a_cancellation_at_the_server_is_one_of_ours(engine, serving):
    """Who cancels the run in the server's own way has it undone as well."""
    at_work, undone = threading.Event(), []

    async def hold():
        at_work.set()
        await asyncio.sleep(3600)

    workflow = fresh([Step("a", run=lambda: 1, undo=lambda: undone.append("a")), Step("b", run=hold)])
    serving(workflow)
    handle = engine.submit(workflow)
    assert at_work.wait(30)
    found = engine._invocations(workflow_id=workflow.id, run_id=handle.run_id)[0].id
    engine._server._ask("PATCH", engine._server.admin_url, f"/invocations/{found}/cancel")
    assert handle.wait(30).outcome == "undone"
    assert undone == ["a"]


def test_branches_go_on_side_by_side_and_are_given_up_together(engine, serving):
    """Where one has failed, another does not sit out its delay; no more are begun at once than may be."""
    at_work, most, lock = [0], [0], threading.Lock()

    def count():
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        barrier.wait(30)
        with lock:
            at_work[0] -= 1

    barrier = threading.Barrier(2)
    steps = [Step(f"s{number}", run=count, undo=lambda: None) for number in range(4)]

    def fail_once_the_other_waits():
        wait_until(lambda: tried)
        raise ValueError("out of stock")

    tried = []

    def flaky():
        tried.append(1)
        raise OSError("not yet")

    workflow = fresh(
        [
            Parallel("p", *steps, limit=2),
            Parallel(
                "q",
                Step("x", run=flaky, retry=Retry(3, initial=3600, maximum=3600)),
                Parallel("y", Step("z", run=fail_once_the_other_waits)),
                on_failure="cancel",
            ),
        ]
    )
    serving(workflow)
    assert engine.submit(workflow).wait(30).outcome == "undone"
    assert most == [2]
    assert tried == [1]


def test_a_run_that_has_succeeded_can_be_undone(engine, serving):
    """A rollback is another turn; and nothing is asked of a run that goes on."""
    undone, may_end = [], threading.Event()
    workflow = fresh([Step("a", run=lambda: may_end.wait(60), undo=lambda: undone.append("a"))])
    serving(workflow)
    handle = engine.submit(workflow)
    with pytest.raises(RunRequestError, match="goes on"):
        engine.rollback(handle.run_id)
    assert [info.status for info in engine.runs(run_id=handle.run_id)] == ["running"]
    with pytest.raises(TimeoutError, match="goes on still"):
        handle.wait(0.1)
    may_end.set()
    assert handle.wait(30).outcome == "succeeded"
    assert engine.rollback(handle.run_id, note="returned").wait(30).outcome == "undone"
    assert undone == ["a"]


def test_a_run_is_begun_once(engine, serving):
    """A second run of the same id is refused: also where it is one of another version."""
    workflow = fresh([Step("a", run=lambda: 1)], version="1")
    second = Workflow(workflow.id, [Step("a", run=lambda: 2)], version="2")
    serving(workflow, second)
    engine.submit(workflow, run_id="r1").wait(30)
    for each in (workflow, second):
        with pytest.raises(RunExistsError, match="'r1'"):
            engine.submit(each, run_id="r1")
    assert [info.run_id for info in engine.runs(workflow_id=workflow.id, status="succeeded")] == ["r1"]


def test_a_step_may_take_longer_than_a_wait(engine, serving):
    """The server asks a run that seems idle for its place; a step that is at work ends, and is called once."""
    calls, may_end = [], threading.Event()

    def hold():
        calls.append(1)
        may_end.wait(3)

    workflow = fresh([Step("a", run=hold), Step("b", run=lambda: 1)])
    serving(workflow, inactivity_timeout=0.5)
    assert engine.submit(workflow).wait(30).outcome == "succeeded"
    assert calls == [1]


def test_what_cannot_be_done_is_told(engine, serving):
    """Where no worker has the workflow, or there is no such run, or no server, the error says so."""
    from automa.engines.restate import RestateEngine

    workflow = fresh([Step("a", run=lambda: 1)], version="2")
    with pytest.raises(EngineError, match=r"no worker has registered workflow .*version '2'.*engine\.worker"):
        engine.submit(workflow)
    serving(Workflow(workflow.id, [Step("a", run=lambda: 1)], version="1"))
    with pytest.raises(EngineError, match=r"\(only '1'\)"):
        engine.submit(workflow)
    with pytest.raises(RunNotFoundError, match="'r9'"):
        engine.report("r9", workflow_id=workflow.id)
    with pytest.raises(EngineError, match="cannot be reached.*is it running"):
        RestateEngine("restate://127.0.0.1:1?admin=1").submit(workflow)
    with pytest.raises(EngineError, match="restate://HOST:8080"):
        RestateEngine("http://127.0.0.1")
