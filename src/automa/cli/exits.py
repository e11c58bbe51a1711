"""The exit statuses of the command, and what ends it with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.status import Outcome

if TYPE_CHECKING:
    from automa._core.reports import WorkflowReport

SUCCEEDED = 0
UNDONE = 1
UNDO_FAILED = 2
FAILED = 3
CHECK_FAILED = 1
"""A check, not a run, found something wrong."""
USAGE = 64
"""The command line is wrong (sysexits.h: EX_USAGE)."""
BAD_INPUT = 65
"""The workflow, or what it was given, cannot be used; nothing was started (EX_DATAERR)."""
DEFECT = 70
"""Something went wrong in automa itself (EX_SOFTWARE)."""
INTERRUPTED = 130
"""Ctrl-C, before anything was started."""
OUTPUT_FAILED = 74
"""The report could not be written (EX_IOERR)."""

_BY_OUTCOME = {
    Outcome.SUCCEEDED: SUCCEEDED,
    Outcome.UNDONE: UNDONE,
    Outcome.NEEDS_ATTENTION: UNDO_FAILED,
    Outcome.FAILED: FAILED,
}


def of_report(report: WorkflowReport) -> int:
    """Return the exit status that tells how a run ended."""
    return FAILED if report.outcome is None else _BY_OUTCOME[report.outcome]


class Exit(SystemExit):
    """Ends the command with a status of ours, told apart from those of the option parser."""


class InputError(Exception):
    """What the user gave cannot be used; the message is one line, and all that is shown."""

    def __init__(self, message: str, status: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.status = status
