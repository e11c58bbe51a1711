"""Workers of one machine, real processes, killed, frozen and stopped at random moments, with a ledger of effects."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from automa import Outcome, Step, Workflow
from automa.engines import LocalEngine

ROOT = Path(__file__).parents[2]
SAGAS = int(os.environ.get("AUTOMA_SAGAS", "30"))
WORKERS = 3
SECONDS = 60.0

WORKER = """
import os, signal, sys, time
from automa import Step, Workflow
from automa.engines import LocalEngine

url, ledger = sys.argv[1:]
fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def effect(ctx):
    os.write(fd, f"{os.getpid()} {ctx.run_id} {ctx.action.value} {ctx.path}\\n".encode())
    time.sleep(0.01)
    if ctx.path == "c" and ctx.action.value == "run" and int(ctx.run_id) % 2:
        raise RuntimeError("c refuses")

steps = [Step(id, run=effect, undo=effect) for id in "abc"]
worker = LocalEngine(url).worker(Workflow("w", steps))
signal.signal(signal.SIGTERM, lambda *_: worker.stop())
sys.stdout.write("ready\\n")
sys.stdout.flush()
worker.run()
"""


class Fleet:
    """Workers that are at work, and replaced when they die."""

    def __init__(self, url, ledger):
        self.url, self.ledger = url, ledger
        self.processes = []
        self.ready = set()
        self.frozen = []
        self.killed = set()
        self.signals = Counter()

    def begin(self):
        """Begin a worker."""
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, self.url, str(self.ledger)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.processes.append(process)
        return process

    def disturb(self, chance):
        """Kill a worker, freeze it, have it stop, or awaken one that is frozen."""
        process = chance.choice(self.processes)
        if process.pid not in self.ready:
            assert process.stdout.readline() == "ready\n"
            self.ready.add(process.pid)
        number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
        if process in self.frozen:
            self.frozen.remove(process)
            number = signal.SIGCONT
        process.send_signal(number)
        self.signals[number.name] += 1
        if number is signal.SIGSTOP:
            self.frozen.append(process)
        elif number is not signal.SIGCONT:
            self.processes.remove(process)
            self.begin()
            process.communicate(timeout=SECONDS)
            assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 0)
            if number is signal.SIGKILL:
                self.killed.add(str(process.pid))

    def end(self):
        """Kill all workers."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()


@contextlib.contextmanager
def fleet_of(url, ledger):
    fleet = Fleet(url, ledger)
    try:
        for _ in range(WORKERS):
            fleet.begin()
        yield fleet
    finally:
        fleet.end()


def expected(number):
    forward = ["run a", "run b", "run c"]
    return [*forward, "rollback c", "rollback b", "rollback a"] if number % 2 else forward


@pytest.mark.guarantee("G2", "G3", "G4", "G7", "G9")
@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_whatever_becomes_of_workers_each_saga_ends_right(kind, tmp_path):
    """Workers that are killed, frozen or stopped lose no effect; only what was in flight at a kill is repeated."""
    chance = random.Random(kind)  # no cryptography
    url = f"sqlite:///{tmp_path}/runs.db" if kind == "sqlite" else f"file:{tmp_path}/runs"
    ledger = tmp_path / "ledger"
    engine = LocalEngine(f"{url}?durability=process")
    workflow = Workflow("w", [Step(id, run=lambda: 1, undo=lambda: 1) for id in "abc"])
    with fleet_of(f"{url}?durability=process", ledger) as fleet:
        for number in range(SAGAS):
            engine.submit(workflow, run_id=str(number))
            time.sleep(chance.uniform(0.0, 0.05))
            if number % 3 == 2:
                fleet.disturb(chance)
        for process in fleet.frozen:
            process.send_signal(signal.SIGCONT)
        outcomes = Counter(engine.wait(str(number), timeout=SECONDS).outcome for number in range(SAGAS))
    assert outcomes == {Outcome.SUCCEEDED: (SAGAS + 1) // 2, Outcome.UNDONE: SAGAS // 2}
    lines = [line.split(" ", 2) for line in ledger.read_text().splitlines()]
    again = [each for number in range(SAGAS) for each in repeated(lines, str(number))]
    assert {before for before, _ in again} <= fleet.killed
    sys.stdout.write(f"{kind}: {SAGAS} sagas, {dict(fleet.signals)}, {len(again)} effects repeated\n")


def repeated(lines, run_id):
    """Check that the effects of a run are those it should have; return which were repeated, and after whom."""
    once, again, before = [], [], None
    for process, run, effect in lines:
        if run != run_id:
            continue
        if once and once[-1] == effect and process != before:
            again.append((before, effect))
        else:
            once.append(effect)
        before = process
    assert once == expected(int(run_id))
    return again
