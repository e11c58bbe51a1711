"""Retries: how often a step is tried, what an attempt leaves behind, and what ends them."""

from __future__ import annotations

import asyncio
import copy
import signal
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automa import (
    Action,
    AttemptFailed,
    GiveUp,
    IllegalHandoff,
    Outcome,
    Retry,
    Secret,
    Skip,
    Status,
    Step,
    Workflow,
    WorkflowDefinitionError,
)
from automa._core import clock
from automa.stores import MemoryStore
from tests.durable.crashes import DyingStore, run_until_death
from tests.unit.traces import WAYS, ShiftedClock, fails, fails_times, start

AT_ONCE = Retry(3, initial=0)


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_that_fails_is_tried_again(trace, way, store):
    """Two failures and a success: the step has succeeded, nothing is undone, its result is the last one's."""
    workflow = Workflow("w", [trace.step("a", fails_times(2), retry=AT_ONCE)])
    report = start(workflow, way, store=store)
    assert trace.calls == ["run a"] * 3
    assert report.outcome is Outcome.SUCCEEDED
    assert report.results == {"a": 3}


@pytest.mark.parametrize("way", WAYS)
def test_the_budget_is_the_number_of_calls(trace, way):
    """A step that always fails is called as often as its retry says, then undone once."""
    workflow = Workflow("w", [trace.step("a", fails_times(9), retry=AT_ONCE)])
    report = start(workflow, way)
    assert trace.calls == [*["run a"] * 3, "undo a"]
    assert report.outcome is Outcome.UNDONE
    assert str(report.error) == "attempt 3"


def test_one_attempt_is_no_retry(trace):
    """`Retry(1)` calls the step once."""
    Workflow("w", [trace.step("a", fails, retry=Retry(1))]).start()
    assert trace.calls == ["run a", "undo a"]


numbers = st.floats(0, 1e6)


@given(st.integers(1, 2000), numbers, numbers, st.floats(1, 1e3), st.floats(0, 1))
def test_the_delay_grows_up_to_its_maximum(attempt, initial, maximum, multiplier, random):
    """Each delay is at least the one before, at most the maximum; jitter takes away half of it at most."""
    plain = Retry(initial=initial, maximum=maximum, multiplier=multiplier, jitter=False)
    delay = plain.delay(attempt, random)
    assert delay <= plain.delay(attempt + 1, random) <= maximum
    assert delay == plain.delay(attempt)
    jittered = Retry(initial=initial, maximum=maximum, multiplier=multiplier).delay(attempt, random)
    assert delay / 2 <= jittered <= delay


