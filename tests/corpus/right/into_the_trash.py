"""Old exports are moved into the trash folder, which is made where there is none, and come back from there."""

from __future__ import annotations

from automa import Step, Workflow, step
from automa.testing import DirectoryWorld


def make_world():
    return DirectoryWorld({"export-1.csv": "one\n", "export-2.csv": "two\n", "export-3.csv": "three\n"})


def make_workflow(world):
    def trash():
        return world.path / "trash"

    @step
    def make_trash():
        trash().mkdir(exist_ok=True)

    @make_trash.prepare
    def look():
        return {"is_new": not trash().exists()}

    @make_trash.undo
    def remove_trash(ctx):
        if ctx.local["is_new"] and trash().exists():
            trash().rmdir()

    def move(name):
        def throw_away():
            if (world.path / name).exists():
                (world.path / name).replace(trash() / name)

        def fetch():
            if (trash() / name).exists():
                (trash() / name).replace(world.path / name)

        return Step(name.removesuffix(".csv"), run=throw_away, undo=fetch)

    return Workflow("tidy-up", [make_trash, move("export-1.csv"), move("export-2.csv")])
