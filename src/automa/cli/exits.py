"""The exit statuses of the command, and what ends it with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa._core.status import Outcome
from automa.errors import EngineError, StoreError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from automa._core.reports import WorkflowReport
    from automa.errors import AutomaError

SUCCEEDED = 0
UNDONE = 1
UNDO_FAILED = 2
FAILED = 3
ATTENTION = 4
"""The run needs attention, and no undo has failed."""
SUSPENDED = 5
"""The run has stopped, and can be resumed."""
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

STORE_FAILED = 74
"""The store cannot be read or written (EX_IOERR)."""

_BY_OUTCOME = {
    Outcome.SUCCEEDED: SUCCEEDED,
    Outcome.UNDONE: UNDONE,
    Outcome.FAILED: FAILED,
    Outcome.SUSPENDED: SUSPENDED,
    Outcome.INFRASTRUCTURE_ERROR: STORE_FAILED,
}

_FROM_GOOD_TO_BAD = (SUCCEEDED, UNDONE, FAILED, SUSPENDED, ATTENTION, UNDO_FAILED, STORE_FAILED)


def of_report(report: WorkflowReport) -> int:
    """Return the exit status that tells how a run ended."""
    if report.outcome is Outcome.NEEDS_ATTENTION:
        return UNDO_FAILED if report.rollback_errors else ATTENTION
    return FAILED if report.outcome is None else _BY_OUTCOME[report.outcome]


def of_request(report: WorkflowReport, wanted: Container[Outcome | None]) -> int:
    """Return the exit status that tells whether what was asked of a run came about."""
    if report.outcome in wanted:
        return SUCCEEDED
    return of_report(report) if report.is_stopped else UNDO_FAILED


def of_error(error: AutomaError) -> int:
    """Return the exit status for what has kept a command from its work."""
    return STORE_FAILED if isinstance(error, StoreError | EngineError) else BAD_INPUT


def worst(statuses: Iterable[int]) -> int:
    """Return the worst of the exit statuses of runs."""
    return max(statuses, key=_FROM_GOOD_TO_BAD.index, default=SUCCEEDED)


class Exit(SystemExit):
    """Ends the command with a status of ours, told apart from those of the option parser."""


class InputError(Exception):
    """What the user gave cannot be used; the message is one line, and all that is shown."""

    def __init__(self, message: str, status: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.status = status
