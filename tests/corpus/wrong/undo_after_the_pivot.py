"""Traffic is switched to the new release for good, and the cache that is warmed after it has an undo that is never called."""

from __future__ import annotations

from automa import Retry, Workflow, step
from automa.testing import DictWorld

BUG = ("warm_cache", "SAGA004")
STATE = {"version": "2.0"}
AGAIN = Retry(attempts=3, initial=0.001, on=ConnectionError)


def make_world():
    return DictWorld({"releases": ["1.0"], "live": "1.0", "cache": {}})


def make_workflow(world):
    @step
    def upload(ctx):
        if ctx.shared["version"] not in world.data["releases"]:
            world.data["releases"].append(ctx.shared["version"])

    @upload.undo
    def delete(ctx):
        if ctx.shared["version"] in world.data["releases"]:
            world.data["releases"].remove(ctx.shared["version"])

    @step(pivot=True)
    def switch(ctx):
        world.data["live"] = ctx.shared["version"]

    @switch.prepare
    def note_live():
        return {"before": world.data["live"]}

    @switch.undo
    def switch_back(ctx):  # where the switch itself fails
        world.data["live"] = ctx.local["before"]

    @step(retry=AGAIN)
    def warm_cache(ctx):
        world.data["cache"][ctx.shared["version"]] = "warm"

    @warm_cache.undo
    def clear_cache(ctx):
        world.data["cache"].pop(ctx.shared["version"], None)

    return Workflow("release", [upload, switch, warm_cache])
