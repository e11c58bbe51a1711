"""Backups of tables are built on the way, each step with a random id: a resume builds others than the journal has."""

from __future__ import annotations

import uuid

from automa import Expand, Step, Workflow, step
from automa.testing import DictWorld

BUG = ("backups", "SAGA010")
STATE = {"prefix": "shop"}


def make_world():
    return DictWorld({"tables": ["shop_orders", "shop_items", "blog_posts"], "backups": [], "reports": {}})


def make_workflow(world):
    @step
    def look(ctx):
        tables = world.data["tables"]
        ctx.shared["tables"] = sorted(name for name in tables if name.startswith(ctx.shared["prefix"]))

    def backup_of(table):
        def back_up():
            if table not in world.data["backups"]:
                world.data["backups"].append(table)

        def delete():
            if table in world.data["backups"]:
                world.data["backups"].remove(table)

        return Step(f"backup-{uuid.uuid4().hex[:8]}", run=back_up, undo=delete)

    def build(ctx):
        return [backup_of(table) for table in ctx.shared["tables"]]

    @step
    def report(ctx):
        world.data["reports"][ctx.shared["prefix"]] = len(ctx.shared["tables"])

    @report.undo
    def drop_report(ctx):
        world.data["reports"].pop(ctx.shared["prefix"], None)

    return Workflow("backup", [look, Expand("backups", build), report])
