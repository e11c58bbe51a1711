"""A customer is moved to another plan; the undo looks for the old one under a name that nobody has written."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DictWorld

BUG = ("change_plan", "SAGA005")
STATE = {"customer": "ada", "plan": "business"}


def make_world():
    return DictWorld({"plans": {"ada": "basic", "grace": "business"}, "invoices": []})


def make_workflow(world):
    @step
    def note(ctx):
        ctx.shared["old_plan"] = world.data["plans"][ctx.shared["customer"]]

    @step
    def change_plan(ctx):
        world.data["plans"][ctx.shared["customer"]] = ctx.shared["plan"]

    @change_plan.undo
    def change_back(ctx):
        previous = ctx.shared.get("previous_plan")
        if previous is not None:
            world.data["plans"][ctx.shared["customer"]] = previous

    @step
    def invoice(ctx):
        entry = [ctx.shared["customer"], ctx.shared["plan"]]
        if entry not in world.data["invoices"]:
            world.data["invoices"].append(entry)

    @invoice.undo
    def cancel(ctx):
        entry = [ctx.shared["customer"], ctx.shared["plan"]]
        if entry in world.data["invoices"]:
            world.data["invoices"].remove(entry)

    return Workflow("change-plan", [note, change_plan, invoice])
