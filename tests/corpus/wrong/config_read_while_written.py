"""A limit is raised in a JSON file: the old text is noted in the same call that overwrites it, and read anew after a crash."""

from __future__ import annotations

import json

from automa import Workflow, step
from automa.testing import DirectoryWorld

BUG = ("raise_limit", "idempotent_run")
STATE = {"limit": 500}


def make_world():
    return DirectoryWorld({"limits.json": '{"requests": 100}\n'})


def make_workflow(world):
    @step
    def raise_limit(ctx):
        file = world.path / "limits.json"
        ctx.local["before"] = file.read_text(encoding="utf-8")
        file.write_text(json.dumps({"requests": ctx.shared["limit"]}), encoding="utf-8")

    @raise_limit.undo
    def lower_limit(ctx):
        if "before" in ctx.local:
            (world.path / "limits.json").write_text(ctx.local["before"], encoding="utf-8")

    @step
    def announce(ctx):
        (world.path / "news.txt").write_text(f"the limit is {ctx.shared['limit']}\n", encoding="utf-8")

    @announce.undo
    def withdraw(ctx):
        (world.path / "news.txt").unlink(missing_ok=True)

    return Workflow("raise-limit", [raise_limit, announce])
