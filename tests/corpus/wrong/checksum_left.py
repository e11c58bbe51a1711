"""A report is published with its checksum; the undo takes the report away and forgets the checksum beside it."""

from __future__ import annotations

import hashlib

from automa import Workflow, step
from automa.testing import DirectoryWorld

BUG = ("publish", "undo_restores")
STATE = {"quarter": "2026-Q3"}


def make_world():
    return DirectoryWorld({"figures.csv": "north,12\nsouth,9\n", "index.txt": "2026-Q2\n"})


def make_workflow(world):
    @step
    def total(ctx):
        lines = (world.path / "figures.csv").read_text(encoding="utf-8").splitlines()
        return sum(int(line.partition(",")[2]) for line in lines)

    @step
    def publish(ctx):
        file = world.path / f"report-{ctx.shared['quarter']}.txt"
        file.write_text(f"total {ctx.results['total']}\n", encoding="utf-8")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        file.with_suffix(".sha256").write_text(f"{digest}\n", encoding="utf-8")

    @publish.undo
    def withdraw(ctx):
        (world.path / f"report-{ctx.shared['quarter']}.txt").unlink(missing_ok=True)

    @step
    def add_to_index(ctx):
        index = world.path / "index.txt"
        lines = index.read_text(encoding="utf-8").splitlines()
        if ctx.shared["quarter"] not in lines:
            index.write_text("\n".join([*lines, ctx.shared["quarter"], ""]), encoding="utf-8")

    @add_to_index.undo
    def remove_from_index(ctx):
        index = world.path / "index.txt"
        lines = index.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.strip() != ctx.shared["quarter"]]
        index.write_text("".join(kept), encoding="utf-8")

    return Workflow("publish-report", [total, publish, add_to_index])
