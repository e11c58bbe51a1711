"""A room and its projector are booked (async) within time limits below the run's deadline; undos are repeated."""

from __future__ import annotations

import asyncio

from automa import Retry, Step, Workflow
from automa.testing import DictWorld

STATE = {"meeting": "m-12", "room": "blue"}


def make_world():
    return DictWorld({"rooms": {"green": "m-11"}, "devices": {}})


class Book(Step):
    """A thing that a meeting takes, unless another one has it."""

    timeout = 5
    undo_timeout = 5
    undo_retry = Retry(attempts=3, initial=0.001)

    def __init__(self, id, world, kind):
        super().__init__(id)
        self.world = world
        self.kind = kind

    async def saga_run(self, ctx):
        await asyncio.sleep(0)
        taken = self.world.data[self.kind].setdefault(self.thing(ctx), ctx.shared["meeting"])
        await asyncio.sleep(0)  # the answer is on its way: a time-out comes too late here
        if taken != ctx.shared["meeting"]:
            raise LookupError(f"{self.thing(ctx)} is taken by {taken}")
        return self.thing(ctx)

    async def saga_undo(self, ctx):
        await asyncio.sleep(0)
        if self.world.data[self.kind].get(self.thing(ctx)) == ctx.shared["meeting"]:
            del self.world.data[self.kind][self.thing(ctx)]

    def thing(self, ctx):
        return ctx.shared["room"] if self.kind == "rooms" else f"projector of {ctx.shared['room']}"


def make_workflow(world):
    return Workflow(
        "meeting", [Book("room", world, "rooms"), Book("projector", world, "devices")], deadline=60
    )
