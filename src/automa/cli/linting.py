"""The command that checks workflows without running them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automa._core.expand import topology_of
from automa.cli import exits
from automa.cli.exits import Exit, InputError
from automa.cli.options import TargetArgument
from automa.cli.output import errors_in_one_line, print_text
from automa.cli.targets import load_workflows
from automa.journal.telling import plain
from automa.plan.lint import RULES, Finding

if TYPE_CHECKING:
    from automa._core.records import Topology
    from automa.workflow import Workflow


def add_lint(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("lint")(lint)


def lint(
    target: TargetArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Tell what is likely to go wrong in workflows, by their steps and their source; no step is run.

    Without NAME all workflows of the file are checked. The file is imported twice, to see whether the ids of
    the steps are the same.

    Exit status: 0 nothing was found, 1 something was; 64 the command line is wrong, 65 the workflow cannot
    be used, 74 the findings could not be written.
    """
    with errors_in_one_line():
        with contextlib.redirect_stdout(sys.stderr):  # standard output is the command's
            workflows = load_workflows(target)
            found = [finding for workflow in workflows for finding in workflow.lint()]
            if all(finding.code != "SAGA010" for finding in found):
                found += _differing(workflows, target)
        found = list(dict.fromkeys(map(_from_here, found)))
        if as_json:
            print_text(json.dumps([finding.to_dict() for finding in found], indent=2))
        else:
            count = f"{len(found) or 'no'} finding{'' if len(found) == 1 else 's'} in {_names(workflows)}"
            print_text("\n".join([*(plain(str(finding)) for finding in found), plain(count)]))
    raise Exit(exits.CHECK_FAILED if found else exits.SUCCEEDED)


def _names(workflows: list[Workflow]) -> str:
    return ", ".join(f"workflow {workflow.id!r}" for workflow in workflows)


def _from_here(finding: Finding) -> Finding:
    """Return a finding with its file as seen from the working directory, where that is shorter."""
    if finding.file is None or not Path(finding.file).is_relative_to(Path.cwd()):
        return finding
    return dataclasses.replace(finding, file=str(Path(finding.file).relative_to(Path.cwd())))


def _differing(workflows: list[Workflow], target: str) -> list[Finding]:
    """Import the file once more, and tell of the workflows whose ids are others then: SAGA010."""
    try:
        again = load_workflows(target)
    except InputError:  # it bears only one import
        return []
    found = []
    for first, second in zip(workflows, again, strict=False):
        for one, other in zip(_paths(first), _paths(second), strict=False):
            if one != other:
                message = (
                    f"its id is {one!r}, and {other!r} when the file is imported again: it differs from run "
                    "to run, and a journaled run cannot be resumed. Make it of what stays the same."
                )
                found.append(Finding("SAGA010", RULES["SAGA010"], one, message, first.id))
                break
    return found


def _paths(workflow: Workflow) -> list[str]:
    def walk(steps: tuple[Topology, ...], prefix: str) -> list[str]:
        paths: list[str] = []
        for step in steps:
            paths += [prefix + step.id, *walk(step.steps or (), f"{prefix}{step.id}/")]
        return paths

    return walk(topology_of(workflow.definition), "")
