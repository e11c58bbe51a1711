"""Every saga of the corpus, right or wrong, starts and succeeds where nothing goes wrong."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil

import pytest

from automa import ResultError, StateError
from automa.stores import MemoryStore
from tests.corpus import right, wrong

MODULES = [
    importlib.import_module(f"{package.__name__}.{found.name}")
    for package in (right, wrong)
    for found in pkgutil.iter_modules(package.__path__)
]
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning"  # one of the bugs
)
KINDS = {
    "idempotent_run", "idempotent_undo", "undo_restores", "undo_tolerates_nothing", "state_survives",
    "verify_is_right", *(f"SAGA{number:03}" for number in range(1, 11)),
}  # fmt: skip


def name_of(module):
    return module.__name__.removeprefix("tests.corpus.")


def run(module, world):
    """Start a module's saga on its world, journaled, and return the report."""
    workflow = module.make_workflow(world)
    given = {
        "state": getattr(module, "STATE", None),
        "resources": module.make_resources(world) if hasattr(module, "make_resources") else None,
        "run_id": "run-1",
        "store": MemoryStore(),
    }
    if workflow.definition.async_steps:
        return asyncio.run(workflow.start_async(**given))
    return workflow.start(**given)


@pytest.fixture
def world(request):
    made = request.param.make_world()
    made.reset()
    yield made
    if hasattr(made, "close"):
        made.close()


@pytest.mark.parametrize(
    ("module", "world"),
    [(module, module) for module in MODULES],
    ids=map(name_of, MODULES),
    indirect=["world"],
)
def test_each_saga_succeeds_where_nothing_goes_wrong(module, world):
    """Each saga of the corpus succeeds, but for those that put into the journal what is not JSON."""
    report = run(module, world)
    if getattr(module, "IS_NOT_JSON", False):
        assert isinstance(report.error, StateError | ResultError)
    else:
        assert report.outcome == "succeeded", report


@pytest.mark.parametrize(
    ("module", "world"),
    [(module, module) for module in MODULES],
    ids=map(name_of, MODULES),
    indirect=["world"],
)
def test_each_world_begins_anew(module, world):
    """A reset brings back the world before the run."""
    before = world.snapshot()
    run(module, world)
    world.reset()
    assert world.snapshot() == before


@pytest.mark.parametrize("module", MODULES, ids=map(name_of, MODULES))
def test_each_saga_says_what_it_is(module):
    """A module has a sentence, and one bug of a known kind where it is a wrong one."""
    assert module.__doc__.strip().endswith(".")
    assert hasattr(module, "BUG") == ("wrong" in module.__name__)
    if hasattr(module, "BUG"):
        step, kind = module.BUG
        assert step
        assert kind in KINDS
