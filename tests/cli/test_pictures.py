"""Runs and plans as pictures, printed and written by the command."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.cli.test_operating import SAGA, assert_refused, command, folder, killed, url  # noqa: F401  # fixtures
from tests.cli.test_run import automa
from tests.pictures.reading import Page, assert_mermaid


def test_a_run_is_shown_as_a_page(folder, command):  # noqa: F811
    """What the journal tells is one page: errors, time, steps, state, requests; printed or written."""
    command("run", "saga.py", "--run-id", "r1", "--set", "fail=b", "--set", "kept=1")
    command("rollback", "r1", "--note", "a <b>note</b>")
    written = command("show", "r1", "--format", "html", "-o", folder / "r1.html")
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    page = (folder / "r1.html").read_text(encoding="utf-8")
    assert command("show", "r1", "--format", "html").stdout == page
    told = Page(page).text
    for words in ("Run of saga", "undone", "r1", "b refused", "saga.py:saga", "wait", "kept"):
        assert words in told


def test_a_run_whose_process_died_is_drawn(folder, url, command):  # noqa: F811
    """A picture is made of a run that has not ended, with the step that was at work."""
    killed(folder, url)
    assert "at work" in Page(command("show", "r1", "--format", "html").stdout).text
    root = ET.fromstring(command("show", "r1", "--format", "svg").stdout)  # noqa: S314  # our own
    assert "… at work" in [each.text for each in root.iter()]
    chart = command("show", "r1", "--format", "mermaid").stdout
    assert_mermaid(chart.removesuffix("\n"))
    assert "#8230; at work" in chart


def test_a_run_is_written_as_text_and_json_too(folder, command):  # noqa: F811
    """--output works for each form, and --format json is what --json prints."""
    command("run", "saga.py", "--run-id", "r1")
    assert command("show", "r1", "--records", "-o", folder / "r1.txt").returncode == 0
    assert "records:" in (folder / "r1.txt").read_text()
    assert "b  completed" in command("show", "r1").stdout
    assert command("show", "r1", "--format", "json").stdout == command("show", "r1", "--json").stdout


def test_a_run_on_an_engine_is_drawn(folder):  # noqa: F811
    """--engine goes the same way as --store."""
    automa("run", "saga.py", "--run-id", "r1", "--store", "sqlite:///runs.db", cwd=folder)
    shown = automa("show", "r1", "--engine", "sqlite:///runs.db", "--format", "mermaid", cwd=folder)
    assert shown.returncode == 0
    assert_mermaid(shown.stdout.removesuffix("\n"))


def test_a_report_is_printed_as_a_picture(folder):  # noqa: F811
    """`automa run --report` has the forms of pictures, and keeps its exit status."""
    done = automa(
        "run", "saga.py", "--set", "fail=b", "--report", "html", "-o", folder / "r.html", cwd=folder
    )
    assert done.returncode == 1
    assert "b refused" in Page((folder / "r.html").read_text(encoding="utf-8")).text
    drawn = automa("run", "saga.py", "--report", "svg", cwd=folder)
    ET.fromstring(drawn.stdout)  # noqa: S314  # our own
    chart = automa("run", "saga.py", "--report", "mermaid", cwd=folder)
    assert_mermaid(chart.stdout.removesuffix("\n"))


def test_a_plan_is_a_page(folder):  # noqa: F811
    """`automa plan --format html` writes a page, and starts nothing."""
    assert automa("plan", "saga.py", "--format", "html", "-o", folder / "p.html", cwd=folder).returncode == 0
    assert "Plan of saga" in Page((folder / "p.html").read_text(encoding="utf-8")).text
    assert not (folder / "log").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--json", "--format", "html"], 64, "--json and --format html: expected one of them"),
        (["--records", "--format", "svg"], 64, "--records is for --format text, not svg"),
        (["--format", "html", "-o", "no/where"], 64, "no/where cannot be written"),
        (["--format", "html", "-o", "/dev/full"], 74, "/dev/full could not be written"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(folder, arguments, status, message):  # noqa: F811
    """Options that contradict one another, and files that cannot be written, are told in one line."""
    automa("run", "saga.py", "--run-id", "r1", "--store", "file:runs", cwd=folder)
    assert_refused(automa("show", "r1", "--store", "file:runs", *arguments, cwd=folder), status, message)
