"""An installer makes the program's folder, which may be there already, and puts its settings into it."""

from __future__ import annotations

import json

from automa import Step, Workflow
from automa.testing import DirectoryWorld

STATE = {"folder": "editor", "theme": "dark"}


def make_world():
    return DirectoryWorld({"readme.txt": "Programs of this machine\n"})


class MakeFolder(Step):
    """A folder; whether it was there before is noted before it is made, and not while."""

    def __init__(self, id, root):
        super().__init__(id)
        self.root = root

    def saga_prepare(self, ctx):
        return {"was_there": (self.root() / ctx.shared["folder"]).exists()}

    def saga_run(self, ctx):
        (self.root() / ctx.shared["folder"]).mkdir(exist_ok=True)

    def saga_undo(self, ctx):
        folder = self.root() / ctx.shared["folder"]
        if not ctx.local["was_there"] and folder.exists():
            folder.rmdir()


class WriteSettings(Step):
    """The settings; a folder of our own has none before."""

    def __init__(self, id, root):
        super().__init__(id)
        self.root = root

    def saga_run(self, ctx):
        file = self.root() / ctx.shared["folder"] / "settings.json"
        file.write_text(json.dumps({"theme": ctx.shared["theme"]}), encoding="utf-8")
        return file.name

    def saga_undo(self, ctx):
        (self.root() / ctx.shared["folder"] / "settings.json").unlink(missing_ok=True)


def make_workflow(world):
    def root():
        return world.path

    return Workflow("install", [MakeFolder("folder", root), WriteSettings("settings", root)])
