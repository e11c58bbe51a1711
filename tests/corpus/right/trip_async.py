"""A travel agency books flight and hotel side by side, then the transfer; everything is async."""

from __future__ import annotations

import asyncio

from automa import Parallel, Step, Workflow
from automa.testing import DictWorld

STATE = {"traveller": "Ada", "city": "Vienna"}


def make_world():
    return DictWorld({"flight": {}, "hotel": {}, "transfer": {"Grace": "Vienna"}})


class Booking(Step):
    """A booking at a partner who knows it by the traveller's name."""

    def __init__(self, id, world):
        super().__init__(id)
        self.world = world

    async def saga_run(self, ctx):
        await asyncio.sleep(0)
        self.world.data[self.id][ctx.shared["traveller"]] = ctx.shared["city"]
        ctx.record_effect(self.id, ctx.shared["traveller"])
        await asyncio.sleep(0)
        return f"{self.id} for {ctx.shared['traveller']}"

    async def saga_undo(self, ctx):
        await asyncio.sleep(0)
        self.world.data[self.id].pop(ctx.shared["traveller"], None)


def make_workflow(world):
    return Workflow(
        "trip",
        [
            Parallel("bookings", Booking("flight", world), Booking("hotel", world)),
            Booking("transfer", world),
        ],
    )
