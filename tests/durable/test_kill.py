"""A real process, killed with ``kill -9`` at random moments, again and again, and resumed each time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automa.stores import FileStore, SqliteStore
from automa.stores.urls import open_store

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AUTOMA_KILLS", "2000" if os.environ.get("AUTOMA_SOAK") else "200"))
"""How many processes are killed in all."""

CASES = [(kind, ending) for kind in ("file", "sqlite") for ending in ("success", "rollback")]
STEPS = {"file": 40, "sqlite": 120}

VICTIM = """
import os, sys
from automa import Step, Workflow

url, ledger, steps, ending = sys.argv[1:]
fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def effect(text):
    os.write(fd, f"{os.getpid()} {text}\\n".encode())
    os.fsync(fd)

def step(number):
    def run(ctx):
        effect(f"run {number}")
        ctx.shared["last"] = number
        if ending == "rollback" and number == int(steps):
            raise RuntimeError("the last step fails")
        return number

    def undo(ctx):
        effect(f"undo {number} {ctx.shared['last']} {ctx.result}")

    return Step(str(number), run=run, undo=undo)

workflow = Workflow("w", [step(number) for number in range(1, int(steps) + 1)])
sys.stdout.write("ready\\n")
sys.stdout.flush()
report = workflow.resume("r", url)
os.write(1, f"{report.outcome} {len(report.step_reports)}\\n".encode())
"""


class Victim:
    """A process that starts or resumes the run."""

    def __init__(self, url, ledger, steps, ending):
        self.process = subprocess.Popen(
            [sys.executable, "-c", VICTIM, url, str(ledger), str(steps), ending],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout.readline() == "ready\n"

    def kill_after(self, seconds):
        """Kill it after a while; return whether it was alive, and had not ended the run, until then."""
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        said, _ = self.process.communicate()
        return self.process.returncode == -signal.SIGKILL and not said

    def end(self):
        said, _ = self.process.communicate()
        return self.process.returncode, said


def expected_effects(steps, ending):
    """Return the effects of an uncrashed run."""
    forward = [f"run {number}" for number in range(1, steps + 1)]
    if ending == "success":
        return forward
    results = {number: number for number in range(1, steps)} | {steps: None}
    return forward + [f"undo {number} {number} {results[number]}" for number in reversed(range(1, steps + 1))]


def check_ledger(lines, steps, ending, kills):
    """Check that effects are those of an uncrashed run, but for the one in flight at each kill."""
    once, again, before = [], 0, None
    for line in lines:
        process, effect = line.split(" ", 1)
        if once and once[-1] == effect and process != before:
            again += 1
        else:
            once.append(effect)
        before = process
    assert once == expected_effects(steps, ending)
    assert again <= kills


@pytest.mark.guarantee("G2", "G3", "G4", "G5", "G8", "G9")
@pytest.mark.parametrize(("kind", "ending"), CASES, ids=[f"{a}-{b}" for a, b in CASES])
def test_kills_at_random_moments_change_nothing(kind, ending, tmp_path):
    """Processes killed at any moment and resumed leave each effect once, but for the one in flight, and the same report."""
    wanted, steps = KILLS // len(CASES), STEPS[kind]
    chance = random.Random(f"{kind} {ending}")  # no cryptography
    report = (
        f"{'succeeded' if ending == 'success' else 'undone'} {steps * (1 if ending == 'success' else 2)}\n"
    )
    kills, runs, began, took = 0, 0, time.monotonic(), 0.0
    while kills < wanted:
        runs += 1
        url = f"file:{tmp_path}/runs{runs}" if kind == "file" else f"sqlite:///{tmp_path}/runs{runs}.db"
        ledger = tmp_path / f"ledger{runs}"
        if not took:  # one run is let go on to its end: how long one takes
            victim, began = Victim(url, ledger, steps, ending), time.monotonic()
            assert victim.end() == (0, report)
            took = time.monotonic() - began
            continue
        of_this = 0
        while kills < wanted:
            if not Victim(url, ledger, steps, ending).kill_after(chance.random() * took / 3):
                break  # it was through
            kills += 1
            of_this += 1
        assert Victim(url, ledger, steps, ending).end() == (0, report)
        check_ledger(ledger.read_text("ascii").splitlines(), steps, ending, of_this)
        if kind == "file":
            assert not list(Path(f"{tmp_path}/runs{runs}").glob(".*.tmp"))
        assert [info.status for info in runs_of(url)] == [report.split(maxsplit=1)[0]]
    assert kills == wanted


def runs_of(url):
    store = open_store(url)
    assert isinstance(store, FileStore | SqliteStore)
    found = list(store.runs())
    store.close()
    return found


def test_the_number_of_kills():
    """Some sixty processes are killed each time, two hundred with AUTOMA_SOAK, a quarter of them in each case."""
    assert KILLS // len(CASES) * len(CASES) == KILLS
