"""Conditions, what cannot be undone by its nature, and what a step has really done outside."""

from __future__ import annotations

import asyncio

import pytest

from automa import (
    Action,
    Effect,
    JournalError,
    Outcome,
    Secret,
    StateError,
    Status,
    Step,
    StoreError,
    Workflow,
    WorkflowDefinitionError,
    step,
)
from automa.stores import MemoryStore
from tests.durable.crashes import DyingStore, run_until_death
from tests.unit.traces import WAYS, fails, start

# Conditions


def is_wanted(ctx):
    return ctx.shared.get("wanted", False)


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_whose_condition_is_false_is_skipped(trace, way, store):
    """It is neither run nor undone; its report names the condition."""
    steps = [trace.step("a"), trace.step("b", when=is_wanted), trace.step("c", fails)]
    report = start(Workflow("w", steps), way, store=store)
    assert trace.calls == ["run a", "run c", "undo c", "undo a"]
    skipped = report.step_reports[1]
    assert skipped.status is Status.SKIPPED
    assert skipped.detail == "is_wanted is false"
    assert report.remaining.not_undone == ()


@pytest.mark.parametrize("way", WAYS)
def test_a_step_whose_condition_is_true_is_run(trace, way):
    """Whatever is true in Python will do."""
    steps = [trace.step("a", when=is_wanted), trace.step("b", when=lambda: [0])]
    start(Workflow("w", steps), way, state={"wanted": 1})
    assert trace.calls == ["run a", "run b"]


def test_a_condition_without_a_name_is_told_of_all_the_same(trace):
    """The detail of a lambda speaks of its condition."""
    report = Workflow("w", [trace.step("a", when=lambda: 0)]).start()
    assert report.step_reports[0].detail == "its condition is false"


@pytest.mark.parametrize("way", WAYS)
def test_a_condition_is_asked_before_the_prepare(trace, way):
    """Where the condition is false the prepare is not called either."""
    prepared = []
    steps = [trace.step("a", when=lambda: False, prepare=lambda: prepared.append(1))]
    start(Workflow("w", steps), way)
    assert prepared == []


class NeverTold:
    """Neither true nor false."""

    def __bool__(self):
        raise LookupError("who knows")


@pytest.mark.parametrize("store", [None, "memory:"])
@pytest.mark.parametrize("when", [fails, lambda: NeverTold()])
@pytest.mark.parametrize("way", WAYS)
def test_a_condition_that_raises_fails_the_step(trace, way, when, store):
    """Where nobody can tell, the step has failed without having been run: the others are undone."""
    steps = [trace.step("a"), trace.step("b", when=when)]
    report = start(Workflow("w", steps), way, store=store)
    assert trace.calls == ["run a", "undo a"]
    assert report.outcome is Outcome.UNDONE
    assert isinstance(report.error, ValueError | LookupError)


def test_a_condition_that_is_interrupted_interrupts_the_run(trace):
    """Ctrl-C in a condition: the step is not run, the others are undone, and it is raised again."""

    def when():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [trace.step("a"), trace.step("b", when=when)]).start()
    assert trace.calls == ["run a", "undo a"]


def test_an_async_condition(trace):
    """A condition may be async; then the workflow is."""

    async def when(ctx):
        await asyncio.sleep(0)
        return ctx.shared["wanted"]

    workflow = Workflow("w", [trace.step("a", when=when)])
    assert workflow.definition.async_steps == ["a"]
    assert start(workflow, "async", state={"wanted": True}).outcome is Outcome.SUCCEEDED
    start(workflow, "async", state={"wanted": False})
    assert trace.calls == ["run a"]


@pytest.mark.parametrize("answer", [True, False])
def test_what_a_condition_changes_in_the_state_is_dropped(trace, answer):
    """A condition only asks: what it sets is seen neither by its step nor by the next."""
    seen = []

    def when(ctx):
        ctx.shared["asked"] = ctx.local["asked"] = True
        return answer

    def look(ctx):
        seen.append((dict(ctx.shared), dict(ctx.local)))

    Workflow("w", [trace.step("a", look, when=when), trace.step("b", look)]).start()
    assert seen == [({}, {})] * (2 if answer else 1)


