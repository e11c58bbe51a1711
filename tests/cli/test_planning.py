"""`automa plan`, started as a process as a user does."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from tests.cli.test_run import automa, saga  # noqa: F401  # a fixture


def test_a_plan_is_told_and_nothing_started(saga, tmp_path):  # noqa: F811
    """Text and JSON tell the way back, a file gets it too, and no step is run."""
    told = automa("plan", f"{saga}:saga")
    assert told.returncode == 0
    assert "the whole way back, from the step that fails: c, b, a" in told.stdout
    assert "stays, once run (no undo): wait" in told.stdout
    written = automa("plan", f"{saga}:saga", "--format", "json", "--output", tmp_path / "plan.json")
    assert written.returncode == 0
    assert json.loads((tmp_path / "plan.json").read_text())["if_fails"][0]["step"] == "a"
    assert not (tmp_path / "log").exists()


def test_what_cannot_be_planned_is_told_in_one_line(saga):  # noqa: F811
    """A workflow that is not there exits with 65, a wrong format with 64."""
    missing = automa("plan", f"{saga}:nothing")
    assert (missing.returncode, missing.stderr.count("\n")) == (65, 1)
    assert automa("plan", f"{saga}:saga", "--format", "png").returncode == 64


def test_pictures_are_printed_and_written(saga, tmp_path):  # noqa: F811
    """Mermaid goes to standard output, SVG to a file, which is whole and well-formed."""
    assert automa("plan", f"{saga}:saga", "--format", "mermaid").stdout.startswith("flowchart TB\n")
    assert automa("plan", f"{saga}:saga", "--format", "svg", "-o", tmp_path / "plan.svg").returncode == 0
    root = ET.parse(tmp_path / "plan.svg").getroot()  # noqa: S314  # our own
    assert root.tag.endswith("svg")


def test_a_plan_that_cannot_be_written_exits_with_74(saga, tmp_path):  # noqa: F811
    """A full disk exits with 74 in one line, a folder that is not there with 64 before anything is loaded."""
    full = automa("plan", f"{saga}:saga", "-o", "/dev/full")
    assert (full.returncode, full.stderr.count("\n")) == (74, 1)
    assert automa("plan", f"{saga}:saga", "-o", tmp_path / "nowhere" / "plan").returncode == 64
