"""An order's parcel is entered by the number as a text, and looked for by the number as a number, so never found."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DictWorld

BUG = ("parcel", "verify_is_right")
STATE = {"order": 1007, "city": "Graz"}


def make_world():
    return DictWorld({"parcels": {"1006": "Linz"}, "orders": {"1007": "paid"}})


def make_workflow(world):
    @step
    def parcel(ctx):
        world.data["parcels"][str(ctx.shared["order"])] = ctx.shared["city"]

    @parcel.verify
    def is_entered(ctx):
        return ctx.shared["order"] in world.data["parcels"]

    @parcel.undo
    def call_back(ctx):
        world.data["parcels"].pop(str(ctx.shared["order"]), None)

    @step
    def mark(ctx):
        world.data["orders"][str(ctx.shared["order"])] = "sent"

    @mark.prepare
    def note_state(ctx):
        return {"before": world.data["orders"][str(ctx.shared["order"])]}

    @mark.undo
    def unmark(ctx):
        world.data["orders"][str(ctx.shared["order"])] = ctx.local["before"]

    return Workflow("send", [parcel, mark])
