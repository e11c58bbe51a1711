"""A theme is unpacked by tar into a folder of its own, and made the active one."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile

from automa import Workflow, step
from automa.testing import DirectoryWorld

STATE = {"theme": "night"}


class Themes(DirectoryWorld):
    """The folder of themes, with an archive that was downloaded."""

    def reset(self):
        super().reset()
        with tarfile.open(self.path / "night.tar", "w") as archive:
            for name, text in (("theme.css", b"body { background: black }\n"), ("about.txt", b"Night\n")):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))

    def snapshot(self):
        files = [*self.path.glob("*.txt"), *self.path.glob("*/*")]
        return {str(file.relative_to(self.path)): file.read_text(encoding="utf-8") for file in sorted(files)}


def make_world():
    return Themes({"active.txt": "day\n"})


def make_workflow(world):
    @step
    def unpack(ctx):
        folder = world.path / ctx.shared["theme"]
        folder.mkdir(exist_ok=True)
        archive = f"{world.path / ctx.shared['theme']}.tar"
        command = ["tar", "-x", "--no-same-owner", "-f", archive, "-C", str(folder)]
        subprocess.run(command, check=True, timeout=10)

    @unpack.undo
    def remove(ctx):
        shutil.rmtree(world.path / ctx.shared["theme"], ignore_errors=True)

    @step
    def activate(ctx):
        (world.path / "active.txt").write_text(f"{ctx.shared['theme']}\n", encoding="utf-8")

    @activate.prepare
    def note_active():
        return {"before": (world.path / "active.txt").read_text(encoding="utf-8")}

    @activate.undo
    def activate_before(ctx):
        (world.path / "active.txt").write_text(ctx.local["before"], encoding="utf-8")

    return Workflow("theme", [unpack, activate])
