"""Faults on purpose, and a clock that the test sets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from automa import Context, GiveUp, Outcome, Parallel, Retry, Step, StepTimeout, Workflow
from automa.stores import MemoryStore
from automa.testing import InjectedFault, inject, virtual_clock


def recorder(*ids, **options):
    calls = []
    steps = [
        Step(
            each,
            run=lambda each=each: calls.append(f"run {each}"),
            undo=lambda each=each: calls.append(f"undo {each}"),
            **options,
        )
        for each in ids
    ]
    return calls, steps


def test_a_fault_before_the_run_keeps_the_step_from_being_called():
    """The step fails without being called, and is undone like any that failed."""
    calls, steps = recorder("a", "b")
    with inject(step="b") as injection:
        report = Workflow("w", steps).start()
    assert calls == ["run a", "undo b", "undo a"]
    assert isinstance(report.error, InjectedFault)
    assert injection.hits == 1


@pytest.mark.parametrize("store", [None, MemoryStore()])
def test_a_fault_after_the_run_loses_its_answer(store):
    """The step does its work; its undo has no result."""
    seen = []
    step = Step("a", run=lambda: "answer", undo=lambda ctx: seen.append(ctx.result))
    with inject(step="a", when="after", error=TimeoutError):
        report = Workflow("w", [step]).start(store=store)
    assert seen == [None]
    assert isinstance(report.error, TimeoutError)


def test_a_fault_may_befall_the_first_calls_only():
    """With times=2 the third attempt goes through."""
    calls, steps = recorder("a", retry=Retry(attempts=3, initial=0))
    with inject(step="a", when="after", times=2) as injection:
        report = Workflow("w", steps).start()
    assert report.outcome is Outcome.SUCCEEDED
    assert calls == ["run a"] * 3
    assert injection.hits == 2


@pytest.mark.parametrize("step", ["outer/inner", "inner"])
def test_a_step_is_named_by_its_path_or_its_id(step):
    """A step inside another workflow is found by either."""
    calls, steps = recorder("inner")
    with inject(step=step):
        report = Workflow("w", [Workflow("outer", steps)]).start()
    assert report.outcome is Outcome.UNDONE
    assert calls == ["undo inner"]


def test_an_undo_may_fail():
    """action="undo" lets the undo fail: the run needs attention."""
    calls, steps = recorder("a", "b")
    with inject(step="a", action="undo", error=OSError("locked")), inject(step="b"):
        report = Workflow("w", steps).start()
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert calls == ["run a", "undo b"]


def test_a_prepare_may_fail():
    """action="prepare" lets the prepare fail: the step is neither run nor undone."""
    calls, steps = recorder("a", "b")
    steps[1].prepare(lambda: calls.append("prepare b"))
    with inject(step="b", action="prepare"):
        Workflow("w", steps).start()
    assert calls == ["run a", "undo a"]


def test_a_fault_befalls_branches_and_async_runs():
    """Branches and runs on an event loop have the fault too."""

    async def work():
        return 1

    with inject(step="b", error=GiveUp("no")) as injection:
        workflow = Workflow("w", [Parallel("p", Step("a", run=work), Step("b", run=work))])
        report = asyncio.run(workflow.start_async())
    assert isinstance(report.error, GiveUp)
    assert injection.hits == 1


def test_a_fault_that_never_struck_is_told():
    """A test with a misspelt step does not pass in silence, nor does it hide another error."""
    calls, steps = recorder("a")
    with pytest.raises(AssertionError, match="nothing was injected before the run of b"), inject(step="b"):
        Workflow("w", steps).start()
    with pytest.raises(ZeroDivisionError), inject(step="b"):
        raise ZeroDivisionError
    assert calls == ["run a"]


@pytest.mark.parametrize("wrong", [{"when": "within"}, {"action": "rollback"}, {"times": 0}, {"times": True}])
def test_a_fault_that_makes_no_sense_is_refused(wrong):
    """Words and numbers that mean nothing are refused at once."""
    with pytest.raises(ValueError, match=next(iter(wrong))), inject(step="a", **wrong):
        pass


def test_nothing_is_injected_afterwards():
    """The fault ends with the block, whatever ended it."""
    calls, steps = recorder("a")
    with pytest.raises(AssertionError), inject(step="nowhere"):
        pass
    assert Workflow("w", steps).start().outcome is Outcome.SUCCEEDED
    assert calls == ["run a"]


def test_retries_wait_for_nothing_under_a_virtual_clock():
    """Waits between attempts are told, and move the clock."""
    _, steps = recorder("a", retry=Retry(attempts=4, initial=60, maximum=1000, jitter=False))
    with virtual_clock() as clock, inject(step="a", times=3):
        report = Workflow("w", steps).start()
    assert clock.sleeps == [60, 120, 240]
    assert report.duration == timedelta(seconds=420)
    assert clock.now() == datetime(2000, 1, 1, 0, 7, tzinfo=UTC)


def test_a_deadline_passes_under_a_virtual_clock():
    """A step that takes the clock past the deadline is cut off; the next is not called."""
    with virtual_clock(datetime(2030, 1, 1, tzinfo=UTC)) as clock:
        calls, steps = recorder("b")
        slow = Step("a", run=lambda: clock.advance(timedelta(hours=2)), undo=lambda: calls.append("undo a"))
        report = Workflow("w", [slow, *steps], deadline=3600).start()
    assert "2030-01-01T01:00" in str(report.error)
    assert calls == ["undo a"]


def test_a_sync_step_that_takes_too_long_comes_back_late():
    """Past its time-out a step in a thread is unknown; what it returned is there for its undo."""
    seen = []
    with virtual_clock() as clock:

        def slow(ctx: Context) -> str:
            clock.advance(31)
            return "late"

        step = Step("a", run=slow, undo=lambda ctx: seen.append(ctx.result), timeout=30)
        report = Workflow("w", [step]).start()
    assert isinstance(report.error, StepTimeout)
    assert seen == ["late"]
    assert report.step_reports[0].late is not None


def test_an_async_step_that_takes_too_long_is_cut_off():
    """Past its time-out an async step has no result."""
    seen = []
    with virtual_clock() as clock:

        async def slow() -> str:
            clock.advance(31)
            return "late"

        step = Step("a", run=slow, undo=lambda ctx: seen.append(ctx.result), timeout=30)
        report = asyncio.run(Workflow("w", [step]).start_async())
    assert isinstance(report.error, StepTimeout)
    assert seen == [None]


def test_a_step_within_its_time_goes_well():
    """A step that takes less than it may is left alone; one that is interrupted is, too."""
    with virtual_clock() as clock:
        step = Step("a", run=lambda: clock.advance(29), timeout=30)
        assert Workflow("w", [step]).start().outcome is Outcome.SUCCEEDED

        def interrupted():
            clock.advance(40)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Workflow("w", [Step("a", run=interrupted)], deadline=30).start()


def test_time_does_not_go_back():
    """A negative advance is refused."""
    with virtual_clock() as clock, pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
