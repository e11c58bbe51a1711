"""A machine is made known in the hosts file, whose line is appended without a look whether it is there."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DirectoryWorld

BUG = ("add_host", "idempotent_run")
STATE = {"address": "10.0.0.7", "name": "db.internal"}


def make_world():
    return DirectoryWorld({"hosts": "127.0.0.1 localhost\n"})


def make_workflow(world):
    def line_of(ctx):
        return f"{ctx.shared['address']} {ctx.shared['name']}\n"

    @step
    def certificate(ctx):
        (world.path / "db.pem").write_text(f"CN={ctx.shared['name']}\n", encoding="utf-8")

    @certificate.undo
    def remove_certificate(ctx):
        (world.path / "db.pem").unlink(missing_ok=True)

    @step
    def add_host(ctx):
        with (world.path / "hosts").open("a", encoding="utf-8") as hosts:
            hosts.write(line_of(ctx))

    @add_host.undo
    def remove_host(ctx):
        hosts = world.path / "hosts"
        lines = hosts.read_text(encoding="utf-8").splitlines(keepends=True)
        hosts.write_text("".join(line for line in lines if line != line_of(ctx)), encoding="utf-8")

    @step
    def resolve(ctx):
        if ctx.shared["name"] not in (world.path / "hosts").read_text(encoding="utf-8"):
            raise LookupError(f"{ctx.shared['name']} is not known")

    return Workflow("add-machine", [certificate, add_host, resolve])
