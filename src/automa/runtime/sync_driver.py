"""The driver that waits by blocking, and what both drivers do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automa._core.commands import Append, Command, Deliver, Raised
from automa._core.functions import close_awaitable
from automa.errors import AsyncStepError

if TYPE_CHECKING:
    from collections.abc import Generator

    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa.runtime.listeners import Listeners

    Walk = Generator[Command, Any, WorkflowReport]


def drive(walk: Walk, run: Run, listeners: Listeners) -> WorkflowReport:
    """Carry out a walk in the calling thread.

    Args:
        walk: The relay's commands.
        run: The run that is walked.
        listeners: Those who hear of its records.

    Returns:
        The report of the run.

    Raises:
        BaseException: What interrupted the run, once it is closed.
    """
    answer: object = None
    while True:
        try:
            command = walk.send(answer)
        except StopIteration as stop:
            return end_of(run, stop.value)
        if isinstance(command, Append):
            listeners.publish(command.records)
            answer = None
        else:
            answer = call_step(command)
            if hasattr(answer, "__await__"):
                answer = _refuse_awaitable(command, answer)


def end_of(run: Run, report: WorkflowReport) -> WorkflowReport:
    """Return the report, or raise what interrupted the run, with a word on how the run ended."""
    if run.interruption is not None:
        run.interruption.add_note(f"run {run.run_id}: {report.headline}")
        raise run.interruption
    return report


def call_step(delivery: Deliver) -> object:
    """Call a step; whatever it raises is its answer."""
    try:
        return delivery.controller(delivery.ctx, delivery.event)
    except BaseException as error:  # noqa: BLE001  # the relay closes the run, then `end_of` raises it
        return Raised(error)


def _refuse_awaitable(delivery: Deliver, answer: object) -> Raised:
    """Turn an awaitable, which nobody could wait for here, into the failure of its step."""
    close_awaitable(answer)
    return Raised(
        AsyncStepError(
            f"step {delivery.ctx.path!r}: its {delivery.ctx.action} turned out to be async; use start_async"
        )
    )
