"""Steps side by side: how they begin, what they see, how they end, and how they are undone."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import threading

import pytest

from automa import (
    Answered,
    AttemptFailed,
    BranchCancelled,
    JournalError,
    Outcome,
    Parallel,
    Retry,
    RunNotFoundError,
    Started,
    Status,
    Step,
    StoreError,
    Workflow,
    WorkflowDefinitionError,
)
from automa._core.runs import Run
from automa.runtime import threads
from automa.stores import FileStore, MemoryStore
from tests.durable.crashes import Died, DyingStore
from tests.unit.traces import WAYS, fails, fails_times, start

WAIT = 30


def after(event, function=None):
    """Return a function that waits for an event before it does its work."""

    def run():
        assert event.wait(WAIT)
        return None if function is None else function()

    return run


def undos(trace):
    return [call for call in trace.calls if call.startswith("undo")]


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_sync_branches_work_in_threads_side_by_side(trace, way, store):
    """Three sync branches meet at a barrier, which none could pass alone."""
    barrier = threading.Barrier(3, timeout=WAIT)
    names = set()

    def meets():
        barrier.wait()
        names.add(threading.get_ident())

    both = Parallel("both", *(trace.step(id, meets) for id in "xyz"))
    report = start(Workflow("w", [both]), way, store=store)
    assert report.outcome is Outcome.SUCCEEDED
    assert len(names) == 3
    assert threading.get_ident() not in names


@pytest.mark.parametrize("store", [None, "memory:"])
async def test_async_branches_are_tasks(trace, store):
    """Async branches wait for one another on the loop."""
    barrier = asyncio.Barrier(3)

    async def meets(ctx):
        await barrier.wait()
        return asyncio.current_task().get_name()

    both = Parallel("both", *(trace.step(id, meets) for id in "xyz"))
    report = await Workflow("w", [both]).start_async(store=store)
    assert len(set(report.results["both"].values())) == 3


@pytest.mark.parametrize("way", WAYS)
def test_a_limit_bounds_how_many_work_at_once(trace, way):
    """With a limit of two, never more than two are at work, and two are."""
    lock, at_work, most = threading.Lock(), [], []
    pairs = threading.Barrier(2, timeout=WAIT)

    def works():
        with lock:
            at_work.append(1)
            most.append(len(at_work))
        pairs.wait()
        with lock:
            at_work.pop()

    both = Parallel("both", *(trace.step(str(id), works) for id in range(6)), limit=2)
    assert start(Workflow("w", [both]), way).outcome is Outcome.SUCCEEDED
    assert max(most) == 2


def test_a_limit_of_one_keeps_the_order(trace):
    """With a limit of one the branches run one after the other, as they are written."""
    Workflow("w", [Parallel("both", *(trace.step(id) for id in "zyx"), limit=1)]).start()
    assert trace.calls == ["run z", "run y", "run x"]


@pytest.mark.parametrize("way", WAYS)
def test_each_branch_has_a_copy_of_the_state(trace, way):
    """What a branch changes, in place too, is seen by no other and not afterwards; its own undo sees it."""
    seen = {}
    barrier = threading.Barrier(2, timeout=WAIT)

    def run(ctx):
        ctx.shared["list"].append(ctx.step_id)
        ctx.shared[ctx.step_id] = True
        barrier.wait()
        seen[ctx.step_id] = (list(ctx.shared["list"]), "x" in ctx.shared, "y" in ctx.shared)

    def undo(ctx):
        seen[f"undo {ctx.step_id}"] = list(ctx.shared["list"])

    def look(ctx):
        seen["after"] = dict(ctx.shared)
        raise ValueError("x")

    both = Parallel("both", trace.step("x", run, undo), trace.step("y", run, undo))
    start(Workflow("w", [both, trace.step("c", look)]), way, state={"list": []})
    assert seen == {
        "x": (["x"], True, False),
        "y": (["y"], False, True),
        "after": {"list": []},
        "undo x": ["x"],
        "undo y": ["y"],
    }


def test_results_are_found_by_id_and_by_path(trace):
    """The result of the whole is a dict by id; a branch sees results before it; later steps find all by path."""
    found = []

    def look(ctx):
        found.append((ctx.results["both"], ctx.results["both/x"], ctx.results["both/inner/i"]))

    inner = Workflow("inner", [trace.step("i", lambda: 3)])
    both = Parallel("both", trace.step("x", lambda ctx: ctx.results["a"] + 1), inner)
    report = Workflow("w", [trace.step("a", lambda: 1), both, trace.step("c", look)]).start()
    assert report.results["both"] == {"x": 2, "inner": {"i": 3}}
    assert found == [({"x": 2, "inner": {"i": 3}}, 2, 3)]


@pytest.mark.parametrize("way", WAYS)
def test_reports_and_undos_are_in_order(trace, way):
    """Reports stand in the order of the branches, undos go the other way, one after the other."""
    ended = {id: threading.Event() for id in "xyz"}

    def ends(id, waits_for=None):
        def run():
            if waits_for is not None:
                assert ended[waits_for].wait(WAIT)
            ended[id].set()

        return run

    both = Parallel(
        "both",
        trace.step("x", ends("x", "y")),
        trace.step("y", ends("y", "z")),
        trace.step("z", ends("z")),
    )
    report = start(Workflow("w", [trace.step("a"), both, trace.step("c", fails)]), way)
    assert [each.step_id for each in report.step_reports[1].workflow.step_reports] == ["x", "y", "z"]
    assert undos(trace) == ["undo c", "undo z", "undo y", "undo x", "undo a"]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_parallels_and_workflows_nest_both_ways(trace, way, store):
    """A workflow in a branch, a Parallel in that workflow, a Parallel in a Parallel: all run, all is undone."""
    deep = Parallel("deep", trace.step("k"), trace.step("l"))
    inner = Workflow("inner", [trace.step("i"), deep, trace.step("j")])
    direct = Parallel("direct", trace.step("m"), trace.step("n"))
    both = Parallel("both", inner, direct, trace.step("x"))
    report = start(Workflow("w", [Workflow("outer", [both]), trace.step("c", fails)]), way, store=store)
    ids = "ikljmnx"
    assert sorted(call for call in trace.calls if call.startswith("run")) == sorted(
        [*(f"run {id}" for id in ids), "run c"]
    )
    assert undos(trace)[:3] == ["undo c", "undo x", "undo n"]
    assert sorted(undos(trace)) == sorted([*(f"undo {id}" for id in ids), "undo c"])
    assert undos(trace)[-3:] == ["undo l", "undo k", "undo i"]
    assert report.outcome is Outcome.UNDONE
    assert report.remaining.not_undone == ()


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_failing_branch_lets_the_others_finish(trace, way, store):
    """By default the others come to their end, then all that was executed is undone."""
    failed = threading.Event()

    def fail():
        failed.set()
        raise ValueError("x")

    inner = Workflow("inner", [trace.step("i", after(failed)), trace.step("j")])
    both = Parallel("both", trace.step("x", fail), inner, trace.step("y", after(failed)))
    report = start(Workflow("w", [trace.step("a"), both, trace.step("c")]), way, store=store)
    assert "run j" in trace.calls
    assert undos(trace) == ["undo y", "undo j", "undo i", "undo x", "undo a"]
    first_undo = trace.calls.index("undo y")
    assert not [call for call in trace.calls[first_undo:] if call.startswith("run")]
    assert report.outcome is Outcome.UNDONE
    assert str(report.error) == "x"


async def test_with_cancel_async_branches_are_cut_off(trace):
    """With ``cancel`` an async branch at work is cancelled: its effect is unknown, and it is undone."""
    at_work = asyncio.Event()

    async def hangs(ctx):
        at_work.set()
        await asyncio.sleep(600)

    async def fail(ctx):
        await at_work.wait()
        raise ValueError("x")

    both = Parallel("both", trace.step("x", hangs), trace.step("y", fail), on_failure="cancel")
    report = await Workflow("w", [trace.step("a"), both]).start_async()
    assert undos(trace) == ["undo y", "undo x", "undo a"]
    inside = report.step_reports[1].workflow
    assert inside.step_reports[0].detail == "unknown"
    assert isinstance(inside.step_reports[0].error, BranchCancelled)
    assert isinstance(report.error, ValueError)
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_with_cancel_sync_branches_finish_their_step(trace, way, store, monkeypatch):
    """A thread cannot be stopped: its step finishes and is undone; the next one in that branch is not begun."""
    given_up, begun = threading.Event(), threading.Event()
    give_up = Run.give_up

    def tells(self, error):
        give_up(self, error)
        given_up.set()

    monkeypatch.setattr(Run, "give_up", tells)

    def works():
        begun.set()
        assert given_up.wait(WAIT)

    inner = Workflow("inner", [trace.step("i", works), trace.step("j")])
    both = Parallel("both", inner, trace.step("y", after(begun, fails)), on_failure="cancel")
    report = start(Workflow("w", [trace.step("a"), both]), way, store=store)
    assert "run j" not in trace.calls
    assert undos(trace) == ["undo y", "undo i", "undo a"]
    assert str(report.error) == "x"


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_with_cancel_what_has_not_begun_is_neither_run_nor_undone(trace, way, store):
    """With a limit of one and a failure in the second branch, the third is not begun."""
    both = Parallel(
        "both", trace.step("x"), trace.step("y", fails), trace.step("z"), limit=1, on_failure="cancel"
    )
    report = start(Workflow("w", [both, trace.step("c")]), way, store=store)
    assert trace.calls == ["run x", "run y", "undo y", "undo x"]
    assert isinstance(report.error, ValueError)
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("way", WAYS)
def test_the_first_error_is_the_first_as_written(trace, way):
    """Of two failures that of the branch written first counts, whichever came first in time."""
    failed = threading.Event()

    def fail_first():
        failed.set()
        raise ValueError("y")

    def fail_then():
        assert failed.wait(WAIT)
        raise ValueError("x")

    both = Parallel("both", trace.step("x", fail_then), trace.step("y", fail_first))
    assert str(start(Workflow("w", [both]), way).error) == "x"


def test_a_branch_that_was_given_up_is_never_the_first_error(trace):
    """A branch written first and given up tells less than the one that failed, written later."""
    both = Parallel("both", trace.step("x", fails), trace.step("y"), limit=1, on_failure="cancel")
    report = Workflow("w", [Parallel("outer", both, trace.step("z"))]).start()
    assert isinstance(report.error, ValueError)


@pytest.mark.parametrize(
    ("rollback_mode", "undone"), [("continue", ["undo c", "undo z", "undo y", "undo x", "undo a"]),
                                  ("stop", ["undo c", "undo z", "undo y"])],
)  # fmt: skip
@pytest.mark.parametrize("store", [None, "memory:"])
def test_rollback_modes(trace, rollback_mode, undone, store):
    """A failed undo in a branch is passed by, or stops the way back of the whole run."""
    both = Parallel("both", trace.step("x"), trace.step("y", undo=fails), trace.step("z"))
    steps = [trace.step("a"), both, trace.step("c", fails)]
    report = Workflow("w", steps, rollback_mode=rollback_mode).start(store=store)
    assert undos(trace) == undone
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert len(report.rollback_errors) == 1


@pytest.mark.parametrize(("mode", "goes_on"), [("stop", False), ("continue", True)])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("store", [None, "memory:"])
def test_modes_in_which_nothing_is_undone(trace, mode, goes_on, way, store):
    """In the modes stop and continue branches are not undone; in the latter the rest is run, inside and outside."""
    inner = Workflow("inner", [trace.step("i", fails), trace.step("j")])
    both = Parallel("both", inner, trace.step("x"))
    report = start(Workflow("w", [both, trace.step("c")], mode=mode), way, store=store)
    assert ("run j" in trace.calls) is goes_on
    assert ("run c" in trace.calls) is goes_on
    assert "run x" in trace.calls
    assert undos(trace) == []
    assert report.outcome is Outcome.FAILED


@pytest.mark.parametrize("on_cancel", [None, "suspend", "rollback"])
@pytest.mark.parametrize("way", WAYS)
def test_an_interruption_of_a_branch_is_one_of_the_run(trace, way, on_cancel):
    """A branch raises KeyboardInterrupt: no further step starts in any; undone or suspended, and raised again."""
    interrupted, begun = threading.Event(), threading.Event()
    raises = [True]

    class Tells:
        def on_record(self, record):
            if isinstance(record, Answered) and record.path == "both/x":
                interrupted.set()

    def interrupt():
        assert begun.wait(WAIT)
        if raises:
            raises.pop()
            interrupted.set()
            raise KeyboardInterrupt

    def works():
        begun.set()
        assert interrupted.wait(WAIT)

    inner = Workflow("inner", [trace.step("i", works), trace.step("j")])
    both = Parallel("both", trace.step("x", interrupt), inner)
    workflow, store = (
        Workflow("w", [trace.step("a"), both, trace.step("c")], observers=[trace]),
        MemoryStore(),
    )
    options = {} if on_cancel is None else {"store": store, "on_cancel": on_cancel, "run_id": "r"}
    with pytest.raises(KeyboardInterrupt):
        start(workflow, way, **options)
    assert "run c" not in trace.calls
    if on_cancel == "suspend":
        assert undos(trace) == []
        assert trace.report.outcome is Outcome.SUSPENDED
        trace.calls.clear()
        report = workflow.resume("r", store)
        assert report.outcome is Outcome.SUCCEEDED
        assert "run a" not in trace.calls
        assert "run i" not in trace.calls
        assert str(workflow.resume("r", store)) == str(report)
    else:
        assert [call for call in undos(trace) if call != "undo j"] == ["undo i", "undo x", "undo a"]
        assert trace.report.outcome is Outcome.UNDONE


@pytest.mark.cancellation("C25")
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("on_cancel", [None, "suspend", "rollback"])
def test_ctrl_c_while_branches_work(trace, on_cancel, monkeypatch):
    """Ctrl-C in the main thread waits until the branches' steps have ended; then undone or suspended."""
    barrier, go_on = threading.Barrier(2, timeout=WAIT), threading.Event()

    def works():
        barrier.wait()
        assert go_on.wait(WAIT)

    def presses():
        barrier.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert pressed.wait(WAIT)

    pressed = threading.Event()
    set_once_interrupted(monkeypatch, pressed, go_on)
    inner = Workflow("inner", [trace.step("i", works), trace.step("j")])
    both = Parallel("both", inner, trace.step("x", presses))
    workflow, store = Workflow("w", [trace.step("a"), both], observers=[trace]), MemoryStore()
    options = {} if on_cancel is None else {"store": store, "on_cancel": on_cancel, "run_id": "r"}
    with pytest.raises(KeyboardInterrupt):
        workflow.start(**options)
    assert "run j" not in trace.calls
    undone = [] if on_cancel == "suspend" else ["undo x", "undo i", "undo a"]
    assert undos(trace) == undone
    if on_cancel == "suspend":
        assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
        assert sorted(trace.calls) == ["run a", "run i", "run j", "run x"]


