"""What is recorded by an engine's durable steps is the run: whoever has it goes on the same."""

from __future__ import annotations

import pytest

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
