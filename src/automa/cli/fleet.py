"""The commands that begin runs on an engine, carry them on, and cancel them."""

from __future__ import annotations

import inspect
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automa._core.records import Ended
from automa._core.status import Outcome
from automa.cli import exits
from automa.cli.exits import Exit, InputError
from automa.cli.options import (
    DeadlineOption,
    SecretOption,
    TargetArgument,
    WorkflowOption,
    checked_url,
    open_existing,
    parse_deadline,
    parse_values,
    read_secrets,
    state_of,
)
from automa.cli.output import ReportFormat, check_output, errors_in_one_line, print_report, print_text, say
from automa.cli.targets import load_workflow, load_workflows
from automa.engines import open_engine

if TYPE_CHECKING:
    from types import FrameType

    from automa._core.records import Record
    from automa._core.reports import WorkflowReport
    from automa.engines.engine import EngineBase, RunHandle, WorkerBase

EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="URL",
        envvar="AUTOMA_ENGINE",
        help="The engine: restate://HOST:PORT, dbos+postgresql://USER@HOST/DB, sqlite:///PATH or file:DIR.",
    ),
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait for the end of the run, and print its report.")
]


def add_fleet(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (worker, submit, cancel):
        app.command()(command)


def worker(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="FILE[:NAME]", help="Python files or modules, and the workflows in them."),
    ],
    engine: EngineOption = None,
    secret: SecretOption = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where Restate reaches this worker; several may share a port."
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Under which URL Restate reaches it, where that is another: a balancer."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell only what goes wrong.")] = False,
) -> None:
    """Carry on the runs of workflows on an engine, until it is told to stop by Ctrl-C or SIGTERM.

    Then no step is begun any more, those at work come to their end, and other workers go on with the runs. A
    second signal ends it at once.

    Exit status: 0 it was told to stop; 64 the command line is wrong, 65 a workflow cannot be used, 74 the
    engine cannot be.
    """
    with errors_in_one_line():
        opened = _open(engine, creates=True)
        workflows = [workflow for target in targets for workflow in load_workflows(target)]
        given = {"listen": listen, "advertise": advertise}
        options = {name: value for name, value in given.items() if value is not None}
        if not options.keys() <= inspect.signature(opened.worker).parameters.keys():
            told = " and --".join(options)
            raise InputError(f"only Restate's workers take --{told}", exits.USAGE)
        made = opened.worker(
            workflows, resources=read_secrets(secret), observers=() if quiet else [_Ends()], **options
        )
        _log_to_stderr(quiet=quiet)
        if not quiet:
            told = ", ".join(f"{workflow.id} {workflow.version}" for workflow in workflows)
            say(f"automa: carries on {told}")
        _stop_by_signals(made)
        made.run()


def _stop_by_signals(made: WorkerBase) -> None:
    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # the next one ends the process
        made.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


class _Ends:
    """Tells how each run has ended."""

    def __init__(self, run_id: str = "") -> None:
        self._run_id = run_id

    def for_run(self, run_id: str) -> _Ends:
        """Return what tells of one run."""
        return _Ends(run_id)

    def on_record(self, record: Record) -> None:
        """Tell of the end."""
        if isinstance(record, Ended):
            say(f"{self._run_id}  {record.report.workflow_id}  {record.report.outcome}")


class _SayHandler(logging.Handler):
    """Writes what the workers of an engine log as the command writes."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"automa: {record.getMessage()}")


def _log_to_stderr(*, quiet: bool) -> None:
    log = logging.getLogger("automa.engines")
    log.addHandler(_SayHandler())
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False


def submit(
    target: TargetArgument,
    engine: EngineOption = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the state; JSON where it reads as such."),
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="The id of the run; made up unless given.")] = None,
    deadline: DeadlineOption = None,
    wait: WaitOption = False,
    report: Annotated[ReportFormat, typer.Option(help="How the report is printed.")] = ReportFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report to this file.")
    ] = None,
) -> None:
    """Begin a run on an engine, whose workers carry it on; print its id.

    Exit status: 0 it is begun; with --wait as that of `automa run`.
    """
    with errors_in_one_line():
        texts = parse_values(values or [])
        check_output(output)
        until = parse_deadline(deadline)
        opened = _open(engine, creates=True)
        workflow = load_workflow(target)
        handle = opened.submit(workflow, state_of(texts, workflow), run_id=run_id, deadline=until)
        if not wait:
            print_text(handle.run_id)
            return
        say(f"run {handle.run_id}")
        finished = waited(handle, report, output)
    raise Exit(exits.of_report(finished))


def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The id of the run.")],
    engine: EngineOption = None,
    workflow: WorkflowOption = None,
    note: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    wait: WaitOption = False,
    report: Annotated[ReportFormat, typer.Option(help="How the report is printed.")] = ReportFormat.TABLE,
) -> None:
    """Have a run on an engine undone that goes on.

    Exit status: 0 that is noted; with --wait as that of `automa rollback`.
    """
    with errors_in_one_line():
        opened = _open(engine)
        opened.cancel(run, workflow_id=workflow, note=note)
        if not wait:
            return
        finished = opened.wait(run, workflow_id=workflow)
        print_report(finished, report, None)
    raise Exit(exits.of_request(finished, [Outcome.UNDONE]))


def waited(handle: RunHandle, form: ReportFormat, output: Path | None) -> WorkflowReport:
    """Wait for the end of a run, and print its report."""
    finished = handle.wait()
    print_report(finished, form, output)
    return finished


def engine_of(engine: str | None, store: str | None) -> EngineBase | None:
    """Return the engine that was given in place of a store, or None.

    Raises:
        InputError: Where both were given on the command line, or there is no such store.
        AutomaError: Where the engine cannot be used.
    """
    if engine is None:
        return None
    if store is not None and store != os.environ.get("AUTOMA_STORE"):
        if engine == os.environ.get("AUTOMA_ENGINE"):  # what is typed goes before the environment
            return None
        raise InputError("expected --engine or --store, one of them", exits.USAGE)
    return _open(engine)


def operated(engine: str | None, store: str | None, **options: object) -> EngineBase | None:
    """Return the engine of which something is asked, whose workers do it, or None; see `engine_of`.

    Args:
        engine: The engine, if it was given.
        store: The store, if it was given.
        **options: What is for runs that this command itself carries on.

    Raises:
        InputError: Where one of these is given too, or as in `engine_of`.
        AutomaError: Where the engine cannot be used.
    """
    opened = engine_of(engine, store)
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if opened is not None and given:
        raise InputError(f"{', '.join(given)}: on an engine that is the workers' affair", exits.USAGE)
    return opened


def _open(url: str | None, *, creates: bool = False) -> EngineBase:
    """Open an engine; a store that it is over must be there, unless it may be made.

    Raises:
        InputError: Where none is given, or there is no such store.
        AutomaError: Where it cannot be used.
    """
    if not url:
        raise InputError("no engine is given: use --engine URL", exits.USAGE)
    if url.startswith(("sqlite:", "file:", "memory:")):
        checked_url(url, "--engine")
        if not creates:
            open_existing(url, "--engine")
    return open_engine(url)
