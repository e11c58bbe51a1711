"""Time-outs and deadlines: what takes too long is cut off, is of unknown effect, and is undone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import UTC, datetime, timedelta

import pytest

from automa import (
    DeadlineExceeded,
    Late,
    Outcome,
    Parallel,
    Retry,
    RunRequestError,
    Step,
    StepTimeout,
    Workflow,
    WorkflowDefinitionError,
)
from automa._core import attempts, clock
from automa.runtime import threads
from automa.stores import MemoryStore
from tests.durable.crashes import DyingStore, run_until_death
from tests.unit.traces import WAYS, ShiftedClock, fails, start

WAIT = 30
SOON = 0.02


@pytest.fixture
def cut_off(monkeypatch):
    """Is set as soon as a run goes on without a step that took too long."""
    event, go_on_without = threading.Event(), attempts._cut_off

    def tells(*args):
        after = go_on_without(*args)
        event.set()
        return after

    monkeypatch.setattr(attempts, "_cut_off", tells)
    return event


def late(cut_off, trace, answer=None, returns=7):
    """Return a step's function that comes back after it was cut off."""

    def run(ctx):
        ctx.shared["early"] = True
        assert cut_off.wait(WAIT)
        ctx.shared["late"] = ctx.local["late"] = True
        trace.calls.append("back")
        if answer is not None:
            raise answer
        return returns

    return run


@pytest.mark.parametrize("store", [None, MemoryStore])
@pytest.mark.parametrize("way", WAYS)
def test_a_late_return_is_no_success(trace, cut_off, way, store):
    """A sync step returns too late: it has failed, its undo waits for it, and has its result."""
    seen, store = [], store and store()
    step = trace.step("b", late(cut_off, trace), lambda ctx: seen.append(ctx.result), timeout=SOON)
    workflow = Workflow("w", [trace.step("a"), step, trace.step("c")], observers=[trace])
    report = start(workflow, way, store=store, run_id="r")
    assert trace.calls == ["run a", "run b", "back", "undo b", "undo a"]
    assert seen == [7]
    assert report.outcome is Outcome.UNDONE
    assert isinstance(report.error, StepTimeout)
    timed_out = report.step_reports[1]
    assert timed_out.detail == "unknown"
    assert timed_out.result is None
    assert (timed_out.late.is_back, timed_out.late.result) == (True, 7)
    assert [each.path for each in trace.records if isinstance(each, Late)] == ["b"]
    if store is not None:
        again = workflow.resume("r", store)
        assert again.step_reports[1].late.result == 7
        assert str(again) == str(report)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_late_step_changes_stays_with_it(trace, cut_off, way):
    """State that it changes, before or after it was cut off, is seen neither by its undo nor by others."""
    seen = []

    def look(ctx):
        seen.append((dict(ctx.shared), dict(ctx.local)))

    steps = [trace.step("a", undo=look), trace.step("b", late(cut_off, trace), look, timeout=SOON)]
    start(Workflow("w", steps), way, state={"first": 1})
    assert seen == [({"first": 1}, {}), ({"first": 1}, {})]


@pytest.mark.parametrize("way", WAYS)
def test_a_late_error_is_kept(trace, cut_off, way):
    """A step that fails too late has timed out all the same; its own error is in what became of it."""
    step = trace.step("a", late(cut_off, trace, ValueError("late")), timeout=SOON)
    report = start(Workflow("w", [step]), way)
    assert isinstance(report.error, StepTimeout)
    assert str(report.step_reports[0].late.error) == "late"
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("store", [None, MemoryStore])
@pytest.mark.parametrize("way", WAYS)
def test_a_late_result_that_cannot_be_kept(trace, cut_off, way, store):
    """In a journaled run a late result that is not JSON is told of as an error; in memory it is kept."""
    step = trace.step("a", late(cut_off, trace, returns=object()), timeout=SOON)
    report = start(Workflow("w", [step]), way, store=store and store())
    told = report.step_reports[0].late
    assert (told.error is None) is (store is None)
    assert (told.result is None) is (store is not None)


