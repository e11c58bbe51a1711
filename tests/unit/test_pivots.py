"""The point of no return: once a pivot has completed, nothing is undone any more."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading

import pytest

from automa import (
    AttemptFailed,
    DeadlineExceeded,
    JournalError,
    Outcome,
    Parallel,
    Retry,
    RunRequestError,
    Secret,
    Skip,
    Status,
    Step,
    StepTimeout,
    Workflow,
    WorkflowDefinitionError,
)
from automa._core import clock
from automa.stores import MemoryStore
from tests.durable.crashes import Died, DyingStore, run_until_death
from tests.unit.traces import WAYS, ShiftedClock, fails, fails_times, start


def interrupts(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("way", WAYS)
def test_before_the_pivot_all_is_undone(trace, way):
    """A failure before the pivot, or of the pivot itself, is undone as usual."""
    workflow = Workflow("w", [trace.step("a"), trace.step("p", fails, pivot=True), trace.step("c")])
    report = start(workflow, way)
    assert trace.calls == ["run a", "run p", "undo p", "undo a"]
    assert report.outcome is Outcome.UNDONE


def test_a_pivot_that_was_skipped_is_none(trace):
    """A pivot whose condition is false has not completed: a failure after it is undone."""
    steps = [trace.step("a"), trace.step("p", pivot=True, when=lambda: False), trace.step("c", fails)]
    report = Workflow("w", steps).start()
    assert trace.calls == ["run a", "run c", "undo c", "undo a"]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_after_the_pivot_nothing_is_undone(trace, way, store):
    """A failure after it undoes neither what came before the pivot nor what came after: it needs attention."""
    steps = [
        trace.step("a"),
        trace.step("p", pivot=True),
        trace.step("b"),
        trace.step("c", fails),
        trace.step("d"),
    ]
    report = start(Workflow("w", steps), way, store=store)
    assert trace.calls == ["run a", "run p", "run b", "run c"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert report.is_stopped
    assert report.status is Status.FAILED
    assert str(report.error) == "x"
    assert report.step_reports[-1].status is Status.FAILED
    assert report.remaining.not_run == ("d",)
    assert report.remaining.not_undone == ("c", "b", "p", "a")
    assert "needs attention: ValueError: x" in report.headline


def test_a_resume_goes_on_with_the_step_that_failed(trace):
    """Resumed, the failed step is called again, with its earlier error among its attempts; the rest follows."""
    steps = [
        trace.step("a"),
        trace.step("p", pivot=True),
        trace.step("c", fails_times(2)),
        trace.step("d"),
    ]
    workflow, store = Workflow("w", steps), MemoryStore()
    workflow.start(run_id="r", store=store)
    again = workflow.resume("r", store)
    assert again.outcome is Outcome.NEEDS_ATTENTION
    report = workflow.resume("r", store)
    assert trace.calls == ["run a", "run p", "run c", "run c", "run c", "run d"]
    assert report.outcome is Outcome.SUCCEEDED
    assert [str(each.error) for each in report.step_reports[2].failed_attempts] == ["attempt 1", "attempt 2"]
    assert report.step_reports[2].attempts == 3
    assert "(3 attempts)" in str(report)
    assert str(workflow.resume("r", store)) == str(report)


def test_a_resume_begins_the_budget_anew(trace):
    """Each resume past the pivot has all the attempts of the step's retry."""
    step = trace.step("c", fails_times(9), retry=Retry(2, initial=0))
    workflow, store = Workflow("w", [trace.step("p", pivot=True), step]), MemoryStore()
    workflow.start(run_id="r", store=store)
    assert trace.calls.count("run c") == 2
    report = workflow.resume("r", store)
    assert trace.calls.count("run c") == 4
    assert report.step_reports[-1].attempts == 4
    assert [str(each.error) for each in report.step_reports[-1].failed_attempts] == [
        "attempt 1",
        "attempt 2",
        "attempt 3",
    ]


def test_the_state_goes_back_before_the_step_is_called_again(trace):
    """What the failed step had changed is gone when it is called again; what its prepare set is there."""
    seen = []

    def run(ctx):
        seen.append((dict(ctx.shared), dict(ctx.local)))
        ctx.shared["mine"] = True
        if len(seen) < 2:
            raise ValueError("x")

    step = trace.step("c", run, prepare=lambda: {"given": 1})
    workflow, store = Workflow("w", [trace.step("p", pivot=True), step]), MemoryStore()
    workflow.start(run_id="r", store=store)
    workflow.resume("r", store)
    assert seen == [({}, {"given": 1})] * 2


