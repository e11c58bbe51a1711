"""A step that tags a snapshot is called after the nanosecond at which its process began, so no other process knows it."""

from __future__ import annotations

import time

from automa import Step, Workflow, step
from automa.testing import DictWorld

BUG = ("tag-*", "SAGA010")
STATE = {"volume": "data"}


def make_world():
    return DictWorld({"snapshots": {}, "tags": {"root": "daily"}})


def make_workflow(world):
    @step
    def snapshot(ctx):
        world.data["snapshots"][ctx.shared["volume"]] = "frozen"

    @snapshot.undo
    def delete(ctx):
        world.data["snapshots"].pop(ctx.shared["volume"], None)

    def tag(ctx):
        world.data["tags"][ctx.shared["volume"]] = "daily"

    def untag(ctx):
        world.data["tags"].pop(ctx.shared["volume"], None)

    return Workflow("snapshot", [snapshot, Step(f"tag-{time.time_ns()}", run=tag, undo=untag)])