def set_once_interrupted(monkeypatch, *events):
    """Set events as soon as a run has noted that it is interrupted."""
    before = Run.interrupt

    def interrupt(self, error):
        before(self, error)
        for event in events:
            event.set()

    monkeypatch.setattr(Run, "interrupt", interrupt)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_the_branches_are_being_started(trace, monkeypatch):
    """Ctrl-C before the main thread waits is not held back until the branches have ended: no next step starts."""
    pressed = threading.Event()
    set_once_interrupted(monkeypatch, pressed)
    start_thread = threads.start

    def start_and_press(work, name):
        start_thread(work, name)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(threads, "start", start_and_press)
    inner = Workflow("inner", [trace.step("i", after(pressed)), trace.step("j")])
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [Parallel("both", inner)]).start()
    assert trace.calls == ["run i", "undo i"]


@pytest.mark.cancellation("C25")
@pytest.mark.parametrize("on_cancel", [None, "suspend", "rollback"])
async def test_a_cancel_reaches_all_branches(trace, on_cancel):
    """Cancelled, async branches at work are cut off; undone or suspended; then the cancellation goes on."""
    barrier = asyncio.Barrier(3)

    async def hangs(ctx):
        await barrier.wait()
        await asyncio.sleep(600)

    inner = Workflow("inner", [trace.step("i", hangs), trace.step("j")])
    both = Parallel("both", inner, trace.step("x", hangs))
    workflow, store = Workflow("w", [trace.step("a"), both], observers=[trace]), MemoryStore()
    options = {} if on_cancel is None else {"store": store, "on_cancel": on_cancel, "run_id": "r"}
    task = asyncio.create_task(workflow.start_async(**options))
    await barrier.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert undos(trace) == ([] if on_cancel == "suspend" else ["undo x", "undo i", "undo a"])
    if on_cancel == "suspend":
        assert (await workflow.rollback_async("r", store)).outcome is Outcome.UNDONE
        assert sorted(undos(trace)) == ["undo a", "undo i", "undo x"]