def test_the_delay_is_multiplied_from_one_attempt_to_the_next():
    """The first delay is the initial one; each further one is the multiple of the one before."""
    retry = Retry(initial=0.5, multiplier=3, maximum=10, jitter=False)
    assert [retry.delay(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.5, 4.5, 10]


def test_jitter_is_by_chance():
    """The lowest chance waits half of the delay, the highest all of it."""
    assert Retry(initial=2).delay(1, 0.0) == 1.0
    assert Retry(initial=2).delay(1, 1.0) == 2.0


def test_the_chance_is_the_drivers_and_the_delay_is_recorded(trace, monkeypatch):
    """The delay that was waited, jitter and all, stands in the record of the attempt."""
    monkeypatch.setattr(clock, "random", lambda: 0.5)
    step = trace.step("a", fails_times(1), retry=Retry(2, initial=0.001))
    Workflow("w", [step]).start(observers=[trace])
    (failed,) = (each for each in trace.records if isinstance(each, AttemptFailed))
    assert failed.delay == 0.00075


def test_the_driver_throws_dice(monkeypatch):
    """By default the chance is a number from 0 to 1, and not always the same."""
    thrown = {clock.random() for _ in range(20)}
    assert len(thrown) > 1
    assert all(0 <= number <= 1 for number in thrown)


@pytest.mark.parametrize("on", [OSError, (KeyError, OSError), lambda error: isinstance(error, OSError)])
@pytest.mark.parametrize(("error", "calls"), [(ConnectionError, 3), (ValueError, 1)])
def test_only_errors_that_it_is_on_are_tried_again(trace, on, error, calls):
    """`on` is a class, a tuple of them, or a function; errors of subclasses count."""
    step = trace.step("a", fails_times(9, error), retry=Retry(3, initial=0, on=on))
    Workflow("w", [step]).start()
    assert trace.calls.count("run a") == calls


def test_a_function_that_raises_ends_the_attempts(trace):
    """Where `on` itself raises, the step is not tried again, and its own error tells of that."""

    def on(error):
        raise LookupError("broken")

    report = Workflow("w", [trace.step("a", fails, retry=Retry(3, initial=0, on=on))]).start()
    assert trace.calls == ["run a", "undo a"]
    assert str(report.error) == "x"
    assert any("LookupError" in note for note in report.error.__notes__)


class CardRefused(GiveUp):
    """Says that trying again is of no use."""


def gives_up_from(ctx):
    try:
        raise OSError("refused")
    except OSError as error:
        raise GiveUp("the card was refused") from error


@pytest.mark.parametrize("on", [Exception, GiveUp, lambda error: True])
@pytest.mark.parametrize("run", [fails_times(9, GiveUp), fails_times(9, CardRefused), gives_up_from])
def test_give_up_ends_the_attempts(trace, run, on):
    """A `GiveUp`, or an error derived of it, is final, whatever `on` says; its cause is kept."""
    report = Workflow("w", [trace.step("a", run, retry=Retry(3, initial=0, on=on))]).start()
    assert trace.calls == ["run a", "undo a"]
    assert isinstance(report.error, GiveUp)
    if run is gives_up_from:
        assert isinstance(report.error.__cause__, OSError)


def test_give_up_after_a_failed_attempt(trace):
    """The first attempt is tried again, the second gives up: there is no third."""
    errors = [GiveUp("enough"), ValueError("x")]

    def run():
        raise errors.pop()

    report = Workflow("w", [trace.step("a", run, retry=AT_ONCE)]).start()
    assert trace.calls == ["run a", "run a", "undo a"]
    assert [str(each.error) for each in report.step_reports[0].failed_attempts] == ["x"]


def test_skip_is_no_failure(trace):
    """A step that raises `Skip` is not tried again, also after an attempt that failed."""
    errors = [Skip("nothing to do"), ValueError("x")]

    def run():
        raise errors.pop()

    report = Workflow("w", [trace.step("a", run, retry=AT_ONCE)]).start()
    assert trace.calls == ["run a", "run a"]
    assert report.step_reports[0].status is Status.SKIPPED
    assert report.step_reports[0].attempts == 2


@pytest.mark.parametrize("store", [None, "memory:"])
def test_each_attempt_begins_with_the_state_before_the_first(trace, store):
    """State and local go back between attempts, changes in place as well; what the prepare set stays."""
    seen = []

    def run(ctx):
        seen.append(copy.deepcopy((dict(ctx.shared), dict(ctx.local))))
        ctx.shared["list"].append(1)
        ctx.shared["new"] = True
        ctx.local["mine"] = True
        if len(seen) < 3:
            raise ValueError("x")

    def prepare(ctx):
        ctx.shared["prepared"] = 1
        return {"given": 2}

    workflow = Workflow("w", [trace.step("a", run, prepare=prepare, retry=AT_ONCE), trace.step("b", fails)])
    report = workflow.start({"list": []}, store=store)
    assert seen == [({"list": [], "prepared": 1}, {"given": 2})] * 3
    assert report.outcome is Outcome.UNDONE


def test_the_undo_sees_the_state_of_the_last_attempt(trace):
    """What an attempt that failed had changed is gone; what the last one changed is there."""
    seen = []

    def run(ctx):
        ctx.shared[f"by {ctx.attempt}"] = ctx.attempt
        if ctx.attempt < 2:
            raise ValueError("x")

    step = trace.step("a", run, lambda ctx: seen.append(dict(ctx.shared)), retry=AT_ONCE)
    Workflow("w", [step, trace.step("b", fails)]).start()
    assert seen == [{"by 2": 2}]


def test_an_attempt_knows_its_number_and_those_before(trace):
    """`ctx.attempt` counts from 1, and the report at hand has the attempts that failed before."""
    seen = []

    def run(ctx):
        seen.append((ctx.attempt, [str(each.error) for each in ctx.report.failed_attempts]))
        raise ValueError(str(ctx.attempt))

    Workflow("w", [trace.step("a", run, retry=AT_ONCE)]).start()
    assert seen == [(1, []), (2, ["1"]), (3, ["1", "2"])]


@pytest.mark.parametrize("store", [None, "memory:"])
def test_the_report_tells_of_the_attempts(trace, store):
    """The step's report has a report for each attempt that failed, with its error, times and notes; its text too."""

    def run(ctx):
        ctx.metadata["attempt"] = str(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError(f"x{ctx.attempt}")

    report = Workflow("w", [trace.step("a", run, retry=AT_ONCE)]).start(store=store)
    (step,) = report.step_reports
    assert step.attempts == 3
    assert [str(each.error) for each in step.failed_attempts] == ["x1", "x2"]
    assert [each.status for each in step.failed_attempts] == [Status.FAILED] * 2
    assert [each.metadata["attempt"] for each in (*step.failed_attempts, step)] == ["1", "2", "3"]
    assert all(each.duration >= timedelta() for each in step.failed_attempts)
    assert all(each.failed_attempts == () for each in step.failed_attempts)
    assert "(3 attempts)" in str(report)


def test_effects_of_failed_attempts_are_kept(trace):
    """What an attempt that failed has done outside is in the report of the step, and in that of the run."""

    def run(ctx):
        ctx.record_effect("try", str(ctx.attempt))
        if ctx.attempt < 2:
            raise ValueError("x")

    report = Workflow("w", [trace.step("a", run, retry=AT_ONCE)]).start()
    (step,) = report.step_reports
    assert [effect.ref for effect in step.effects] == ["1", "2"]
    assert [effect.ref for effect in step.own_effects] == ["2"]
    assert [effect.ref for effect in report.effects] == ["1", "2"]


@pytest.mark.parametrize("way", WAYS)
def test_an_undo_never_has_the_retry_of_its_run(trace, way):
    """A step with a retry, and an undo that fails: the undo is called once."""
    report = start(Workflow("w", [trace.step("a", fails, fails, retry=AT_ONCE)]), way)
    assert trace.calls == [*["run a"] * 3, "undo a"]
    assert report.outcome is Outcome.NEEDS_ATTENTION


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_an_undo_has_a_retry_of_its_own(trace, way, store):
    """`undo_retry` calls the undo again, each time with the state that the run has left."""
    seen = []

    def run(ctx):
        ctx.shared["left"] = 1

    def undo(ctx):
        seen.append((ctx.attempt, dict(ctx.shared)))
        ctx.shared["left"] = ctx.attempt + 1
        if ctx.attempt < 3:
            raise ValueError("x")

    steps = [trace.step("a", run, undo, undo_retry=AT_ONCE), trace.step("b", fails)]
    report = start(Workflow("w", steps), way, store=store)
    assert seen == [(1, {"left": 1}), (2, {"left": 1}), (3, {"left": 1})]
    assert report.outcome is Outcome.UNDONE
    assert report.step_reports[-1].attempts == 3


def test_an_undo_that_fails_each_time_has_failed(trace):
    """When its attempts are used up, the undo has failed, and the run needs attention."""
    steps = [trace.step("a", undo=fails, undo_retry=Retry(2, initial=0)), trace.step("b", fails)]
    report = Workflow("w", steps).start()
    assert trace.calls == ["run a", "run b", "undo b", "undo a", "undo a"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert len(report.rollback_errors) == 1


class Own(Step):
    """Overrides `run`: fails a number of times, by an answer or by raising, then goes on."""

    def __init__(self, failures, how, **options):
        super().__init__("own", **options)
        self.failures, self.how, self.calls = failures, how, []

    def run(self, ctx, prev_success):
        self.calls.append("run")
        if self.calls.count("run") > self.failures:
            return self.run_next(prev_success)
        failed = self.failed_run(prev_success, ValueError("x"), ctx.report)
        if self.how == "undoes itself":
            return self.rollback(ctx, failed.event)
        if self.how == "answers":
            return failed
        if self.how == "nonsense":
            return None
        raise ValueError("x")

    def rollback(self, ctx, prev_failure):
        self.calls.append("undo")
        return self.rollback_prev(prev_failure)


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("how", ["answers", "raises"])
def test_a_controller_of_its_own_is_tried_again(how, store):
    """A step that overrides `run` is tried again, whether it answers with a failure or raises."""
    step = Own(2, how, retry=AT_ONCE)
    report = Workflow("w", [step]).start(store=store)
    assert step.calls == ["run"] * 3
    assert report.step_reports[0].attempts == 3


def test_a_controller_that_has_undone_itself_is_not_tried_again():
    """One that calls its own rollback has gone back already."""
    step = Own(2, "undoes itself", retry=AT_ONCE)
    report = Workflow("w", [step]).start()
    assert step.calls == ["run", "undo"]
    assert report.outcome is Outcome.UNDONE


def test_an_illegal_answer_is_not_tried_again():
    """What no step may answer is a mistake in the step: it would only be repeated."""
    step = Own(2, "nonsense", retry=AT_ONCE)
    report = Workflow("w", [step]).start()
    assert step.calls == ["run", "undo"]
    assert isinstance(report.error, IllegalHandoff)


def test_an_interruption_of_a_step_is_not_tried_again(trace):
    """A step that raises `KeyboardInterrupt` is not called again, whatever `on` says."""

    def run():
        raise KeyboardInterrupt

    steps = [trace.step("a"), trace.step("b", run, retry=Retry(3, initial=0, on=BaseException))]
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps).start()
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_wait_between_two_attempts(trace):
    """Ctrl-C before the next attempt: it is not made, and the step is undone, since the first may have worked."""

    class Presses:
        def on_record(self, record):
            if isinstance(record, AttemptFailed):
                signal.setitimer(signal.ITIMER_REAL, 0.05)

    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        steps = [trace.step("a"), trace.step("b", fails, retry=Retry(initial=600, maximum=600))]
        with pytest.raises(KeyboardInterrupt):
            Workflow("w", steps, observers=[trace, Presses()]).start()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert trace.calls == ["run a", "run b", "undo b", "undo a"]
    assert trace.report.step_reports[1].attempts == 2
    assert trace.report.outcome is Outcome.UNDONE


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_wait_begins_spares_it(trace):
    """Ctrl-C while the failed attempt is being written down is not lost: there is no wait, and no next attempt."""

    class Presses:
        def on_record(self, record):
            if isinstance(record, AttemptFailed):
                signal.raise_signal(signal.SIGINT)

    steps = [trace.step("a", fails, retry=Retry(initial=600, maximum=600))]
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps, observers=[trace, Presses()]).start()
    assert trace.calls == ["run a", "undo a"]


@pytest.mark.parametrize("store", [None, "memory:"])
async def test_a_cancel_ends_the_wait_between_two_attempts(trace, store):
    """A cancel before the next attempt: it is not made; undone in memory, suspended with a journal."""
    failed = asyncio.Event()

    class Tells:
        def on_record(self, record):
            if isinstance(record, AttemptFailed):
                loop.call_soon_threadsafe(failed.set)

    loop = asyncio.get_running_loop()
    steps = [trace.step("a"), trace.step("b", fails, retry=Retry(initial=600, maximum=600))]
    workflow = Workflow("w", steps, observers=[trace, Tells()])
    task = asyncio.create_task(workflow.start_async(store=store))
    await failed.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    undone = ["undo b", "undo a"] if store is None else []
    assert trace.calls == ["run a", "run b", *undone]


@pytest.mark.usefixtures("ctrl_c")
def test_a_suspended_wait_is_resumed_by_the_next_attempt(trace):
    """Interrupted between two attempts, a journaled run goes on with the next one, and the count goes on."""
    presses = [True]

    class Presses:
        def on_record(self, record):
            if isinstance(record, AttemptFailed) and presses:
                presses.pop()
                signal.raise_signal(signal.SIGINT)

    store = MemoryStore()
    step = trace.step("a", fails_times(9), retry=Retry(3, initial=0.001))
    workflow = Workflow("w", [step], observers=[Presses()])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    assert trace.calls == ["run a"]
    report = workflow.resume("r", store)
    assert trace.calls == [*["run a"] * 3, "undo a"]
    assert report.step_reports[0].attempts == 3


async def test_a_cancel_does_not_end_the_wait_of_an_undo(trace):
    """Cancelled while an undo waits for its next attempt, the undo is still tried again."""
    failed = asyncio.Event()

    class Tells:
        def on_record(self, record):
            if isinstance(record, AttemptFailed):
                failed.set()

    steps = [trace.step("a", undo=fails_times(1), undo_retry=Retry(2, initial=0.05)), trace.step("b", fails)]
    workflow = Workflow("w", steps, observers=[trace, Tells()])
    task = asyncio.create_task(workflow.start_async())
    await failed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", "run b", "undo b", "undo a", "undo a"]
    assert trace.report.outcome is Outcome.UNDONE


@pytest.mark.parametrize("way", WAYS)
def test_no_attempt_is_begun_that_would_come_after_the_deadline(trace, way):
    """Where the wait would reach beyond the deadline the step has failed at once, by its own error."""
    step = trace.step("a", fails, retry=Retry(initial=600, maximum=600))
    report = start(Workflow("w", [step], deadline=60), way)
    assert trace.calls == ["run a", "undo a"]
    assert isinstance(report.error, ValueError)


def test_an_undo_is_tried_again_after_the_deadline(trace, monkeypatch):
    """The deadline is for the way forward only: an undo has its attempts also after it."""
    shifted = ShiftedClock(clock, monkeypatch)

    def run():
        shifted.forward(600)
        raise ValueError("x")

    steps = [trace.step("a", undo=fails_times(1), undo_retry=AT_ONCE), trace.step("b", run, retry=AT_ONCE)]
    report = Workflow("w", steps, deadline=60).start()
    assert trace.calls == ["run a", "run b", "undo b", "undo a", "undo a"]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0}, {"attempts": -1}, {"attempts": 2.0}, {"attempts": True}, {"attempts": "3"},
        {"initial": -0.1}, {"initial": "1"}, {"initial": float("nan")}, {"maximum": float("inf")},
        {"multiplier": 0.5}, {"multiplier": None}, {"on": "ValueError"}, {"on": (ValueError, 3)},
        {"on": int}, {"on": None},
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(options):
    """What makes no sense in a retry is refused when it is built, naming the argument."""
    with pytest.raises(WorkflowDefinitionError, match=next(iter(options))):
        Retry(**options)


