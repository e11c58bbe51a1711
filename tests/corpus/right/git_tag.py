"""A version is written into a file and tagged with git; a tag that is not there need not be deleted."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from automa import Workflow, step
from automa.testing import DirectoryWorld

STATE = {"version": "1.1.0"}
WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def git(folder, *arguments):
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", *WHO, "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=10)
    return done.stdout


def repository():
    """Return the files of a repository with one commit."""
    with tempfile.TemporaryDirectory() as folder:
        git(folder, "init", "-q", "--template=")
        git(folder, "commit", "-q", "--allow-empty", "-m", "begin")
        paths = [path for path in Path(folder).rglob("*") if ".git" in path.parts]
        return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in paths}


class Project(DirectoryWorld):
    """A project's folder: what counts are its version and its tags, not how git keeps them."""

    def snapshot(self):
        tags = sorted(tag.name for tag in (self.path / ".git" / "refs" / "tags").glob("*"))
        return {"tags": tags, "version": (self.path / "VERSION").read_text(encoding="utf-8")}


def make_world():
    return Project({"VERSION": "1.0.0\n"} | repository())


def make_workflow(world):
    @step
    def bump(ctx):
        (world.path / "VERSION").write_text(f"{ctx.shared['version']}\n", encoding="utf-8")

    @bump.prepare
    def note_version():
        return {"before": (world.path / "VERSION").read_text(encoding="utf-8")}

    @bump.undo
    def bump_back(ctx):
        (world.path / "VERSION").write_text(ctx.local["before"], encoding="utf-8")

    @step
    def tag(ctx):
        git(world.path, "tag", "--force", f"v{ctx.shared['version']}")

    @tag.undo
    def untag(ctx):
        name = f"v{ctx.shared['version']}"
        if git(world.path, "tag", "--list", name):
            git(world.path, "tag", "--delete", name)

    return Workflow("version", [bump, tag])
