"""A release is laid out in a folder of its own, and the link `current` is pointed at it in one move."""

from __future__ import annotations

import shutil

from automa import Workflow, step
from automa.testing import DirectoryWorld

STATE = {"version": "2.0"}


class Site(DirectoryWorld):
    """The web site's folder, on which version 1.0 is live."""

    def reset(self):
        super().reset()
        (self.path / "current").symlink_to("1.0")


def make_world():
    return Site({"1.0/index.html": "one"})


def make_workflow(world):
    def point(target):
        new = world.path / "current.new"
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(world.path / "current")

    @step
    def unpack(ctx):
        folder = world.path / ctx.shared["version"]
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("two", encoding="utf-8")

    @unpack.undo
    def remove(ctx):
        shutil.rmtree(world.path / ctx.shared["version"], ignore_errors=True)

    @step
    def note_live(ctx):
        ctx.shared["live"] = str((world.path / "current").readlink())

    @step
    def switch(ctx):
        point(ctx.shared["version"])

    @switch.undo
    def switch_back(ctx):
        point(ctx.shared["live"])

    return Workflow("release", [unpack, note_live, switch])