@pytest.fixture
def hangs():
    """A function that hangs until the test is over."""
    go_on = threading.Event()
    yield lambda: go_on.wait(WAIT) and None
    go_on.set()


def nest(how, *steps):
    """Return the steps as they stand: at the root, in a nested workflow, in a branch."""
    if how == "nested":
        return [Workflow("outer", [Workflow("inner", steps)])]
    if how == "parallel":
        return [Parallel("both", Workflow("inner", steps), Step("other", run=list, undo=list))]
    return list(steps)


@pytest.mark.parametrize("store", [None, MemoryStore])
@pytest.mark.parametrize("how", ["root", "nested", "parallel"])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_still_at_work_at_the_end_needs_attention(trace, hangs, way, how, store):
    """With no grace the undo comes at once; at the end the step is still at work, and the report says so."""
    steps = [trace.step("a"), *nest(how, trace.step("b", hangs, timeout=SOON))]
    workflow, store = Workflow("w", steps, late_grace=0), store and store()
    report = start(workflow, way, store=store, run_id="r")
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert "late effect possible" in report.detail
    assert "still at work" in report.detail
    if store is not None:
        again = workflow.resume("r", store)
        assert again.outcome is Outcome.NEEDS_ATTENTION
        assert again.detail == report.detail
        path = report.detail.split()[4]
        assert workflow.retry_undo("r", path, store).outcome is Outcome.UNDONE
        assert trace.calls[4:] == ["undo b"]


@pytest.mark.parametrize("store", [None, MemoryStore])
@pytest.mark.parametrize("how", ["root", "nested", "parallel"])
@pytest.mark.parametrize("way", WAYS)
def test_a_return_after_the_undo_is_undone_once_more(trace, way, how, store):
    """It comes back after its undo and before the end of the run: its undo is called once more, others' not."""
    undone, back = threading.Event(), threading.Event()

    def run():
        assert undone.wait(WAIT)
        back.set()

    def undo_a():
        undone.set()
        for thread in threading.enumerate():  # its thread ends, and its answer is there
            if thread.name.startswith("automa") and thread.name.endswith("b"):
                thread.join(WAIT)

    steps = [trace.step("a", undo=undo_a), *nest(how, trace.step("b", run, timeout=SOON))]
    workflow, store = Workflow("w", steps, late_grace=0), store and store()
    report = start(workflow, way, store=store, run_id="r")
    assert back.is_set()
    assert trace.calls == ["run a", "run b", "undo b", "undo a", "undo b"]
    assert report.outcome is Outcome.UNDONE
    if store is not None:
        assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("way", WAYS)
def test_effects_of_a_late_step_are_kept(trace, cut_off, way):
    """What it has done outside, before it was cut off and after, is in its report, and in that of a resume."""

    def run(ctx):
        ctx.record_effect("k", "early")
        assert cut_off.wait(WAIT)
        ctx.record_effect("k", "late")

    workflow, store = Workflow("w", [trace.step("a", run, fails, timeout=SOON)]), MemoryStore()
    report = start(workflow, way, run_id="r", store=store)
    assert [effect.ref for effect in report.effects] == ["early", "late"]
    assert [effect.ref for effect in workflow.resume("r", store).effects] == ["early", "late"]


@pytest.mark.parametrize("mode", ["stop", "continue"])
@pytest.mark.parametrize("way", WAYS)
def test_modes_in_which_nothing_is_undone(trace, hangs, way, mode):
    """A step that takes too long is a failure like another: the rest goes on, or the run ends."""
    steps = [trace.step("a", hangs, timeout=SOON), trace.step("b")]
    report = start(Workflow("w", steps, mode=mode), way)
    assert trace.calls == (["run a"] if mode == "stop" else ["run a", "run b"])
    assert report.outcome is Outcome.FAILED
    assert report.step_reports[0].late.is_back is False


