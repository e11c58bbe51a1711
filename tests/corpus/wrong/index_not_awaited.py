"""A document is stored and indexed (async), but the call of the index is not awaited, so it never happens."""

from __future__ import annotations

import asyncio

from automa import Workflow, step
from automa.testing import DictWorld

BUG = ("index", "SAGA007")
STATE = {"name": "report", "text": "sagas and their undos"}


def make_world():
    return DictWorld({"documents": {}, "index": {"undos": ["manual"]}})


def make_workflow(world):
    async def add_to_index(name, words):
        await asyncio.sleep(0)
        for word in words:
            names = world.data["index"].setdefault(word, [])
            if name not in names:
                names.append(name)

    async def remove_from_index(name):
        await asyncio.sleep(0)
        for word, names in list(world.data["index"].items()):
            world.data["index"][word] = [each for each in names if each != name]
            if not world.data["index"][word]:
                del world.data["index"][word]

    @step
    async def store(ctx):
        await asyncio.sleep(0)
        world.data["documents"][ctx.shared["name"]] = ctx.shared["text"]

    @store.undo
    async def delete(ctx):
        world.data["documents"].pop(ctx.shared["name"], None)

    @step
    async def index(ctx):
        words = ctx.shared["text"].split()
        add_to_index(ctx.shared["name"], words)
        return len(words)

    @index.undo
    async def unindex(ctx):
        await remove_from_index(ctx.shared["name"])

    return Workflow("documents", [store, index])
