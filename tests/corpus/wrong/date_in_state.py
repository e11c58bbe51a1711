"""A subscription's last day is put into the shared state as a date, which is no JSON value."""

from __future__ import annotations

import datetime

from automa import Workflow, step
from automa.testing import DictWorld

BUG = ("renew", "state_survives")
IS_NOT_JSON = True
STATE = {"subscriber": "ada", "from": "2026-11-01"}


def make_world():
    return DictWorld({"until": {"ada": "2026-10-31"}, "badges": {}})


def make_workflow(world):
    @step
    def renew(ctx):
        until = datetime.date.fromisoformat(ctx.shared["from"]) + datetime.timedelta(days=365)
        world.data["until"][ctx.shared["subscriber"]] = until.isoformat()
        ctx.shared["until"] = until

    @renew.prepare
    def note_last_day(ctx):
        return {"before": world.data["until"][ctx.shared["subscriber"]]}

    @renew.undo
    def shorten(ctx):
        world.data["until"][ctx.shared["subscriber"]] = ctx.local["before"]

    @step
    def badge(ctx):
        world.data["badges"][ctx.shared["subscriber"]] = ctx.shared["until"].year

    @badge.undo
    def take_badge(ctx):
        world.data["badges"].pop(ctx.shared["subscriber"], None)

    return Workflow("renew", [renew, badge])