@pytest.mark.parametrize("rollback_mode", ["stop", "continue"])
def test_rollback_modes(trace, hangs, rollback_mode):
    """A failed undo of the step at work stops the way back, or does not."""
    steps = [trace.step("a"), trace.step("b", hangs, fails, timeout=SOON)]
    report = Workflow("w", steps, rollback_mode=rollback_mode, late_grace=0).start()
    assert trace.calls == ["run a", "run b", "undo b", *(["undo a"] if rollback_mode == "continue" else [])]
    assert report.outcome is Outcome.NEEDS_ATTENTION


@pytest.mark.parametrize("way", WAYS)
def test_a_step_at_work_is_not_tried_again(trace, hangs, way):
    """A thread that nobody can stop keeps its step from a further attempt."""
    step = trace.step("a", hangs, timeout=SOON, retry=Retry(3, initial=0))
    start(Workflow("w", [step], late_grace=0), way)
    assert trace.calls == ["run a", "undo a"]


async def test_an_async_step_is_cancelled(trace):
    """An async step that takes too long is cancelled, and undone; with a retry it is tried again."""
    cancelled = []

    async def run(ctx):
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            cancelled.append(ctx.attempt)
            raise

    step = trace.step("a", run, timeout=SOON, retry=Retry(2, initial=0))
    report = await Workflow("w", [step, trace.step("b")]).start_async()
    assert cancelled == [1, 2]
    assert trace.calls == ["run a", "run a", "undo a"]
    assert isinstance(report.error, StepTimeout)
    assert report.step_reports[0].detail == "unknown"
    assert report.step_reports[0].failed_attempts[0].detail == "unknown"
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("error", [None, ValueError("late")])
async def test_an_async_step_that_swallows_its_cancellation(trace, error):
    """It comes back too late: it has timed out all the same; its own error is the cause."""

    async def run(ctx):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)
        if error is not None:
            raise error

    report = await Workflow("w", [trace.step("a", run, timeout=SOON)]).start_async()
    assert isinstance(report.error, StepTimeout)
    assert report.error.__cause__ is error
    assert trace.calls == ["run a", "undo a"]


async def test_a_time_out_of_its_own_is_an_error_of_its_own(trace):
    """A `TimeoutError` that the step raises before its time is over is its error."""

    async def run(ctx):
        raise TimeoutError("mine")

    report = await Workflow("w", [trace.step("a", run, timeout=WAIT)]).start_async()
    assert str(report.error) == "mine"


async def test_a_cancel_of_a_limited_step(trace):
    """A cancel of the run is told from a time-out."""
    started = asyncio.Event()

    async def run(ctx):
        started.set()
        await asyncio.sleep(600)

    task = asyncio.create_task(Workflow("w", [trace.step("a", run, timeout=600)]).start_async())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", "undo a"]


@pytest.mark.parametrize("way", WAYS)
def test_an_undo_may_take_too_long(trace, hangs, way):
    """`undo_timeout` cuts off an undo: it has failed, those before it are called all the same."""
    steps = [trace.step("a"), trace.step("b", undo=hangs, undo_timeout=SOON), trace.step("c", fails)]
    report = start(Workflow("w", steps), way)
    assert trace.calls == ["run a", "run b", "run c", "undo c", "undo b", "undo a"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert isinstance(report.rollback_errors[0], StepTimeout)


@pytest.mark.parametrize("way", WAYS)
def test_the_time_out_of_a_run_is_not_that_of_its_undo(trace, way):
    """Without `undo_timeout` an undo takes as long as it likes."""
    deadlines = []
    step = trace.step(
        "a",
        lambda ctx: deadlines.append(ctx.deadline),
        lambda ctx: deadlines.append(ctx.deadline),
        timeout=WAIT,
    )
    start(Workflow("w", [step, trace.step("b", fails)]), way)
    assert deadlines[0] is not None
    assert deadlines[1] is None


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_deadline_ends_the_way_forward(trace, hangs, way, store):
    """The step at work is cut off, later ones are not begun, and all is undone, without a limit."""
    steps = [trace.step("a"), trace.step("b", hangs), trace.step("c")]
    report = start(Workflow("w", steps, deadline=0.2, late_grace=0), way, store=store)
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]
    assert isinstance(report.error, DeadlineExceeded)
    assert report.step_reports[1].detail == "unknown"


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_after_the_deadline_is_not_begun(trace, way, monkeypatch, store):
    """A step that ended after the deadline counts; the next is neither begun nor undone."""
    shifted = ShiftedClock(clock, monkeypatch)
    steps = [trace.step("a"), trace.step("b", lambda: shifted.forward(600)), trace.step("c")]
    report = start(Workflow("w", steps, deadline=timedelta(seconds=60)), way, store=store)
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]
    assert isinstance(report.error, DeadlineExceeded)
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("way", WAYS)
def test_a_prepare_has_the_deadline_of_the_run(trace, hangs, way):
    """A prepare is cut off by the deadline, not by its step's time-out; its step is not run, nor undone."""
    steps = [trace.step("a"), trace.step("b", prepare=lambda: hangs(), timeout=WAIT)]
    report = start(Workflow("w", steps, deadline=0.2), way)
    assert trace.calls == ["run a", "undo a"]
    assert isinstance(report.error, DeadlineExceeded)


