"""Resuming: what is done again, what is not, and what an author and an operator can say about it."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import threading

import pytest

from automa import (
    Answered,
    AsyncStepError,
    JournalError,
    Outcome,
    ResultError,
    RollbackRequested,
    RunNotFoundError,
    RunRequestError,
    Skip,
    Status,
    Step,
    StoreError,
    UnknownOutcomeError,
    Workflow,
)
from automa.stores import MemoryStore, SqliteStore
from tests.durable.crashes import Died, DyingStore, run_until_death


class Effects(list):
    """What steps did; gives steps that note it."""

    def step(self, name, *, fails=False, undo_fails=False, **options):
        def run(ctx):
            self.append(name)
            ctx.shared[name] = [name]
            ctx.local["local"] = name
            if fails:
                raise ValueError(name)
            return {"name": name}

        def undo(ctx):
            assert ctx.local["local"] == name
            assert ctx.shared[name] == [name]
            self.append(f"-{name}")
            if undo_fails:
                raise RuntimeError(f"undo of {name}")

        return Step(name, run=run, undo=undo, **options)


@pytest.mark.guarantee("G2", "G3", "G8")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_death_at_any_write(at, after):
    """Resumed after a death at any write, the run ends as it would have, and repeats what was in flight at most."""
    effects = Effects()

    def build():
        inner = Workflow("in", [effects.step("x"), effects.step("y")])
        return Workflow("w", [effects.step("a"), inner, effects.step("b", fails=True)])

    store = DyingStore(at, after=after)
    report = run_until_death(build(), store)
    before = list(effects)
    if report is None and not (at == 1 and not after):
        report = build().resume("r", store, missing="error")
    elif report is None:
        with pytest.raises(RunNotFoundError):
            build().resume("r", store, missing="error")
        assert before == []
        return
    whole = ["a", "x", "y", "b", "-b", "-y", "-x", "-a"]
    again = effects[len(before) :]
    assert before == whole[: len(before)]
    assert again in (whole[len(before) :], whole[len(before) - 1 :])
    assert report.outcome is Outcome.UNDONE
    assert [(each.step_id, str(each.action), str(each.status)) for each in report.leaf_reports()] == [
        ("a", "run", "SUCCESS"), ("x", "run", "SUCCESS"), ("y", "run", "SUCCESS"), ("b", "run", "FAILED"),
        ("b", "rollback", "SUCCESS"), ("y", "rollback", "SUCCESS"), ("x", "rollback", "SUCCESS"),
        ("a", "rollback", "SUCCESS"),
    ]  # fmt: skip


@pytest.mark.guarantee("G8")
def test_original_times_stay():
    """A resumed report tells when each action really happened, nested ones too, and when the run began."""
    effects = Effects()
    inner = Workflow("in", [effects.step("x")])
    workflow = Workflow("w", [effects.step("a"), inner, effects.step("b")])
    reports = []

    class Keeps:
        def on_record(self, record):
            if isinstance(record, Answered):
                reports.append(record.report)

    store = DyingStore(4)
    run_until_death(workflow, store, observers=[Keeps()])
    report = workflow.resume("r", store)
    times = [(each.start_time, each.end_time) for each in report.step_reports[:2]]
    assert times == [(each.start_time, each.end_time) for each in (reports[0], reports[2])]
    nested = report.step_reports[1].workflow
    assert (nested.start_time, nested.end_time) == times[1]
    again = workflow.resume("r", store)
    assert (again.start_time, again.end_time) == (report.start_time, report.end_time)
    assert again.start_time <= times[0][0]


def in_doubt(verify=None, **options):
    """A store whose run died while its second step was at work, the effects so far, and how to build it again."""
    effects = Effects()

    def build():
        return Workflow(
            "w", [effects.step("a"), effects.step("b", verify=verify), effects.step("c")], **options
        )

    store = DyingStore(3)
    assert run_until_death(build(), store) is None
    assert effects == ["a", "b"]
    return store, effects, build


@pytest.mark.guarantee("G3")
def test_a_step_in_doubt_is_run_again_without_verify():
    """Its context tells that it is the second attempt."""
    attempts = []

    def run(ctx):
        attempts.append(ctx.attempt)

    workflow = Workflow("w", [Step("a", run=run)])
    store = DyingStore(2)
    run_until_death(workflow, store)
    store.at = store.writes + 2
    with pytest.raises(Died):
        workflow.resume("r", store)
    store.at = 0
    workflow.resume("r", store)
    assert attempts == [1, 2, 3]


def test_verify_that_says_done_spares_the_step():
    """The step counts as done, with a remark; what verify set in the state is kept; the run goes on."""

    def verify(ctx):
        ctx.shared["found"] = True
        return True

    store, effects, build = in_doubt(verify)
    report = build().resume("r", store)
    assert effects == ["a", "b", "c"]
    assert report.outcome is Outcome.SUCCEEDED
    assert report.step_reports[1].detail == "verified: it was done before the run was resumed"
    assert str(build().resume("r", store)) == str(report)


def test_verify_that_says_not_done_runs_the_step():
    """What verify changed in the state does not stay."""

    def verify(ctx):
        ctx.shared["found"] = True
        ctx.local["found"] = True
        return False

    store, effects, build = in_doubt(verify)
    report = build().resume("r", store)
    assert effects == ["a", "b", "b", "c"]
    assert report.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("answer", [None, "perhaps", ZeroDivisionError("no connection")])
def test_a_step_in_doubt_does_not_block_the_undoing_of_the_others(answer):
    """Where verify cannot tell, the step has failed with an unknown outcome: it is undone, and so are the others."""

    def verify():
        if isinstance(answer, Exception):
            raise answer
        return answer

    store, effects, build = in_doubt(verify)
    effects.append("died")
    report = build().resume("r", store)
    assert effects == ["a", "b", "died", "-b", "-a"] or effects == ["a", "b", "died", "-a"]
    assert report.outcome in {Outcome.UNDONE, Outcome.NEEDS_ATTENTION}
    assert isinstance(report.error, UnknownOutcomeError)
    assert report.step_reports[1].detail == "unknown"
    if isinstance(answer, Exception):
        assert report.error.__cause__ is answer
    assert str(build().resume("r", store)) == str(report)


def test_an_async_verify():
    """verify may be async, in an async resume."""
    effects = Effects()

    async def verify():
        await asyncio.sleep(0)
        return True

    def build():
        return Workflow("w", [effects.step("a"), Step("b", run=lambda: effects.append("b"), verify=verify)])

    store = DyingStore(3)
    with pytest.raises(Died):
        asyncio.run(build().start_async(run_id="r", store=store))
    store.at = 0
    with pytest.raises(AsyncStepError, match="resume it with resume_async"):
        build().resume("r", store)
    report = asyncio.run(build().resume_async("r", store))
    assert effects == ["a", "b"]
    assert report.outcome is Outcome.SUCCEEDED


def test_a_run_that_is_not_there():
    """It is started, as the specification has it, unless that is declined."""
    effects = Effects()
    workflow = Workflow("w", [effects.step("a")])
    store = MemoryStore()
    with pytest.raises(RunNotFoundError, match="there is no run 'r'"):
        workflow.resume("r", store, missing="error")
    report = workflow.resume("r", store, state={"n": 1})
    assert (effects, report.outcome, report.run_id) == (["a"], Outcome.SUCCEEDED, "r")


@pytest.mark.guarantee("G2")
def test_a_run_that_has_ended_is_not_touched():
    """Its report comes back, again and again, without a write or a call."""
    effects = Effects()
    workflow = Workflow("w", [effects.step("a"), effects.step("b", fails=True)])
    store = DyingStore()
    report = workflow.start(run_id="r", store=store)
    writes, done = store.writes, list(effects)
    assert str(workflow.resume("r", store)) == str(workflow.resume("r", store)) == str(report)
    assert (store.writes, effects) == (writes, done)


class Stop(BaseException):
    """Stops a program, like KeyboardInterrupt."""


@pytest.mark.guarantee("G9", "G10")
@pytest.mark.cancellation("C20")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), Stop("by hand")])
def test_an_interruption_suspends_a_journaled_run(error):
    """The step in flight is unknown, nothing is undone, the interruption goes on, and the run can be resumed."""
    effects = Effects()
    interrupts = [error]

    def run():
        effects.append("b")
        if interrupts:
            raise interrupts.pop()

    def build():
        inner = Workflow("in", [Step("b", run=run)])
        return Workflow("w", [effects.step("a"), inner, effects.step("c")])

    ended = []

    class Keeps:
        def on_record(self, record):
            if hasattr(record, "report") and not isinstance(record, Answered):
                ended.append(record.report)

    store = MemoryStore()
    with pytest.raises(type(error)):
        build().start(run_id="r", store=store, observers=[Keeps()])
    (report,) = ended
    assert report.outcome is Outcome.SUSPENDED
    assert report.own_error is error
    assert [info.status for info in store.runs()] == ["suspended"]
    nested = report.step_reports[1]
    assert (nested.step_id, nested.status) == ("in", Status.UNDEFINED)
    assert [(each.step_id, each.detail) for each in nested.workflow.step_reports] == [("b", "unknown")]
    report = build().resume("r", store)
    assert effects == ["a", "b", "b", "c"]
    assert report.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_interruption_rolls_back_where_that_is_asked_for(error):
    """The journal tells of it, and a resume of the ended run does not interrupt anybody again."""
    effects = Effects()

    def run():
        raise error

    workflow = Workflow("w", [effects.step("a"), Step("b", run=run, undo=lambda: effects.append("-b"))])
    store = MemoryStore()
    with pytest.raises(type(error)):
        workflow.start(run_id="r", store=store, on_cancel="rollback")
    assert effects == ["a", "-b", "-a"]
    report = workflow.resume("r", store)
    assert report.outcome is Outcome.UNDONE
    assert isinstance(report.error, type(error))


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("at", [0, 3, 4, 5])
async def test_a_cancellation_between_two_steps_is_recorded(at):
    """A way back that began without a failed step is gone again by a resume, also after a death on it."""
    effects = Effects()
    inside, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def waits(ctx):
        loop.call_soon_threadsafe(inside.set)
        go_on.wait(60)
        effects.append("b")

    def build():
        return Workflow(
            "w",
            [effects.step("a"), Step("b", run=waits, undo=lambda: effects.append("-b")), effects.step("c")],
        )

    store = DyingStore(at)
    task = asyncio.create_task(build().start_async(run_id="r", store=store, on_cancel="rollback"))
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises((asyncio.CancelledError, Died)):
        await task
    store.at = 0
    report = await build().resume_async("r", store)
    assert effects[:2] == ["a", "b"]
    assert "c" not in effects or at == 3  # then the cancellation has died with the process
    if at != 3:
        assert report.outcome is Outcome.UNDONE
        assert type(report.error).__name__ == "CancelledError"
        assert list(dict.fromkeys(effects)) == ["a", "b", "-b", "-a"]
    assert str(await build().resume_async("r", store)) == str(report)


@pytest.mark.cancellation("C21")
async def test_a_cancelled_task_suspends():
    """Cancelling a journaled start_async stops it where it is; cancelled during the way back, that goes to its end."""
    effects = Effects()
    inside = asyncio.Event()

    async def waits():
        effects.append("b")
        inside.set()
        await asyncio.sleep(60)

    workflow = Workflow("w", [effects.step("a"), Step("b", run=waits)])
    store = MemoryStore()
    task = asyncio.create_task(workflow.start_async(run_id="r", store=store))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert effects == ["a", "b"]
    report = await workflow.rollback_async("r", store, note="given up")
    assert effects == ["a", "b", "-a"]
    assert report.outcome is Outcome.UNDONE
    assert "given up" in str(report.error)


@pytest.mark.guarantee("G4")
def test_rollback_of_a_run_that_died():
    """The step in doubt is undone first, as of unknown outcome, then the others."""
    store, effects, build = in_doubt(mode="stop")
    effects_before = list(effects)

    def undo_of_b():
        effects.append("-b")

    workflow = build()
    workflow.steps[1].undo(undo_of_b)  # the test's own undo asserts state that a step in doubt has not left
    report = workflow.rollback("r", store, note="by hand")
    assert effects == [*effects_before, "-b", "-a"]
    assert report.outcome is Outcome.UNDONE
    assert isinstance(report.error, RollbackRequested)
    assert str(report.error) == "by hand"
    assert str(workflow.resume("r", store)) == str(report)
    with pytest.raises(RunRequestError, match="undone already"):
        workflow.rollback("r", store)


@pytest.mark.guarantee("G2", "G4", "G8")
@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("after", [False, True])
def test_a_death_while_a_finished_run_is_rolled_back(at, after):
    """The way back that an operator asked for goes on where it was."""
    effects = Effects()

    def build():
        return Workflow("w", [effects.step("a"), Workflow("in", [effects.step("x")]), effects.step("b")])

    store = DyingStore()
    build().start(run_id="r", store=store)
    effects.clear()
    store.at, store.after = store.writes + at, after
    try:
        report = build().rollback("r", store, note="recalled")
    except Died:
        store.at = 0
        before = list(effects)
        report = build().resume("r", store)
        if at == 1 and not after:
            assert report.outcome is Outcome.SUCCEEDED
            return
        again = effects[len(before) :]
        whole = ["-b", "-x", "-a"]
        assert again in (whole[len(before) :], whole[max(0, len(before) - 1) :])
    assert report.outcome is Outcome.UNDONE
    assert str(report.error) == "recalled"


def needs_attention(rollback_mode="continue"):
    """A run whose undos of x, in a nested workflow, and of b have failed."""
    effects = Effects()
    healed = set()

    def build():
        inner = Workflow(
            "in",
            [effects.step("w"), effects.step("x", undo_fails="x" not in healed), effects.step("y")],
        )
        return Workflow(
            "w",
            [
                effects.step("a"),
                inner,
                effects.step("b", undo_fails="b" not in healed),
                effects.step("c", fails=True),
            ],
            rollback_mode=rollback_mode,
        )

    store = MemoryStore()
    report = build().start(run_id="r", store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    return store, effects, healed, build


@pytest.mark.guarantee("G4", "G10")
def test_failed_undos_are_retried_or_marked():
    """Each leaves a record; the run needs attention until the last is seen to; nothing else is undone again."""
    store, effects, healed, build = needs_attention()
    assert effects[6:] == ["-c", "-b", "-y", "-x", "-w", "-a"]
    assert len(build().resume("r", store).rollback_errors) == 2
    effects.append("|")
    report = build().retry_undo("r", "b", store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    healed.add("b")
    report = build().retry_undo("r", "b", store, note="repaired")
    assert effects[effects.index("|") :] == ["|", "-b", "-b"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    report = build().mark_undone("r", "in/x", store, note="removed by hand")
    assert report.outcome is Outcome.UNDONE
    assert effects[-1] == "-b"
    assert "marked as undone: removed by hand" in str(report)
    assert report.remaining.not_undone == ()
    assert len(report.rollback_errors) == 3
    assert str(report.error) == "c"
    assert str(build().resume("r", store)) == str(report)


@pytest.mark.guarantee("G4")
def test_a_retried_undo_lets_the_rest_go_on():
    """With rollback_mode stop a failed undo holds the others up; once it is seen to they are undone."""
    store, effects, healed, build = needs_attention("stop")
    assert effects[6:] == ["-c", "-b"]
    healed |= {"b", "x"}
    effects.append("|")
    report = build().mark_undone("r", "b", store, note="done")
    assert effects[effects.index("|") + 1 :] == ["-y", "-x", "-w", "-a"]
    assert report.outcome is Outcome.UNDONE


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("a", "the undo of step 'a' has not failed (those that have: in/x, b)"),
        ("in", "the undo of step 'in' has not failed"),
        ("none", "it has no step 'none'"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(step, message):
    """The message names the steps for which it would fit; nothing is recorded."""
    store, _, _, build = needs_attention()
    entries = store.load("w", "r")
    with pytest.raises(RunRequestError) as raised:
        build().retry_undo("r", step, store)
    assert message in str(raised.value)
    with pytest.raises(RunRequestError):
        build().mark_undone("r", step, store, note="n")
    assert store.load("w", "r") == entries
    assert [info.is_owned for info in store.runs()] == [False]


def test_a_request_for_a_run_that_has_not_ended_is_refused():
    """It has to be resumed first."""
    store, _, build = in_doubt()
    with pytest.raises(RunRequestError, match="has not ended: resume it first"):
        build().retry_undo("r", "a", store)


def test_a_request_that_the_workflow_cannot_replay_is_not_recorded():
    """Where the records do not fit the workflow, nothing is recorded, and the run is not owned any more."""
    effects = Effects()
    store = MemoryStore()
    Workflow("w", [effects.step("a")]).start(run_id="r", store=store)
    entries = store.load("w", "r")
    changed = Workflow("w", [effects.step("a", prepare=lambda: None)])
    with pytest.raises(JournalError, match="does not fit the workflow"):
        changed.rollback("r", store)
    assert store.load("w", "r") == entries
    assert [(info.status, info.is_owned) for info in store.runs()] == [("succeeded", False)]
    assert Workflow("w", [effects.step("a")]).rollback("r", store).outcome is Outcome.UNDONE


def test_an_observer_that_breaks_a_resume_does_not_keep_the_run():
    """Whatever ends a resume before it has begun, the run can be taken by the next."""

    class Interrupts:
        def resumed(self, history):
            raise KeyboardInterrupt

        def on_record(self, record):
            pass

    store, effects, build = in_doubt()
    with pytest.raises(KeyboardInterrupt):
        build().resume("r", store, observers=[Interrupts()])
    assert build().resume("r", store).outcome is Outcome.SUCCEEDED
    assert effects == ["a", "b", "b", "c"]


@dataclasses.dataclass
class Booking:
    number: int
    seats: tuple[str, ...]


class Colour(enum.Enum):
    RED = "red"


class Model:
    """Looks like a pydantic model."""

    def model_dump(self, mode):
        assert mode == "json"
        return {"a": 1}


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        (Booking(7, ("1A", "1B")), {"number": 7, "seats": ["1A", "1B"]}),
        (Colour.RED, "red"),
        (Model(), {"a": 1}),
        ({"list": [Booking(1, ())]}, {"list": [{"number": 1, "seats": []}]}),
        ((1, 2), [1, 2]),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_results_are_kept_as_json(result, kept):
    """Undo and later steps see a result as the journal keeps it, in the first process as in a later one."""
    seen = []
    workflow = Workflow(
        "w",
        [
            Step("a", run=lambda: result, undo=lambda ctx: seen.append(ctx.result)),
            Step("b", run=lambda ctx: seen.append(ctx.results["a"]) or 1 / 0),
        ],
    )
    store = MemoryStore()
    workflow.start(run_id="r", store=store)
    assert seen == [kept, kept]
    assert workflow.resume("r", store).results == {"a": kept}


def endless():
    value = []
    value.append(value)
    return value


class BadModel:
    def model_dump(self, mode):
        raise RuntimeError("not today")


@pytest.mark.parametrize("result", [object(), {1: 2}, float("nan"), b"bytes", {1, 2}, endless(), BadModel()])
def test_a_result_that_cannot_be_kept_fails_its_step(result):
    """The step has had its effect: its undo runs."""
    effects = Effects()
    step = Step("a", run=lambda: result, undo=lambda: effects.append("-a"))
    report = Workflow("w", [step]).start(store=MemoryStore())
    assert isinstance(report.error, ResultError)
    assert "the result of step a cannot be kept in a journal" in str(report.error)
    assert effects == ["-a"]


@pytest.mark.guarantee("G8")
def test_what_rollback_on_decided_is_not_decided_again():
    """An error of a class that a later process does not know still sends, or does not send, the run back."""

    class Passing(Exception):
        pass

    for rollback_on, outcome in ((Passing, Outcome.UNDONE), (KeyError, Outcome.FAILED)):
        effects = Effects()

        def fails():
            raise Passing("x")

        workflow = Workflow("w", [effects.step("a"), Step("b", run=fails)], rollback_on=rollback_on)
        store = DyingStore(4)
        report = run_until_death(workflow, store) or workflow.resume("r", store)
        assert report.outcome is outcome
        assert workflow.resume("r", store).outcome is outcome


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("at", range(1, 10))
def test_prepare_is_recorded_too(at):
    """What prepares returned or set is there after a death at any write."""
    effects = Effects()

    def root(ctx):
        ctx.shared["root"] = 1
        ctx.metadata["by"] = "root"
        return {"also": [1]}

    def of_step(ctx):
        return {"prepared": ctx.shared["root"] + 1}

    def run(ctx):
        effects.append((ctx.shared["also"], ctx.local["prepared"]))

    def skipped():
        raise Skip("not today")

    def build():
        return Workflow(
            "w",
            [
                Step("a", run=run, prepare=of_step),
                Workflow("in", [Step("x", run=run, prepare=of_step)], prepare=root),
                Step("s", prepare=skipped),
            ],
            prepare=root,
        )

    store = DyingStore(at)
    report = run_until_death(build(), store) or build().resume("r", store)
    assert set(map(str, effects)) == {"([1], 2)"}
    assert report.outcome is Outcome.SUCCEEDED
    assert report.metadata == {"by": "root"}
    assert [str(each.status) for each in report.step_reports] == ["SUCCESS", "SUCCESS", "SKIPPED"]
    assert str(build().resume("r", store)) == str(report)


@pytest.mark.parametrize(("error", "outcome"), [(Skip("no need"), "succeeded"), (ValueError("no"), "undone")])
def test_a_prepare_of_the_workflow_that_ends_the_run(error, outcome):
    """Skipped or failed, the run ends the same when it is read again."""

    def prepare():
        raise error

    workflow = Workflow("w", [Step("a")], prepare=prepare)
    store = MemoryStore()
    report = workflow.start(run_id="r", store=store)
    assert report.outcome == outcome
    assert str(workflow.resume("r", store)) == str(report)
    nested = Workflow("outer", [workflow])
    report = nested.start(run_id="n", store=store)
    assert str(nested.resume("n", store)) == str(report)


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("at", range(1, 7))
def test_without_snapshots_undos_see_what_undos_have_changed(at):
    """What an undo changed in the state is there for the undos before it, also after a death."""
    seen = []

    def undo(ctx):
        seen.append(sorted(ctx.shared))
        ctx.shared[f"undone-{ctx.step_id}"] = 1

    def build():
        steps = [Step(name, run=lambda ctx: ctx.shared.update({ctx.step_id: 1}), undo=undo) for name in "ab"]
        return Workflow("w", [*steps, Step("c", run=lambda: 1 / 0)], snapshots=False)

    store = DyingStore(at, after=True)
    run_until_death(build(), store) or build().resume("r", store)
    assert seen[-1] == ["a", "b", "undone-b"]


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        ("retain", {"ok", "undone", "failed", "attention"}),
        ("delete_on_success", {"undone", "failed", "attention"}),
        ("delete_on_done", {"attention"}),
    ],
)
def test_retention(retention, kept):
    """A journal is deleted once its run has ended as the policy says; one that needs attention never."""
    store = MemoryStore()
    effects = Effects()
    fails, undo_fails = effects.step("f", fails=True), effects.step("u", undo_fails=True)
    for name, steps, mode in (
        ("ok", [], "rollback"),
        ("undone", [fails], "rollback"),
        ("failed", [fails], "stop"),
        ("attention", [undo_fails, fails], "rollback"),
    ):
        Workflow("w", steps, mode=mode, retention=retention).start(run_id=name, store=store)
    assert {info.run_id for info in store.runs()} == kept


def test_what_was_to_be_deleted_is_deleted_by_the_next_resume():
    """A process that died between the end of a run and the deletion of its journal leaves it to the next one."""

    class DiesBeforeDeletion(MemoryStore):
        def give_back(self, lease, key, *, delete=False):
            super().give_back(lease, key)
            if delete:
                raise Died

    store = DiesBeforeDeletion()
    workflow = Workflow("w", [Step("a")], retention="delete_on_success")
    with pytest.raises(Died):
        workflow.start(run_id="r", store=store)
    store.give_back = lambda lease, key, delete=False: MemoryStore.give_back(store, lease, key, delete=delete)
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert list(store.runs()) == []


def test_a_deletion_that_fails_does_not_hide_the_report():
    """The run has ended; its journal is deleted another time."""

    class KeepsAll(MemoryStore):
        def give_back(self, lease, key, *, delete=False):
            if delete:
                raise StoreError("read-only")
            super().give_back(lease, key)

    store = KeepsAll()
    report = Workflow("w", [Step("a")], retention="delete_on_success").start(run_id="r", store=store)
    assert report.outcome is Outcome.SUCCEEDED
    assert [info.status for info in store.runs()] == ["succeeded"]


def test_observers_of_a_resumed_run_are_given_its_history():
    """One with a method resumed gets the records so far at once; then all hear what is new."""
    store, _, build = in_doubt()
    heard = []

    class Hears:
        def resumed(self, history):
            heard.append([type(record).__name__ for record in history])

        def on_record(self, record):
            heard.append(type(record).__name__)

    class Breaks:
        def resumed(self, history):
            raise RuntimeError

        def on_record(self, record):
            pass

    build().resume("r", store, observers=[Breaks(), Hears()])
    assert heard == [
        ["Begun", "Started", "Answered", "Started"],
        "Started", "Answered", "Started", "Answered", "Ended",
    ]  # fmt: skip


@pytest.mark.guarantee("G10")
def test_whatever_a_store_raises_stops_the_run():
    """A store of a user's that raises something of its own is an infrastructure error, with its cause."""

    class Broken(MemoryStore):
        def write(self, lease, key, entries, status):
            if key in self._journals:
                raise ZeroDivisionError("broken")
            super().write(lease, key, entries, status)

    effects = Effects()
    report = Workflow("w", [effects.step("a"), effects.step("b")]).start(store=Broken())
    assert effects == ["a"]
    assert report.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert isinstance(report.own_error, StoreError)
    assert isinstance(report.own_error.__cause__, ZeroDivisionError)


