"""The commands and their options."""

from __future__ import annotations

import io
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import automa
from automa.cli import exits
from automa.cli.beginning import add_init
from automa.cli.exits import Exit, InputError
from automa.cli.exploring import explore
from automa.cli.fleet import add_fleet
from automa.cli.linting import add_lint
from automa.cli.operating import operate
from automa.cli.options import (
    DeadlineOption,
    OnCancel,
    OnCancelOption,
    PlainOption,
    QuietOption,
    SecretOption,
    StoreOption,
    TargetArgument,
    VerboseOption,
    checked_url,
    parse_deadline,
    parse_values,
    read_secrets,
    say_how_to_go_on,
    state_of,
)
from automa.cli.output import (
    ReportFormat,
    check_output,
    errors_in_one_line,
    print_report,
    print_text,
    say,
    write_text,
)
from automa.cli.planning import add_plan
from automa.cli.serving import add_ui
from automa.cli.targets import load_workflow
from automa.cli.watching import view_of, watch
from automa.errors import text_of

if TYPE_CHECKING:
    from automa.conformance import Result

app: typer.Typer = typer.Typer(
    name="automa",
    help="Sagas: steps that run, and that undo themselves in reverse when one fails.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run_app() -> int:
    """Run the command; return its exit status, 64 where the command line is wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what it cannot show must not end the command
    try:
        app(prog_name="automa")
    except Exit as exit_:
        return int(exit_.code or 0)
    except SystemExit as exit_:  # the option parser's own: none for help, 1 or 130 for Ctrl-C
        wrong_usage = 2
        return (
            exits.SUCCEEDED
            if not exit_.code
            else exits.USAGE
            if exit_.code == wrong_usage
            else exits.INTERRUPTED
        )
    except Exception as error:  # noqa: BLE001  # what nobody foresaw must not look like an undone run
        traceback.print_exc()
        say(f"automa: this is a defect of automa, please report it: {type(error).__name__}: {text_of(error)}")
        return exits.DEFECT
    return exits.SUCCEEDED


def _version(wanted: bool) -> None:  # noqa: FBT001  # a callback of an option
    if wanted:
        typer.echo(f"automa {automa.__version__}")
        raise Exit(exits.SUCCEEDED)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    target: TargetArgument,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the state; JSON where it reads as such."),
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="The id of the run; made up unless given.")] = None,
    store: StoreOption = None,
    on_cancel: OnCancelOption = None,
    deadline: DeadlineOption = None,
    secret: SecretOption = None,
    report: Annotated[ReportFormat, typer.Option(help="How the report is printed.")] = ReportFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report to this file.")
    ] = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    as_lines: PlainOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, once all that is given fits; start nothing.")
    ] = False,
) -> None:
    """Run a workflow and print its report; with a store it survives the death of the process.

    Exit status: 0 it succeeded, 1 it failed and was undone, 2 it failed and an undo failed too,
    3 it failed and by its mode was not undone, 4 it needs attention otherwise, 5 it was suspended, and
    can be resumed; 64 the command line is wrong, 65 the workflow or its input cannot be used (nothing was
    started), 74 the report or the journal could not be written.
    """
    with errors_in_one_line():  # a run that has begun ends with a report, not with these
        texts = parse_values(values or [])
        check_output(output)
        until = parse_deadline(deadline)
        resources = read_secrets(secret)
        url = None if store is None else checked_url(store)
        suspends = _suspends(on_cancel, url)
        workflow = load_workflow(target)
        state = state_of(texts, workflow)
        if dry_run:
            workflow.first_state(state)
            print_text(str(workflow.plan()))
            raise Exit(exits.SUCCEEDED)
        view = view_of(workflow, quiet=quiet, verbose=verbose, plain=as_lines)
        finished = watch(
            workflow,
            view,
            lambda: workflow.start_async(
                state,
                run_id=run_id,
                store=url,
                resources=resources,
                observers=[view],
                on_cancel="suspend" if suspends else "rollback",
                deadline=until,
            ),
            suspends=suspends,
        )
        say_how_to_go_on(finished, url)
        print_report(finished, report, output)
    raise Exit(exits.of_report(finished))


def _suspends(on_cancel: OnCancel | None, url: str | None) -> bool:
    """Return whether a signal suspends a run.

    Raises:
        InputError: Where it should, and the run cannot be resumed.
    """
    if on_cancel is OnCancel.SUSPEND and url is None:
        raise InputError(
            "--on-cancel suspend needs a store, or the run could not be resumed: use --store URL", exits.USAGE
        )
    return url is not None and on_cancel is not OnCancel.ROLLBACK


add_init(app)
operate(app)
add_fleet(app)
app.command()(explore)
add_plan(app)
add_ui(app)
add_lint(app)


@app.command()
def schema() -> None:
    """Print the JSON Schema of saga files, for editors."""
    from automa.sagafile import json_schema  # noqa: PLC0415  # no other command waits for it

    with errors_in_one_line():
        print_text(json.dumps(json_schema(), indent=2))


@app.command()
def conformance(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the published fixtures.")],
    profile: Annotated[str | None, typer.Option(help="Run this profile alone.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the results as JSON to this file.")
    ] = None,
) -> None:
    """Run the fixtures of automa-spec below a folder: a line each, then a count by profile.

    Exit status: 0 all passed, 1 one failed; 64 the command line is wrong, 65 there are no fixtures, or
    their manifest cannot be used, 74 the results could not be written.
    """
    from automa.conformance import run_fixtures, summary  # noqa: PLC0415  # no other command waits for it

    with errors_in_one_line():
        check_output(output)
        results = []
        for result in run_fixtures(folder, profile):
            results.append(result)
            if not as_json:
                _print_result(result)
        found = summary(results)
        text = json.dumps(found, indent=2)
        for name, count in found["profiles"].items() if not as_json else ():
            typer.echo(f"{name}: {count['passed']} passed, {count['failed']} failed")
        if as_json:
            typer.echo(text)
        if output is not None:
            write_text(output, text + "\n")
    raise Exit(exits.SUCCEEDED if all(result.passed for result in results) else exits.CHECK_FAILED)


def _print_result(result: Result) -> None:
    typer.echo(f"{'ok  ' if result.passed else 'FAIL'} {result.profile} {result.fixture}")
    for problem in result.problems:
        typer.echo(f"       {problem}")