def test_a_condition_by_decorator(trace):
    """A step made by `@step` takes its condition by a decorator."""

    @step
    def pay():
        trace.calls.append("pay")

    @pay.when
    def is_due(ctx):
        return ctx.shared["due"]

    assert is_due.__name__ == "is_due"
    Workflow("w", [pay]).start({"due": False})
    Workflow("w", [pay]).start({"due": True})
    assert trace.calls == ["pay"]


def test_a_subclass_may_have_a_condition(trace):
    """A method ``saga_when`` is the condition; one named ``when`` would hide the decorator."""

    class Careful(Step):
        wanted = False

        def saga_run(self, ctx):
            trace.calls.append("run")

        def saga_when(self, ctx):
            return self.wanted

    Workflow("w", [Careful("a")]).start()
    assert trace.calls == []
    with pytest.raises(WorkflowDefinitionError, match="saga_when"):
        type("Hides", (Step,), {"when": lambda self: True})


@pytest.mark.guarantee("G2", "G8")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("answer", ["true", "false", "raises"])
def test_a_death_around_a_condition(trace, answer, at, after):
    """A condition whose answer was recorded is not asked again with another outcome."""

    def when():
        return fails() if answer == "raises" else answer == "true"

    steps = [trace.step("a"), trace.step("b", when=when), trace.step("c", fails)]
    store, workflow = DyingStore(at, after=after), Workflow("w", steps)
    report = run_until_death(workflow, store) or workflow.resume("r", store)
    assert ("run b" in trace.calls) is (answer == "true")
    assert ("undo b" in trace.calls) is (answer == "true")
    assert report.outcome is Outcome.UNDONE
    assert str(workflow.resume("r", store)) == str(report)


def test_a_rollback_of_a_run_that_died_before_a_condition(trace):
    """Rolled back instead of resumed, the next step's condition is not asked."""
    asked = []
    store = DyingStore(2, after=True)  # the answer of a is written, for the condition to be asked
    steps = [trace.step("a"), trace.step("b", when=lambda: asked.append(1) or True)]
    workflow = Workflow("w", steps)
    run_until_death(workflow, store)
    assert workflow.rollback("r", store, note="no more").outcome is Outcome.UNDONE
    assert trace.calls == ["run a", "undo a"]
    assert asked == []
    assert str(workflow.resume("r", store)) == str(workflow.resume("r", store))


# What cannot be undone by its nature


def test_an_irreversible_step_with_an_undo_is_refused():
    """One says that there is no undo, the other that there is one."""
    with pytest.raises(WorkflowDefinitionError, match="irreversible"):
        Step("a", run=list, undo=list, irreversible=True)
    mail = Step("a", run=list, irreversible=True)
    with pytest.raises(WorkflowDefinitionError, match="irreversible"):
        mail.undo(list)


@pytest.mark.parametrize("store", [None, MemoryStore])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_irreversible_is_left(trace, way, store):
    """A run that went back tells that the irreversible step stands, with its effects."""

    def mail(ctx):
        ctx.record_effect("mail", "17")

    def pay(ctx):
        ctx.record_effect("payment", "4")

    steps = [trace.step("mail", mail, irreversible=True), trace.step("pay", pay), trace.step("c", fails)]
    store = store and store()
    workflow = Workflow("w", steps)
    report = start(workflow, way, store=store, run_id="r")
    assert trace.calls == ["run mail", "run pay", "run c", "undo c", "undo pay"]
    assert report.outcome is Outcome.UNDONE
    assert report.remaining.not_undone == ("mail",)
    assert [(effect.kind, effect.ref) for effect in report.effects] == [("mail", "17")]
    assert report.step_reports[-1].is_irreversible
    if store is not None:
        again = workflow.resume("r", store)
        assert (again.remaining, again.effects) == (report.remaining, report.effects)


def test_an_irreversible_step_in_a_nested_workflow_is_left(trace):
    """It is told by its path."""
    inner = Workflow("inner", [trace.step("mail", irreversible=True), trace.step("x")])
    report = Workflow("w", [inner, trace.step("c", fails)]).start()
    assert report.outcome is Outcome.UNDONE
    assert trace.calls[-1] == "undo x"
    nested = report.step_reports[-1].workflow
    assert nested.step_reports[-1].is_irreversible
    assert report.remaining.not_undone == ("inner/mail",)


