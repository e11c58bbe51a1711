"""Turns that runs take seldom: conditions, built steps and late steps, at the moments in which something goes wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import timedelta

import pytest

from automa import (
    Answered,
    AttemptFailed,
    Begun,
    BranchCancelled,
    DeadlineExceeded,
    Expand,
    JournalError,
    Parallel,
    RemoteInterruption,
    Retry,
    RollbackRequested,
    Skip,
    StateError,
    Step,
    StepTimeout,
    StoreError,
    Workflow,
    WorkflowDefinitionError,
)
from automa.journal.entries import decode_entries
from automa.journal.reading import read
from automa.stores import MemoryStore
from tests.durable.crashes import DyingStore, run_until_death

SOON, WAIT = 0.02, 30


class BoomError(Exception):
    """What a failing step raises."""


@pytest.fixture
def calls():
    return []


@pytest.fixture
def release():
    """An event that lets late steps end, set at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()


def noting(calls, id, error=None, **options):
    def run():
        calls.append(f"run {id}")
        if error is not None:
            raise error

    return Step(id, run=run, undo=lambda: calls.append(f"undo {id}"), **options)


def test_a_rollback_asked_for_right_before_a_condition(calls):
    """An operator's rollback of a run that died before its first condition: it is not asked, and nothing runs."""
    store = DyingStore(1, after=True)  # that the run has begun, before the condition
    asked = noting(calls, "a", when=lambda: calls.append("asked") or True)
    workflow = Workflow("w", [asked, noting(calls, "b")])
    assert run_until_death(workflow, store) is None
    report = workflow.rollback("r", store, note="not needed")
    assert calls == []
    assert isinstance(report.error, RollbackRequested)
    assert str(report.error) == "not needed"
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.parametrize("how", ["fails", "skips"])
def test_what_came_of_building_is_not_asked_again(calls, how):
    """A `build` that failed or skipped has done so: a resume does not call it again."""
    store = MemoryStore()
    error = BoomError("cannot") if how == "fails" else Skip("nothing to do")

    def build():
        calls.append("build")
        raise error

    steps = [noting(calls, "a"), Expand("more", build), noting(calls, "end", KeyboardInterrupt())]
    workflow = Workflow("w", steps, mode="continue" if how == "fails" else "rollback")
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        workflow.resume("r", store)
    assert calls == ["run end"]


