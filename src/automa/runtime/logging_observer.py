"""A run in the log: what every workflow writes, and what any logger may be given."""

from __future__ import annotations

import copy
import logging
from typing import Self

from automa._core import clock
from automa._core.records import (
    Answered,
    AttemptFailed,
    Begun,
    Cancelled,
    Effect,
    Ended,
    Late,
    Record,
    Requested,
    Resumed,
    Started,
    Suspended,
)
from automa._core.status import Status
from automa.errors import repr_of

package_logger: logging.Logger = logging.getLogger("automa")
package_logger.addHandler(logging.NullHandler())  # silent unless the caller configures logging

_LEVELS: dict[type, int] = {
    Begun: logging.DEBUG,
    Started: logging.DEBUG,
    AttemptFailed: logging.WARNING,
    Late: logging.WARNING,
    Cancelled: logging.WARNING,
    Suspended: logging.WARNING,
}


class LoggingObserver:
    """Logs a run, a line for each record, with ``run_id`` and ``step`` in the ``extra`` of each.

    DEBUG that something starts, INFO that it went well or was skipped, WARNING that an attempt failed,
    that a step is late, or that the run was turned back or suspended, ERROR that something failed.
    ``step`` is the path of the step, empty in a line that is about the whole run. A workflow logs this
    way to its own ``logger`` already; this is for a further one. One observer may be given to many runs
    at once: each has an observer of its own (`for_run`).

    Args:
        logger: Where to; by default the logger ``automa``.
        run_id: The id of the run; a workflow fills it in.

    Example:
        >>> from automa import Workflow
        >>> audited = Workflow("pay", observers=[LoggingObserver(logging.getLogger("audit"))])
    """

    def __init__(self, logger: logging.Logger | None = None, run_id: str = "") -> None:
        self._logger = package_logger if logger is None else logger
        self._run_id = run_id

    def for_run(self, run_id: str) -> Self:
        """Return an observer of one run, which writes its id into each line."""
        observer = copy.copy(self)
        observer._run_id = run_id  # noqa: SLF001  # it is of the same class
        return observer

    def resumed(self, history: list[Record]) -> None:
        """Log that the run is taken up again, or what an operator has asked of it."""
        last = history[-1]
        if not isinstance(last, Ended):  # a run that has ended is not touched
            self.on_record(last if isinstance(last, Requested) else Resumed(clock.now()))

    def on_record(self, record: Record) -> None:
        """Log a record."""
        level = _level_of(record)
        if self._logger.isEnabledFor(level):
            step = getattr(record, "path", None) or ""
            where = f"{self._run_id} {step}" if step else self._run_id
            extra = {"run_id": self._run_id, "step": step}
            self._logger.log(level, "[%s] %s", where, _text_of(record), extra=extra)


_WITH_STATUS = (Answered, Ended)  # no union: to make one anew for each record costs


def _level_of(record: Record) -> int:
    if isinstance(record, _WITH_STATUS):
        return logging.ERROR if record.report.status is Status.FAILED else logging.INFO
    return _LEVELS.get(type(record), logging.INFO)


def _text_of(record: Record) -> str:  # noqa: C901  # a kind of record a case
    match record:
        case Started(_, action):
            text = action.value
        case Answered(_, report) if report.status is Status.FAILED:
            text = f"{report.action} FAILED: {repr_of(report.error)}"
        case Answered(_, report):
            text = f"{report.action} {report.status}" + (f": {report.detail}" if report.detail else "")
        case AttemptFailed(_, report, delay):
            later = "when the run is resumed" if delay is None else f"in {delay:g} s"
            text = f"{report.action} failed, and is tried again {later}: {repr_of(report.error)}"
        case Effect(_, _, _, kind, ref):
            text = f"effect: {kind} {ref}"
        case Late(_, _, is_back, error):
            back = "came back too late" + ("" if error is None else f", and failed: {repr_of(error)}")
            text = back if is_back else "is still at work in its thread"
        case Ended(report):
            text = report.headline
        case Begun(workflow_id):
            text = f"workflow {workflow_id!r} begins"
        case Cancelled(_, error):
            text = f"turned back: {repr_of(error)}"
        case Suspended(_, error):
            text = f"suspended: {repr_of(error)}"
        case Requested(_, request, _, note):
            text = f"{request} requested" + (f": {note}" if note else "")
        case _:
            text = type(record).__name__.lower()
    return text