@pytest.mark.guarantee("G2", "G8")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 13))
def test_a_death_after_the_pivot_is_resumed_forward(trace, at, after):
    """Wherever the process dies, no completed step is called again, and nothing is ever undone."""
    store = DyingStore(at, after=after)
    steps = [
        trace.step("a"),
        trace.step("p", pivot=True),
        trace.step("c", fails_times(1), prepare=lambda: {"given": 1}, when=lambda: True),
        trace.step("d"),
    ]
    workflow = Workflow("w", steps)
    report = run_until_death(workflow, store)
    while report is None or report.outcome is not Outcome.SUCCEEDED:
        with contextlib.suppress(Died):
            report = workflow.resume("r", store)
    assert not [call for call in trace.calls if call.startswith("undo")]
    in_flight = [call for call in ("run a", "run p", "run d") if trace.calls.count(call) > 1]
    assert len(in_flight) <= 1
    assert trace.calls.count("run c") <= 3
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_nested_pivot_binds_the_whole_run(trace, way, store):
    """A pivot in a nested workflow keeps the run from going back at any depth."""
    inner = Workflow("inner", [trace.step("x"), trace.step("p", pivot=True)])
    steps = [trace.step("a"), inner, trace.step("c", fails)]
    report = start(Workflow("w", steps), way, store=store)
    assert trace.calls == ["run a", "run x", "run p", "run c"]
    assert report.outcome is Outcome.NEEDS_ATTENTION


def test_a_failure_in_a_nested_workflow_past_the_pivot_is_told_in_it(trace):
    """The nested workflow in which a step failed past the pivot has its report in that of the run."""
    inner = Workflow("inner", [trace.step("x"), trace.step("y", fails_times(1)), trace.step("z")])
    workflow, store = Workflow("w", [trace.step("p", pivot=True), inner]), MemoryStore()
    report = workflow.start(run_id="r", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert report.step_reports[-1].workflow.outcome is Outcome.NEEDS_ATTENTION
    assert str(report.step_reports[-1].workflow.error) == "attempt 1"
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert trace.calls == ["run p", "run x", "run y", "run y", "run z"]


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("on_cancel", [None, "rollback"])
@pytest.mark.parametrize("run", [interrupts])
def test_an_interruption_past_the_pivot_undoes_nothing(trace, store, on_cancel, run):
    """Ctrl-C in a step past the pivot: nothing is undone, whatever was to happen; it is raised again."""
    workflow = Workflow("w", [trace.step("p", pivot=True), trace.step("c", run)], observers=[trace])
    options = {} if store is None else {"store": store, "on_cancel": on_cancel}
    with pytest.raises(KeyboardInterrupt):
        workflow.start(**options)
    assert trace.calls == ["run p", "run c"]
    is_suspended = store is not None and on_cancel is None
    assert trace.report.outcome is (Outcome.SUSPENDED if is_suspended else Outcome.NEEDS_ATTENTION)


@pytest.mark.parametrize("on_cancel", ["suspend", "rollback"])
def test_a_run_interrupted_past_the_pivot_is_resumed_forward(trace, on_cancel):
    """Whether it was to suspend or to roll back, the run can be resumed, and comes to its end."""
    runs = []

    def run():
        runs.append(1)
        if len(runs) < 2:
            raise KeyboardInterrupt

    workflow, store = Workflow("w", [trace.step("p", pivot=True), trace.step("c", run)]), MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store, on_cancel=on_cancel)
    report = workflow.resume("r", store)
    assert report.outcome is Outcome.SUCCEEDED
    assert trace.calls == ["run p", "run c", "run c"]


class Presses:
    """Presses Ctrl-C when the answer of a step is recorded."""

    def __init__(self, path, kind="Answered"):
        self.path, self.kind = path, kind

    def on_record(self, record):
        if type(record).__name__ == self.kind and record.path == self.path:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("at", ["p", "b"])
@pytest.mark.parametrize("on_cancel", [None, "suspend", "rollback"])
def test_ctrl_c_between_two_steps_past_the_pivot(trace, on_cancel, at):
    """Ctrl-C right after the pivot, or a step after it: no further step starts, and nothing is undone."""
    steps = [trace.step("a"), trace.step("p", pivot=True), trace.step("b"), trace.step("c")]
    workflow, store = Workflow("w", steps, observers=[trace]), MemoryStore()
    options = {} if on_cancel is None else {"store": store, "on_cancel": on_cancel, "run_id": "r"}
    with pytest.raises(KeyboardInterrupt):
        workflow.start(observers=[Presses(at)], **options)
    assert "run c" not in trace.calls
    assert not [call for call in trace.calls if call.startswith("undo")]
    suspended = on_cancel == "suspend"
    assert trace.report.outcome is (Outcome.SUSPENDED if suspended else Outcome.NEEDS_ATTENTION)
    if on_cancel is not None:
        assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
        assert trace.calls == ["run a", "run p", "run b", "run c"]


