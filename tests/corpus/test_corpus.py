"""The explorer against the corpus: every author's bug is found and named, and no right saga is accused."""

from __future__ import annotations

import pytest

from automa.testing import Property, explore
from tests.corpus.test_corpus_runs import MODULES, name_of

RIGHT = [module for module in MODULES if not hasattr(module, "BUG")]
WRONG = [module for module in MODULES if getattr(module, "BUG", ("", ""))[1] in set(Property)]


@pytest.fixture
def explored(request):
    """Explore a saga of the corpus in its world."""
    module = request.param
    world = module.make_world()
    state, resources = getattr(module, "STATE", None), getattr(module, "make_resources", None)
    yield explore(module.make_workflow, world, state=state, resources=resources)
    if hasattr(world, "close"):
        world.close()


@pytest.mark.parametrize("explored", RIGHT, ids=map(name_of, RIGHT), indirect=True)
def test_a_right_saga_is_not_accused(explored, record_property):
    """A saga without a bug is explored, and nothing is found."""
    record_property("corpus", "right sagas cleared by the explorer")
    assert explored.ok, str(explored)
    assert len(explored.cases) > 20


@pytest.mark.parametrize(
    ("explored", "bug"),
    [(module, module.BUG) for module in WRONG],
    ids=map(name_of, WRONG),
    indirect=["explored"],
)
def test_a_bug_is_found_and_named(explored, bug, record_property):
    """A saga with one bug is accused of it, in the step that has it; what else is said is said of that step."""
    found = {(violation.step, violation.kind.value) for violation in explored.violations}
    assert bug in found, str(explored)
    assert {step for step, _ in found} == {bug[0]}, str(explored)
    record_property("corpus", f"bugs found and named: {bug[1]}")


def test_the_corpus_is_large_enough():
    """There are thirty sagas or more, half of them right, and each kind of bug is among the others."""
    kinds = [module.BUG[1] for module in MODULES if hasattr(module, "BUG")]
    assert len(RIGHT) >= 15
    assert len(kinds) >= 15
    assert set(kinds) >= set(Property)
