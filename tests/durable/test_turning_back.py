"""Runs that stopped among branches and built steps are read again, and rolled back, wherever they stopped."""

from __future__ import annotations

import asyncio

import pytest

from automa import Answered, Expand, Outcome, Parallel, Retry, RunRequestError, Started, State, Step, Workflow
from automa.runtime.listeners import Listeners, package_logger
from automa.stores import MemoryStore
from tests.durable.crashes import DyingStore, run_until_death


def boom():
    raise RuntimeError("boom")


BUILT = {
    "an Expand that is not reached": lambda: [Step("a", run=boom), Expand("more", list)],
    "an Expand that builds nothing": lambda: [Step("a", run=lambda: 1), Expand("more", boom)],
    "a Parallel": lambda: Parallel("both", Step("a", run=lambda: 1), Step("b", prepare=boom)),
    "a Parallel whose branch fails": lambda: Parallel("both", Step("a", run=lambda: 1), Step("b", run=boom)),
}


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("build", BUILT.values(), ids=BUILT)
def test_what_an_expand_has_built_is_read_again(build):
    """The journal tells of a Parallel, and of an Expand, that an Expand has built."""
    workflow = Workflow("w", [Workflow("inner", [Expand("some", build)])])
    store = MemoryStore()
    report = workflow.start(run_id="r", store=store)
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


def logged(name, log, **options):
    return Step(name, run=lambda: log.append(f"run {name}"), undo=lambda: log.append(name), **options)


SHAPES = {
    "branches": lambda s: [s("z"), Parallel("p", s("a"), s("b"), limit=1)],
    "nested": lambda s: [s("z"), Parallel("p", Parallel("q", s("a"), s("b"), limit=1), s("c"), limit=1)],
    "deep last": lambda s: [Parallel("p", s("c"), Parallel("q", s("a"), s("b"), limit=1), limit=1)],
    "chains": lambda s: [Parallel("p", Workflow("x", [s("a"), s("b")]), s("c"), limit=1)],
    "built": lambda s: [s("z"), Expand("e", lambda: [Parallel("p", s("a"), s("b"), limit=1)])],
    "tried again": lambda s: [s("a", retry=Retry(2, initial=0.0)), Expand("e", lambda: [s("b")])],
}


@pytest.mark.guarantee("G2", "G4", "G8")
@pytest.mark.parametrize("mode", ["rollback", "stop"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_run_is_rolled_back_wherever_it_stopped(shape, mode):
    """Whoever asks for the way back gets it: nothing is run, all is undone, and the journal is read again."""
    for at in range(1, 100):
        log = []
        workflow = Workflow("w", shape(lambda name, log=log, **more: logged(name, log, **more)), mode=mode)
        store = DyingStore(at, after=True)
        run_until_death(workflow, store)
        store.at, ran = 0, len(log)
        is_undone = store.load("w", "r")[-1].get("ended") == "undone"
        if is_undone:
            with pytest.raises(RunRequestError, match="undone"):
                workflow.rollback("r", store)
            continue
        report = workflow.rollback("r", store)
        back = log[ran:]
        assert report.outcome is Outcome.UNDONE
        assert not [line for line in back if line.startswith("run")]
        assert {line.removeprefix("run ") for line in log[:ran]} <= set(back)
        assert len(back) == len(set(back))
        assert str(workflow.resume("r", store)) == str(report)
        if store.writes < at:
            break


@pytest.mark.guarantee("G10")
def test_effects_of_a_step_that_is_rolled_back_in_doubt_are_told():
    """What a step had done outside when its process died is in the report of the way back."""

    def pay(ctx):
        ctx.record_effect("payment", "17")

    workflow = Workflow("w", [Step("pay", run=pay, undo=boom)])
    store = DyingStore(2, after=True)
    assert run_until_death(workflow, store) is None
    report = workflow.rollback("r", store)
    assert [effect.ref for effect in report.effects] == ["17"]
    assert len(workflow.resume("r", store).effects) == 1


@pytest.mark.guarantee("G9")
def test_a_failure_past_the_pivot_in_a_branch_is_written_before_the_others_end():
    """The branches beside it may go on for long, and their process may die."""
    seen = []

    def look():
        seen.append("the first is down" in str(store.load("w", "r")))

    def fail():
        raise OSError("the first is down")

    both = Parallel("both", Step("a", run=fail), Step("b", run=look), limit=1)
    store = MemoryStore()
    Workflow("w", [Step("p", run=lambda: 1, pivot=True), both]).start(run_id="r", store=store)
    assert seen == [True]


class Interrupter:
    """An observer who is interrupted once it hears of the answer of a step."""

    def __init__(self, path):
        self.path = path

    def on_record(self, record):
        if isinstance(record, Answered) and record.path == self.path:
            self.path = None
            raise KeyboardInterrupt


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("built", [False, True], ids=["given", "built"])
@pytest.mark.parametrize("on_cancel", ["suspend", "rollback"])
def test_an_interruption_after_the_last_branch_is_read_again(built, on_cancel):
    """The run goes back right after a Parallel that went well, or stops there, and its journal tells so."""
    log, store = [], MemoryStore()
    both = Parallel("both", logged("a", log), logged("b", log), limit=1)
    steps = [Expand("built", lambda: [both])] if built else [both]
    workflow = Workflow("w", steps)
    path = "built/both/b" if built else "both/b"
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store, observers=[Interrupter(path)], on_cancel=on_cancel)
    if on_cancel == "suspend":
        assert log == ["run a", "run b"]
        assert workflow.rollback("r", store).outcome is Outcome.UNDONE
    report = workflow.resume("r", store)
    assert report.outcome is Outcome.UNDONE
    assert log == ["run a", "run b", "b", "a"]


@pytest.mark.guarantee("G8")
def test_an_attempt_that_fails_while_the_run_is_interrupted_is_not_the_last():
    """A journaled run stops there, and goes on with the attempts that are left when it is resumed."""
    calls, store, is_called = [], MemoryStore(), asyncio.Event()

    async def flaky():
        calls.append(1)
        is_called.set()
        if len(calls) == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise OSError("the connection is lost") from None
        return "sent"

    workflow = Workflow("w", [Step("send", run=flaky, retry=Retry(2, initial=0.0))])

    async def cancelled():
        task = asyncio.ensure_future(workflow.start_async(run_id="r", store=store))
        await is_called.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert len(calls) == 1
    report = asyncio.run(workflow.resume_async("r", store))
    assert report.results == {"send": "sent"}


def test_a_cancellation_that_a_step_turns_into_an_error_is_not_lost():
    """In memory too: no further step is run, and the cancellation goes on."""
    log = []

    async def stubborn():
        task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("the connection is lost") from None

    workflow = Workflow("w", [Step("send", run=stubborn), logged("next", log)], mode="continue")
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(workflow.start_async())
    assert log == []


@pytest.mark.guarantee("G7")
def test_a_refused_deadline_does_not_keep_the_run():
    """Whoever resumes a run with what is no deadline is told so, and the run can be resumed after it."""

    def interrupted():
        raise KeyboardInterrupt

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [Step("a", run=interrupted)]).start(run_id="r", store=store)
    workflow = Workflow("w", [Step("a", run=lambda: 1)])
    with pytest.raises(RunRequestError, match="deadline"):
        workflow.resume("r", store, deadline="soon")
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED


