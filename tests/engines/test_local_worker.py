"""What the worker of the engine over a store does when something goes wrong around it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from automa import Outcome, Parallel, Retry, Step, Workflow
from automa.engines import LocalEngine
from automa.errors import StoreError
from automa.stores import FileStore, MemoryStore
from tests.durable.scenarios import told

SECONDS = 30.0


def test_a_worker_that_stops_records_the_step_that_was_at_work():
    """A step that ends while its worker stops is recorded: the next worker does not call it again."""
    for _ in range(10):
        lines, at_work = [], threading.Event()

        def slow(lines=lines, at_work=at_work):
            lines.append("run a")
            at_work.set()
            threading.Event().wait(0.05)

        workflow = Workflow(
            "w", [Step("a", run=slow), Step("b", run=lambda lines=lines: lines.append("run b"))]
        )
        engine = LocalEngine(MemoryStore())
        handle = engine.submit(workflow)
        with engine.worker(workflow).in_background():
            assert at_work.wait(SECONDS)
        with engine.worker(workflow).in_background():
            assert handle.wait(SECONDS).outcome is Outcome.SUCCEEDED
        assert lines == ["run a", "run b"]


def test_a_run_that_has_just_stopped_is_rolled_back():
    """What is asked of a run between its last record and the moment its worker lets go of it is not refused."""

    class Slow(MemoryStore):
        def forget_cancel(self, workflow_id, run_id):
            threading.Event().wait(0.3)
            super().forget_cancel(workflow_id, run_id)

    workflow = Workflow("w", [Step("a", run=lambda: 1, undo=lambda: None)])
    engine = LocalEngine(Slow())
    with engine.worker(workflow).in_background():
        assert engine.submit(workflow, run_id="r1").wait(SECONDS).outcome is Outcome.SUCCEEDED
        assert engine.rollback("r1").wait(SECONDS).outcome is Outcome.UNDONE


def test_a_branch_that_is_given_up_waits_for_no_other_attempt():
    """A branch that waits for another attempt is given up at once when another one fails."""
    waits = threading.Event()

    def fails():
        waits.set()
        raise OSError("not yet")

    def breaks():
        assert waits.wait(SECONDS)
        threading.Event().wait(0.2)
        raise OSError("broken")

    both = Parallel(
        "both",
        Step("x", run=fails, retry=Retry(5, initial=600.0, jitter=False)),
        Step("y", run=breaks),
        on_failure="cancel",
    )
    workflow = Workflow("w", [both])
    engine = LocalEngine("memory:")
    with engine.worker(workflow).in_background():
        assert engine.submit(workflow).wait(SECONDS).outcome is Outcome.UNDONE


def test_a_cancelled_run_waits_between_the_attempts_of_an_undo():
    """A cancellation does not shorten the wait between two attempts of an undo."""
    tries, at_work = [], threading.Event()

    async def run():
        at_work.set()
        await asyncio.Event().wait()

    def undo():
        tries.append(time.monotonic())
        if len(tries) < 2:
            raise OSError("not yet")

    workflow = Workflow("w", [Step("a", run=run, undo=undo, undo_retry=Retry(2, initial=0.3, jitter=False))])
    engine = LocalEngine("memory:")
    with engine.worker(workflow).in_background():
        handle = engine.submit(workflow)
        assert at_work.wait(SECONDS)
        handle.cancel("enough")
        assert handle.wait(SECONDS).outcome is Outcome.UNDONE
    assert tries[1] - tries[0] >= 0.3


class DiesAfter(MemoryStore):
    """A store that keeps nothing of a run any more, once it has recorded an answer."""

    def __init__(self, last):
        super().__init__()
        self.last, self.is_over = last, threading.Event()

    def take(self, workflow_id, run_id):
        lease = super().take(workflow_id, run_id)
        append = lease.append

        def recorded(entries, status):
            if self.is_over.is_set():
                raise StoreError("its process has died")
            append(entries, status)
            if self.last in str(entries):
                self.is_over.set()

        lease.append = recorded
        return lease

    def survivor(self, workflow_id, run_id):
        """Return a store that has what was recorded."""
        store = MemoryStore()
        lease = store.create(workflow_id, run_id)
        lease.append(self.load(workflow_id, run_id), "running")
        lease.release()
        return store


def test_a_branch_that_was_given_up_is_so_after_its_worker_has_died():
    """Where one branch has failed, another worker calls no step any more of those that are given up."""
    lines, at_work, store = [], threading.Event(), DiesAfter("broken")

    def slow():
        lines.append("y1")
        at_work.set()
        assert store.is_over.wait(SECONDS)

    def breaks():
        assert at_work.wait(SECONDS)
        raise OSError("broken")

    inner = Workflow("inner", [Step("y1", run=slow), Step("y2", run=lambda: lines.append("y2"))])
    both = Parallel("both", Step("x", run=breaks), inner, on_failure="cancel")
    workflow = Workflow("w", [both])
    engine = LocalEngine(store)
    handle = engine.submit(workflow, run_id="r")
    with engine.worker(workflow).in_background():
        assert store.is_over.wait(SECONDS)
    assert handle.report().outcome is Outcome.SUSPENDED
    expected = workflow.resume("r", store.survivor("w", "r"))
    again = LocalEngine(store.survivor("w", "r"))
    with again.worker(workflow).in_background():
        report = again.wait("r", timeout=SECONDS)
    assert told(report) == told(expected)
    assert lines == ["y1"]


def test_a_run_that_does_not_fit_is_not_held():
    """A worker whose workflow does not fit a run lets go of it, so that another one can take it."""
    began = Workflow("w", [Step("a", run=lambda: 1)], version="1")
    other = Workflow("w", [Step("b", run=lambda: 1)], version="1")
    engine = LocalEngine("memory:")
    handle = engine.submit(began)
    with engine.worker(other).in_background():
        time.sleep(0.2)
        with engine.worker(began).in_background():
            assert handle.wait(SECONDS).outcome is Outcome.SUCCEEDED


def test_runs_of_another_version_hold_up_no_others():
    """However many runs wait for another version, a worker carries on those of its own."""
    old = Workflow("w", [Step("a", run=lambda: 1)], version="1")
    new = Workflow("w", [Step("a", run=lambda: 1)], version="2")
    engine = LocalEngine("memory:")
    for _ in range(201):
        engine.submit(old)
    handle = engine.submit(new)
    with engine.worker(new).in_background():
        assert handle.wait(SECONDS).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
def test_a_cancellation_of_a_run_that_is_over_cancels_no_other_one(kind, tmp_path):
    """A cancellation that comes as its run ends does not reach another run of the same id."""
    workflow = Workflow("w", [Step("a", run=lambda: time.sleep(0.5)), Step("b")])
    urls = {"memory": "memory:", "file": f"file:{tmp_path}", "sqlite": f"sqlite:///{tmp_path}/runs.db"}
    engine = LocalEngine(urls[kind])
    with engine.worker(workflow).in_background():
        assert engine.submit(workflow, run_id="r").wait(SECONDS).outcome is Outcome.SUCCEEDED
    engine.store.ask_cancel("w", "r", "too late")
    lease = engine.store.take("w", "r")
    lease.delete()
    handle = engine.submit(workflow, run_id="r")
    with engine.worker(workflow).in_background():
        assert handle.wait(SECONDS).outcome is Outcome.SUCCEEDED


class BreaksOnce(MemoryStore):
    """A store that fails once, when it is to record an answer."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def take(self, workflow_id, run_id):
        lease = super().take(workflow_id, run_id)
        append = lease.append

        def breaks_once(entries, status):
            if self.part and self.part in str(entries):
                self.part = ""
                raise StoreError("no space is left")
            append(entries, status)

        lease.append = breaks_once
        return lease


