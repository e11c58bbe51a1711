"""What holds for all workflows: the same calls and the same report as the model's, on every driver."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automa import Action, Answered, Ended, Started, Status, Step, StepRegistry, Workflow
from automa.wire import v0, v1
from tests.properties.plans import build_steps, expected, failed_undos, plans, tell

MODES = st.sampled_from(("rollback", "stop", "continue"))
ROLLBACK_MODES = st.sampled_from(("continue", "stop"))


def outcome_of(told, mode):
    if told.status == "SUCCESS":
        return "succeeded"
    if told.is_stopped or any(failed_undos(told.reports)):
        return "needs_attention"
    return "undone" if mode == "rollback" else "failed"


def check(report, calls, steps, mode, rollback_mode):
    model = expected(steps, mode, rollback_mode)
    assert tell(report, calls) == model
    assert report.outcome.value == outcome_of(model, mode)
    failures = [call for call in calls if report.error is not None and str(report.error) == call]
    assert (report.error is None) == (model.status == "SUCCESS")
    assert failures or report.error is None
    for each in report.step_reports:
        assert report.start_time <= each.start_time <= each.end_time <= report.end_time


def prepared_well(report):
    """Whether it tells of a prepare that went well: observers hear of it, the report has what came after."""
    return report.action is Action.PREPARE and report.status is Status.SUCCESS


class Heard:
    """An observer that keeps the records."""

    def __init__(self):
        self.records = []

    def on_record(self, record):
        self.records.append(record)


@settings(max_examples=3000)
@given(plans("sync"), MODES, ROLLBACK_MODES)
def test_sync_runs_match_the_model(steps, mode, rollback_mode):
    """Thousands of random workflows make the model's calls, in its order, and its report."""
    calls = []
    workflow = Workflow("w", build_steps(steps, calls), mode=mode, rollback_mode=rollback_mode)
    check(workflow.start(), calls, steps, mode, rollback_mode)


@settings(max_examples=500)
@given(plans("sync", depth=3), MODES, ROLLBACK_MODES)
def test_runs_that_are_heard_match_the_model_and_the_records_match_the_report(steps, mode, rollback_mode):
    """With an observer the run is the same, and the records tell each answer of the report once, in order."""
    calls, heard = [], Heard()
    workflow = Workflow(
        "w", build_steps(steps, calls), mode=mode, rollback_mode=rollback_mode, observers=[heard]
    )
    report = workflow.start()
    check(report, calls, steps, mode, rollback_mode)
    outer = [
        record.report
        for record in heard.records
        if isinstance(record, Answered) and "/" not in record.path and not prepared_well(record.report)
    ]
    assert outer == report.step_reports
    started = [record.path for record in heard.records if isinstance(record, Started)]
    answered = {record.path for record in heard.records if isinstance(record, Answered)}
    assert set(started) == answered
    assert isinstance(heard.records[-1], Ended)


@pytest.mark.parametrize("flavour", ["sync", "async", "mixed"])
def test_async_runs_match_the_model(flavour):
    """The same on an event loop, with steps that are async, that are not, and with both mixed."""

    @settings(max_examples=400)
    @given(plans(flavour, depth=2), MODES, ROLLBACK_MODES)
    def prove(steps, mode, rollback_mode):
        calls = []
        workflow = Workflow("w", build_steps(steps, calls), mode=mode, rollback_mode=rollback_mode)
        check(asyncio.run(workflow.start_async()), calls, steps, mode, rollback_mode)

    prove()


@settings(max_examples=5000)
@given(plans("sync", depth=4), MODES, ROLLBACK_MODES)
def test_nested_runs_match_the_model(steps, mode, rollback_mode):
    """Workflows nested four deep, with prepares that fail or skip, do in all modes what the specification says."""
    calls = []
    workflow = Workflow("w", build_steps(steps, calls), mode=mode, rollback_mode=rollback_mode)
    report = workflow.start()
    check(report, calls, steps, mode, rollback_mode)
    assert len(set(calls)) == len(calls)  # each executed step is undone at most once
    tree = v1.report_to_dict(report)
    assert v1.report_to_dict(v1.report_from_dict(tree)) == tree
    v0.from_json(v0.to_json(report))


