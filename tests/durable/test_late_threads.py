"""A journaled run with a step that took too long in a thread is replayed as it went."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from automa import Outcome, Parallel, Step, Workflow
from automa.durable import load_history
from automa.journal.reading import read
from automa.stores import MemoryStore

LATE = 0.2


def late():
    """Take longer than allowed."""
    time.sleep(LATE)


def undo_late():
    """Give a late thread the time to come to its end meanwhile."""
    time.sleep(2 * LATE)


SHAPES = {
    "alone": lambda step: [step],
    "after another": lambda step: [Step("a", run=lambda: 1, undo=undo_late), step],
    "nested": lambda step: [Step("a", run=lambda: 1, undo=undo_late), Workflow("inner", [step])],
    "branch": lambda step: [
        Step("a", run=lambda: 1, undo=undo_late),
        Parallel("both", step, Step("b", run=lambda: 1)),
    ],
    "branch, nested": lambda step: [Parallel("both", Step("b", run=lambda: 1), Workflow("inner", [step]))],
}


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("grace", [0, 30], ids=["no grace", "grace"])
@pytest.mark.parametrize("is_async", [False, True], ids=["start", "start_async"])
def test_a_late_step_is_replayed(shape, grace, is_async):
    """Whether it was waited for, or came back after its undo: resume and reading tell what the run told."""
    store = MemoryStore()
    step = Step("late", run=late, undo=lambda: None, timeout=0.05)
    workflow = Workflow("w", SHAPES[shape](step), late_grace=grace)
    if is_async:
        report = asyncio.run(workflow.start_async(run_id="r", store=store))
    else:
        report = workflow.start(run_id="r", store=store)
    assert str(workflow.resume("r", store)) == str(report)
    reading = read(load_history(store, "w", "r"))
    assert reading.report.outcome is report.outcome
    assert str(reading.report) == str(report)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_that_stays_at_work_is_replayed(shape):
    """It needs attention, also in what a resume and a reading tell."""
    store, release = MemoryStore(), threading.Event()
    step = Step("stuck", run=release.wait, undo=lambda: None, timeout=0.05)
    workflow = Workflow("w", SHAPES[shape](step), late_grace=0)
    report = workflow.start(run_id="r", store=store)
    release.set()
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert str(workflow.resume("r", store)) == str(report)
    assert read(load_history(store, "w", "r")).report.outcome is Outcome.NEEDS_ATTENTION


@pytest.mark.guarantee("G8")
def test_branches_that_are_late_are_told_in_the_order_of_their_list():
    """Whichever was late first: a replay meets them in that order."""
    store = MemoryStore()
    steps = [
        Step(f"late-{number}", run=late, undo=lambda: None, timeout=0.02 + 0.02 * (3 - number))
        for number in range(4)
    ]
    workflow = Workflow("w", [Parallel("all", *steps)], mode="continue", late_grace=0)
    report = workflow.start(run_id="r", store=store)
    assert str(workflow.resume("r", store)) == str(report)


@pytest.mark.guarantee("G8", "G10")
def test_a_branch_that_was_given_up_is_told_from_one_that_failed():
    """The error of the run stays that of the branch that failed, also where it comes from a journal."""

    async def wait():
        await asyncio.sleep(60)

    async def fail():
        raise ValueError("it has failed")

    store = MemoryStore()
    both = Parallel("both", Step("waits", run=wait), Step("fails", run=fail), on_failure="cancel")
    workflow = Workflow("w", [both])
    report = asyncio.run(workflow.start_async(run_id="r", store=store))
    again = asyncio.run(workflow.resume_async("r", store))
    assert isinstance(report.error, ValueError)
    assert str(again) == str(report)
    assert str(read(load_history(store, "w", "r")).report) == str(report)
