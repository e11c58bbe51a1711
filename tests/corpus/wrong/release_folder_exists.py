"""An installer unpacks a version into a folder that it insists on making, so it fails when it is called again."""

from __future__ import annotations

import shutil

from automa import Step, Workflow
from automa.testing import DirectoryWorld

BUG = ("unpack", "idempotent_run")
STATE = {"version": "3.2"}

FILES = {"main.py": "print('hello')\n", "LICENSE": "free\n"}


def make_world():
    return DirectoryWorld({"installed.txt": "3.1\n"})


class Unpack(Step):
    def __init__(self, world):
        super().__init__("unpack")
        self.world = world

    def saga_run(self, ctx):
        folder = self.world.path / f"app-{ctx.shared['version']}"
        folder.mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        return len(FILES)

    def saga_undo(self, ctx):
        shutil.rmtree(self.world.path / f"app-{ctx.shared['version']}", ignore_errors=True)


class Register(Step):
    def __init__(self, world):
        super().__init__("register")
        self.world = world

    def saga_prepare(self, ctx):
        return {"before": (self.world.path / "installed.txt").read_text(encoding="utf-8")}

    def saga_run(self, ctx):
        (self.world.path / "installed.txt").write_text(f"{ctx.shared['version']}\n", encoding="utf-8")

    def saga_undo(self, ctx):
        (self.world.path / "installed.txt").write_text(ctx.local["before"], encoding="utf-8")


def make_workflow(world):
    return Workflow("upgrade", [Unpack(world), Register(world)])
