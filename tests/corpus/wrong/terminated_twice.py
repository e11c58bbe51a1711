"""A cloud keeps terminated machines in its list for a while; the undo terminates all it finds, and is refused the second time."""

from __future__ import annotations

from automa import Retry, Workflow, step

BUG = ("machine", "idempotent_undo")
STATE = {"tag": "batch-9"}


class Conflict(Exception):
    """The provider refuses what does not fit the state of a machine."""


class Cloud:
    """A provider in miniature, whose machines are found by their tag."""

    in_memory = True

    def __init__(self):
        self.reset()

    def reset(self):
        self.machines = []
        self.jobs = set()

    def snapshot(self):
        running = [machine["tag"] for machine in self.machines if machine["state"] == "running"]
        return {"running": running, "jobs": sorted(self.jobs)}

    def find(self, tag):
        return [machine for machine in self.machines if machine["tag"] == tag]

    def launch(self, tag):
        self.machines.append({"tag": tag, "state": "running"})

    def terminate(self, machine):
        if machine["state"] == "terminated":
            raise Conflict(f"machine {machine['tag']} is terminated already")
        machine["state"] = "terminated"


def make_world():
    return Cloud()


def make_workflow(world):
    @step(retry=Retry(attempts=3, initial=0.001, on=ConnectionError))
    def machine(ctx):
        tag = ctx.shared["tag"]
        if not world.find(tag):
            world.launch(tag)

    @machine.undo
    def terminate(ctx):
        for each in world.find(ctx.shared["tag"]):
            world.terminate(each)

    @step
    def submit(ctx):
        world.jobs.add(ctx.shared["tag"])

    @submit.undo
    def withdraw(ctx):
        world.jobs.discard(ctx.shared["tag"])

    return Workflow("batch", [machine, submit])
