"""Power losses: whatever a disk may hold after one, the run goes on from there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from automa import RunNotFoundError
from automa.stores import FileStore, SqliteStore
from tests.faults import shim
from tests.faults.disk import legal_states, materialise
from tests.faults.saga import STEPS, workflow

KINDS = ["success", "rollback"]
NAMES = [f"s{number}" for number in range(STEPS)]
EXPECTED = {
    "success": [f"run {name}" for name in NAMES],
    "rollback": [f"run {name}" for name in NAMES] + [f"undo {name}" for name in reversed(NAMES)],
}


@pytest.fixture
def scratch(tmp_path):
    """A folder where thousands of trees are laid out: in memory, where there is such a disk."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        yield tmp_path / "scratch"
        return
    folder = Path(tempfile.mkdtemp(prefix="automa-", dir=shm))  # a killed test may have left one behind
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def record(store, kind, tmp_path):
    """Run the saga on a store with all its system calls recorded."""
    shim.require()
    root = tmp_path / "root"
    root.mkdir()
    url = f"file:{root}/runs" if store == "file" else f"sqlite:///{root}/runs.db"
    argv = [sys.executable, "-m", "tests.faults.saga", url, kind, str(tmp_path / "ledger")]
    outcome = shim.run(argv, root, record=True)
    assert outcome.returncode == 0, outcome
    assert [text for text in outcome.log.marks if text != "ended"] == EXPECTED[kind]
    return outcome.log


def resume(store, kind, folder):
    """Resume the run that a disk holds; return what was done, and the report, or None where there is no run."""
    done = []
    opened = (
        FileStore(folder / "runs", durability="process")
        if store == "file"
        else SqliteStore(folder / "runs.db", durability="process")
    )
    try:
        report = workflow(done.append, fails=kind == "rollback").resume("r", opened, missing="error")
    except RunNotFoundError:
        return done, None
    finally:
        opened.close()
    return done, report


def problem_of(store, kind, state, folder):
    """What is wrong with how a run goes on from a disk state, or None."""
    acknowledged = [mark for mark in state.acknowledged if mark != "ended"]
    done, report = resume(store, kind, folder)
    if report is None:
        return f"{acknowledged} had their effect, and the run is not there" if acknowledged else None
    expected = EXPECTED[kind]
    if done and acknowledged and expected.index(done[0]) < len(acknowledged) - 1:
        return f"{acknowledged[-1]} had had its effect, and {done[0]} was called again"
    if done != expected[len(expected) - len(done) :]:
        return f"it went on with {done}"
    if "ended" in state.acknowledged and done:
        return f"it had ended, and {done} was called again"
    if report.outcome != ("undone" if kind == "rollback" else "succeeded"):
        return f"it ended {report.outcome}"
    return None


@pytest.mark.guarantee("G1", "G2", "G3", "G5", "G9")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("store", ["file", "sqlite"])
def test_every_legal_disk_state_recovers(store, kind, tmp_path, scratch):
    """From each state that a disk may legally be in, nothing recorded is lost or repeated, and the run ends."""
    log = record(store, kind, tmp_path)
    sector, limit = (64, 170) if store == "file" else (512, 100 if kind == "success" else 50)
    count, problems = 0, []
    for state in legal_states(log, limit_per_moment=limit, sector=sector):
        count += 1
        folder = materialise(state.tree, scratch / "tree")
        problem = problem_of(store, kind, state, folder)
        if problem is not None:
            problems.append(f"moment {state.moment}: {problem}")
    assert problems[:5] == []
    sys.stdout.write(f"{store} {kind}: {count} legal disk states recovered\n")
    assert count >= 1_250  # four of these tests make 5,000
