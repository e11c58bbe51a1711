"""A shop sets goods aside, takes the money under an idempotency key, and hands the parcel to the carrier."""

from __future__ import annotations

from automa import Retry, Workflow, step

STATE = {"order": 42, "sku": "lamp", "amount": 120}


class Shop:
    """The stock, and a payment provider that pays once for a key."""

    in_memory = True

    def __init__(self):
        self.reset()

    def reset(self):
        self.held = {}
        self.payments = {}
        self.parcels = set()

    def snapshot(self):
        return {
            "held": sorted(self.held.items()),
            "paid": sorted(self.payments.values()),
            "parcels": sorted(self.parcels),
        }


def make_world():
    return Shop()


def make_workflow(world):
    @step
    def hold(ctx):
        world.held[ctx.shared["order"]] = ctx.shared["sku"]

    @hold.undo
    def let_go(ctx):
        world.held.pop(ctx.shared["order"], None)

    @step(retry=Retry(attempts=3, initial=0.001, on=ConnectionError))
    def pay(ctx):
        key = ctx.local["key"]
        world.payments.setdefault(key, ctx.shared["amount"])
        ctx.record_effect("payment", key)
        return {"amount": ctx.shared["amount"]}

    @pay.prepare
    def choose_key(ctx):
        return {"key": ctx.idempotency_key}  # recorded before the payment: its undo has it in any case

    @pay.undo
    def refund(ctx):
        world.payments.pop(ctx.local["key"], None)

    @step
    def ship(ctx):
        world.parcels.add(ctx.shared["order"])

    @ship.undo
    def call_back(ctx):
        world.parcels.discard(ctx.shared["order"])

    return Workflow("order", [hold, pay, ship])
