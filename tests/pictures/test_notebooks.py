"""Workflows, plans and reports show themselves in a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import automa
from automa import Step, Workflow
from automa.pictures import report_to_fragment
from tests.pictures.reading import Page


def test_workflow_plan_and_report_show_themselves():
    """A notebook asks `_repr_html_`: a workflow shows its plan, a report what happened."""
    workflow = Workflow("greet", [Step("hello", run=lambda: "hi", undo=lambda: None)])
    shown = Page(workflow._repr_html_())
    assert "Plan of greet" in shown.text
    assert "hello" in shown.text
    assert workflow._repr_html_() == workflow.plan()._repr_html_()
    report = workflow.start()
    assert report._repr_html_() == report_to_fragment(report)
    assert "succeeded" in Page(report._repr_html_()).text


def test_pictures_are_loaded_when_they_are_asked_for():
    """`import automa`, a workflow and its run load no picture; showing it does."""
    code = (
        "import sys, automa\n"
        "report = automa.Workflow('w', [automa.Step('a')]).start()\n"
        "loaded = lambda: sorted(m for m in sys.modules if m.startswith(('automa.pictures', 'automa.plan')))\n"
        "print(loaded()); report._repr_html_(); print('automa.pictures' in loaded(), 'automa.plan' in loaded())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True False"]


def test_the_core_alone_shows_no_html():
    """Without what is above the core there is no HTML, and a notebook takes the text."""
    code = (
        "import sys, types\n"
        "package = types.ModuleType('automa'); package.__path__ = [sys.argv[1]]; sys.modules['automa'] = package\n"
        "from automa._core.reports import WorkflowReport\n"
        "print(WorkflowReport('w', [])._repr_html_())\n"
    )
    arguments = [sys.executable, "-c", code, str(Path(automa.__file__).parent)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
