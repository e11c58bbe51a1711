"""The examples that run by themselves, and what they print at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("name", "last_lines"),
    [
        ("payment.py", ["", "outcomes: succeeded, undone, undone"]),
        (
            "provision.py",
            ["  rollback network  SUCCESS", "  balanced over: nothing", "", "machines left: 3, 0"],
        ),
        (
            "approval.py",
            [
                "  run      announce SUCCESS  (2 attempts)",
                "  run      file     SUCCESS",
                "effects: letter 'contract for Eve'",
            ],
        ),
        (
            "checkout.py",
            ["  rollback charge  SUCCESS", "  rollback reserve SUCCESS"],
        ),
        (
            "agent_tools.py",
            [
                "  left: flight-1, hotel-1, mail-calendar, taxi-1",
                "",
                "outcomes: undone, succeeded",
            ],
        ),
    ],
)
def test_an_example(name, last_lines, tmp_path):
    """Each succeeds, wherever it is started, and ends as it says."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-len(last_lines) :] == last_lines
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("title", "status"), [("Hello", 0), ("", 1)])
def test_the_saga_file(title, status, tmp_path):
    """The saga without Python puts its page where it says; with no title it fails, and leaves nothing."""
    folder = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "automa", "run", EXAMPLES / "site.yaml", "--set", f"title={title}", "--set", f"folder={folder}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert (folder.exists(), (folder / "index.html").exists()) == ((status == 0),) * 2


def test_the_agent_tells_what_it_could_not_take_back():
    """The first of its two runs goes back, and the mail that was sent is left."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "agent_tools.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "rollback 4-calendar SKIPPED" in done.stdout
    assert "  left: mail-calendar\n" in done.stdout
