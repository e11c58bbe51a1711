"""Every saga of the examples stands whatever the explorer does to it."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from automa import Workflow
from automa.sagafile import loads
from automa.testing import DictWorld, DirectoryWorld, explore

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    """Import an example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class ObjectWorld:
    """A world in a fake of the example's own, made anew at each reset."""

    in_memory = True

    def __init__(self, make, look):
        self.make, self.look = make, look
        self.reset()

    def reset(self):
        self.object = self.make()

    def snapshot(self):
        return self.look(self.object)


def payment():
    """A payment at a bank."""
    module = load("payment")
    world = ObjectWorld(module.Bank, lambda bank: dict(bank.payments))
    state = {"amount": 120, "card": "mine", "stock": 1}
    return lambda: module.order, world, {"state": state, "resources": lambda _: {"bank": world.object}}


def provision():
    """Machines side by side in a cloud."""
    module = load("provision")
    world = ObjectWorld(lambda: module.Cloud(3, seconds=0), lambda cloud: dict(cloud.machines))
    return (
        lambda: module.cluster,
        world,
        {"state": {"size": "small"}, "resources": lambda _: {"cloud": world.object}},
    )


def approval():
    """A contract that a person approves; only the way up to there and the state of it can be seen."""
    module = load("approval")
    return module.build, DictWorld(), {"state": {"customer": "Eve"}, "resources": {"ask": lambda _: "yes"}}


def agent_tools():
    """The tools that a model asks for."""
    module = load("agent_tools")
    module.lines["taxi"] = "up"

    class Booked(DictWorld):
        def reset(self):
            module.booked.clear()

        def snapshot(self):
            return dict(module.booked)

    def make():
        steps = [module.step_of(number, call) for number, call in enumerate(module.model("Vienna"), 1)]
        return Workflow("journey", steps)

    return make, Booked(), {"state": {"left": 600}}


def checkout():
    """An order: what stands of it in the shop's ledger, where what was taken back does not."""
    module = load("checkout")
    path = Path(tempfile.mkdtemp()) / "ledger.jsonl"
    module.ledger = lambda: path

    class Shop(DictWorld):
        def reset(self):
            path.unlink(missing_ok=True)

        def snapshot(self):
            lines = path.read_text().splitlines() if path.exists() else []
            done = Counter(json.loads(line)["what"] for line in lines)
            for what, back in (("goods reserved", "goods put back"), ("card charged", "card refunded")):
                done[what] -= done.pop(back, 0)
            return dict(+done)

    return lambda: module.checkout, Shop(), {"state": {"order": 42, "card": "visa"}}


def release():
    """The release of a site whose server is a process; each process of the saga is one, and is killed."""
    module = load("release")

    class Site(DirectoryWorld):
        def reset(self):
            module.Server(self.path).stop()
            super().reset()

        def snapshot(self):
            files = {
                name: text for name, text in super().snapshot().items() if not name.startswith("server.json")
            }
            return files | {"served": module.Server(self.path).serving()}

    world = Site()
    return (
        lambda: module.release,
        world,
        {"state": {"root": str(world.path), "version": "1.0.0"}, "process": True},
    )


def site():
    """The saga file, whose commands work in the folder of the world."""
    world = DirectoryWorld()
    text = (EXAMPLES / "site.yaml").read_text()
    return lambda: loads(text, folder=world.path), world, {"state": {"title": "Hello"}}


@pytest.mark.parametrize("example", [payment, provision, approval, agent_tools, checkout, release, site])
def test_an_example_stands_it_all(example, capsys):
    """Each saga that is shown to users is crashed, failed, cancelled and undone everywhere: nothing is violated."""
    make, world, options = example()
    exploration = explore(make, world, **options)
    world.reset()
    assert exploration.ok, str(exploration)
    assert len(exploration.cases) > 30


def test_all_examples_are_explored():
    """There is no example that is left out."""
    explored = {payment, provision, approval, agent_tools, checkout, release, site}
    assert {each.__name__ for each in explored} == {file.stem for file in EXAMPLES.glob("*.*")}
