"""A label is printed, which twice would be one too many; after a crash the queue is asked whether it has the job."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DictWorld

STATE = {"parcel": "P-311", "address": "Ada, Main Street 1"}


def make_world():
    return DictWorld({"parcels": {"P-311": "packed"}, "queue": [{"parcel": "P-310", "text": "Grace"}]})


def make_workflow(world):
    @step
    def print_label(ctx):
        world.data["queue"].append({"parcel": ctx.shared["parcel"], "text": ctx.shared["address"]})

    @print_label.verify
    def is_queued(ctx):
        return any(job["parcel"] == ctx.shared["parcel"] for job in world.data["queue"])

    @print_label.undo
    def cancel_label(ctx):
        queue = world.data["queue"]
        queue[:] = [job for job in queue if job["parcel"] != ctx.shared["parcel"]]

    @step
    def mark(ctx):
        world.data["parcels"][ctx.shared["parcel"]] = "labelled"

    @mark.prepare
    def note_state(ctx):
        return {"before": world.data["parcels"][ctx.shared["parcel"]]}

    @mark.undo
    def unmark(ctx):
        world.data["parcels"][ctx.shared["parcel"]] = ctx.local["before"]

    return Workflow("label", [print_label, mark])
