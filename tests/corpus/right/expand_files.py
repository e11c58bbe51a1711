"""The files of a delivery are listed, and a step for each, built on the way, copies it into the archive."""

from __future__ import annotations

import shutil

from automa import Expand, Step, Workflow, step
from automa.testing import DirectoryWorld


def make_world():
    return DirectoryWorld({"in-orders.csv": "1,2\n", "in-returns.csv": "3\n", "notes.txt": "keep\n"})


def make_workflow(world):
    @step
    def look(ctx):
        ctx.shared["files"] = sorted(file.name for file in world.path.glob("in-*.csv"))

    def copy_step(name):
        def target():
            return world.path / name.replace("in-", "archived-")

        return Step(
            name,
            run=lambda: shutil.copyfile(world.path / name, target()) and None,
            undo=lambda: target().unlink(missing_ok=True),
        )

    def copies(ctx):
        return [copy_step(name) for name in ctx.shared["files"]]

    @step
    def receipt(ctx):
        text = "".join(f"{name}\n" for name in ctx.shared["files"])
        (world.path / "receipt.txt").write_text(text, encoding="utf-8")

    @receipt.undo
    def remove_receipt():
        (world.path / "receipt.txt").unlink(missing_ok=True)

    return Workflow("archive", [look, Expand("copy", copies), receipt])