def test_a_branch_that_undoes_itself(trace):
    """A controller in a branch that calls its own rollback has gone back already; the others are undone."""

    class Literal(Step):
        def run(self, ctx, prev_success):
            failed = self.failed_run(prev_success, ValueError("x"), ctx.report)
            return self.rollback(ctx, failed.event)

        def rollback(self, ctx, prev_failure):
            trace.calls.append("undo literal")
            return self.rollback_prev(prev_failure)

    both = Parallel("both", trace.step("x"), Literal("literal"), limit=1)
    report = Workflow("w", [trace.step("a"), both]).start()
    assert trace.calls == ["run a", "run x", "undo literal", "undo x", "undo a"]
    assert report.outcome is Outcome.UNDONE


class DeadStore(DyingStore):
    """Once it has died, whoever else still writes dies too."""

    def write(self, lease, key, entries, status):
        if self.at and self.writes >= self.at:
            raise Died
        super().write(lease, key, entries, status)


@pytest.mark.guarantee("G2", "G4", "G8")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dies_after", [False, True])
@pytest.mark.parametrize("at", range(1, 32))
def test_a_death_while_branches_work(trace, at, dies_after, way):
    """Branches at once, and a death at any write: what was recorded is not run again; all that ran is undone."""
    barrier = threading.Barrier(3)

    def meets():
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(0.01)

    inner = Workflow("inner", [trace.step("i", meets), Parallel("deep", trace.step("k"), trace.step("l"))])
    both = Parallel("both", trace.step("x", meets), inner, trace.step("y", meets))
    workflow = Workflow("w", [trace.step("a"), both, trace.step("c", fails)])
    store = DeadStore(at, after=dies_after)
    with contextlib.suppress(Died):
        start(workflow, way, run_id="r", store=store)
    store.at = 0
    try:
        entries = store.load("w", "r")
    except RunNotFoundError:
        entries = []
    done = [e["answered"] for e in entries if "answered" in e and e.get("action", "run") == "run"]
    ran = [f"run {path.rpartition('/')[2]}" for path in done]
    before = {call: trace.calls.count(call) for call in ran}
    report = start_again(workflow, way, store)
    assert {call: trace.calls.count(call) for call in ran} == before
    assert report.outcome is Outcome.UNDONE
    assert str(report.error) == "x"
    executed = {call.partition(" ")[2] for call in trace.calls if call.startswith("run")}
    assert {call.partition(" ")[2] for call in undos(trace)} == executed == set("axiklyc")
    assert undos(trace)[-1] == "undo a"
    assert str(workflow.resume("r", store)) == str(report)


