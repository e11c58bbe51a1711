"""A notice of termination is sent for good; after it the meter is switched off, which is tried once only."""

from __future__ import annotations

from automa import Retry, Workflow, step
from automa.testing import DictWorld

BUG = ("switch_off", "SAGA002")
STATE = {"contract": "c-8", "meter": "m-21"}


class Utility(DictWorld):
    """The utility; a letter that was ordered under a key is sent once."""

    def snapshot(self):
        return {
            "closed": sorted(self.data["closed"]),
            "letters": sorted(self.data["letters"].values()),
            "meters": dict(sorted(self.data["meters"].items())),
        }


def make_world():
    return Utility({"closed": [], "letters": {}, "meters": {"m-21": "on", "m-22": "on"}})


def make_workflow(world):
    @step
    def close(ctx):
        if ctx.shared["contract"] not in world.data["closed"]:
            world.data["closed"].append(ctx.shared["contract"])

    @close.undo
    def open_again(ctx):
        if ctx.shared["contract"] in world.data["closed"]:
            world.data["closed"].remove(ctx.shared["contract"])

    @step(irreversible=True, retry=Retry(attempts=4, initial=0.001, on=ConnectionError))
    def letter(ctx):
        world.data["letters"].setdefault(ctx.idempotency_key, f"end of {ctx.shared['contract']}")
        ctx.record_effect("letter", ctx.idempotency_key)

    @step(irreversible=True)
    def switch_off(ctx):
        if ctx.shared["meter"] not in world.data["meters"]:
            raise LookupError(f"no meter {ctx.shared['meter']}")
        world.data["meters"][ctx.shared["meter"]] = "off"

    return Workflow("terminate", [close, letter, switch_off])