def test_a_run_is_held_while_a_step_beside_the_one_that_was_not_recorded_is_at_work():
    """Where the answer of one branch cannot be recorded, no other worker calls the step at work beside it."""
    lines, at_work, gate = [], threading.Event(), threading.Event()

    def slow():
        lines.append("run y")
        at_work.set()
        assert gate.wait(SECONDS)

    def quick():
        assert at_work.wait(SECONDS)
        return "quick"

    workflow = Workflow("w", [Parallel("both", Step("x", run=quick), Step("y", run=slow))])
    engine = LocalEngine(BreaksOnce("quick"))
    handle = engine.submit(workflow)
    with engine.worker(workflow).in_background(), engine.worker(workflow).in_background():
        assert at_work.wait(SECONDS)
        time.sleep(0.5)
        gate.set()
        assert handle.wait(SECONDS).outcome is Outcome.SUCCEEDED
    assert lines == ["run y"]


class Broken(MemoryStore):
    """A store that raises what no store may."""

    def __init__(self):
        super().__init__()
        self.loads = 0

    def load(self, workflow_id, run_id):
        self.loads += 1
        raise OSError("the cable is out")


def test_what_no_store_may_raise_is_told_and_tried_again_later(caplog):
    """Whatever a run fails with in a worker is logged once, and the run is given back, and left for a while."""
    workflow = Workflow("w", [Step("a", run=lambda: 1)])
    engine = LocalEngine(Broken())
    engine.submit(workflow, run_id="r")
    with engine.worker(workflow).in_background():
        while not caplog.records:
            time.sleep(0.01)
        time.sleep(0.2)
    assert [record.getMessage() for record in caplog.records] == [
        "run r of workflow w is left to others: OSError('the cable is out')"
    ]
    assert engine.store.loads == 1
    engine.store.take("w", "r").release()


