"""A nightly export may take a minute as a whole, and its upload alone ten: the longer limit never counts."""

from __future__ import annotations

from automa import Step, Workflow
from automa.testing import DictWorld

BUG = ("upload", "SAGA008")
STATE = {"day": "2026-11-23"}


def make_world():
    return DictWorld({"exports": {}, "bucket": {"2026-11-22": "rows"}})


class Export(Step):
    """The rows of a day."""

    id = "export"
    timeout = 20

    def __init__(self, world):
        super().__init__()
        self.world = world

    async def saga_run(self, ctx):
        self.world.data["exports"][ctx.shared["day"]] = "rows"

    async def saga_undo(self, ctx):
        self.world.data["exports"].pop(ctx.shared["day"], None)


class Upload(Step):
    """Their copy in the bucket."""

    id = "upload"
    timeout = 600

    def __init__(self, world):
        super().__init__()
        self.world = world

    async def saga_run(self, ctx):
        self.world.data["bucket"][ctx.shared["day"]] = self.world.data["exports"][ctx.shared["day"]]

    async def saga_undo(self, ctx):
        self.world.data["bucket"].pop(ctx.shared["day"], None)


def make_workflow(world):
    return Workflow("nightly", [Export(world), Upload(world)], deadline=60)