def start_again(workflow, way, store):
    if way == "async":
        return asyncio.run(workflow.resume_async("r", store))
    return workflow.resume("r", store)


def suspended(trace, store):
    """Suspend a run in which one branch has ended, and another was interrupted."""

    def interrupt():
        raise KeyboardInterrupt

    both = Parallel("both", trace.step("x"), trace.step("y", interrupt), trace.step("z"), limit=1)
    workflow = Workflow("w", [trace.step("a"), both, trace.step("c")])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    return workflow


@pytest.mark.parametrize("way", WAYS)
def test_a_rollback_of_a_run_that_was_suspended_inside(trace, way):
    """Rolled back by an operator, what ran in the branches and before is undone; what did not begin is not."""
    store = MemoryStore()
    workflow = suspended(trace, store)
    if way == "async":
        report = asyncio.run(workflow.rollback_async("r", store, note="no more"))
    else:
        report = workflow.rollback("r", store, note="no more")
    assert trace.calls == ["run a", "run x", "run y", "undo y", "undo x", "undo a"]
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("died", [False, True])
def test_a_rollback_of_a_run_whose_parallel_has_ended(trace, died):
    """Rolled back after the Parallel, or after the end of the run, all branches are undone in reverse."""
    store = DyingStore(10, after=True) if died else MemoryStore()
    both = Parallel("both", trace.step("x"), trace.step("y"), limit=1)
    workflow = Workflow("w", [trace.step("a"), both, trace.step("c")])
    with contextlib.suppress(Died):
        workflow.start(run_id="r", store=store)
    store.at = 0
    report = workflow.rollback("r", store)
    assert [call for call in undos(trace) if call != "undo c"] == ["undo y", "undo x", "undo a"]
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("rollback_mode", ["continue", "stop"])
def test_a_failed_undo_in_a_branch_is_retried(trace, rollback_mode):
    """`retry_undo` of a branch by its path calls that undo, and those that it had held up."""
    both = Parallel("both", trace.step("x"), trace.step("y", undo=fails_times(1)), trace.step("z"))
    steps = [trace.step("a"), both, trace.step("c", fails)]
    workflow, store = Workflow("w", steps, rollback_mode=rollback_mode), MemoryStore()
    assert workflow.start(run_id="r", store=store).outcome is Outcome.NEEDS_ATTENTION
    trace.calls.clear()
    report = workflow.retry_undo("r", "both/y", store)
    assert trace.calls == (["undo y"] if rollback_mode == "continue" else ["undo y", "undo x", "undo a"])
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_fails_in_one_branch_stops_all(trace, way):
    """Once a write has failed no branch starts a further step, and nothing is undone."""
    broken, barrier = threading.Event(), threading.Barrier(2, timeout=WAIT)

    def outlasts():
        barrier.wait()
        assert broken.wait(WAIT)

    class Breaks(MemoryStore):
        def write(self, lease, key, entries, status):
            if broken.is_set() or any(entry.get("answered") == "both/inner/i" for entry in entries):
                broken.set()
                raise StoreError("disk full")
            super().write(lease, key, entries, status)

    inner = Workflow("inner", [trace.step("i", lambda: barrier.wait() and None), trace.step("j")])
    other = Workflow("other", [trace.step("k", outlasts), trace.step("l")])
    workflow = Workflow("w", [Parallel("both", inner, other), trace.step("c")])
    report = start(workflow, way, store=Breaks())
    assert sorted(trace.calls) == ["run i", "run k"]
    assert report.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert "disk full" in str(report)


