"""Pictures are uploaded, and a list in the closure remembers which: in a new process the undo finds it empty."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DictWorld

BUG = ("upload", "state_survives")
STATE = {"album": "harbour", "pictures": ["one.jpg", "two.jpg"]}


def make_world():
    return DictWorld({"bucket": ["logo.png"], "albums": {}})


def make_workflow(world):
    uploaded = []

    @step
    def upload(ctx):
        for picture in ctx.shared["pictures"]:
            uploaded.append(picture)
            if picture not in world.data["bucket"]:
                world.data["bucket"].append(picture)

    @upload.undo
    def delete(ctx):
        for picture in uploaded:
            if picture in world.data["bucket"]:
                world.data["bucket"].remove(picture)

    @step
    def album(ctx):
        world.data["albums"][ctx.shared["album"]] = list(ctx.shared["pictures"])

    @album.undo
    def delete_album(ctx):
        world.data["albums"].pop(ctx.shared["album"], None)

    return Workflow("album", [upload, album])
