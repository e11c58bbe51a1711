"""A theme is unpacked by tar into a folder of its own, and made the active one."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile

from automa import Workflow, step
from automa.testing import DirectoryWorld

STATE = {"theme": "night"}


def archive(files):
    """Return the archive as it was downloaded."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return content.getvalue()


def make_world():
    files = {"theme.css": b"body { background: black }\n", "about.txt": b"Night\n"}
    return DirectoryWorld({"active.txt": "day\n", "night.tar": archive(files)})


def make_workflow(world):
    @step
    def unpack(ctx):
        folder = world.path / ctx.shared["theme"]
        folder.mkdir(exist_ok=True)
        file = f"{world.path / ctx.shared['theme']}.tar"
        command = ["tar", "-x", "--no-same-owner", "-f", file, "-C", str(folder)]
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
