"""An article is fetched (async), rendered over an older page (sync) and put into the feed (async)."""

from __future__ import annotations

import asyncio

from automa import Workflow, step
from automa.testing import DictWorld

STATE = {"slug": "sagas"}


def make_world():
    return DictWorld({
        "drafts": {"sagas": "Sagas, revisited"},
        "pages": {"sagas": "<h1>Sagas</h1>"},
        "feed": ["welcome"],
    })  # fmt: skip


def make_workflow(world):
    @step
    async def fetch(ctx):
        await asyncio.sleep(0)
        return {"title": world.data["drafts"][ctx.shared["slug"]]}

    @step
    def render(ctx):
        world.data["pages"][ctx.shared["slug"]] = f"<h1>{ctx.results['fetch']['title']}</h1>"

    @render.prepare
    def note_page(ctx):
        ctx.local["before"] = world.data["pages"].get(ctx.shared["slug"])

    @render.undo
    def put_back(ctx):
        if ctx.local["before"] is None:
            world.data["pages"].pop(ctx.shared["slug"], None)
        else:
            world.data["pages"][ctx.shared["slug"]] = ctx.local["before"]

    @step
    async def announce(ctx):
        await asyncio.sleep(0)
        if ctx.shared["slug"] not in world.data["feed"]:
            world.data["feed"].append(ctx.shared["slug"])

    @announce.undo
    async def withdraw(ctx):
        await asyncio.sleep(0)
        if ctx.shared["slug"] in world.data["feed"]:
            world.data["feed"].remove(ctx.shared["slug"])

    return Workflow("publish", [fetch, render, announce])
