"""A logbook is written through one open file, a resource that each process opens for itself."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DirectoryWorld

STATE = {"ship": "Aurora", "port": "Bergen"}


class Logbook:
    """A file that is kept open, and opened again where somebody has closed it."""

    def __init__(self, world):
        self._world = world
        self._file = None

    def lines(self):
        self.file.seek(0)
        return self.file.read().splitlines()

    def write(self, lines):
        self.file.seek(0)
        self.file.truncate()
        self.file.write("".join(f"{line}\n" for line in lines))
        self.file.flush()

    @property
    def file(self):
        if self._file is None or self._file.closed:
            self._file = (self._world.path / "logbook.txt").open("r+", encoding="utf-8")
            self._world.handles.append(self._file)
        return self._file


class Harbour(DirectoryWorld):
    """The folder of the logbook, and the files that are open on it."""

    def __init__(self, initial):
        self.handles = []
        super().__init__(initial)

    def reset(self):
        while self.handles:
            self.handles.pop().close()
        super().reset()

    def close(self):
        while self.handles:
            self.handles.pop().close()


def make_world():
    return Harbour({"logbook.txt": "Fram left Oslo\n", "berths.txt": ""})


def make_resources(world):
    return {"logbook": Logbook(world)}


def make_workflow(world):
    @step
    def berth(ctx):
        (world.path / "berths.txt").write_text(f"{ctx.shared['ship']}\n", encoding="utf-8")

    @berth.undo
    def free_berth():
        (world.path / "berths.txt").write_text("", encoding="utf-8")

    @step
    def enter(ctx):
        logbook, line = ctx.resources["logbook"], f"{ctx.shared['ship']} entered {ctx.shared['port']}"
        if line not in logbook.lines():
            logbook.write([*logbook.lines(), line])

    @enter.undo
    def strike_out(ctx):
        logbook, line = ctx.resources["logbook"], f"{ctx.shared['ship']} entered {ctx.shared['port']}"
        logbook.write([each for each in logbook.lines() if each != line])

    return Workflow("arrival", [berth, enter])