@pytest.mark.parametrize("name", ["retry", "undo_retry"])
@pytest.mark.parametrize("value", [3, "3", True, object()])
def test_a_retry_is_a_retry(name, value):
    """A step takes a `Retry`, not a number."""
    with pytest.raises(WorkflowDefinitionError, match=f"{name} is a Retry"):
        Step("a", **{name: value})


def test_an_unknown_option_is_refused():
    """A misspelt option of a step is an error, as a misspelt argument is."""
    with pytest.raises(TypeError, match="retries"):
        Step("a", retries=AT_ONCE)


def test_a_class_may_say_how_often_its_steps_are_tried(trace):
    """A subclass sets its retry as a class attribute."""

    class Often(Step):
        retry = AT_ONCE
        run_it = staticmethod(fails_times(2))

        def saga_run(self, ctx):
            trace.calls.append("run")
            return self.run_it()

    assert Workflow("w", [Often("a")]).start().outcome is Outcome.SUCCEEDED
    assert trace.calls == ["run"] * 3


@pytest.mark.guarantee("G2", "G8")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 12))
def test_a_death_between_attempts_costs_no_attempt_that_was_recorded(trace, at, after):
    """Wherever the process dies, attempts that were recorded count; at most the one at work is made again."""
    store = DyingStore(at, after=after)
    failures = []

    def run(ctx):
        failures.append(ctx.attempt)
        raise ValueError(f"attempt {len(ctx.report.failed_attempts) + 1}")

    steps = [trace.step("a"), trace.step("b", run, retry=AT_ONCE, undo_retry=AT_ONCE)]
    workflow = Workflow("w", steps)
    report = run_until_death(workflow, store) or workflow.resume("r", store)
    failed = report.step_reports[1].failed_attempts
    assert [str(each.error) for each in failed] == ["attempt 1", "attempt 2"]
    assert 3 <= len(failures) <= 4
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


