"""The formal model of the journal protocol, checked with Spin."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "models"
pytestmark = pytest.mark.xdist_group("models")  # the searches are made once, by one worker


def check(**env):
    return subprocess.run(
        [sys.executable, str(MODELS / "check.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
    )


@pytest.fixture(scope="module")
def searched():
    if shutil.which("spin") is None:
        pytest.skip("Spin is not installed: apt-get install spin")
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: apt-get install gcc")
    before = sorted(MODELS.rglob("*"))
    done = check()
    assert sorted(MODELS.rglob("*")) == before, "check.py left files behind"
    return done


def lines(searched, kind):
    return re.findall(rf"^(ok|FAIL) +{kind}: (.+?) +(\d+) states  (.+)$", searched.stdout, re.MULTILINE)


def test_the_right_protocol_holds(searched):
    """The journal protocol keeps its guarantees in every state that two crashes and a failed append lead to."""
    right = lines(searched, "right")
    assert len(right) == 6, searched.stdout + searched.stderr
    assert [(mark, found) for mark, _, _, found in right] == [("ok", "no error")] * 6, searched.stdout
    assert all(int(states) > 1_000_000 for _, _, states, _ in right), searched.stdout


def test_every_outcome_is_reached(searched):
    """The guarantees are not kept for want of runs: all three outcomes are reached with all crashes spent."""
    reached = lines(searched, "reached")
    assert [(mark, title) for mark, title, _, _ in reached] == [
        ("ok", "succeeded"),
        ("ok", "undone"),
        ("ok", "needs attention"),
    ], searched.stdout + searched.stderr


def test_every_seeded_bug_is_found(searched):
    """The model has teeth: each protocol that is wrong in one place breaks the property that it should."""
    bugs = lines(searched, "bug")
    assert len(bugs) == 20, searched.stdout + searched.stderr
    assert [bug for bug in bugs if bug[0] != "ok"] == []
    assert searched.returncode == 0, searched.stdout + searched.stderr


def test_a_missing_tool_is_told(tmp_path):
    """Without Spin the check says how to install it and does not pass."""
    done = check(PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr == "not found: spin, gcc; apt-get install spin gcc\n"