def test_the_file_store_refuses_a_parallel(trace, tmp_path):
    """The specification's format has no form for it: an error that says what to do, and nothing is started."""
    inner = Workflow("inner", [Parallel("both", trace.step("x"))])
    store = FileStore(tmp_path)
    for workflow in (Workflow("w", [inner]), Workflow("w", [Parallel("both", trace.step("x"))])):
        with pytest.raises(JournalError, match="sqlite"):
            workflow.start(store=store)
    assert trace.calls == []
    assert list(store.runs()) == []


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_parallel_without_branches_succeeds(trace, way, store):
    """There is nothing to do, and nothing to undo."""
    report = start(Workflow("w", [Parallel("none"), trace.step("c", fails)]), way, store=store)
    assert report.step_reports[0].result == {}
    assert report.step_reports[0].status is Status.SUCCESS
    assert trace.calls == ["run c", "undo c"]
    assert report.outcome is Outcome.UNDONE


def test_without_threads_the_branches_run_one_after_the_other(trace, monkeypatch):
    """Where no thread can be had the run does not fail: its own thread does the work."""

    def refuse(work, name):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start", refuse)
    both = Parallel("both", trace.step("x"), trace.step("y", fails), trace.step("z"))
    report = Workflow("w", [both]).start()
    assert trace.calls == ["run x", "run y", "run z", "undo z", "undo y", "undo x"]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("way", WAYS)
