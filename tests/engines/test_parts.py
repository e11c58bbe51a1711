"""What is recorded by an engine's durable steps is the run: whoever has it goes on the same."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automa import Parallel, Retry, Step, Workflow
from automa.stores import MemoryStore
from tests.durable import scenarios
from tests.durable.scenarios import FIRST_STATE, SCENARIOS, Builder, told
from tests.engines.paper import Paper
from tests.properties.plans import all_of, expected, flat, real_plans, tell
from tests.properties.test_real_steps import check, without_conditions, workflow_of
from tests.properties.test_walk import outcome_of

NAMES = sorted(SCENARIOS)


def local(name):
    """Return what a journaled run of a scenario does."""
    effects = []
    workflow = SCENARIOS[name](Builder(lambda *what: effects.append(what)))
    report = scenarios.start(workflow, MemoryStore(), on_cancel="rollback")
    return told(report), effects


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "how", [{}, {"forgets": True}, {"writes_ahead": True}], ids=["kept", "forgotten", "ahead"]
)
def test_a_run_on_an_engine_tells_what_a_local_one_tells(name, how):
    """The report and the effects are those of a local run, whether or not a worker remembers anything."""
    expected, effects = local(name)
    done = []
    paper = Paper(SCENARIOS[name](Builder(lambda *what: done.append(what))), **how)
    report = paper.start(FIRST_STATE)
    assert told(report) == expected
    assert sorted(done) == sorted(effects)


def are_side_by_side(steps):
    """Whether several steps may be at work when a worker dies: all of them are called again."""
    return any(plan.on_failure is not None and plan.limit != 1 for plan, _ in all_of(steps))


@pytest.mark.guarantee("G4", "G8")
@pytest.mark.parametrize("flavour", ["sync", "mixed"])
def test_a_run_on_an_engine_is_the_model_s(flavour):
    """Whatever a workflow is made of, an engine carries it on as the model has it."""

    @settings(max_examples=100)
    @given(real_plans(flavour, depth=2))
    def prove(plan):
        calls = []
        check(Paper(workflow_of(plan, calls)).start(), calls, plan)

    prove()


@pytest.mark.guarantee("G2", "G4", "G8")
@pytest.mark.parametrize("flavour", ["sync", "mixed"])
def test_a_run_that_nobody_remembers_is_the_model_s(flavour):
    """Where each durable step is another worker's, nothing is done twice, and the report is the model's."""

    @settings(max_examples=100)
    @given(real_plans(flavour, depth=2))
    def prove(plan):
        steps, mode, rollback_mode = plan
        calls = []
        report = Paper(workflow_of(plan, calls), forgets=True).start()
        model = expected(steps, mode, rollback_mode)
        assert tell(report, []).reports == model.reports
        assert report.outcome.value == outcome_of(model, mode)
        more = Counter(without_conditions(calls))
        more.subtract(without_conditions(flat(model.calls)))
        assert all(count >= 0 for count in more.values())
        assert are_side_by_side(steps) or not any(more.values())

    prove()


@pytest.mark.guarantee("G2", "G3", "G4", "G8")
@pytest.mark.parametrize("flavour", ["sync", "mixed"])
def test_a_run_whose_workers_die_anywhere_is_the_model_s(flavour):
    """Where a worker dies before its durable step is recorded, that is done once more, and nothing else."""

    @settings(max_examples=150)
    @given(real_plans(flavour, depth=2), st.lists(st.integers(0, 30), max_size=3))
    def prove(plan, deaths):
        steps, mode, rollback_mode = plan
        reference, calls = [], []
        Paper(workflow_of(plan, reference)).start()
        paper = Paper(workflow_of(plan, calls), dies_at=deaths)
        report = paper.start()
        model = expected(steps, mode, rollback_mode)
        assert tell(report, []).reports == model.reports
        assert report.outcome.value == outcome_of(model, mode)
        more = Counter(without_conditions(calls))
        more.subtract(without_conditions(reference))
        assert all(count >= 0 for count in more.values())
        died = [number for number in set(deaths) if number < paper.calls]
        is_literal = any(plan.way == "calls own rollback" for plan, _ in all_of(steps))
        if not are_side_by_side(steps):
            assert sum(more.values()) <= len(died) * (2 if is_literal else 1)

    prove()


def test_a_wait_on_the_way_back_is_told_from_one_on_the_way_forward():
    """What a cancellation may cut short is the wait before another run; not the one before another undo."""
    calls = []

    def fails_twice(name):
        calls.append(name)
        if calls.count(name) <= 2:
            raise OSError(name)

    def refuse():
        raise ValueError

    retry = Retry(3, initial=1)
    again = Step(
        "a", run=lambda: fails_twice("a"), undo=lambda: fails_twice("b"), retry=retry, undo_retry=retry
    )
    workflow = Workflow("w", [again, Step("c", run=refuse)])
    paper = Paper(workflow)
    assert paper.start().outcome == "undone"
    assert paper.protected == [False, False, True, True]


@pytest.mark.parametrize("forgets", [False, True], ids=["kept", "forgotten"])
def test_branches_come_after_others(forgets):
    """A fork that has ended lies before another one: of the run, and of a branch."""

    def fork(name):
        return Parallel(name, Step("x", run=lambda: 1), Step("y", run=lambda: 2))

    nested = Workflow("nested", [fork("c"), fork("d")])
    workflow = Workflow("w", [fork("a"), Parallel("b", nested, Step("z", run=lambda: 3))])
    report = Paper(workflow, forgets=forgets).start()
    assert report.outcome == "succeeded"
    assert [each.step_id for each in report.leaf_reports()] == [*"xyxyxyz"]
