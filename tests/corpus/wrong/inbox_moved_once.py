"""A scan is moved from the inbox into the customer's folder; called again, the move finds no scan and fails."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DirectoryWorld

BUG = ("file_scan", "idempotent_run")
STATE = {"scan": "scan-0041.txt", "customer": "ada"}


def make_world():
    return DirectoryWorld({"inbox/scan-0041.txt": "invoice 7\n", "ada/letter.txt": "dear\n", "index.txt": ""})


def make_workflow(world):
    def places(ctx):
        scan = ctx.shared["scan"]
        return world.path / "inbox" / scan, world.path / ctx.shared["customer"] / scan

    @step
    def file_scan(ctx):
        source, target = places(ctx)
        source.rename(target)

    @file_scan.undo
    def back_to_inbox(ctx):
        source, target = places(ctx)
        if target.exists():
            target.rename(source)

    @step
    def index(ctx):
        (world.path / "index.txt").write_text(f"{ctx.shared['scan']}\n", encoding="utf-8")

    @index.undo
    def clear_index():
        (world.path / "index.txt").write_text("", encoding="utf-8")

    return Workflow("file-scan", [file_scan, index])
