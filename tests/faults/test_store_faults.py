"""Faults of the system: a kill, an error or a short write at each call that a store makes."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from automa import RunNotFoundError
from automa.stores import FileStore, SqliteStore
from tests.faults import saga, shim

IS_SOAK = bool(os.environ.get("AUTOMA_SOAK"))
STEPS = 10 if IS_SOAK else 3
KINDS = ["rollback", "success"] if IS_SOAK else ["rollback"]  # that one goes forward, and back
REFUSED, STOPPED = 76, 75


def expected(kind):
    """What the saga does without faults."""
    names = [f"s{number}" for number in range(STEPS)]
    back = [f"undo {name}" for name in reversed(names)] if kind == "rollback" else []
    return [f"run {name}" for name in names] + back


def faulted(store, kind, folder, fault, at):
    """Run the saga with a fault at the n-th call; return how it ended, and what it had done."""
    root = folder / "root"
    root.mkdir(parents=True)
    url = f"file:{root}/runs" if store == "file" else f"sqlite:///{root}/runs.db"
    argv = [sys.executable, "-m", "tests.faults.saga", url, kind, str(folder / "ledger"), str(STEPS)]
    outcome = shim.run(argv, root, fault=fault, at=at)
    ledger = folder / "ledger"
    return outcome, ledger.read_text().splitlines() if ledger.exists() else []


def resume(store, kind, folder):
    """Resume the run without faults; return what that did, and the report, or None where there is no run."""
    done = []
    root = folder / "root"
    opened = FileStore(root / "runs") if store == "file" else SqliteStore(root / "runs.db")
    workflow = saga.workflow(done.append, fails=kind == "rollback", steps=STEPS)
    try:
        return done, workflow.resume("r", opened, missing="error")
    except RunNotFoundError:
        return done, None
    finally:
        opened.close()


def problem_of(store, kind, folder, fault, at):
    """What is wrong with how the saga bears a fault, or None."""
    outcome, before = faulted(store, kind, folder, fault, at)
    status, whole = outcome.returncode, expected(kind)
    if status not in {0, STOPPED, REFUSED, -signal.SIGKILL}:
        return f"it ended with {status}: {outcome.stderr[-500:]}"
    if status == -signal.SIGKILL and not fault.startswith("kill"):
        return "it was killed"
    if before != whole[: len(before)]:
        return f"it did {before}"
    if status == REFUSED and before:
        return f"it said that it was refused, and had done {before}"
    done, report = resume(store, kind, folder)
    if report is None:
        return f"it had done {before}, and there is no run" if before else None
    if status == 0 and done:
        return f"it said that it had ended, and {done} remained to be done"
    if done not in (whole[len(before) :], whole[max(0, len(before) - 1) :]):
        return f"it had done {before}, and went on with {done}"
    if report.outcome != ("undone" if kind == "rollback" else "succeeded"):
        return f"resumed, it ended {report.outcome}"
    left = [path.name for path in (folder / "root").rglob("*.tmp")]
    return f"left behind: {left}" if left else None


@pytest.mark.guarantee("G1", "G2", "G3", "G5", "G9", "G10")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", shim.FAULTS)
@pytest.mark.parametrize("store", ["file", "sqlite"])
def test_a_fault_at_any_call_loses_nothing(store, fault, kind, tmp_path):
    """Whichever call fails: nothing is said to be done that is not, and the run can be resumed to its end."""
    shim.require()
    (tmp_path / "count").mkdir()
    root = tmp_path / "count" / "root"
    root.mkdir()
    url = f"file:{root}/runs" if store == "file" else f"sqlite:///{root}/runs.db"
    ledger = str(tmp_path / "count" / "ledger")
    argv = [sys.executable, "-m", "tests.faults.saga", url, kind, ledger, str(STEPS)]
    calls = shim.count(argv, root, fault=fault)
    assert calls > STEPS
    problems = []
    for at in range(1, calls + 1):
        problem = problem_of(store, kind, tmp_path / str(at), fault, at)
        if problem is not None:
            problems.append(f"{fault} at call {at} of {calls}: {problem}")
    assert problems == []