def test_a_step_that_became_irreversible_is_refused_on_resume(trace):
    """What cannot be undone is part of what a run was begun with."""
    store = MemoryStore()

    def interrupts():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [Step("a", run=list), Step("b", run=interrupts)]).start(run_id="r", store=store)
    changed = Workflow("w", [Step("a", run=list, irreversible=True), Step("b", run=list)])
    with pytest.raises(JournalError, match="was plain, and is irreversible"):
        changed.resume("r", store)


# What was really done outside


class DiesInside(MemoryStore):
    """Notes what is written, and cannot write an effect where that is asked for."""

    def __init__(self, fails=False):
        super().__init__()
        self.fails, self.written = fails, []

    def write(self, lease, key, entries, status):
        if self.fails and any("effect" in entry for entry in entries):
            raise StoreError("disk full")
        super().write(lease, key, entries, status)
        self.written += entries


@pytest.mark.parametrize("way", WAYS)
def test_an_effect_is_durable_when_it_is_told(trace, way):
    """When `record_effect` returns, the effect is in the journal, and observers have heard of it."""
    store = DiesInside()

    def run(ctx):
        ctx.record_effect("payment", "4", amount=12)
        trace.calls.append([entry["ref"] for entry in store.written if entry.get("effect")])
        trace.calls.append([each.ref for each in trace.records if isinstance(each, Effect)])

    report = start(Workflow("w", [trace.step("a", run)], observers=[trace]), way, store=store)
    assert trace.calls == ["run a", ["4"], ["4"]]
    (effect,) = report.effects
    assert (effect.path, effect.action, effect.data) == ("a", Action.RUN, {"amount": 12})


@pytest.mark.guarantee("G9")
@pytest.mark.parametrize("after", [False, True])
def test_an_effect_survives_a_death_right_after_it(trace, after):
    """The process dies in `record_effect`: once written, the effect is in the report of the resumed run."""

    def run(ctx):
        if not trace.calls[1:]:
            ctx.record_effect("payment", "first")
        ctx.record_effect("payment", "second")

    store = DyingStore(2, after=after)
    workflow = Workflow("w", [trace.step("a", run)])
    assert run_until_death(workflow, store) is None
    report = workflow.resume("r", store)
    assert [effect.ref for effect in report.effects] == (["first", "second"] if after else ["second"])
    assert workflow.resume("r", store).effects == report.effects


def test_a_deferred_effect_is_written_with_the_answer(trace):
    """With ``defer`` nothing is written before the step has answered; then it is there."""
    store = DiesInside()

    def run(ctx):
        ctx.record_effect("payment", "4", defer=True, amount=1)
        trace.calls.append(len(store.written))

    workflow = Workflow("w", [trace.step("a", run)])
    report = workflow.start(run_id="r", store=store)
    assert trace.calls == ["run a", 2]
    assert [effect.ref for effect in report.effects] == ["4"]
    assert workflow.resume("r", store).effects == report.effects
    assert [each["ref"] for entry in store.written for each in entry.get("effects", [])] == ["4"]


def test_the_same_effect_told_twice_is_one(trace):
    """One of the same kind and ref takes the place of the earlier; others stay beside it."""

    def run(ctx):
        ctx.record_effect("payment", "4", amount=1)
        ctx.record_effect("refund", "4")
        ctx.record_effect("payment", "4", amount=2)

    report = Workflow("w", [trace.step("a", run)]).start()
    assert sorted((each.kind, each.data.get("amount")) for each in report.effects) == [
        ("payment", 2),
        ("refund", None),
    ]


def test_an_effect_keeps_the_values_that_it_had(trace):
    """What the caller changes afterwards in a list that it gave is not changed in the effect."""

    def run(ctx):
        parts = [1]
        ctx.record_effect("payment", "4", parts=parts)
        parts.append(2)

    report = Workflow("w", [trace.step("a", run)]).start()
    assert report.effects[0].data == {"parts": [1]}


