"""The command that tells what a workflow would do."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from automa.cli.options import TargetArgument
from automa.cli.output import check_output, errors_in_one_line, print_text, write_text
from automa.cli.targets import load_workflow
from automa.plan import Plan


class PlanFormat(StrEnum):
    """The forms in which a plan is printed."""

    TEXT = "text"
    JSON = "json"
    MERMAID = "mermaid"
    SVG = "svg"
    HTML = "html"


_FORMS: dict[PlanFormat, Callable[[Plan], str]] = {
    PlanFormat.TEXT: str,
    PlanFormat.JSON: lambda plan: json.dumps(plan.to_dict(), indent=2),
    PlanFormat.MERMAID: Plan.to_mermaid,
    PlanFormat.SVG: Plan.to_svg,
    PlanFormat.HTML: Plan.to_html,
}


def add_plan(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("plan")(plan)


def plan(
    target: TargetArgument,
    form: Annotated[PlanFormat, typer.Option("--format", help="How the plan is printed.")] = PlanFormat.TEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
) -> None:
    """Tell what is undone in which order if a step fails, and what stays; nothing is started.

    Exit status: 0; 64 the command line is wrong, 65 the workflow cannot be used, 74 the plan could not be
    written.
    """
    with errors_in_one_line():
        check_output(output)
        found = load_workflow(target).plan()
        text = _FORMS[form](found)
        if output is None:
            print_text(text)
        else:
            write_text(output, text + "\n")