def test_the_deadline_in_the_context(trace, monkeypatch):
    """`ctx.deadline` is the earlier of the run's and the step's, and none for an undo without one."""
    seen = {}

    def look(ctx):
        seen[f"{ctx.action} {ctx.step_id}"] = ctx.deadline

    moment = datetime.now(UTC) + timedelta(hours=1)
    steps = [
        trace.step("a", look, look),
        trace.step("b", look, look, timeout=60, undo_timeout=60),
        trace.step("c", fails),
    ]
    Workflow("w", steps).start(deadline=moment)
    assert seen["run a"] == moment
    assert seen["run b"] < moment - timedelta(minutes=30)
    assert seen["rollback a"] is None
    assert seen["rollback b"] is not None


def test_an_async_function_found_out_in_the_thread(trace):
    """A function that gives an awaitable in a sync run is an error of its step, limited or not."""

    async def later():
        """Nobody waits for it."""

    report = Workflow("w", [Step("a", run=lambda: later(), timeout=WAIT)]).start()
    assert "start_async" in str(report.error)
    asyncio.run(
        Workflow("w", [Step("a", run=lambda: later(), timeout=WAIT)]).start_async()
    ).raise_for_status()


@pytest.mark.guarantee("G4", "G8")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_death_while_a_late_step_is_at_work(trace, hangs, at, after):
    """The process dies with the thread: resumed, the step is undone, at most once more; nothing runs twice."""
    calls = []

    def run():
        calls.append(1)
        if len(calls) == 1:
            hangs()
        raise ValueError("again")

    store = DyingStore(at, after=after)
    workflow = Workflow("w", [trace.step("a"), trace.step("b", run, timeout=SOON)], late_grace=0)
    report = run_until_death(workflow, store) or workflow.resume("r", store)
    assert 1 <= trace.calls.count("undo b") <= 3
    assert 1 <= trace.calls.count("undo a") <= 2
    assert len(calls) <= 2
    assert report.outcome in {Outcome.UNDONE, Outcome.NEEDS_ATTENTION}
    assert str(workflow.resume("r", store)) == str(report)


def test_a_late_step_whose_process_has_died_is_gone(trace, hangs):
    """Undone before the process died, it is undone once more by the resume, since nobody knows when it ended."""
    store = DyingStore(6)  # the undo of b is recorded, that of a is not
    workflow = Workflow("w", [trace.step("a"), trace.step("b", hangs, timeout=SOON)], late_grace=0)
    assert run_until_death(workflow, store) is None
    before = trace.calls.count("undo b")
    assert before == 1
    report = workflow.resume("r", store)
    assert trace.calls.count("undo b") == 2
    assert report.outcome is Outcome.UNDONE
    assert "has died" in str(report.step_reports[1].late.error)