def test_observers_hear_causes_before_effects(trace, way):
    """A branch's start is heard before its answer, its own steps in order, the end of the whole last."""
    both = Parallel("both", *(Workflow(id, [trace.step("i"), trace.step("j")]) for id in "xyz"))
    start(Workflow("w", [both, trace.step("c")], observers=[trace]), way)
    heard = [
        (type(record).__name__, record.path)
        for record in trace.records
        if isinstance(record, Started | Answered)
    ]
    assert heard[0] == ("Started", "both")
    assert heard[-3:] == [("Answered", "both"), ("Started", "c"), ("Answered", "c")]
    for id in "xyz":
        own = [(kind, path) for kind, path in heard if path.startswith(f"both/{id}")]
        assert own == [
            ("Started", f"both/{id}"),
            ("Started", f"both/{id}/i"),
            ("Answered", f"both/{id}/i"),
            ("Started", f"both/{id}/j"),
            ("Answered", f"both/{id}/j"),
            ("Answered", f"both/{id}"),
        ]


def test_context_variables_are_seen_in_the_branches(trace):
    """What a context variable has where the run was started it has in its branches."""
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("set")
    report = Workflow("w", [Parallel("both", trace.step("x", lambda: variable.get()))]).start()
    assert report.results == {"both": {"x": "set"}}


