"""Packages are installed; one that was there already is skipped, and the undo, called all the same, leaves it."""

from __future__ import annotations

from automa import Skip, Step, Workflow
from automa.testing import DictWorld

STATE = {"versions": {"curl": "8.5", "jq": "1.7", "tree": "2.1"}}


def make_world():
    return DictWorld({"installed": {"curl": "8.5"}})


class Install(Step):
    """A package of the machine."""

    def __init__(self, name, world):
        super().__init__(name)
        self.world = world

    def saga_prepare(self, ctx):
        return {"was_installed": self.id in self.world.data["installed"]}

    def saga_run(self, ctx):
        if ctx.local["was_installed"]:
            raise Skip(f"{self.id} is installed")
        self.world.data["installed"][self.id] = ctx.shared["versions"][self.id]

    def saga_undo(self, ctx):
        if not ctx.local["was_installed"]:
            self.world.data["installed"].pop(self.id, None)


def make_workflow(world):
    return Workflow("packages", [Install(name, world) for name in ("curl", "jq", "tree")])