@settings(max_examples=200)
@given(plans("sync"))
def test_a_workflow_can_be_started_again(steps):
    """A second run of the same workflow does and reports what the first did."""
    calls = []
    workflow = Workflow("w", build_steps(steps, calls))
    first = tell(workflow.start(), list(calls))
    once = list(calls)
    calls.clear()
    second = tell(workflow.start(), calls)
    assert calls == once
    assert second.reports == first.reports


class Keeps(Step):
    """Keeps the run's id on itself and checks in undo that it is still there."""

    def __init__(self, id, barrier, seen):
        super().__init__(id)
        self.barrier, self.seen = barrier, seen
        self.register_saga(self.work, self.take_back)

    def work(self, ctx):
        self.kept = ctx.run_id
        self.barrier.wait(timeout=30)

    def take_back(self, ctx):
        self.seen.append((ctx.run_id, self.kept))


def test_fifty_concurrent_starts_do_not_disturb_one_another():
    """Bound methods work on the run's own copy: 50 runs at once each see what they alone kept on self."""
    runs, seen, reports = 50, [], []
    barrier = threading.Barrier(runs)
    workflow = Workflow("w", [Keeps("a", barrier, seen), Step("b", run=lambda: 1 / 0)])
    threads = [
        threading.Thread(target=lambda n=n: reports.append(workflow.start(run_id=f"r{n}")))
        for n in range(runs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == runs
    assert all(run_id == kept for run_id, kept in seen)
    assert {report.run_id for report in reports} == {f"r{n}" for n in range(runs)}
    assert all(len(report.step_reports) == 4 for report in reports)
    assert not hasattr(workflow.steps[0], "kept")


async def test_fifty_concurrent_async_starts_do_not_disturb_one_another():
    """The same on one event loop, with every run at its first step at the same moment."""
    seen = []
    everybody = asyncio.Barrier(50)

    class KeepsAsync(Step):
        async def saga_run(self, ctx):
            self.kept = ctx.run_id
            await everybody.wait()

        async def saga_undo(self, ctx):
            seen.append((ctx.run_id, self.kept))

    workflow = Workflow("w", [KeepsAsync("a"), Step("b", run=lambda: 1 / 0)])
    reports = await asyncio.gather(*(workflow.start_async(run_id=f"r{n}") for n in range(50)))
    assert len(seen) == 50
    assert all(run_id == kept for run_id, kept in seen)
    assert all(report.status is Status.FAILED for report in reports)


def test_two_workflows_of_one_registry_do_not_rewire_one_another():
    """Building a second workflow from a registry leaves the first one's order as it was."""
    calls = []
    registry = StepRegistry().register(*(Step(id, run=lambda id=id: calls.append(id)) for id in "abc"))
    forward = registry.build_workflow("forward", ["a", "b", "c"])
    backward = registry.build_workflow("backward", ["c", "b", "a"])
    forward.start()
    backward.start()
    forward.start()
    assert calls == [*"abc", *"cba", *"abc"]
    assert all(registry.get_step(id).next is None for id in "abc")


def test_a_hundred_thousand_steps_forward_and_back():
    """Handing over needs no recursion: 100,000 steps run and are undone."""
    undone = []
    count = 100_000
    steps = [
        Step(str(n), run=lambda: None, undo=lambda ctx: undone.append(ctx.step_id)) for n in range(count)
    ]
    report = Workflow("w", [*steps, Step("last", run=lambda: 1 / 0)]).start()
    assert undone == [str(n) for n in reversed(range(count))]
    assert len(report.step_reports) == 2 * (count + 1)
