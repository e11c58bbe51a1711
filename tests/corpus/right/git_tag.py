"""A version is written into a file and tagged with git; a tag that is not there need not be deleted."""

from __future__ import annotations

import os
import shutil
import subprocess

from automa import Workflow, step
from automa.testing import DirectoryWorld

STATE = {"version": "1.1.0"}
WHO = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


def git(folder, *arguments):
    environment = os.environ | WHO | {"GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=10)
    return done.stdout


class Repository(DirectoryWorld):
    """A repository with one commit, made once and copied back at each reset."""

    template = None

    def reset(self):
        super().reset()
        if self.template is None:
            git(self.path, "init", "-q", "--template=")
            git(self.path, "commit", "-q", "--allow-empty", "-m", "begin")
            self.template = self.path.with_name(f"{self.path.name}-template")
            shutil.copytree(self.path / ".git", self.template)
        else:
            shutil.rmtree(self.path / ".git", ignore_errors=True)
            shutil.copytree(self.template, self.path / ".git")

    def snapshot(self):
        tags = sorted(tag.name for tag in (self.path / ".git" / "refs" / "tags").glob("*"))
        return {"tags": tags, "version": (self.path / "VERSION").read_text(encoding="utf-8")}

    def close(self):
        shutil.rmtree(self.template, ignore_errors=True)
        super().close()


def make_world():
    return Repository({"VERSION": "1.0.0\n"})


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
