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

PARTS = 5
"""Each case, and the steps side by side, have their part of them."""

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

SIDES = """
import os, sys
from automa import Parallel, Retry, Step, Workflow

url, ledger, blocks, ending = sys.argv[1:]
fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def act(ctx, fails):
    attempt = 1 + len(ctx.report.failed_attempts)
    os.write(fd, f"{os.getpid()} {ctx.action.value} {ctx.path} {attempt}\\n".encode())
    os.fsync(fd)
    if attempt <= fails:
        raise RuntimeError("not yet")

def step(id, fails=0, **options):
    retry = Retry(2, initial=0) if fails == 1 else None
    work = lambda ctx: act(ctx, fails)
    return Step(id, run=work, undo=work, retry=retry, undo_retry=retry, **options)

def both(id):
    return Workflow(id, [step("x"), step("y", 1)])

def block(n):
    sides = Parallel(f"p{n}", both("a"), step("b", 1), step("c"), both("d"))
    return [step(f"r{n}", 1), step(f"w{n}", when=lambda: False), sides]

steps = [each for n in range(int(blocks)) for each in block(n)]
if ending == "pivot":
    steps.insert(3, step("pivot", pivot=True))
last = Step("last", run=lambda ctx: act(ctx, 99), undo=lambda: None)
workflow = Workflow("w", [*steps, last])
sys.stdout.write("ready\\n")
sys.stdout.flush()
report = workflow.resume("r", url)
os.write(1, f"{report.outcome}\\n".encode())
"""


class Victim:
    """A process that starts or resumes the run."""

    def __init__(self, url, ledger, steps, ending, program=VICTIM):
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, url, str(ledger), str(steps), ending],
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
    wanted, steps = KILLS // PARTS, STEPS[kind]
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


BLOCKS = 6


def chains_of(block):
    """Return the forward effects of a block: of its first step, then of each branch of the parallel step."""
    first = [f"run r{block} 1", f"run r{block} 2"]
    both = ["x 1", "y 1", "y 2"]
    branches = [[f"run p{block}/{id}/{each}" for each in both] for id in "ad"]
    return first, [
        branches[0],
        [f"run p{block}/b 1", f"run p{block}/b 2"],
        [f"run p{block}/c 1"],
        branches[1],
    ]


def undos_of(block):
    """Return the effects of the way back through a block."""
    both = ["y 1", "y 2", "x 1"]
    inside = [*(f"d/{each}" for each in both), "c 1", "b 1", "b 2", *(f"a/{each}" for each in both)]
    return [
        *(f"rollback p{block}/{each}" for each in inside),
        f"rollback r{block} 1",
        f"rollback r{block} 2",
    ]


def once_of(lines):
    """Leave out what a process did again right after another one had: it was in flight."""
    once = []
    for process, effect in lines:
        if once and once[-1][1] == effect and once[-1][0] != process:
            once.pop()
        once.append((process, effect))
    return [effect for _, effect in once]


def check_sides(lines, ending, kills):
    """Check the effects of a run with steps side by side; each branch may have had one in flight at each kill."""
    lines = [tuple(line.split(" ", 1)) for line in lines]
    forward = [line for line in lines if line[1].startswith("run ") and " last " not in line[1]]
    back = [line for line in lines if line[1].startswith("rollback ")]
    wanted, done = 0, 0
    for block in range(BLOCKS):
        first, branches = chains_of(block)
        for stage in [[first], branches, *([[["run pivot 1"]]] if ending == "pivot" and not block else [])]:
            inside = {effect for chain in stage for effect in chain}
            count = next(
                (n for n, line in enumerate(forward[done:]) if line[1] not in inside), len(forward) - done
            )
            part = forward[done : done + count]
            done += count
            wanted += len(inside)
            for chain in stage:
                assert once_of([line for line in part if line[1] in chain]) == chain
    assert done == len(forward)
    assert done - wanted <= 4 * kills
    assert once_of(back) == (
        [] if ending == "pivot" else [each for n in reversed(range(BLOCKS)) for each in undos_of(n)]
    )


def check_entries(url, ending):
    """Check that nothing that has answered was started again."""
    store = open_store(url)
    answered = set()
    for entry in store.load("w", "r"):
        call = (entry.get("started") or entry.get("answered"), entry.get("action", "run"))
        assert "started" not in entry or call not in answered
        if "answered" in entry:
            answered.add(call)
    assert ("last", "run") not in answered or ending == "rollback"
    store.close()


@pytest.mark.guarantee("G2", "G3", "G4", "G8", "G9")
def test_kills_change_nothing_where_steps_go_on_side_by_side(tmp_path):
    """Killed among retries, conditions and branches, no step that ended is run again; past a pivot nothing is undone."""
    wanted, kills, runs = KILLS // PARTS, 0, 0
    chance = random.Random("side by side")  # no cryptography
    took = {}
    while kills < wanted or runs < 4:
        ending = ("rollback", "pivot")[runs % 2]
        report = {"rollback": "undone\n", "pivot": "needs_attention\n"}[ending]
        runs += 1
        url, ledger = f"sqlite:///{tmp_path}/runs{runs}.db", tmp_path / f"ledger{runs}"
        arguments = (url, ledger, BLOCKS, ending, SIDES)
        if ending not in took:  # it is let go on to its end: how long one takes
            victim, began = Victim(*arguments), time.monotonic()
            assert victim.end() == (0, report)
            took[ending] = time.monotonic() - began
            check_sides(ledger.read_text("ascii").splitlines(), ending, 0)
            continue
        of_this = 0
        while kills < wanted:
            if not Victim(*arguments).kill_after(chance.random() * took[ending] / 2):
                break  # it was through
            kills += 1
            of_this += 1
        assert Victim(*arguments).end() == (0, report)
        check_sides(ledger.read_text("ascii").splitlines(), ending, of_this)
        check_entries(url, ending)
    assert kills == wanted


def runs_of(url):
    store = open_store(url)
    assert isinstance(store, FileStore | SqliteStore)
    found = list(store.runs())
    store.close()
    return found


def test_the_number_of_kills():
    """Two hundred processes are killed each time, two thousand with AUTOMA_SOAK, a fifth of them side by side."""
    assert len(CASES) + 1 == PARTS
    assert KILLS // PARTS * PARTS == KILLS
