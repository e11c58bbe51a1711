"""What is recorded by an engine's durable steps is the run: whoever has it goes on the same."""

from __future__ import annotations

import pytest

from automa import Parallel, Retry, Step, Workflow
from automa.stores import MemoryStore
from tests.durable import scenarios
from tests.durable.scenarios import FIRST_STATE, SCENARIOS, Builder, told
from tests.engines.paper import Paper

NAMES = sorted(SCENARIOS)


def local(name):
    """Return what a journaled run of a scenario does."""
    effects = []
    workflow = SCENARIOS[name](Builder(lambda *what: effects.append(what)))
    report = scenarios.start(workflow, MemoryStore(), on_cancel="rollback")
    return told(report), effects


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("forgets", [False, True], ids=["kept", "forgotten"])
def test_a_run_on_an_engine_tells_what_a_local_one_tells(name, forgets):
    """The report and the effects are those of a local run, whether or not a worker remembers anything."""
    expected, effects = local(name)
    done = []
    paper = Paper(SCENARIOS[name](Builder(lambda *what: done.append(what))), forgets=forgets)
    report = paper.start(FIRST_STATE)
    assert told(report) == expected
    assert sorted(done) == sorted(effects)


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
