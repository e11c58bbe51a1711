"""A nightly job is entered into the crontab as a block between marks, which is replaced as a whole or taken out."""

from __future__ import annotations

from automa import Step, Workflow
from automa.testing import DirectoryWorld

STATE = {"job": "backup", "at": "15 3 * * *"}


def make_world():
    return DirectoryWorld({"crontab": "0 6 * * 1 report\n"})


class CronJob(Step):
    """The block of a job in a crontab."""

    id = "cron"

    def __init__(self, world):
        super().__init__()
        self.world = world

    def saga_run(self, ctx):
        job = ctx.shared["job"]
        block = [f"# begin {job}", f"{ctx.shared['at']} {job}", f"# end {job}"]
        self.write([*self.lines_without(job), *block])

    def saga_undo(self, ctx):
        self.write(self.lines_without(ctx.shared["job"]))

    def lines_without(self, job):
        lines, is_inside = [], False
        for line in (self.world.path / "crontab").read_text(encoding="utf-8").splitlines():
            is_inside = is_inside or line == f"# begin {job}"
            if not is_inside:
                lines.append(line)
            is_inside = is_inside and line != f"# end {job}"
        return lines

    def write(self, lines):
        new = self.world.path / "crontab.new"
        new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        new.replace(self.world.path / "crontab")


class Script(Step):
    """What the job calls."""

    id = "script"

    def __init__(self, world):
        super().__init__()
        self.world = world

    def saga_run(self, ctx):
        (self.world.path / f"{ctx.shared['job']}.sh").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")

    def saga_undo(self, ctx):
        (self.world.path / f"{ctx.shared['job']}.sh").unlink(missing_ok=True)


def make_workflow(world):
    return Workflow("nightly", [Script(world), CronJob(world)])
