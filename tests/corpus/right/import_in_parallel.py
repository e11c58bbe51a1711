"""Three regions' figures are converted side by side, two at once, and their sum is written down."""

from __future__ import annotations

import json

from automa import Parallel, Step, Workflow
from automa.testing import DirectoryWorld


def make_world():
    return DirectoryWorld({"north.csv": "1\n2\n", "south.csv": "30\n", "west.csv": "400\n5\n"})


class Convert(Step):
    """A region: its lines become a JSON file; what it returns is their sum."""

    def __init__(self, region, world):
        super().__init__(region)
        self.world = world

    def saga_run(self, ctx):
        figures = [int(line) for line in (self.world.path / f"{self.id}.csv").read_text("utf-8").split()]
        (self.world.path / f"{self.id}.json").write_text(json.dumps(figures), encoding="utf-8")
        return sum(figures)

    def saga_undo(self, ctx):
        (self.world.path / f"{self.id}.json").unlink(missing_ok=True)


class Total(Step):
    """The sum of all regions."""

    def __init__(self, world):
        super().__init__("total")
        self.world = world

    def saga_run(self, ctx):
        total = sum(ctx.results["regions"].values())
        (self.world.path / "total.txt").write_text(f"{total}\n", encoding="utf-8")

    def saga_undo(self, ctx):
        (self.world.path / "total.txt").unlink(missing_ok=True)


def make_workflow(world):
    regions = [Convert(region, world) for region in ("north", "south", "west")]
    return Workflow("import", [Parallel("regions", *regions, limit=2), Total(world)])