def test_a_rollback_asked_for_after_the_branches_have_failed():
    """The process died when the last branch had ended, and before the whole had: all that was run is undone."""
    for at in range(1, 20):
        log = []
        failing = Step(
            "a", run=lambda log=log: log.append("run a") or 1 / 0, undo=lambda log=log: log.append("a")
        )
        workflow = Workflow(
            "w",
            [Parallel("p", failing, logged("b", log), limit=1)],
            mode="stop",
            rollback_on=ZeroDivisionError,
        )
        store = DyingStore(at, after=True)
        run_until_death(workflow, store)
        ran = {line.removeprefix("run ") for line in log}
        store.at = 0
        report = workflow.rollback("r", store)
        undone = [line for line in log if not line.startswith("run")]
        assert report.outcome is Outcome.UNDONE
        assert ran <= set(undone)
        assert len(undone) == len(set(undone))
        if store.writes < at:
            break


class PressesAt:
    """An observer that is interrupted when a step has started."""

    def __init__(self, path):
        self.path = path

    def on_record(self, record):
        if isinstance(record, Started) and record.path == self.path:
            raise KeyboardInterrupt


def test_a_step_that_was_kept_from_being_called_is_read_again():
    """Ctrl-C after the start of a step was written, before it was called: the journal says so, and is read again."""
    log, store = [], MemoryStore()
    workflow = Workflow("w", [logged("a", log), logged("b", log)])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store, observers=[PressesAt("b")], on_cancel="rollback")
    assert "run b" not in log
    report = workflow.resume("r", store)
    assert report.outcome is Outcome.UNDONE
    assert [str(each.action) for each in report.step_reports if each.step_id == "b"] == [
        "prepare",
        "rollback",
    ]


def test_what_interrupts_a_run_now_stays_when_a_branch_ends_that_was_interrupted_before():
    """An interruption before a resume, which only a branch had, does not take the place of the present one."""
    run = (
        Workflow("w", [Step("a")])
        ._workflow_run("r", State("shared"), None, Listeners((), package_logger, "r", "w"))
        .run
    )
    [branch] = run.fork(1)
    now, before = KeyboardInterrupt(), SystemExit()
    branch.interruption = branch.replayed = before
    run.interruption = now
    run.join()
    assert (run.interruption, run.replayed) == (now, None)