def test_a_journal_that_does_not_fit_a_branch_is_refused(trace):
    """What the records of one branch tell of a step that is not in it is an error, and the resume does not hang."""
    store = suspended_store(trace)
    workflow = Workflow(
        "w", [Parallel("both", trace.step("x", prepare=lambda: None), trace.step("y"), trace.step("z"))]
    )
    with pytest.raises(JournalError, match="does not fit"):
        workflow.resume("r", store)


def suspended_store(trace):
    def interrupt():
        raise KeyboardInterrupt

    store = MemoryStore()
    both = Parallel("both", trace.step("x"), trace.step("y", interrupt), trace.step("z"))
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [both]).start(run_id="r", store=store)
    return store


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": -1}, {"limit": 1.5}, {"limit": True}, {"on_failure": "stop"}]
)
def test_bad_options_are_refused(options):
    """A limit below one, or an unknown word, is refused when it is built."""
    with pytest.raises(WorkflowDefinitionError, match=next(iter(options))):
        Parallel("both", Step("x"), **options)


def test_what_a_parallel_shows(trace):
    """It shows its id, its branches, and a short text."""
    x = trace.step("x")
    both = Parallel("both", x)
    assert (both.id, both.steps, repr(both)) == ("both", (x,), "<Parallel both, 1 branches>")


async def test_a_rollback_of_a_run_that_stopped_behind_a_skipped_step(trace):
    """Cancelled while a condition is asked that is false, then rolled back: the step after it is not run."""
    asked, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def when():
        loop.call_soon_threadsafe(asked.set)
        go_on.wait(WAIT)
        return False

    steps = [trace.step("a"), trace.step("b", when=when), trace.step("c")]
    workflow, store = Workflow("w", steps), MemoryStore()
    task = asyncio.create_task(workflow.start_async(run_id="r", store=store))
    await asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a"]
    report = await workflow.rollback_async("r", store, note="no more")
    assert trace.calls == ["run a", "undo a"]
    assert report.outcome is Outcome.UNDONE
    assert str(report.error) == "no more"
    assert str(await workflow.resume_async("r", store)) == str(report)


class Hears:
    """Sets an event when a branch has failed an attempt."""

    def __init__(self, event):
        self.event = event

    def on_record(self, record):
        if isinstance(record, AttemptFailed):
            self.event.set()


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_branch_that_waits_between_attempts_is_given_up(trace, way, store):
    """With ``cancel`` a failure ends the wait of another branch; that one may have had an effect, and is undone."""
    waits = threading.Event()
    often = Retry(initial=600, maximum=600)
    both = Parallel(
        "both", trace.step("x", fails, retry=often), trace.step("y", after(waits, fails)), on_failure="cancel"
    )
    report = start(Workflow("w", [both], observers=[Hears(waits)]), way, store=store)
    assert sorted(trace.calls) == ["run x", "run y", "undo x", "undo y"]
    assert isinstance(report.step_reports[0].workflow.step_reports[0].error, BranchCancelled)
    assert not isinstance(report.error, BranchCancelled)


