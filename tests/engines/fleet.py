"""What a worker of the fleet tests is: a process of its own, whose steps tell a file of each effect."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time

from automa import Step, Workflow


def effects_of(path):
    """Return a function that appends a line to a file: whole, whoever else does so, and whatever befalls us."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    return lambda *words: os.write(file, (" ".join(map(str, words)) + "\n").encode())


def order(effect, version="1", pause=0.0):
    """Return the saga of the fleet tests: three steps, of which the third refuses where the order says so.

    Args:
        effect: Told of each effect.
        version: The version of the workflow.
        pause: Seconds that each step takes, so that there is something to be killed.
    """

    def run(ctx):
        effect("begin", ctx.idempotency_key, os.getpid(), version)
        time.sleep(pause)
        effect("run", ctx.idempotency_key, os.getpid(), version)
        if ctx.step_id == "ship" and ctx.shared["refused"]:
            raise ValueError("out of stock")
        return ctx.step_id

    def undo(ctx):
        effect("begin", ctx.idempotency_key, os.getpid(), version)
        time.sleep(pause)
        effect("undo", ctx.idempotency_key, os.getpid(), version)

    steps = [Step(id, run=run, undo=undo) for id in ("reserve", "charge", "ship")]
    return Workflow("order", steps, version=version)


def main(make_worker, effects, versions, pause):
    """Be a worker, until SIGTERM.

    Args:
        make_worker: ``module:function``; called with the workflows and the other arguments of the command.
        effects: The file.
        versions: Which versions of the saga it has, with commas.
        pause: Seconds that each step takes.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("automa").setLevel(logging.WARNING)
    logging.getLogger("automa.engines").setLevel(logging.INFO)
    module, _, function = make_worker.partition(":")
    effect = effects_of(effects)
    workflows = [order(effect, version, float(pause)) for version in versions.split(",")]
    getattr(importlib.import_module(module), function)(workflows, *sys.argv[5:]).run()


if __name__ == "__main__":
    main(*sys.argv[1:5])
