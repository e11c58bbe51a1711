"""What a plan tells is what a run does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automa import Outcome, Step, UnknownStepError, Workflow
from tests.properties.plans import all_of, build_steps, real_plans


def leaves_of(steps, prefix=""):
    for plan in steps:
        if plan.steps is None:
            yield prefix + plan.id, plan
        else:
            yield from leaves_of(plan.steps, f"{prefix}{plan.id}/")


@given(real_plans("sync", depth=2), st.integers(0, 1000))
def test_a_plan_tells_what_a_run_does(drawn, number):
    """Whichever step fails, the undos called, their order and the outcome are those of the plan."""
    steps, mode, rollback_mode = drawn
    for plan, _ in all_of(steps):
        plan.prepare, plan.failures, plan.undo_failures, plan.budget = "none", 0, 0, 0
        plan.when = "true" if plan.when == "fail" else plan.when
        plan.run = "ok" if plan.run == "fail" else plan.run
        plan.undo = "ok" if plan.undo == "fail" else plan.undo
        plan.way = "overrides" if plan.way == "calls own rollback" else plan.way
    leaves = dict(leaves_of(steps))
    failing = [path for path, plan in leaves.items() if plan.run == "ok" and plan.when != "false"]
    if not failing:
        return
    path = failing[number % len(failing)]
    leaves[path].run = "fail"
    calls = []
    workflow = Workflow("w", build_steps(steps, calls), mode=mode, rollback_mode=rollback_mode)
    skipped = {path for path, plan in leaves.items() if plan.when == "false"}
    way = workflow.plan().if_fails(path, skipped)
    assert calls == []  # nothing is run by a plan
    report = workflow.start()
    undone = [fate.path for fate in way.undone if leaves[fate.path].undo != "none"]
    assert [call.split()[1] for call in calls if call.startswith("undo ")] == undone
    assert report.outcome is way.outcome
    ran = {call.split()[1] for call in calls if call.startswith("run ")}
    told = {fate.path for fate in (*way.undone, *way.stays)}
    assert {each for each in told if leaves[each].run != "none"} == ran


def test_a_plan_says_what_stays_and_why():
    """What has no undo by nature stays, and the text and the JSON values say so."""
    send = Step("send", run=lambda: 1, irreversible=True)
    plan = Workflow("w", [Step("a", run=lambda: 1, undo=lambda: None), send]).plan()
    assert str(plan).splitlines()[2] == "  if send fails: undone; undone: a; stays: send (irreversible)"
    assert plan.to_dict()["if_fails"][1]["stays"][0]["reason"] == "irreversible"
    assert plan.if_fails("send").outcome is Outcome.UNDONE
    with pytest.raises(UnknownStepError):
        plan.if_fails("b")
