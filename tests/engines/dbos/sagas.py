"""The sagas of the tests, and the process that carries them on: ``python -m tests.engines.dbos.sagas``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import time
from pathlib import Path

from automa import Parallel, Retry, Step, Workflow
from automa.engines.dbos import DbosEngine


class Ledger:
    """A file to which processes append what they do, a line at once."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, *words):
        """Append a line: who does it, and what."""
        os.write(self.file, (" ".join(map(str, [os.getpid(), *words])) + "\n").encode())


def lines(path):
    """Return what stands in a ledger: of each line its words."""
    return [line.split(" ") for line in Path(path).read_text().splitlines()] if Path(path).exists() else []


def wait_for(condition, what, seconds=60):
    """Wait until a condition holds; that takes as long as it takes, within reason."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"{what} has not come to pass within {seconds} s"
        time.sleep(0.02)
    return found


class Sagas:
    """The sagas of one process: each step waits at the gate that the state names, if any.

    Args:
        directory: Where the ledger is, and the gates: files that open them once they are there.
        version: The version of the workflows.
    """

    def __init__(self, directory, version="1"):
        self.directory, self.version = Path(directory), version
        self.ledger = Ledger(self.directory / "ledger")

    def all(self):
        """Return the workflows."""
        return [self.order(), self.ship(), self.retried(), self.stuck()]

    def effect(self, ctx, kind):
        """Have an effect, after some time."""
        self.ledger.write("begun", ctx.idempotency_key)
        self.gate(ctx, kind)
        time.sleep(random.uniform(0, float(ctx.shared.get("slow", 0))))
        self.ledger.write("done", ctx.idempotency_key)

    def gate(self, ctx, kind):
        """Wait until the gate is open that the state names for this step."""
        if ctx.shared.get("gate") == f"{kind} {ctx.path}":
            wait_for((self.directory / f"open {ctx.run_id}").exists, "the opening of the gate")

    def step(self, id, **options):
        """Return a step that has an effect, and that fails after it where the state says so."""

        def run(ctx):
            self.effect(ctx, "run")
            if ctx.shared.get("fails") == ctx.path:
                raise ValueError(f"{ctx.path} refuses")
            return {"by": self.version}

        def undo(ctx):
            self.effect(ctx, "undo")
            if ctx.shared.get("undo fails") == ctx.path and not (self.directory / "repaired").exists():
                raise ValueError(f"{ctx.path} cannot be undone")

        return Step(id, run=run, undo=undo, **options)

    def order(self):
        """Return three steps, the plain ones."""
        steps = [self.step(each) for each in ("reserve", "charge", "send")]
        return Workflow("order", steps, version=self.version)

    def ship(self):
        """Return branches, some of them of several steps, and one that waits on the event loop."""

        async def call(ctx):
            self.ledger.write("begun", ctx.idempotency_key)
            while not (self.directory / f"open {ctx.run_id}").exists():  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.02)
            self.ledger.write("done", ctx.idempotency_key)

        left = Workflow("left", [self.step("pack"), self.step("load")])
        called = Step("call", run=call, undo=lambda ctx: self.ledger.write("done", ctx.idempotency_key))
        both = Parallel("both", left, self.step("label"), called, on_failure="cancel")
        return Workflow("ship", [self.step("pick"), both, self.step("bill")], version=self.version)

    def retried(self):
        """Return a step that fails until the gate is open, and waits long between its attempts."""

        def run(ctx):
            self.ledger.write("done", ctx.idempotency_key, ctx.attempt)
            if not (self.directory / f"open {ctx.run_id}").exists():
                raise ConnectionError("busy")

        again = Step("again", run=run, undo=lambda ctx: None, retry=Retry(attempts=9, initial=3600, jitter=0))
        soon = Step("soon", run=lambda ctx: self.once(ctx), retry=Retry(attempts=9, initial=1.5, jitter=0))
        return Workflow("retried", [self.step("first"), soon, again], version=self.version)

    def once(self, ctx):
        """Fail at the first attempt."""
        self.ledger.write("done", ctx.idempotency_key, time.time())
        if ctx.attempt == 1:
            raise ConnectionError("busy")

    def stuck(self):
        """Return a step on the event loop that waits for its cancellation."""

        async def wait(ctx):
            self.ledger.write("begun", ctx.idempotency_key)
            await asyncio.sleep(3600)

        undone = Step("wait", run=wait, undo=lambda ctx: self.ledger.write("done", ctx.idempotency_key))
        return Workflow("stuck", [self.step("first"), undone], version=self.version)


def main():
    """Carry sagas on until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("directory")
    parser.add_argument("--versions", nargs="*", default=["1"])
    parser.add_argument("--lease", type=float, default=2.0)
    parser.add_argument("--at-once", type=int, default=250)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(process)d %(name)s %(message)s")
    logging.getLogger("automa").setLevel(logging.CRITICAL)
    logging.getLogger("automa.engines").setLevel(logging.INFO)
    workflows = [each for version in given.versions for each in Sagas(given.directory, version).all()]
    engine = DbosEngine(given.url, lease=given.lease, runs_at_once=given.at_once, grace=10)
    worker = engine.worker(workflows)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()
    engine.close()


if __name__ == "__main__":
    main()
