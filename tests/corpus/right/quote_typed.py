"""A quote, a dataclass as a result, is turned into an order, which reads it back with its type."""

from __future__ import annotations

from dataclasses import dataclass

from automa import Workflow, step
from automa.testing import DictWorld

STATE = {"order": 3, "sku": "desk", "quantity": 2}


@dataclass
class Quote:
    sku: str
    quantity: int
    price: float


def make_world():
    return DictWorld({"prices": {"desk": 199.5}, "orders": {}, "reserved": {"desk": {"2": 1}}})


def make_workflow(world):
    @step
    def quote(ctx):
        price = world.data["prices"][ctx.shared["sku"]]
        return Quote(ctx.shared["sku"], ctx.shared["quantity"], price)

    @step
    def reserve(ctx):
        quote = ctx.results.typed("quote", Quote)
        world.data["reserved"].setdefault(quote.sku, {})[str(ctx.shared["order"])] = quote.quantity

    @reserve.undo
    def release(ctx):
        world.data["reserved"].get(ctx.shared["sku"], {}).pop(str(ctx.shared["order"]), None)

    @step
    def order(ctx):
        quote = ctx.results.typed("quote", Quote)
        world.data["orders"][str(ctx.shared["order"])] = quote.quantity * quote.price

    @order.undo
    def cancel(ctx):
        world.data["orders"].pop(str(ctx.shared["order"]), None)

    return Workflow("order", [quote, reserve, order])
