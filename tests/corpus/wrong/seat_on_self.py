"""A seat is booked (async), and its number kept on the step: a new process that undoes the run does not know it."""

from __future__ import annotations

import asyncio

from automa import Step, Workflow
from automa.testing import DictWorld

BUG = ("seat", "state_survives")
STATE = {"passenger": "ada", "flight": "OS 11"}


def make_world():
    return DictWorld({"seats": {"1A": "grace", "1B": None, "2A": None}, "meals": {}})


class Seat(Step):
    """The first free seat of a flight."""

    number = None

    def __init__(self, world):
        super().__init__("seat")
        self.world = world

    async def saga_run(self, ctx):
        await asyncio.sleep(0)
        seats, passenger = self.world.data["seats"], ctx.shared["passenger"]
        wanted = (passenger, None)
        self.number = next(each for who in wanted for each in seats if seats[each] == who)
        seats[self.number] = passenger
        return {"flight": ctx.shared["flight"]}

    async def saga_undo(self, ctx):
        await asyncio.sleep(0)
        if self.number is not None:
            self.world.data["seats"][self.number] = None


class Meal(Step):
    """The meal of a passenger."""

    def __init__(self, world):
        super().__init__("meal")
        self.world = world

    async def saga_run(self, ctx):
        self.world.data["meals"][ctx.shared["passenger"]] = "vegetarian"

    async def saga_undo(self, ctx):
        self.world.data["meals"].pop(ctx.shared["passenger"], None)


def make_workflow(world):
    return Workflow("check-in", [Seat(world), Meal(world)])