def test_ctrl_c_in_the_pivot_that_it_answers_counts(trace):
    """A cancel while the pivot works in a thread, and comes to its end: it has completed; nothing is undone."""

    async def main():
        started, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def run():
            loop.call_soon_threadsafe(started.set)
            go_on.wait(60)

        steps = [trace.step("a"), trace.step("p", run, pivot=True), trace.step("c")]
        task = asyncio.create_task(Workflow("w", steps, observers=[trace]).start_async())
        await started.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert trace.calls == ["run a", "run p"]
    assert trace.report.outcome is Outcome.NEEDS_ATTENTION


def test_a_rollback_past_the_pivot_is_refused(trace):
    """An operator cannot roll back a run that is past its pivot, neither stopped nor ended."""
    steps = [trace.step("p", pivot=True), trace.step("c", fails_times(1))]
    workflow, store = Workflow("w", steps), MemoryStore()
    workflow.start(run_id="r", store=store)
    with pytest.raises(RunRequestError, match="past its pivot"):
        workflow.rollback("r", store)
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    with pytest.raises(RunRequestError, match="past its pivot"):
        workflow.rollback("r", store)
    assert trace.calls == ["run p", "run c", "run c"]


def test_a_rollback_before_the_pivot_is_done(trace):
    """A run that stopped before its pivot can be rolled back."""
    steps = [trace.step("a"), trace.step("b", interrupts), trace.step("p", pivot=True)]
    workflow, store = Workflow("w", steps), MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    assert workflow.rollback("r", store).outcome is Outcome.UNDONE
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]


def not_before(count, action):
    """Return a function that does something bad as often as told."""
    calls = []

    def call():
        calls.append(1)
        if len(calls) <= count:
            action()
        return True

    return call


