"""Random workflows on an engine that somebody cancels at any moment, and whose workers die at others."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automa import Outcome, RollbackRequested, Step, Workflow
from automa.stores import MemoryStore
from tests.durable.scenarios import told
from tests.engines.paper import Paper
from tests.engines.test_cancelled_parts import cancels_at
from tests.properties.plans import all_of, real_plans
from tests.properties.test_real_steps import workflow_of


def in_a_store(entries, outcome):
    """Return a store that has a run ``r1``, which has ended."""
    store = MemoryStore()
    lease = store.create(entries[0]["workflow"], "r1")
    lease.append(entries, outcome)
    lease.release()
    return store


def paths(steps, prefix=""):
    """Yield plans at any depth, each with its path."""
    for plan in steps:
        yield prefix + plan.id, plan
        yield from paths(plan.steps or [], f"{prefix}{plan.id}/")


def check_ledger(calls, steps, report):
    """Check that nothing is run once it was undone, and that nothing that was run is forgotten."""
    ran = {call.removeprefix("run ") for call in calls if call.startswith("run ")}
    undone = {call.removeprefix("undo ") for call in calls if call.startswith("undo ")}
    for path in ran & undone:
        assert f"run {path}" not in calls[calls.index(f"undo {path}") :]
    if report.outcome is Outcome.UNDONE:
        plans = dict(paths(steps))
        assert {path for path in ran if plans[path].undo != "none"} <= undone


@pytest.mark.guarantee("G2", "G4", "G8")
@pytest.mark.parametrize("flavour", ["sync", "mixed"])
def test_a_run_cancelled_at_any_moment_goes_back(flavour):
    """Whatever was run is undone, whoever cancels and whatever dies; without the engine its journal tells the same."""

    @settings(max_examples=60)
    @given(
        real_plans(flavour, depth=2),
        st.lists(st.integers(0, 30), max_size=3),
        st.integers(0, 25),
        st.booleans(),
    )
    def prove(plan, deaths, cancelled_at, ahead):
        for each, _ in all_of(plan[0]):
            if each.way == "calls own rollback":
                each.way = "overrides"
        calls, again = [], []
        paper = Paper(
            workflow_of(plan, calls),
            dies_at=deaths,
            timing=cancels_at(cancelled_at),
            writes_ahead=ahead,
        )
        report = paper.start()
        check_ledger(calls, plan[0], report)
        if not report.is_stopped:
            store = in_a_store(paper.part.entries, str(report.outcome))
            assert told(asyncio.run(workflow_of(plan, again).resume_async("r1", store))) == told(report)
            assert again == []

    prove()


@pytest.mark.guarantee("G8")
def test_what_was_cancelled_before_its_first_step_is_read_without_the_engine():
    """A run that was cancelled before a plain step is resumed from its store as one that has ended."""
    workflow = Workflow("w", [Step("a", run=lambda: 1)])
    paper = Paper(workflow, timing=cancels_at(0), writes_ahead=True)
    report = paper.start()
    assert isinstance(report.error, RollbackRequested)
    assert told(workflow.resume("r1", in_a_store(paper.part.entries, "undone"))) == told(report)
