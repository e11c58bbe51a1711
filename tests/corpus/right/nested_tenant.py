"""A tenant gets a database and a mailbox, each a workflow of its own, and is entered into the register at the end."""

from __future__ import annotations

from automa import Step, Workflow, step
from automa.testing import DictWorld

STATE = {"tenant": "acme"}


def make_world():
    return DictWorld({"databases": {"old-inc": ["reader"]}, "mailboxes": {}, "register": {"old-inc": "db"}})


def make_workflow(world):
    @step
    def create(ctx):
        world.data["databases"].setdefault(ctx.shared["tenant"], [])
        return {"name": f"{ctx.shared['tenant']}-db"}

    @create.undo
    def drop(ctx):
        world.data["databases"].pop(ctx.shared["tenant"], None)

    @step
    def grant(ctx):
        roles = world.data["databases"][ctx.shared["tenant"]]
        if "writer" not in roles:
            roles.append("writer")

    @grant.undo
    def revoke(ctx):
        roles = world.data["databases"].get(ctx.shared["tenant"], [])
        if "writer" in roles:
            roles.remove("writer")

    def open_mailbox(ctx):
        world.data["mailboxes"][ctx.shared["tenant"]] = f"info@{ctx.shared['tenant']}.example"

    def close_mailbox(ctx):
        world.data["mailboxes"].pop(ctx.shared["tenant"], None)

    @step
    def register(ctx):
        world.data["register"][ctx.shared["tenant"]] = ctx.results["database"]["create"]["name"]

    @register.undo
    def strike_out(ctx):
        world.data["register"].pop(ctx.shared["tenant"], None)

    database = Workflow("database", [create, grant])
    mail = Workflow("mail", [Step("mailbox", run=open_mailbox, undo=close_mailbox)])
    return Workflow("tenant", [database, mail, register])