def test_a_resume_waits_for_what_is_left_of_the_time(trace, monkeypatch):
    """A resume that comes after the time between two attempts has passed makes the next at once."""
    store = DyingStore(2, after=True)
    step = trace.step("a", fails_times(1), retry=Retry(initial=600, maximum=600))
    workflow = Workflow("w", [step])
    assert run_until_death(workflow, store) is None
    ShiftedClock(clock, monkeypatch).forward(700)
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert trace.calls == ["run a"] * 2


def test_a_resume_waits_no_longer_than_is_left(trace, monkeypatch):
    """A resume that comes a moment before that time has passed waits for that moment only."""
    shifted = ShiftedClock(clock, monkeypatch)
    store = DyingStore(2, after=True)
    step = trace.step("a", fails_times(1), retry=Retry(initial=600, maximum=600, jitter=False))
    workflow = Workflow("w", [step])
    assert run_until_death(workflow, store) is None
    shifted.forward(599.9)
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert trace.calls == ["run a"] * 2


def test_secrets_are_kept_out_of_attempts(trace):
    """The error of an attempt that failed is redacted like any other."""
    Secret("hunter2hunter2")
    errors = [ValueError("it is hunter2hunter2")]

    def run():
        if errors:
            raise errors.pop()

    report = Workflow("w", [trace.step("a", run, retry=AT_ONCE)]).start()
    (failed,) = report.step_reports[0].failed_attempts
    assert "hunter2" not in str(failed.error)
    assert failed.action is Action.RUN


def test_a_core_without_a_driver_has_no_chance():
    """Until a driver sets them the core knows no time, and waits the longest."""
    assert clock._unset() == clock.ZERO_TIME
    assert Retry(initial=2).delay(1, clock._certain()) == 2
