"""The commands and their options."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
import time
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import automa
from automa.cli import exits
from automa.cli.exits import Exit, InputError
from automa.cli.targets import load_workflow
from automa.cli.views import LiveView, PlainView, View, plain, quiet_console, report_table
from automa.conformance import run_fixtures, summary
from automa.errors import AutomaError, WireError, text_of
from automa.wire import v0
from automa.wire.documents import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from automa._core.reports import WorkflowReport
    from automa.conformance import Result
    from automa.workflow import Workflow

app: typer.Typer = typer.Typer(
    name="automa",
    help="Sagas: steps that run, and that undo themselves in reverse when one fails.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class ReportFormat(StrEnum):
    """The forms in which a report is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


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
        _say(
            f"automa: this is a defect of automa, please report it: {type(error).__name__}: {text_of(error)}"
        )
        return exits.DEFECT
    return exits.SUCCEEDED


def _say(text: str) -> None:
    """Print a line to standard error, if anybody is there to read it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


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
    target: Annotated[
        str, typer.Argument(metavar="FILE[:NAME]", help="A Python file or module, and the workflow in it.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the state; JSON where it reads as such."),
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="The id of the run; made up unless given.")] = None,
    report: Annotated[ReportFormat, typer.Option(help="How the report is printed.")] = ReportFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report to this file.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing while the run goes on.")] = False,
) -> None:
    """Run a workflow and print its report.

    Exit status: 0 it succeeded, 1 it failed and was undone, 2 it failed and an undo failed too,
    3 it failed and by its mode was not undone; 64 the command line is wrong, 65 the workflow or its
    input cannot be used (nothing was started), 74 the report could not be written.
    """
    try:
        state = _parse_values(values or [])
        _check_output(output)
        workflow = load_workflow(target)
        finished = _run_watched(workflow, state, run_id, _view(quiet=quiet))
        _print_report(finished, report, output)
    except (InputError, AutomaError) as error:  # a run that has begun ends with a report, not with these
        raise _failed(error) from None
    raise Exit(exits.of_report(finished))


def _failed(error: InputError | AutomaError) -> Exit:
    """Print what is wrong in one line; return what ends the command."""
    _say(f"automa: {plain(str(error))}")
    return Exit(error.status if isinstance(error, InputError) else exits.BAD_INPUT)


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
    try:
        _check_output(output)
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
            _write_text(output, text + "\n")
    except (InputError, AutomaError) as error:
        raise _failed(error) from None
    raise Exit(exits.SUCCEEDED if all(result.passed for result in results) else exits.CHECK_FAILED)


def _print_result(result: Result) -> None:
    typer.echo(f"{'ok  ' if result.passed else 'FAIL'} {result.profile} {result.fixture}")
    for problem in result.problems:
        typer.echo(f"       {problem}")


def _write_text(output: Path, text: str) -> None:
    """Write a text to a file.

    Raises:
        InputError: Where that fails.
    """
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} could not be written: {error}", exits.OUTPUT_FAILED) from None


def _parse_values(values: list[str]) -> dict[str, Any]:
    """Return the state that ``--set`` options give.

    Raises:
        InputError: Where one is not of the form KEY=VALUE.
    """
    state: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise InputError(f"--set {value!r}: expected KEY=VALUE", exits.USAGE)
        state[key] = _parse_value(text)
    return state


def _parse_value(text: str) -> Any:
    """Return what a text means as JSON, or the text: a number only where it would be written the same.

    So ``1.10``, ``007`` and ``1e5`` stay the texts that they are.
    """
    try:
        value = parse_json(text)
    except WireError:
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number and json.dumps(value) != text else value


def _check_output(output: Path | None) -> None:
    """Check, before anything runs, that the report can be written.

    Raises:
        InputError: Where it cannot.
    """
    if output is None:
        return
    folder = output.parent
    if (
        output.is_dir()
        or not folder.is_dir()
        or not os.access(output if output.exists() else folder, os.W_OK)
    ):
        raise InputError(f"--output: {output} cannot be written", exits.USAGE)


def _view(*, quiet: bool) -> View:
    if quiet:
        return View()
    console = quiet_console(stderr=True)
    return LiveView(console) if console.is_terminal else PlainView(console)


class _LossyStream(io.TextIOBase):
    """Standard error for those who must not fail where nobody reads it any more."""

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)


def _run_watched(workflow: Workflow, state: dict[str, Any], run_id: str | None, view: View) -> WorkflowReport:
    """Run a workflow on an event loop of its own; signals cancel it, and it is undone.

    What the steps print goes to standard error: standard output is the report's.

    Raises:
        AutomaError: Where it could not be started.
    """

    async def start() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this runs in one
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal(task.cancel, number))
        await workflow.start_async(state, run_id=run_id, observers=[view])

    with contextlib.redirect_stdout(_LossyStream()):
        try:
            with view:
                asyncio.run(start())
        except BaseException:  # an interruption: by then the run is closed, and the view has its report
            if view.report is None:
                raise
        try:
            workflow.end()
        except Exception as error:  # noqa: BLE001  # the run has ended; its report must not be lost
            _say(f"automa: the workflow's end() raised {type(error).__name__}: {plain(text_of(error))}")
    assert view.report is not None  # noqa: S101  # a run ends with a report
    return view.report


_SIGNALS_TO_END = 3
_SIGNALS_WITHIN = 2.0  # seconds


def _on_signal(cancel: Callable[[], object], number: signal.Signals) -> Callable[[], None]:
    """Return a handler that cancels the run, and ends the process when it is insisted upon."""
    times: list[float] = []

    def handle() -> None:
        times.append(time.monotonic())
        recent = [moment for moment in times if times[-1] - moment < _SIGNALS_WITHIN]
        if len(recent) >= _SIGNALS_TO_END:
            sys.stderr.write(f"automa: {number.name} {len(recent)} times: ended without undoing the rest\n")
            sys.stderr.flush()
            os._exit(128 + number)
        cancel()
        _say(f"automa: {number.name}: undoing what was done; {_SIGNALS_TO_END} in a row end at once")

    return handle


def _print_report(report: WorkflowReport, form: ReportFormat, output: Path | None) -> None:
    """Print a report, or write it to a file; where that fails, print it so that it is not lost.

    Raises:
        InputError: Where it could not be written.
    """
    if output is not None:
        try:
            with output.open("w", encoding="utf-8", errors="backslashreplace") as file:
                _write_report(report, form, quiet_console(file=file, width=100, color_system=None))
        except OSError as error:
            _print_report(report, form, None)
            raise InputError(
                f"the report could not be written to {output}: {error}", exits.OUTPUT_FAILED
            ) from None
        return
    try:
        _write_report(report, form, quiet_console())
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # whoever closes the pipe has read enough
            raise InputError(f"the report could not be printed: {error}", exits.OUTPUT_FAILED) from None


def _write_report(report: WorkflowReport, form: ReportFormat, console: Console) -> None:
    if form is ReportFormat.TABLE:
        console.print(report_table(report))
    else:
        text = v0.to_json(report, indent=2) + "\n" if form is ReportFormat.JSON else v0.to_yaml(report)
        console.file.write(text)
