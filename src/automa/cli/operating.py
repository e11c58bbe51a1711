"""The commands that look after runs in a store."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from automa._core.status import Outcome
from automa.cli import exits
from automa.cli.exits import Exit, InputError
from automa.cli.fleet import EngineOption, engine_of, operated, waited
from automa.cli.options import (
    DeadlineOption,
    FileOption,
    OnCancel,
    OnCancelOption,
    PlainOption,
    QuietOption,
    SecretOption,
    StoreOption,
    TargetArgument,
    VerboseOption,
    WorkflowOption,
    open_existing,
    parse_age,
    parse_deadline,
    read_secrets,
    say_how_to_go_on,
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
from automa.cli.targets import load_workflow
from automa.cli.telling import RunFormat, picture_of, print_run, run_to_dict, table_of, to_json
from automa.cli.views import View
from automa.cli.watching import run_on_loop, view_of, watch
from automa.durable import find_run, load_history
from automa.engines.engine import EngineBase
from automa.errors import RunNotFoundError
from automa.journal.entries import decode_entries
from automa.journal.journal import RUNNING
from automa.journal.reading import read
from automa.journal.telling import INTERRUPTED, age_of, plain, shown_status
from automa.operations import (
    DONE,
    STATUSES,
    UNREADABLE,
    Continued,
    check_runs,
    export_run,
    prune,
    resume_all_async,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from automa._core.protocols import RunInfo, Store
    from automa._core.records import Begun, Record
    from automa._core.reports import WorkflowReport
    from automa.journal.reading import Reading
    from automa.workflow import Workflow

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The id of the run.")]
ReportOption = Annotated[ReportFormat, typer.Option(help="How the report is printed.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


def operate(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for name, command in (
        ("runs", runs),
        ("show", show),
        ("resume", resume),
        ("rollback", rollback),
        ("undo", undo),
        ("prune", prune_runs),
        ("export", export),
        ("check", check),
    ):
        app.command(name)(command)


def runs(
    store: StoreOption = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="ID", help="Runs of this workflow alone.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(metavar="S", help="Runs that stand so alone; done, interrupted and the like."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Runs not written for so long alone: 30d, 12h, 5m.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many are listed at most.")] = 50,
    as_json: JsonOption = False,
    engine: EngineOption = None,
) -> None:
    """List the runs in a store, or on an engine, the newest first."""
    with errors_in_one_line():
        statuses = _shown_statuses(status)
        now = datetime.now(UTC)
        until = None if older_than is None else now - parse_age(older_than)
        fitting = (
            info
            for info in (engine_of(engine, store) or open_existing(store)).runs(workflow_id=workflow)
            if (statuses is None or shown_status(info) in statuses)
            and (until is None or info.updated <= until)
        )
        found = list(itertools.islice(fitting, limit + 1))
        if len(found) > limit:
            say(f"automa: the newest {limit} runs, and there are more: see --limit")
        listed = found[:limit]
        print_text(json.dumps(list(map(run_to_dict, listed)), indent=2) if as_json else table_of(listed, now))


def _shown_statuses(status: str | None) -> set[str] | None:
    """Return the statuses that are wanted, as they are shown; None for all.

    Raises:
        InputError: Where there is no such status.
    """
    if status is None:
        return None
    if status == "done":
        return set(DONE)
    known = (*STATUSES, INTERRUPTED, UNREADABLE)
    if status not in known:
        raise InputError(
            f"--status {status!r}: there is no such status (there are: done, {', '.join(known)})", exits.USAGE
        )
    return {status}


def show(
    run: RunArgument,
    store: StoreOption = None,
    workflow: WorkflowOption = None,
    records: Annotated[bool, typer.Option("--records", help="Tell each record of the run too.")] = False,
    form: Annotated[
        RunFormat | None, typer.Option("--format", help="How the run is shown; text, by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: OutputOption = None,
    engine: EngineOption = None,
) -> None:
    """Tell what the journal of a run tells: its report, its steps, its state; the workflow is not needed."""
    with errors_in_one_line():
        form = _form_of_run(form, as_json=as_json, records=records)
        check_output(output)
        opened = engine_of(engine, store) or open_existing(store)
        workflow_id = _find(opened, run, workflow)
        entries = _entries_of(opened, workflow_id, run)
        history = decode_entries(entries)
        reading = read(history)
        info = next(iter(opened.runs(workflow_id=workflow_id, run_id=run)), None)
        if info is None:
            raise RunNotFoundError(f"run {run!r} has just been deleted")
        if form is RunFormat.TEXT:
            _print_run(info, reading, history if records else [], output)
            return
        is_json = form is RunFormat.JSON
        text = to_json(info, reading, entries) if is_json else picture_of(info, reading, history, form)
        if output is None:
            print_text(text.removesuffix("\n"))
        else:
            write_text(output, text.removesuffix("\n") + "\n")


def _form_of_run(form: RunFormat | None, *, as_json: bool, records: bool) -> RunFormat:
    """Return as what a run is shown.

    Raises:
        InputError: Where the options contradict one another.
    """
    if as_json and form not in {None, RunFormat.JSON}:
        raise InputError(f"--json and --format {form}: expected one of them", exits.USAGE)
    if records and form not in {None, RunFormat.TEXT, RunFormat.JSON}:
        raise InputError(f"--records is for --format text, not {form}", exits.USAGE)
    return RunFormat.JSON if as_json else form or RunFormat.TEXT


def _print_run(info: RunInfo, reading: Reading, history: list[Record], output: Path | None) -> None:
    if output is None:
        print_run(info, reading, history)
        return
    text = io.StringIO()
    print_run(info, reading, history, text)
    write_text(output, text.getvalue())


def _entries_of(source: Store | EngineBase, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
    if isinstance(source, EngineBase):
        return source.last_turn(workflow_id, run_id).entries
    return source.load(workflow_id, run_id)


def resume(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="The id of the run; with --all FILE[:NAME], once or more."),
    ] = None,
    store: StoreOption = None,
    all_runs: Annotated[
        bool, typer.Option("--all", help="Resume every run of these workflows that has not ended.")
    ] = False,
    workflow: WorkflowOption = None,
    file: FileOption = None,
    on_cancel: OnCancelOption = None,
    deadline: DeadlineOption = None,
    note: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    secret: SecretOption = None,
    report: ReportOption = ReportFormat.TABLE,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    as_lines: PlainOption = False,
    engine: EngineOption = None,
) -> None:
    """Carry on a run whose process has died, or that was suspended; print its report.

    Exit status: as that of `automa run`. With --all, a line for each run: the worst of those that were
    carried on; what cannot be carried on is listed with its reason.
    """
    with errors_in_one_line():
        if all_runs:
            if engine_of(engine, store) is not None:
                raise InputError(
                    "--all is for stores: the workers of an engine carry on by themselves", exits.USAGE
                )
            others = (workflow, file, on_cancel, deadline, note, output, report is not ReportFormat.TABLE)
            if not runs or any(others):
                raise InputError(
                    "--all takes FILE[:NAME], once or more, --store and --secret, and nothing else",
                    exits.USAGE,
                )
            opened, workflows = open_existing(store), [load_workflow(each) for each in runs]
            raise Exit(_resume_all(opened, workflows, read_secrets(secret)))
        if not runs or len(runs) != 1:
            raise InputError("expected one RUN, or --all and FILE[:NAME]", exits.USAGE)
        check_output(output)
        until = parse_deadline(deadline)
        on_engine = operated(
            engine,
            store,
            file=file,
            secret=secret,
            on_cancel=on_cancel,
            quiet=quiet,
            verbose=verbose,
            plain=as_lines,
        )
        if on_engine is not None:
            handle = on_engine.resume(runs[0], workflow_id=workflow, deadline=until, note=note)
            raise Exit(exits.of_report(waited(handle, report, output)))
        found = _take_up(store, runs[0], workflow, file, secret)
    suspends = on_cancel is not OnCancel.ROLLBACK
    view = view_of(found.workflow, quiet=quiet, verbose=verbose, plain=as_lines)
    finished = _carry_out(
        found,
        view,
        lambda: found.workflow.resume_async(
            found.run_id,
            found.store,
            resources=found.resources,
            observers=[view],
            missing="error",
            on_cancel="suspend" if suspends else "rollback",
            deadline=until,
            note=note,
        ),
        store,
        report,
        output,
        suspends=suspends,
    )
    raise Exit(exits.of_report(finished))


def _resume_all(store: Store, workflows: list[Workflow], resources: dict[str, Any]) -> int:
    statuses = []
    stdout = sys.stdout  # while the runs go on, it is what the steps print to

    def say_outcome(text: str) -> None:
        with contextlib.suppress(OSError):
            print(plain(text), file=stdout, flush=True)  # it is the command's output

    def tell(outcome: Continued) -> None:
        name = f"{outcome.run_id}  {outcome.workflow_id}" if outcome.workflow_id else outcome.run_id
        if outcome.report is None:
            say_outcome(f"{name}  not continued: {' '.join((outcome.problem or '').splitlines())}")
            return
        statuses.append(exits.of_report(outcome.report))
        say_outcome(f"{name}  {outcome.report.outcome}")

    async def work() -> None:
        await resume_all_async(store, workflows, resources=resources, on_outcome=tell)

    try:
        run_on_loop(work, workflows, suspends=True)
    except asyncio.CancelledError:
        say("automa: stopped; the same command goes on with what is left")
        statuses.append(exits.SUSPENDED)
    return exits.worst(statuses)


def rollback(
    run: RunArgument,
    store: StoreOption = None,
    workflow: WorkflowOption = None,
    file: FileOption = None,
    note: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    secret: SecretOption = None,
    report: ReportOption = ReportFormat.TABLE,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    as_lines: PlainOption = False,
    engine: EngineOption = None,
) -> None:
    """Undo a run: one that has ended, or one that has stopped on its way.

    Exit status: 0 all is undone, 2 something is not, 5 it has stopped on its way, and can be resumed;
    64, 65 and 74 as those of `automa run`.
    """
    with errors_in_one_line():
        check_output(output)
        on_engine = operated(
            engine, store, file=file, secret=secret, quiet=quiet, verbose=verbose, plain=as_lines
        )
        if on_engine is not None:
            handle = on_engine.rollback(run, workflow_id=workflow, note=note)
            raise Exit(exits.of_request(waited(handle, report, output), [Outcome.UNDONE]))
        found = _take_up(store, run, workflow, file, secret)
    view = view_of(found.workflow, quiet=quiet, verbose=verbose, plain=as_lines)
    finished = _carry_out(
        found,
        view,
        lambda: found.workflow.rollback_async(
            found.run_id, found.store, note=note, resources=found.resources, observers=[view]
        ),
        store,
        report,
        output,
    )
    raise Exit(exits.of_request(finished, [Outcome.UNDONE]))


def undo(
    run: RunArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The path of the step: outer/inner.")],
    store: StoreOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Call its undo once more.")] = False,
    mark_done: Annotated[
        bool, typer.Option("--mark-done", help="Take it for undone, since a person has seen to it.")
    ] = False,
    note: Annotated[str, typer.Option(help="What was done; it is recorded.")] = "",
    workflow: WorkflowOption = None,
    file: FileOption = None,
    secret: SecretOption = None,
    report: ReportOption = ReportFormat.TABLE,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    as_lines: PlainOption = False,
    engine: EngineOption = None,
) -> None:
    """Settle an undo that has failed, and undo what it has held up.

    Exit status: 0 nothing is left that needs attention, 2 something is, 5 it has stopped on its way;
    64, 65 and 74 as those of `automa run`.
    """
    with errors_in_one_line():
        if retry is mark_done:
            raise InputError("expected --retry or --mark-done, one of them", exits.USAGE)
        if mark_done and not note.strip():
            raise InputError("--mark-done needs --note: what was done about it?", exits.USAGE)
        check_output(output)
        on_engine = operated(
            engine, store, file=file, secret=secret, quiet=quiet, verbose=verbose, plain=as_lines
        )
        if on_engine is not None:
            ask = on_engine.retry_undo if retry else on_engine.mark_undone
            handle = ask(run, step, workflow_id=workflow, note=note)
            raise Exit(exits.of_request(waited(handle, report, output), _SETTLED))
        found = _take_up(store, run, workflow, file, secret)
    view = view_of(found.workflow, quiet=quiet, verbose=verbose, plain=as_lines)
    asked = found.workflow.retry_undo_async if retry else found.workflow.mark_undone_async
    finished = _carry_out(
        found,
        view,
        lambda: asked(
            found.run_id, step, found.store, note=note, resources=found.resources, observers=[view]
        ),
        store,
        report,
        output,
    )
    raise Exit(exits.of_request(finished, _SETTLED))


_SETTLED = (Outcome.SUCCEEDED, Outcome.UNDONE, Outcome.FAILED)
"""How a run may stand in which nothing needs attention any more."""


class _Found(NamedTuple):
    """A run, and what it takes to carry it on."""

    store: Store
    run_id: str
    workflow: Workflow
    resources: dict[str, Any]


def _take_up(
    url: str | None, run_id: str, workflow_id: str | None, file: str | None, secret: list[str] | None
) -> _Found:
    """Find a run, and its workflow: in the file that is given, or where it was when the run was begun.

    Raises:
        InputError: Where the workflow cannot be found, or is another.
        AutomaError: Where the run cannot be.
    """
    store = open_existing(url)
    resources = read_secrets(secret)
    workflow_id = _find(store, run_id, workflow_id)
    workflow = _workflow_at_start(store, workflow_id, run_id) if file is None else load_workflow(file)
    if workflow.id != workflow_id:
        raise InputError(
            f"run {run_id!r} is of the workflow {workflow_id!r}, and {workflow.target} is {workflow.id!r}: "
            "name the file and the workflow with --file FILE:NAME"
        )
    return _Found(store, run_id, workflow, resources)


def _workflow_at_start(store: Store, workflow_id: str, run_id: str) -> Workflow:
    begun: Begun = load_history(store, workflow_id, run_id)[0]  # type: ignore[assignment]  # it is the first
    if begun.target is None:
        raise InputError(
            f"run {run_id!r} was not started by this command, so its journal does not tell where its "
            "workflow is: use --file FILE[:NAME]",
            exits.USAGE,
        )
    try:
        return load_workflow(begun.target)
    except InputError as error:
        raise InputError(
            f"{error}; the run was begun from there: has it moved, use --file FILE[:NAME]"
        ) from None


def _find(store: Store | EngineBase, run_id: str, workflow_id: str | None) -> str:
    """Return the id of the workflow of a run.

    Raises:
        RunNotFoundError: Where there is no such run, or there are several.
    """
    if workflow_id is not None:
        return workflow_id
    try:
        return find_run(store, run_id)
    except RunNotFoundError:
        for info in store.runs(status=UNREADABLE):  # its file's name is all that is known of it
            if info.run_id.endswith(f"-{run_id}"):
                return info.run_id.removesuffix(f"-{run_id}")
        raise


def _carry_out(
    found: _Found,
    view: View,
    begin: Callable[[], Awaitable[WorkflowReport]],
    url: str | None,
    form: ReportFormat,
    output: Path | None,
    *,
    suspends: bool = True,
) -> WorkflowReport:
    """Carry on a run, and print its report.

    Raises:
        Exit: Where that cannot be.
    """
    with errors_in_one_line():
        finished = watch(found.workflow, view, begin, suspends=suspends)
        say_how_to_go_on(finished, url)
        print_report(finished, form, output)
    return finished


def prune_runs(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Runs not written for so long: 30d, 12h, 5m.")
    ],
    status: Annotated[
        list[str],
        typer.Option(metavar="S", help="Runs that stand so; done means succeeded, undone and failed."),
    ],
    store: StoreOption = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="ID", help="Runs of this workflow alone.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")] = False,
) -> None:
    """Delete runs by age and status; those that somebody carries on are never deleted."""
    with errors_in_one_line():
        for each in status:
            if _shown_statuses(each) == {UNREADABLE}:
                raise InputError(
                    "--status unreadable: delete such files yourself, nobody knows what is in them",
                    exits.USAGE,
                )
        deleted = prune(
            open_existing(store),
            older_than=parse_age(older_than),
            statuses=[RUNNING if each == INTERRUPTED else each for each in status],
            workflow_id=workflow,
            dry_run=dry_run,
        )
        verb = "would delete" if dry_run else "deleted"
        now = datetime.now(UTC)
        print_text("\n".join(f"{verb} {_named(info)}, {age_of(now - info.updated)} old" for info in deleted))
        if not deleted:
            say("automa: no run is so old and stands so")


def _named(info: RunInfo) -> str:
    return plain(f"{info.run_id} of {info.workflow_id}, {shown_status(info)}")


def export(
    run: RunArgument,
    store: StoreOption = None,
    workflow: WorkflowOption = None,
    output: OutputOption = None,
) -> None:
    """Print the journal of a run as automa-spec's JSON document, which other implementations resume."""
    with errors_in_one_line():
        check_output(output)
        opened = open_existing(store)
        text = json.dumps(export_run(opened, _find(opened, run, workflow), run))
        if output is None:
            print_text(text)
        else:
            write_text(output, text)


def check(
    target: TargetArgument,
    store: StoreOption = None,
) -> None:
    """List the runs in flight that a workflow, as it is now, could not carry on, and why.

    Exit status: 0 there are none, 1 there are; 64, 65 and 74 as those of `automa run`.
    """
    with errors_in_one_line():
        checks = check_runs(open_existing(store), load_workflow(target))
        unfit = [each for each in checks if each.problems]
        print_text(
            "\n".join(
                plain(f"{each.run.run_id}  {shown_status(each.run)}  {'; '.join(each.problems)}")
                for each in unfit
            )
        )
        say(f"automa: {len(checks)} in flight, {len(unfit)} of them cannot be carried on")
    raise Exit(exits.CHECK_FAILED if unfit else exits.SUCCEEDED)