@pytest.mark.parametrize(
    ("kind", "ref", "data", "message"),
    [
        (3, "4", {}, "kind"),
        ("payment", 4, {}, "ref"),
        ("payment", "4", {"at": object()}, "at"),
        ("payment", "4", {"x": {"y": {1, 2}}}, "y"),
        ("payment", "4", {"x": float("nan")}, "x"),
    ],
)
def test_what_is_not_json_is_refused(trace, kind, ref, data, message):
    """Kind and ref are texts, data are JSON values: anything else is an error where it is told."""
    report = Workflow("w", [trace.step("a", lambda ctx: ctx.record_effect(kind, ref, **data))]).start()
    assert isinstance(report.error, StateError)
    assert message in str(report.error)
    assert report.effects == []


def test_a_secret_is_refused_where_it_would_be_written(trace):
    """In a journaled run an effect with a secret in it is refused, in its ref or in its data."""
    Secret("hunter4hunter4")
    store = DiesInside()
    for ref, data in (("hunter4hunter4", {}), ("4", {"token": "is hunter4hunter4"})):
        workflow = Workflow("w", [trace.step("a", lambda ctx, r=ref, d=data: ctx.record_effect("k", r, **d))])
        report = workflow.start(store=store)
        assert isinstance(report.error, StateError)
    assert "hunter4" not in str(store.written)


@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_fails_inside_stops_the_run(trace, way):
    """`record_effect` raises; whatever the step makes of that, no further step starts, and nothing is undone."""

    def run(ctx):
        with pytest.raises(StoreError, match="disk full"):
            ctx.record_effect("payment", "4")

    steps = [trace.step("a", run), trace.step("b")]
    report = start(Workflow("w", steps), way, store=DiesInside(fails=True))
    assert trace.calls == ["run a"]
    assert report.outcome is Outcome.INFRASTRUCTURE_ERROR


def test_an_undo_may_tell_of_effects_too(trace):
    """Those of an undo are in the report of its action, not among what the run has left."""

    def undo(ctx):
        ctx.record_effect("refund", "4")

    workflow = Workflow("w", [trace.step("a", undo=undo), trace.step("b", fails)])
    store = MemoryStore()
    report = workflow.start(run_id="r", store=store)
    assert [effect.ref for effect in report.step_reports[-1].effects] == ["4"]
    assert report.step_reports[-1].effects[0].action is Action.ROLLBACK
    assert report.effects == []
    again = workflow.resume("r", store)
    assert again.step_reports[-1].effects == report.step_reports[-1].effects


@pytest.mark.parametrize("store", [None, "memory:"])
def test_the_report_lists_the_effects_that_stand(trace, store):
    """Those of steps whose undo has failed, of nested workflows too, in the order of time; not the undone ones."""

    def told(ctx):
        ctx.record_effect("effect", ctx.path)

    inner = Workflow("inner", [trace.step("x", told), trace.step("y", told, fails)])
    steps = [trace.step("a", told, fails), inner, trace.step("b", told), trace.step("c", fails)]
    report = Workflow("w", steps).start(store=store)
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert [effect.ref for effect in report.effects] == ["a", "inner/y"]


def test_effects_of_a_run_that_succeeded(trace):
    """All that was told, in order."""

    def told(ctx):
        ctx.record_effect("effect", ctx.path)

    inner = Workflow("inner", [trace.step("x", told)])
    report = Workflow("w", [trace.step("a", told), inner, trace.step("b", told)]).start()
    assert [effect.ref for effect in report.effects] == ["a", "inner/x", "b"]


def test_effects_without_a_journal_are_heard_of_with_the_answer(trace):
    """In memory an observer hears of an effect before it hears of the answer."""
    step = trace.step("a", lambda ctx: ctx.record_effect("k", "r"))
    Workflow("w", [step], observers=[trace]).start()
    kinds = [type(record).__name__ for record in trace.records]
    assert kinds == ["Started", "Effect", "Answered", "Ended"]


def test_a_verify_by_decorator(trace):
    """A step made by `@step` takes what decides about a work that was cut off by a decorator."""

    @step
    def pay():
        trace.calls.append("pay")

    @pay.verify
    def was_paid():
        return True

    assert was_paid() is True
    store, workflow = DyingStore(1, after=True), Workflow("w", [pay])
    assert run_until_death(workflow, store) is None
    assert workflow.resume("r", store).outcome is Outcome.SUCCEEDED
    assert trace.calls == []
