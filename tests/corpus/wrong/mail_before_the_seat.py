"""A confirmation is mailed, which cannot be taken back, before the seat that it confirms is taken."""

from __future__ import annotations

from automa import Retry, Workflow, step
from automa.testing import DictWorld

BUG = ("seat", "SAGA001")
STATE = {"guest": "ada", "seat": "12A"}
AGAIN = Retry(attempts=3, initial=0.001, on=ConnectionError)


class Theatre(DictWorld):
    """The theatre; its mail server sends one mail for an id."""

    def snapshot(self):
        return {
            "accounts": dict(sorted(self.data["accounts"].items())),
            "mails": sorted(self.data["mails"].values()),
            "seats": dict(sorted(self.data["seats"].items())),
        }


def make_world():
    return Theatre({"accounts": {}, "mails": {}, "seats": {"12B": "grace"}})


def make_workflow(world):
    @step
    def account(ctx):
        world.data["accounts"][ctx.shared["guest"]] = "open"

    @account.undo
    def close_account(ctx):
        world.data["accounts"].pop(ctx.shared["guest"], None)

    @step(irreversible=True, retry=AGAIN)
    def confirm(ctx):
        world.data["mails"].setdefault(ctx.idempotency_key, f"{ctx.shared['guest']}: {ctx.shared['seat']}")
        ctx.record_effect("mail", ctx.idempotency_key)

    @step(retry=AGAIN)
    def seat(ctx):
        taken = world.data["seats"].setdefault(ctx.shared["seat"], ctx.shared["guest"])
        if taken != ctx.shared["guest"]:
            raise LookupError(f"{ctx.shared['seat']} is taken")

    @seat.undo
    def free(ctx):
        if world.data["seats"].get(ctx.shared["seat"]) == ctx.shared["guest"]:
            del world.data["seats"][ctx.shared["seat"]]

    return Workflow("tickets", [account, confirm, seat])
