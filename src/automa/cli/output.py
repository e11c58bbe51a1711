"""What the commands print: errors in one line, reports, texts."""

from __future__ import annotations

import contextlib
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from automa import pictures
from automa.cli import exits
from automa.cli.exits import Exit, InputError
from automa.cli.views import quiet_console, report_table
from automa.errors import AutomaError
from automa.journal.telling import plain
from automa.wire import v0

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.console import Console

    from automa._core.reports import WorkflowReport


class ReportFormat(StrEnum):
    """The forms in which a report is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    HTML = "html"
    SVG = "svg"
    MERMAID = "mermaid"


def say(text: str) -> None:
    """Print a line to standard error, if anybody is there to read it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Print what keeps a command from its work in one line, and end it.

    Raises:
        Exit: Where there is such a thing.
    """
    try:
        yield
    except (InputError, AutomaError) as error:
        say(f"automa: {plain(' '.join(str(error).splitlines()))}")
        raise Exit(error.status if isinstance(error, InputError) else exits.of_error(error)) from None


def check_output(output: Path | None) -> None:
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


def write_text(output: Path, text: str) -> None:
    """Write a text to a file.

    Raises:
        InputError: Where that fails.
    """
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} could not be written: {error}", exits.OUTPUT_FAILED) from None


def print_report(report: WorkflowReport, form: ReportFormat, output: Path | None) -> None:
    """Print a report, or write it to a file; where that fails, print it so that it is not lost.

    Raises:
        InputError: Where it could not be written.
    """
    if output is not None:
        try:
            with output.open("w", encoding="utf-8", errors="backslashreplace") as file:
                _write_report(report, form, quiet_console(file=file, width=100, color_system=None))
        except OSError as error:
            print_report(report, form, None)
            raise InputError(
                f"the report could not be written to {output}: {error}", exits.OUTPUT_FAILED
            ) from None
        return
    with standard_output("the report"):
        _write_report(report, form, quiet_console())


def print_text(text: str) -> None:
    """Print lines to standard output.

    Raises:
        InputError: Where that fails.
    """
    with standard_output("the answer"):
        sys.stdout.write(f"{text}\n" if text else "")


@contextlib.contextmanager
def standard_output(what: str) -> Iterator[None]:
    """Let standard output be written, and be flushed in the end.

    Raises:
        InputError: Where that fails, and somebody still reads it.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # whoever closes the pipe has read enough
            raise InputError(f"{what} could not be printed: {error}", exits.OUTPUT_FAILED) from None


def _write_report(report: WorkflowReport, form: ReportFormat, console: Console) -> None:
    if form is ReportFormat.TABLE:
        console.print(report_table(report))
    else:
        console.file.write(_FORMS[form](report))


_FORMS: dict[ReportFormat, Callable[[WorkflowReport], str]] = {
    ReportFormat.JSON: lambda report: v0.to_json(report, indent=2) + "\n",
    ReportFormat.YAML: v0.to_yaml,
    ReportFormat.HTML: pictures.report_to_html,
    ReportFormat.SVG: lambda report: pictures.report_to_svg(report) + "\n",
    ReportFormat.MERMAID: lambda report: pictures.report_to_mermaid(report) + "\n",
}
