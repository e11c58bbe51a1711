"""Seats of a course are taken and the enrolment says so; the undo gives them back and leaves the enrolment's mark on."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DictWorld

BUG = ("take_seats", "idempotent_undo")
STATE = {"company": "acme", "course": "welding", "people": 3}


def make_world():
    return DictWorld({"free": {"welding": 12, "soldering": 8}, "enrolments": {}})


def make_workflow(world):
    @step
    def enrol(ctx):
        world.data["enrolments"].setdefault(
            ctx.shared["company"], {"course": ctx.shared["course"], "has_seats": False}
        )

    @enrol.undo
    def cancel(ctx):
        world.data["enrolments"].pop(ctx.shared["company"], None)

    @step
    def take_seats(ctx):
        enrolment = world.data["enrolments"][ctx.shared["company"]]
        if not enrolment["has_seats"]:
            world.data["free"][ctx.shared["course"]] -= ctx.shared["people"]
            enrolment["has_seats"] = True

    @take_seats.undo
    def give_back(ctx):
        enrolment = world.data["enrolments"].get(ctx.shared["company"])
        if enrolment and enrolment["has_seats"]:
            world.data["free"][ctx.shared["course"]] += ctx.shared["people"]

    return Workflow("enrol", [enrol, take_seats])
