"""`AUTOMA_OBSERVE`: the observer that the environment names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SAGA = """
from automa import Step, Workflow

pay = Workflow("pay", [Step("charge", run=lambda: 1, undo=lambda: None)])
"""

WATCHES = """
class Watches:
    def on_record(self, record):
        print("heard", type(record).__name__)

watches = Watches()
broken = 1 / 0 if __name__ == "broken" else None
"""


def automa(folder, *arguments, observe):
    (folder / "saga.py").write_text(SAGA)
    (folder / "watching.py").write_text(WATCHES)
    (folder / "broken.py").write_text("1 / 0\n")
    return subprocess.run(
        [sys.executable, "-m", "automa", *arguments],
        cwd=folder, env={**os.environ, "AUTOMA_OBSERVE": observe},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("named", ["watching:Watches", "watching:watches"])
def test_an_observer_that_the_environment_names_hears_the_runs(tmp_path, named):
    """A run, and its rollback, is heard by an observer of that name, or by one that a class of that name makes."""
    done = automa(
        tmp_path, "run", "-q", "saga.py", "--store", "sqlite:///runs.db", "--run-id", "r", observe=named
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"heard {name}" for name in ("Begun", "Started", "Answered", "Ended")]
    done = automa(tmp_path, "rollback", "-q", "r", "--store", "sqlite:///runs.db", observe=named)
    assert done.stderr.splitlines()[-1] == "heard Ended"


@pytest.mark.parametrize(
    ("named", "status", "told"),
    [
        ("watching", 64, "expected MODULE:NAME"),
        ("watching:", 64, "expected MODULE:NAME"),
        ("nowhere:Watches", 65, "No module named 'nowhere'"),
        ("watching:Nobody", 65, "no attribute 'Nobody'"),
        ("broken:Watches", 65, "ZeroDivisionError: division by zero"),
        ("json:JSONDecoder", 65, "it is no observer, but of type JSONDecoder"),
        ("json:loads", 65, "TypeError"),
    ],
)
def test_what_is_no_observer_is_told_in_one_line(tmp_path, named, status, told):
    """Where that cannot be used nothing is started, and one line says why."""
    done = automa(tmp_path, "run", "-q", "saga.py", observe=named)
    assert done.returncode == status
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert "AUTOMA_OBSERVE" in done.stderr


def test_without_it_nobody_listens(tmp_path):
    """An empty variable names nobody."""
    done = automa(tmp_path, "run", "-q", "saga.py", observe="")
    assert done.returncode == 0
    assert done.stderr == ""