@pytest.mark.parametrize("way", WAYS)
def test_a_branch_that_waits_between_attempts_is_interrupted(trace, way):
    """An interruption in one branch ends the wait of another."""
    waits = threading.Event()

    def interrupt():
        raise KeyboardInterrupt

    often = Retry(initial=600, maximum=600)
    both = Parallel("both", trace.step("x", fails, retry=often), trace.step("y", after(waits, interrupt)))
    with pytest.raises(KeyboardInterrupt):
        start(Workflow("w", [both], observers=[Hears(waits)]), way)
    assert sorted(trace.calls) == ["run x", "run y", "undo x", "undo y"]


@pytest.mark.parametrize("way", WAYS)
def test_a_nested_parallel_is_given_up_with_its_branch(trace, monkeypatch, way):
    """With ``cancel`` what has not begun in a Parallel within another branch is not begun either."""
    begun, given_up = threading.Event(), threading.Event()
    give_up = Run.give_up

    def tells(self, error):
        give_up(self, error)
        given_up.set()

    monkeypatch.setattr(Run, "give_up", tells)

    def works():
        begun.set()
        assert given_up.wait(WAIT)

    inner = Workflow("inner", [Parallel("deep", trace.step("k", works), trace.step("l"), limit=1)])
    both = Parallel("both", inner, trace.step("y", after(begun, fails)), on_failure="cancel")
    report = start(Workflow("w", [both]), way)
    assert "run l" not in trace.calls
    assert undos(trace) == ["undo y", "undo k"]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.guarantee("G4", "G8")
@pytest.mark.parametrize("dies_after", [False, True])
@pytest.mark.parametrize("at", range(1, 20))
def test_a_death_around_a_late_branch(trace, at, dies_after):
    """A step in a branch takes too long, and the process dies: all is undone, and the journal can be read again."""
    hangs = threading.Event()
    calls = []

    def run():
        calls.append(1)
        if len(calls) == 1:
            hangs.wait(WAIT)
        raise ValueError("again")

    inner = Workflow("inner", [trace.step("i"), trace.step("j", run, timeout=0.01)])
    workflow = Workflow("w", [trace.step("a"), Parallel("both", inner, trace.step("x"))], late_grace=0)
    store = DeadStore(at, after=dies_after)
    report = None
    with contextlib.suppress(Died):
        report = workflow.start(run_id="r", store=store)
    store.at = 0
    report = report or workflow.resume("r", store)
    hangs.set()
    assert len(calls) <= 2
    assert {"undo j", "undo i", "undo x", "undo a"} <= set(trace.calls)
    assert report.outcome in {Outcome.UNDONE, Outcome.NEEDS_ATTENTION}
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("journaled", [False, True])
async def test_branches_that_are_cancelled_before_they_begin_do_not_hold_up_the_run(limit, journaled):
    """Somebody cancels all tasks in the moment in which the branches' tasks are made: the run ends, undone."""
    calls, others = [], set(asyncio.all_tasks())

    class Canceller:
        def on_record(self, record):
            if (
                isinstance(record, Started) and record.path == "p"
            ):  # the tasks are made in this turn of the loop
                asyncio.get_running_loop().call_soon(cancel_branches)

    def cancel_branches():
        for task in asyncio.all_tasks() - others - {running}:
            calls.append("cancel")
            task.cancel()

    async def branch():
        calls.append("run")

    workflow = Workflow(
        "w",
        [
            Step("first", undo=lambda: calls.append("undo first")),
            Parallel("p", Step("a", run=branch), Step("b", run=branch), limit=limit),
        ],
        observers=[Canceller()],
    )
    store = MemoryStore() if journaled else None
    running = asyncio.ensure_future(workflow.start_async(store=store, on_cancel="rollback"))
    done, _ = await asyncio.wait([running], timeout=30)
    assert done
    assert running.cancelled()
    assert calls == ["cancel"] * (limit or 2) + ["undo first"]
