"""Driving runs from the command line: on an event loop, watched, stopped by signals."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from automa._core.expand import topology_of
from automa.cli import exits
from automa.cli.exits import Exit
from automa.cli.output import say
from automa.cli.views import LiveView, PlainView, View, quiet_console
from automa.errors import text_of
from automa.journal.telling import plain
from automa.observe.progress import StepCount, leaves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from automa._core.reports import WorkflowReport
    from automa.workflow import Workflow


def view_of(workflow: Workflow, *, quiet: bool, verbose: bool, plain: bool) -> View:
    """Return what shows a run while it goes on.

    Args:
        workflow: The workflow.
        quiet: Whether nothing is shown.
        verbose: Whether what each action has left in its report is shown.
        plain: Whether lines alone are shown, also where there is a terminal.
    """
    if quiet:
        return View()
    console = quiet_console(stderr=True)
    if plain or not console.is_terminal:
        return PlainView(console, is_verbose=verbose)
    return LiveView(console, StepCount(leaves(topology_of(workflow.definition))), is_verbose=verbose)


class LossyStream(io.TextIOBase):
    """Standard error for those who must not fail where nobody reads it any more."""

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)


def watch(
    workflow: Workflow, view: View, begin: Callable[[], Awaitable[WorkflowReport]], *, suspends: bool
) -> WorkflowReport:
    """Drive a run and show it; signals stop it.

    Args:
        workflow: The workflow of the run; it is ended afterwards.
        view: An observer of the run.
        begin: Starts the run, or carries it on.
        suspends: Whether a signal stops the run where it is, or undoes it.

    Raises:
        AutomaError: Where it could not be started.
        Exit: Where a signal came before that.
    """
    reports: list[WorkflowReport] = []

    async def keep_report() -> None:
        reports.append(await begin())

    try:
        with view:
            run_on_loop(keep_report, [workflow], suspends=suspends)
    except BaseException as error:  # an interruption: by then the run is closed, and the view has its report
        if view.report is None:
            if isinstance(error, asyncio.CancelledError):
                raise Exit(exits.INTERRUPTED) from None
            raise
        return view.report
    return reports[0]


def run_on_loop(work: Callable[[], Awaitable[Any]], workflows: Iterable[Workflow], *, suspends: bool) -> None:
    """Do work on an event loop of its own, cancelled by signals; then end the workflows.

    What the steps print goes to standard error: standard output is the command's.

    Args:
        work: What is done.
        workflows: Those that it needs.
        suspends: Whether a cancellation stops the run where it is, or undoes it.

    Raises:
        BaseException: What the work has raised.
    """

    async def cancelled_by_signals() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this runs in one
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal(task.cancel, number, suspends=suspends))
        await work()

    with contextlib.redirect_stdout(LossyStream()):
        try:
            asyncio.run(cancelled_by_signals())
        finally:
            for workflow in workflows:
                _end(workflow)


def _end(workflow: Workflow) -> None:
    try:
        workflow.end()
    except Exception as error:  # noqa: BLE001  # the run has ended; its report must not be lost
        say(f"automa: the workflow's end() raised {type(error).__name__}: {plain(text_of(error))}")


_SIGNALS_TO_END = 3
_SIGNALS_WITHIN = 2.0  # seconds


def _on_signal(cancel: Callable[[], object], number: signal.Signals, *, suspends: bool) -> Callable[[], None]:
    """Return a handler that cancels the run, and ends the process when it is insisted upon."""
    times: list[float] = []

    def handle() -> None:
        times.append(time.monotonic())
        recent = [moment for moment in times if times[-1] - moment < _SIGNALS_WITHIN]
        if len(recent) >= _SIGNALS_TO_END:
            doing = "waiting for the step at work" if suspends else "undoing the rest"
            sys.stderr.write(f"automa: {number.name} {len(recent)} times: ended without {doing}\n")
            sys.stderr.flush()
            os._exit(128 + number)
        cancel()
        doing = "stopping after the step at work" if suspends else "undoing what was done"
        say(f"automa: {number.name}: {doing}; {_SIGNALS_TO_END} in a row end at once")

    return handle