@pytest.mark.guarantee("G10")
def test_a_long_chain_of_causes_is_kept_in_short():
    """An error with more causes than can be written is kept with those nearest, and tells of the others."""

    def fails():
        error = ValueError("first")
        for number in range(3_000):
            outer = ValueError(str(number))
            outer.__cause__ = error
            error = outer
        raise error

    store = MemoryStore()
    workflow = Workflow("w", [Step("a", run=fails)])
    assert workflow.start(run_id="r", store=store).outcome is Outcome.UNDONE
    error = workflow.resume("r", store).error
    assert str(error) == "2999"
    for _ in range(99):
        error = error.__cause__
    assert "2901 more causes, the first: first" in str(error)


@pytest.mark.guarantee("G6")
def test_a_journal_that_contradicts_itself_is_refused():
    """Entries that no walk can have made are refused, naming the record that does not fit."""
    store = MemoryStore()
    effects = Effects()
    workflow = Workflow("w", [effects.step("a"), effects.step("b")])
    workflow.start(run_id="r", store=store)
    texts = store._journals["w", "r"]
    texts[2], texts[4] = texts[4], texts[2]
    with pytest.raises(JournalError, match="the journal does not fit the workflow: record 3 tells that"):
        workflow.resume("r", store)


def test_many_runs_share_commits(tmp_path):
    """Many runs at once on one SQLite file all end, with far fewer commits than writes."""
    store = SqliteStore(tmp_path / "runs.db")
    commits = []
    store._connection.set_trace_callback(lambda sql: commits.append(1) if sql == "COMMIT" else None)
    workflow = Workflow("w", [Step(f"s{number}") for number in range(20)])
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(workflow.start(store=store))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.outcome for report in reports] == [Outcome.SUCCEEDED] * 16
    assert len(commits) <= 16 * 21
    assert len(list(store.runs(status="succeeded"))) == 16
    store.close()
