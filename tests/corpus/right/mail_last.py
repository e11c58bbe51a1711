"""A statement is written and filed, and at the very end mailed, which cannot be taken back and is sent once for a key."""

from __future__ import annotations

from automa import Retry, Workflow, step
from automa.testing import DictWorld

STATE = {"customer": "ada", "month": "2026-10"}


class Office(DictWorld):
    """The office; a mail server drops a message whose id it has seen."""

    def snapshot(self):
        return {
            "statements": dict(sorted(self.data["statements"].items())),
            "cabinet": sorted(self.data["cabinet"]),
            "mails": sorted(self.data["mails"].values()),
        }


def make_world():
    return Office({"statements": {}, "cabinet": ["grace 2026-10"], "mails": {}})


def make_workflow(world):
    def name_of(ctx):
        return f"{ctx.shared['customer']} {ctx.shared['month']}"

    @step
    def write(ctx):
        world.data["statements"][name_of(ctx)] = "balance 0"

    @write.undo
    def tear_up(ctx):
        world.data["statements"].pop(name_of(ctx), None)

    @step
    def file(ctx):
        if name_of(ctx) not in world.data["cabinet"]:
            world.data["cabinet"].append(name_of(ctx))

    @file.undo
    def take_out(ctx):
        if name_of(ctx) in world.data["cabinet"]:
            world.data["cabinet"].remove(name_of(ctx))

    @step(irreversible=True, retry=Retry(attempts=3, initial=0.001, on=(ConnectionError, TimeoutError)))
    def mail(ctx):
        world.data["mails"].setdefault(ctx.idempotency_key, f"to {ctx.shared['customer']}")
        ctx.record_effect("mail", ctx.idempotency_key)

    return Workflow("statement", [write, file, mail])
