"""Parts are ordered from a supplier over a bad line: tried again, but with no key by which he would know the order."""

from __future__ import annotations

from automa import Retry, Workflow, step

BUG = ("order", "SAGA009")
STATE = {"reference": "job-77", "part": "pump"}


class Supplier:
    """A supplier who takes each call for a new order, unless it comes with a key that he knows."""

    in_memory = True

    def __init__(self):
        self.reset()

    def reset(self):
        self.orders = []
        self.keys = set()
        self.jobs = {}

    def snapshot(self):
        return {"orders": sorted(self.orders), "jobs": dict(self.jobs)}

    def order(self, reference, part, key=None):
        if key is None or key not in self.keys:
            self.orders.append([reference, part])
            self.keys.add(key)
        return f"{reference}/{part}"

    def cancel(self, reference):
        self.orders = [order for order in self.orders if order[0] != reference]


def make_world():
    return Supplier()


def make_workflow(world):
    @step(retry=Retry(attempts=4, initial=0.001, on=(ConnectionError, TimeoutError)))
    def order(ctx):
        number = world.order(ctx.shared["reference"], ctx.shared["part"])
        ctx.record_effect("order", number)
        return number

    @order.undo
    def cancel(ctx):
        world.cancel(ctx.shared["reference"])

    @step
    def job(ctx):
        world.jobs[ctx.shared["reference"]] = "waits for parts"

    @job.undo
    def drop_job(ctx):
        world.jobs.pop(ctx.shared["reference"], None)

    return Workflow("repair", [order, job])
