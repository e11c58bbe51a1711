"""A configuration is backed up in a step of its own, rewritten and read again, and comes back from the backup."""

from __future__ import annotations

import configparser
import shutil

from automa import Workflow, step
from automa.testing import DirectoryWorld

STATE = {"port": 8443}


def make_world():
    return DirectoryWorld({"app.ini": "[server]\nport = 80\nworkers = 4\n"})


def make_workflow(world):
    def files():
        return world.path / "app.ini", world.path / "app.ini.orig"

    @step
    def back_up(ctx):
        file, backup = files()
        shutil.copyfile(file, backup)  # the file is not changed before this step is done

    @back_up.undo
    def drop_backup(ctx):
        _, backup = files()
        backup.unlink(missing_ok=True)

    @step
    def rewrite(ctx):
        file, backup = files()
        config = configparser.ConfigParser()
        config.read(backup, encoding="utf-8")
        config["server"]["port"] = str(ctx.shared["port"])
        with file.open("w", encoding="utf-8") as stream:
            config.write(stream)

    @rewrite.undo
    def bring_back(ctx):
        file, backup = files()
        if backup.exists():
            shutil.copyfile(backup, file)

    @step
    def check(ctx):
        config = configparser.ConfigParser()
        config.read(files()[0], encoding="utf-8")
        if config.getint("server", "port") != ctx.shared["port"]:
            raise ValueError("the port was not taken over")

    return Workflow("reconfigure", [back_up, rewrite, check])