@pytest.mark.guarantee("G6")
def test_a_build_that_fails_on_resume_does_not_run_anything(calls):
    """Steps that cannot be built again, though they were before, are a journal that does not fit."""
    store, fails = MemoryStore(), []

    def build():
        if fails:
            raise BoomError("not any more")
        return [noting(calls, "x")]

    workflow = Workflow("w", [Expand("more", build), noting(calls, "end", KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    calls.clear()
    fails.append(True)
    with pytest.raises(JournalError, match="does not fit the workflow"):
        workflow.resume("r", store)
    assert calls == []


def test_an_async_build_is_awaited_again_by_a_resume(calls):
    """A resume awaits an async `build` as the start did."""
    store = MemoryStore()

    async def build():
        await asyncio.sleep(0)
        return [noting(calls, "x")]

    workflow = Workflow("w", [Expand("more", build), noting(calls, "end", SystemExit())])
    with pytest.raises(SystemExit):
        asyncio.run(workflow.start_async(run_id="r", store=store))
    with pytest.raises(SystemExit):
        asyncio.run(workflow.resume_async("r", store))
    assert calls == ["run x", "run end", "run end"]


def test_building_that_hangs_is_cut_off_by_the_deadline(calls, release):
    """A `build` that is still at work at the deadline fails its step, and what it does later nobody sees."""

    def build(ctx):
        release.wait(WAIT)
        ctx.shared["late"] = True

    workflow = Workflow("w", [noting(calls, "a"), Expand("more", build)], deadline=timedelta(seconds=0.2))
    report = workflow.start()
    assert isinstance(report.error, DeadlineExceeded)
    assert calls == ["run a", "undo a"]


def test_a_late_step_that_ends_by_an_exit_is_back(calls, release):
    """A step that took too long, and raises SystemExit then, has ended: that is told, and undone after it."""

    class LetsGo:
        def on_record(self, record):
            if isinstance(record, Answered):
                release.set()

    def hangs():
        release.wait(WAIT)
        raise SystemExit(3)

    step = Step("b", run=hangs, undo=lambda: calls.append("undo b"), timeout=SOON)
    report = Workflow("w", [step, Step("c")], late_grace=WAIT).start(
        run_id="r", observers=[LetsGo()], store=MemoryStore()
    )
    late = report.step_reports[0].late
    assert late.is_back
    assert isinstance(late.error, SystemExit)
    assert calls == ["undo b"]


def test_a_late_step_of_a_run_that_goes_on_is_told_and_not_undone(calls, release):
    """In the mode continue nothing is undone: a step that came back late is told of, and no more."""
    back = threading.Event()

    def hangs():
        release.wait(WAIT)
        back.set()
        return "late"

    def lets_go():
        release.set()
        back.wait(WAIT)
        for thread in threading.enumerate():
            if thread.name == "automa b":
                thread.join(WAIT)

    late = Step("b", run=hangs, undo=lambda: calls.append("undo b"), timeout=SOON)
    report = Workflow("w", [late, Step("c", run=lets_go)], mode="continue").start()
    assert report.outcome == "failed"
    assert report.step_reports[0].late.result == "late"
    assert calls == []


def test_what_a_late_step_has_noted_for_its_undo_is_there(calls, release):
    """`ctx.local` is for the undo as the step had it when it was cut off; what it changes later is not seen."""
    seen = []

    def hangs(ctx):
        ctx.local["key"] = "k1"
        ctx.shared["leak"] = 1
        release.wait(WAIT)
        ctx.local["key"] = "k2"

    undo = lambda ctx: (seen.append((dict(ctx.local), dict(ctx.shared))), release.set())
    step = Step("b", run=hangs, undo=undo, prepare=lambda: {"given": 1}, timeout=timedelta(seconds=SOON))
    store = MemoryStore()
    workflow = Workflow("w", [step], late_grace=0)
    report = workflow.start(run_id="r", store=store)
    assert seen[0] == ({"given": 1, "key": "k1"}, {})
    assert isinstance(report.error, StepTimeout)
    assert str(workflow.resume("r", store)) == str(report)


async def test_what_an_async_step_has_changed_when_it_was_cut_off_is_there(calls):
    """An async step has ended when its time is up: its undo sees what it had changed, as after any failure."""
    seen = []

    async def hangs(ctx):
        ctx.local["key"], ctx.shared["at"] = "k1", 1
        await asyncio.Event().wait()

    undo = lambda ctx: seen.append((dict(ctx.local), dict(ctx.shared)))
    await Workflow("w", [Step("b", run=hangs, undo=undo, timeout=SOON)]).start_async()
    assert seen == [({"key": "k1"}, {"at": 1})]


async def test_a_step_that_fails_after_the_cancel_is_not_tried_again(calls):
    """A cancel while a sync step works, which then fails: it is not tried again, and all is undone."""
    started, go_on = threading.Event(), threading.Event()

    def works():
        calls.append("run b")
        started.set()
        go_on.wait(WAIT)
        raise OSError("failed")

    flaky = Step("b", run=works, undo=lambda: calls.append("undo b"), retry=Retry(5, initial=0))
    task = asyncio.create_task(Workflow("w", [noting(calls, "a"), flaky]).start_async())
    await asyncio.to_thread(started.wait, WAIT)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run a", "run b", "undo b", "undo a"]


class Meddles(Step):
    """Holds the state, and puts into it what cannot be kept when it is copied: as the step before it is reached."""

    state = None

    def hand_out(self, ctx):
        ctx.shared["held"] = []
        self.state = ctx.shared

    def __copy__(self):
        if self.state is not None:
            self.state["held"].append(object())
        return super().__copy__()


@pytest.mark.parametrize("pivot", [False, True])
@pytest.mark.parametrize("kind", [Parallel, Workflow])
def test_a_state_that_cannot_be_copied_is_the_failure_of_the_branches(calls, kind, pivot):
    """Somebody has spoilt the state from outside: what needs a copy of it fails, or stops past a pivot."""
    meddles = Meddles("last")
    first = Step("a", run=meddles.hand_out, pivot=pivot)
    inner = noting(calls, "x")
    nested = Parallel("both", inner) if kind is Parallel else Workflow("both", [inner])
    report = Workflow("w", [first, nested, meddles]).start()
    assert calls == []
    assert isinstance(report.error, StateError)
    assert report.outcome == ("needs_attention" if pivot else "undone")


class FailingStore(MemoryStore):
    """A store whose n-th write fails."""

    fails_at = 0

    def write(self, lease, key, entries, status):
        self.fails_at -= 1
        if self.fails_at == 0:
            raise StoreError("no space left")
        super().write(lease, key, entries, status)


@pytest.mark.guarantee("G1")
def test_a_step_in_doubt_is_not_called_if_that_cannot_be_written(calls):
    """A resume whose first write fails does not call the step: the run has stopped where it was."""
    store = FailingStore()
    workflow = Workflow("w", [noting(calls, "a", KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    calls.clear()
    store.fails_at = 1
    report = workflow.resume("r", store)
    assert report.outcome == "infrastructure_error"
    assert calls == []


def test_a_journal_that_tells_of_an_attempt_which_the_workflow_does_not_know(calls):
    """An attempt that is recorded where another step comes now is a journal that does not fit, told in words."""
    store = MemoryStore()
    flaky = noting(calls, "a", OSError("once"), retry=Retry(2, initial=0))
    Workflow("w", [flaky, noting(calls, "b")], mode="stop").start(run_id="r", store=store)
    entries = store.load("w", "r")
    entries[2]["failed"] = "b"
    store._journals["w", "r"] = [json.dumps(entry) for entry in entries]
    with pytest.raises(JournalError, match="step b failed, to be tried again"):
        Workflow("w", [flaky, noting(calls, "b")], mode="stop").resume("r", store)


def test_branches_in_a_list_are_told_how_to_be_given():
    """`Parallel("p", [a, b])` says that branches are given one by one."""
    with pytest.raises(WorkflowDefinitionError, match="one by one"):
        Parallel("p", [Step("a"), Step("b")])


def test_a_branch_that_was_given_up_says_so_after_a_resume(calls):
    """The error of a run whose branch was given up is that of the branch which failed, also after a resume."""
    store = MemoryStore()
    both = Parallel(
        "both", noting(calls, "x", BoomError("x")), noting(calls, "y"), limit=1, on_failure="cancel"
    )
    report = Workflow("w", [both]).start(run_id="r", store=store)
    again = Workflow("w", [both]).resume("r", store)
    assert str(again) == str(report)
    assert isinstance(again.step_reports[0].workflow.step_reports[1].error, BranchCancelled)


def test_a_build_that_turns_out_to_be_async_is_awaited_by_a_resume(calls):
    """A `build` that is not declared async, and gives an awaitable, is awaited by start and resume alike."""
    store = MemoryStore()

    async def build():
        return [noting(calls, "x")]

    workflow = Workflow("w", [Expand("more", lambda: build()), noting(calls, "end", SystemExit())])
    for go in (
        lambda: workflow.start_async(run_id="r", store=store),
        lambda: workflow.resume_async("r", store),
    ):
        with pytest.raises(SystemExit):
            asyncio.run(go())
    assert calls == ["run x", "run end", "run end"]


def test_what_cannot_be_kept_is_not_there_for_the_undo_of_a_late_step(release):
    """What a step has put in place into its own state, and is not JSON, is lost when it is cut off at its work."""
    seen = []

    def hangs(ctx):
        ctx.local["key"] = []
        ctx.local["key"].append(object())
        release.wait(WAIT)

    step = Step("b", run=hangs, undo=lambda ctx: seen.append(dict(ctx.local)), timeout=SOON)
    Workflow("w", [step], late_grace=0).start()
    assert seen == [{}]


async def test_a_cancel_while_an_attempt_fails_suspends_a_journaled_run(calls):
    """A journaled run that is cancelled while an attempt fails has attempts left: it is suspended, and goes on with them."""
    started, go_on = threading.Event(), threading.Event()
    store = MemoryStore()

    def works():
        calls.append("run b")
        if calls.count("run b") == 1:
            started.set()
            go_on.wait(WAIT)
            raise OSError("failed")

    flaky = Step("b", run=works, undo=lambda: calls.append("undo b"), retry=Retry(5, initial=0))
    workflow = Workflow("w", [noting(calls, "a"), flaky])
    task = asyncio.create_task(workflow.start_async(run_id="r", store=store))
    await asyncio.to_thread(started.wait, WAIT)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run a", "run b"]
    report = await workflow.resume_async("r", store)
    assert calls == ["run a", "run b", "run b"]
    assert report.outcome == "succeeded"
    assert report.step_reports[1].attempts == 2


class Quit(BaseException):
    """What a framework of a user's raises to end everything."""


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("mode", ["rollback", "stop", "continue"])
@pytest.mark.parametrize("heard_of", [Begun, Answered])
def test_an_interruption_of_a_class_of_the_users_stays_one(mode, heard_of):
    """A run that a BaseException of the user's own has ended is read again as it ended, in each mode."""

    class Interrupter:
        def on_record(self, record):
            if isinstance(record, heard_of):
                raise Quit("enough")

    store = MemoryStore()
    workflow = Workflow("w", [Step("a"), Step("b"), Step("c")], mode=mode)
    with pytest.raises(Quit):
        workflow.start(run_id="r", store=store, on_cancel="rollback", observers=[Interrupter()])
    before = store.load("w", "r")
    report = workflow.resume("r", store)
    assert report.outcome == ("undone" if mode == "rollback" else "failed")
    assert isinstance(report.error, RemoteInterruption)
    assert repr(report.error) == "Quit('enough')"
    assert store.load("w", "r") == before


def _fail(*_):
    raise BoomError("not now")


def _with_condition():
    step = Step("late", run=lambda: 1)
    step.when(_fail)
    return step


@pytest.mark.guarantee("G8", "G10")
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    "last",
    [
        _with_condition,
        lambda: Step("late", run=lambda: 1, prepare=_fail),
        lambda: Expand("late", _fail),
        lambda: Step("late", run=_fail),
        lambda: Step("late", run=_fail, retry=Retry(attempts=3, initial=0)),
        lambda: Workflow("late", [Step("never")], prepare=_fail),
    ],
    ids=["condition", "prepare", "build", "run", "attempts", "prepare of a workflow"],
)
def test_what_failed_past_the_pivot_is_read_from_the_journal(last, depth):
    """A condition, prepare, build or run that failed past the pivot is in the report that a journal tells."""
    steps = [Step("first"), Step("pivot", run=lambda: 1, pivot=True), last()]
    for number in range(depth):
        steps = [Workflow(f"in{number}", steps)]
    store = MemoryStore()
    report = Workflow("w", steps).start(run_id="r", store=store)
    assert "not now" in str(report)
    assert str(read(decode_entries(store.load("w", "r"))).report) == str(report)


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize(
    "last", [lambda: Step("late", run=lambda: 1, prepare=_fail), lambda: Step("late", run=_fail)]
)
async def test_a_branch_that_goes_on_beside_one_that_failed_past_the_pivot(last):
    """The run needs attention, in its report and in its journal, although the last to be recorded went well."""
    gone = asyncio.Event()

    async def slow():
        await gone.wait()

    class Listener:
        def on_record(self, record):
            if isinstance(record, AttemptFailed):
                gone.set()

    store = MemoryStore()
    both = Parallel("both", Workflow("in", [last()]), Step("slow", run=slow))
    workflow = Workflow("w", [Step("pivot", run=lambda: 1, pivot=True), both], observers=[Listener()])
    report = await workflow.start_async(run_id="r", store=store)
    assert report.outcome == "needs_attention"
    reading = read(decode_entries(store.load("w", "r"))).report
    assert reading.outcome == "needs_attention"
    assert str(reading) == str(report)
    assert [each.status for each in store.runs()] == ["needs_attention"]