def test_a_worker_whose_task_is_cancelled_lets_its_steps_end():
    """Cancelling the task of a worker stops it as `stop` does: what is at work is recorded."""
    lines = []

    async def slow():
        lines.append("run a")
        tasks[0].cancel()
        await asyncio.sleep(0.05)
        lines.append("ran a")

    tasks = []
    workflow = Workflow("w", [Step("a", run=slow), Step("b", run=lambda: lines.append("run b"))])
    engine = LocalEngine("memory:")
    handle = engine.submit(workflow)

    async def serve():
        tasks.append(asyncio.ensure_future(engine.worker(workflow).serve()))
        await asyncio.wait(tasks)

    asyncio.run(serve())
    assert [each.step_id for each in handle.report().step_reports] == ["a"]
    assert lines == ["run a", "ran a"]


def test_several_may_cancel_a_run_at_once(tmp_path):
    """Whoever asks for the same cancellation at the same moment is heard, and one of the notes is kept."""
    for number in range(30):
        store, together, raised = FileStore(tmp_path / str(number)), threading.Barrier(6), []

        def ask(note, store=store, together=together, raised=raised):
            together.wait()
            try:
                store.ask_cancel("w", "r", note)
            except StoreError as error:
                raised.append(error)

        notes = ["why " * count for count in range(6)]
        threads = [threading.Thread(target=ask, args=[note]) for note in notes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert raised == []
        assert store.asked_cancels()["w", "r"] in notes
        assert [path.name for path in (store.folder / ".cancels").iterdir()] == ["w-r.cancel"]


def test_branches_that_answer_at_once_are_all_written(tmp_path):
    """However many branches answer in the same moment, each of their writes comes after that of another."""
    count = 24
    together = threading.Barrier(count)
    steps = [Step(f"s{number}", run=lambda: together.wait(60) and None) for number in range(count)]
    workflow = Workflow("w", [Parallel("all", *steps)])
    engine = LocalEngine(f"sqlite:///{tmp_path}/runs.db?durability=process")
    handle = engine.submit(workflow)
    with engine.worker(workflow).in_background():
        assert handle.wait(60).outcome is Outcome.SUCCEEDED
