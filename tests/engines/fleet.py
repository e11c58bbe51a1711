"""Worker processes that are killed, frozen and replaced, whose steps tell a file of each effect."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from pathlib import Path

from automa import Step, Workflow

ROOT = Path(__file__).parents[2]


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


class Fleet:
    """Worker processes, and what they have done.

    Args:
        folder: Where the effects and the logs are.
        make_worker: ``module:function``, as `main` has it.
        arguments: What else that is given.
        pause: Seconds that each step takes.
    """

    def __init__(self, folder, make_worker, *arguments, pause=0.05):
        self.effects = folder / "effects.txt"
        self.effects.touch()
        self.log = folder / "workers.txt"
        self.make_worker, self.arguments, self.pause = make_worker, arguments, pause
        self.workers = []
        self.killed = set()

    def start(self, count=1, *, versions="1", arguments=None):
        """Start workers; return them."""
        command = [sys.executable, "-m", "tests.engines.fleet", self.make_worker, str(self.effects), versions]
        command += [str(self.pause), *map(str, self.arguments if arguments is None else arguments)]
        with self.log.open("ab") as log:
            begun = [subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT) for _ in range(count)]
        self.workers += begun
        return begun

    def kill(self, worker):
        """Kill a worker, as a machine that fails does."""
        worker.send_signal(signal.SIGKILL)
        self.killed.add(worker.pid)
        worker.wait()
        self.workers.remove(worker)

    def stop(self):
        """Kill them all."""
        for worker in list(self.workers):
            self.kill(worker)

    def lines(self):
        """Return what the steps have told: the word, the key, the process and the version."""
        return [line.split() for line in self.effects.read_text().splitlines()]

    def check(self, title, refused, *, may_repeat=None, frozen=None):
        """Check that each saga has had its effects, in their order, and that only what was cut off was repeated.

        Args:
            title: What has befallen them.
            refused: Of each run whether its third step refused.
            may_repeat: The processes whose steps may have been cut off; by default those that were killed.
            frozen: A process that was frozen: what it was in the middle of calling it calls when it awakes.
        """
        may_repeat = self.killed if may_repeat is None else may_repeat
        begun, done, repeated = {}, Counter(), 0
        for word, key, pid, _ in self.lines():
            _, run, step, action = key.split("/")
            if word == "begin":
                begun.setdefault(run, []).append((f"{step}/{action}", int(pid)))
            else:
                done[key] += 1
        for run, is_refused in refused.items():
            expected = ["reserve/run", "charge/run", "ship/run"]
            expected += ["ship/undo", "charge/undo", "reserve/undo"] if is_refused else []
            steps = begun[run]
            others = {step for step, pid in steps if pid != frozen}
            late = [each for each in steps if each[1] == frozen and each[0] in others]
            assert len(late) <= 1, (run, steps, "it had one call in the middle at most")
            steps = [each for each in steps if each not in late]
            repeated += len(late)
            assert [step for step, _ in groupby(step for step, _ in steps)] == expected, (run, steps)
            assert all(done[f"order/{run}/{step}"] for step in expected), (run, "an effect is lost")
            again = [pid for (step, pid), (later, _) in pairwise(steps) if step == later]
            assert set(again) <= may_repeat, (run, steps, may_repeat)
            repeated += len(again)
        pids = Counter(pid for steps in begun.values() for _, pid in steps)
        sys.stdout.write(
            f"{title}: {len(refused)} sagas ended right, {sum(refused.values())} of them undone; {len(self.killed)} workers "
            f"killed; {sum(done.values())} effects, none lost; {repeated} steps were called again, all of them cut "
            f"off at work; steps by process: {sorted(pids.values(), reverse=True)}\n"
        )


def submit(engine, count, *, version="1", prefix="r"):
    """Begin sagas, of which every other one is refused; return of each run whether it is."""
    workflow = order(lambda *words: None, version)
    refused = {f"{prefix}{number}": bool(number % 2) for number in range(count)}
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(
            lambda run: engine.submit(workflow, {"refused": refused[run]}, run_id=run), refused
        ):
            pass
    return refused


def outcomes(engine, refused):
    """Wait until each run has ended; check how."""
    for run, is_refused in refused.items():
        report = engine.wait(run, workflow_id="order", timeout=120)
        assert report.outcome == ("undone" if is_refused else "succeeded"), (run, str(report))


if __name__ == "__main__":
    main(*sys.argv[1:5])