def test_a_resume_past_the_deadline_fails_what_is_left(trace, monkeypatch):
    """The moment is kept: resumed after it, no further step is begun, and all is undone."""
    shifted = ShiftedClock(clock, monkeypatch)
    store = DyingStore(3)
    workflow = Workflow("w", [trace.step("a"), trace.step("b"), trace.step("c")], deadline=60)
    assert run_until_death(workflow, store) is None
    shifted.forward(600)
    report = workflow.resume("r", store)
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]
    assert isinstance(report.error, DeadlineExceeded)
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("found", ["nothing", True, False])
def test_a_step_in_doubt_past_the_deadline(trace, monkeypatch, found):
    """It was at work when the process died: not called again, it is undone, unless `verify` says it was done."""
    shifted = ShiftedClock(clock, monkeypatch)
    store = DyingStore(3)
    options = {} if found == "nothing" else {"verify": lambda: found}
    workflow = Workflow("w", [trace.step("a"), trace.step("b", **options), trace.step("c")], deadline=60)
    assert run_until_death(workflow, store) is None
    shifted.forward(600)
    report = workflow.resume("r", store)
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]
    assert isinstance(report.error, DeadlineExceeded)
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


def test_a_resume_with_more_time_is_remembered(trace, monkeypatch):
    """`resume(deadline=…)` extends it; a further resume that gives none has that one."""
    shifted = ShiftedClock(clock, monkeypatch)
    store = DyingStore(2)
    seen = []

    def run(ctx):
        seen.append(ctx.deadline)
        if len(seen) < 2:
            raise KeyboardInterrupt

    workflow = Workflow("w", [trace.step("a"), trace.step("b", run)], deadline=60)
    assert run_until_death(workflow, store) is None
    shifted.forward(600)
    later = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(KeyboardInterrupt):
        workflow.resume("r", store, deadline=later)
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert seen == [later, later]


@pytest.mark.parametrize("deadline", [datetime(2100, 1, 1), "soon", float("nan"), 1e300, object()])
def test_a_moment_that_is_none_is_refused(trace, deadline):
    """A datetime without a time zone, or what is no time, is refused before anything runs."""
    with pytest.raises(RunRequestError, match="deadline"):
        Workflow("w", [trace.step("a")]).start(deadline=deadline)
    assert trace.calls == []


def test_a_span_that_ends_after_the_last_date_is_refused(trace):
    """The deadline of a workflow that has no date is told like one that is given to `start`."""
    with pytest.raises(RunRequestError, match="deadline"):
        Workflow("w", [trace.step("a")], deadline=timedelta.max).start()
    assert trace.calls == []


@pytest.mark.parametrize("deadline", [datetime.now(UTC), "soon", -1, True, float("inf"), timedelta(-1)])
def test_a_span_that_is_none_is_refused(deadline):
    """A workflow takes a span; a moment is for `start`."""
    with pytest.raises(WorkflowDefinitionError, match="deadline"):
        Workflow("w", deadline=deadline)


@pytest.mark.parametrize("seconds", [-1, "1", None, True, float("inf")])
def test_a_grace_that_is_none_is_refused(seconds):
    """`late_grace` is a number of seconds from 0."""
    with pytest.raises(WorkflowDefinitionError, match="late_grace"):
        Workflow("w", late_grace=seconds)


@pytest.mark.parametrize("name", ["timeout", "undo_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, "1", True, float("nan")])
def test_a_time_out_that_is_none_is_refused(name, seconds):
    """A time-out is a number of seconds above 0."""
    with pytest.raises(WorkflowDefinitionError, match=f"{name} is a number"):
        Step("a", **{name: seconds})


@pytest.mark.parametrize("way", WAYS)
def test_a_limited_step_without_a_thread_fails(trace, way, monkeypatch):
    """Where no thread can be had the step has failed, and is undone."""

    def refuse(work, name):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start", refuse)
    report = start(Workflow("w", [trace.step("a", timeout=WAIT)]), way)
    assert trace.calls == ["undo a"]
    assert "thread" in str(report.error)
