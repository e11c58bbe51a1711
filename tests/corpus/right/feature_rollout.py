"""A feature is switched on for beta customers and, where the state says so, for all; what was on before stays on."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DictWorld

STATE = {"feature": "search", "everybody": False, "page": True}


def make_world():
    return DictWorld({"beta": {"ada": ["maps"], "grace": ["search"]}, "all": [], "pages": {}})


def make_workflow(world):
    @step
    def switch_on(ctx):
        for name in ctx.local["without"]:
            if ctx.shared["feature"] not in world.data["beta"][name]:
                world.data["beta"][name].append(ctx.shared["feature"])

    @switch_on.prepare
    def note_without(ctx):
        beta = world.data["beta"]
        return {"without": sorted(name for name in beta if ctx.shared["feature"] not in beta[name])}

    @switch_on.undo
    def switch_off(ctx):
        for name in ctx.local["without"]:
            if ctx.shared["feature"] in world.data["beta"][name]:
                world.data["beta"][name].remove(ctx.shared["feature"])

    @step
    def widen(ctx):
        if ctx.shared["feature"] not in world.data["all"]:
            world.data["all"].append(ctx.shared["feature"])

    @widen.when
    def is_for_everybody(ctx):
        return ctx.shared.get_bool("everybody", False)

    @widen.undo
    def narrow(ctx):
        if ctx.shared["feature"] in world.data["all"]:
            world.data["all"].remove(ctx.shared["feature"])

    @step
    def help_page(ctx):
        world.data["pages"][ctx.shared["feature"]] = f"How to use {ctx.shared['feature']}"

    @help_page.when
    def has_page(ctx):
        return ctx.shared.get_bool("page", False)

    @help_page.undo
    def remove_page(ctx):
        world.data["pages"].pop(ctx.shared["feature"], None)

    return Workflow("rollout", [switch_on, widen, help_page])
