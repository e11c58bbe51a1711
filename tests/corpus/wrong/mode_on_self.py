"""A file is locked against writing; the step keeps the old permissions on itself, where its undo looks for them."""

from __future__ import annotations

from automa import Step, Workflow
from automa.testing import DirectoryWorld

BUG = ("lock", "SAGA006")
STATE = {"file": "ledger-2025.csv"}


def make_world():
    return DirectoryWorld({"ledger-2025.csv": "1,2\n", "ledger-2026.csv": "3\n"}, modes=True)


class Lock(Step):
    """A file that nobody may write to any more."""

    def __init__(self, world):
        super().__init__("lock")
        self.world = world
        self.mode = None

    def saga_run(self, ctx):
        file = self.world.path / ctx.shared["file"]
        self.mode = file.stat().st_mode
        file.chmod(0o444)

    def saga_undo(self, ctx):
        if self.mode is not None:
            (self.world.path / ctx.shared["file"]).chmod(self.mode)


class Note(Step):
    """The note that the year is closed."""

    def __init__(self, world):
        super().__init__("note")
        self.world = world

    def saga_run(self, ctx):
        (self.world.path / "closed.txt").write_text(f"{ctx.shared['file']}\n", encoding="utf-8")

    def saga_undo(self, ctx):
        (self.world.path / "closed.txt").unlink(missing_ok=True)


def make_workflow(world):
    return Workflow("close-year", [Lock(world), Note(world)])
