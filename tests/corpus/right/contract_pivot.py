"""A contract is drafted and approved, the point of no return; from there on steps are repeated until they succeed."""

from __future__ import annotations

from automa import Retry, Workflow, step
from automa.testing import DictWorld

STATE = {"customer": "ada"}
AGAIN = Retry(attempts=3, initial=0.001)


def make_world():
    return DictWorld({"drafts": {}, "decisions": {"ada": "yes"}, "signed": [], "cabinet": {}})


def make_workflow(world):
    @step
    def draft(ctx):
        world.data["drafts"][ctx.shared["customer"]] = f"contract with {ctx.shared['customer']}"

    @draft.undo
    def discard(ctx):
        world.data["drafts"].pop(ctx.shared["customer"], None)

    @step(pivot=True)
    def approve(ctx):
        if world.data["decisions"].get(ctx.shared["customer"]) != "yes":
            raise PermissionError("not approved")

    @step(irreversible=True, retry=AGAIN)
    def sign(ctx):
        if ctx.shared["customer"] not in world.data["signed"]:
            world.data["signed"].append(ctx.shared["customer"])

    @step(irreversible=True, retry=AGAIN)
    def put_away(ctx):
        world.data["cabinet"][ctx.shared["customer"]] = world.data["drafts"][ctx.shared["customer"]]

    return Workflow("contract", [draft, approve, sign, put_away])
