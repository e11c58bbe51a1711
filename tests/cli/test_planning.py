"""`automa plan`, started as a process as a user does."""

from __future__ import annotations

import json

from tests.cli.test_run import automa, saga  # noqa: F401  # a fixture


def test_a_plan_is_told_and_nothing_started(saga, tmp_path):  # noqa: F811
    """Text and JSON tell the way back, a file gets it too, and no step is run."""
    told = automa("plan", f"{saga}:saga")
    assert told.returncode == 0
    assert "if b fails: undone; undone: b, a; stays: wait (no undo)" in told.stdout
    written = automa("plan", f"{saga}:saga", "--format", "json", "--output", tmp_path / "plan.json")
    assert written.returncode == 0
    assert json.loads((tmp_path / "plan.json").read_text())["if_fails"][0]["step"] == "a"
    assert not (tmp_path / "log").exists()


def test_what_cannot_be_planned_is_told_in_one_line(saga):  # noqa: F811
    """A workflow that is not there exits with 65, a wrong format with 64."""
    missing = automa("plan", f"{saga}:nothing")
    assert (missing.returncode, missing.stderr.count("\n")) == (65, 1)
    assert automa("plan", f"{saga}:saga", "--format", "png").returncode == 64