@pytest.mark.parametrize("name", ["prepare", "when"])
@pytest.mark.parametrize("store", [None, MemoryStore])
def test_a_step_past_the_pivot_that_may_not_begin(trace, name, store):
    """A prepare or a condition that raises past the pivot stops the run; a resume asks it again."""
    asked = not_before(1, fails)
    function = asked if name == "when" else lambda: asked() and None
    steps = [trace.step("a"), trace.step("p", pivot=True), trace.step("c", **{name: function})]
    store = store and store()
    workflow = Workflow("w", steps)
    report = workflow.start(run_id="r", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert str(report.error) == "x"
    assert trace.calls == ["run a", "run p"]
    if store is not None:
        report = workflow.resume("r", store)
        assert report.outcome is Outcome.SUCCEEDED
        assert trace.calls == ["run a", "run p", "run c"]
        assert str(workflow.resume("r", store)) == str(report)


def test_the_prepare_of_a_nested_workflow_past_the_pivot(trace):
    """One that raises stops the run, nothing is undone, and a resume calls it again."""
    asked = not_before(1, fails)
    inner = Workflow("inner", [trace.step("x")], prepare=lambda: asked() and None)
    workflow, store = Workflow("w", [trace.step("a"), trace.step("p", pivot=True), inner]), MemoryStore()
    report = workflow.start(run_id="r", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert trace.calls == ["run a", "run p"]
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert trace.calls == ["run a", "run p", "run x"]


def test_a_skip_past_the_pivot_is_no_failure(trace):
    """A step past the pivot may still find that it has nothing to do."""

    def skips():
        raise Skip("nothing")

    steps = [trace.step("p", pivot=True), trace.step("b", skips), trace.step("c", when=lambda: False)]
    assert Workflow("w", steps).start().outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("way", WAYS)
def test_a_deadline_past_the_pivot(trace, way, monkeypatch):
    """The deadline passes after the pivot: the next step is not called; a resume with more time goes on."""
    shifted = ShiftedClock(clock, monkeypatch)
    steps = [trace.step("p", lambda: shifted.forward(600), pivot=True), trace.step("c")]
    workflow, store = Workflow("w", steps, deadline=60), MemoryStore()
    report = start(workflow, way, run_id="r", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert isinstance(report.error, DeadlineExceeded)
    assert trace.calls == ["run p"]
    assert workflow.resume("r", store).outcome is Outcome.NEEDS_ATTENTION
    assert workflow.resume("r", store, deadline=600).outcome is Outcome.SUCCEEDED
    assert trace.calls == ["run p", "run c"]


async def test_a_time_out_past_the_pivot():
    """A step past the pivot that takes too long stops the run; it is called again by the resume."""
    calls = []

    async def slow():
        calls.append(1)
        if len(calls) < 2:
            await asyncio.sleep(600)

    store = MemoryStore()
    workflow = Workflow("w", [Step("p", run=list, pivot=True), Step("c", run=slow, timeout=0.02)])
    report = await workflow.start_async(run_id="s", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert isinstance(report.error, StepTimeout)
    assert report.step_reports[-1].detail == "unknown"
    assert (await workflow.resume_async("s", store)).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("mode", ["stop", "continue"])
def test_a_pivot_where_nothing_is_undone_is_refused(mode):
    """In the modes that undo nothing a pivot means nothing: the workflow is not built, at any depth."""
    with pytest.raises(WorkflowDefinitionError, match="pivot"):
        Workflow("w", [Step("p", run=list, pivot=True)], mode=mode)
    with pytest.raises(WorkflowDefinitionError, match="pivot"):
        Workflow("w", [Workflow("inner", [Step("p", run=list, pivot=True)])], mode=mode)


def test_a_pivot_in_a_parallel_is_refused():
    """Of branches nobody knows which comes first: a pivot among them, at any depth, is not built."""
    inner = Workflow("inner", [Step("p", pivot=True)])
    for branch in (Step("p", pivot=True), inner):
        with pytest.raises(WorkflowDefinitionError, match="pivot"):
            Parallel("both", branch, Step("b"))


@pytest.mark.parametrize("way", WAYS)
def test_a_parallel_past_the_pivot(trace, way):
    """A branch that fails past the pivot stops the run once the others have ended; a resume calls it alone."""
    both = Parallel("both", trace.step("x"), trace.step("y", fails_times(1)), trace.step("z"))
    workflow, store = Workflow("w", [trace.step("p", pivot=True), both, trace.step("c")]), MemoryStore()
    report = start(workflow, way, run_id="r", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert sorted(trace.calls) == ["run p", "run x", "run y", "run z"]
    assert str(report.error) == "attempt 1"
    trace.calls.clear()
    report = workflow.resume("r", store)
    assert trace.calls == ["run y", "run c"]
    assert report.outcome is Outcome.SUCCEEDED
    assert str(workflow.resume("r", store)) == str(report)


def test_branches_that_both_fail_past_the_pivot(trace):
    """Two branches fail: both are told, both are called again by the resume."""
    both = Parallel("both", trace.step("x", fails_times(1)), trace.step("y", fails_times(1)))
    workflow, store = Workflow("w", [trace.step("p", pivot=True), both]), MemoryStore()
    report = workflow.start(run_id="r", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert sorted(trace.calls) == ["run p", "run x", "run x", "run y", "run y"]


@pytest.mark.parametrize(
    ("options", "message"), [({}, "was pivot, and is plain"), ({"irreversible": True}, "pivot irreversible")]
)
def test_a_pivot_that_is_gone_is_refused_on_resume(trace, options, message):
    """A run begun with a pivot is not resumed by a definition in which that step is none, and vice versa."""
    workflow = Workflow("w", [Step("p", run=list, pivot=True), trace.step("c", fails)])
    store = MemoryStore()
    workflow.start(run_id="r", store=store)
    other = {"pivot": True, **options} if options else {}
    changed = Workflow("w", [Step("p", run=list, **other), trace.step("c")])
    with pytest.raises(JournalError, match=message):
        changed.resume("r", store)


def test_a_failed_attempt_past_the_pivot_is_recorded(trace):
    """The failure that stops a run past its pivot is a record of its own, without secrets."""
    Secret("hunter3hunter3")

    def run():
        raise ValueError("it is hunter3hunter3")

    workflow = Workflow("w", [trace.step("p", pivot=True), trace.step("c", run)], observers=[trace])
    report = workflow.start()
    (failed,) = (each for each in trace.records if isinstance(each, AttemptFailed))
    assert failed.delay is None
    assert "hunter3" not in str(failed.report.error)
    assert "hunter3" not in str(report)


def test_an_async_pivot_is_one(trace):
    """A pivot may be async."""

    async def run(ctx):
        await asyncio.sleep(0)

    report = start(Workflow("w", [trace.step("p", run, pivot=True), trace.step("c", fails)]), "async")
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert trace.calls == ["run p", "run c"]
