"""The driver that waits by blocking, and what both drivers do alike."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from automa._core.commands import Append, Deliver, Interrupted, Raised
from automa._core.events import Handoff
from automa._core.functions import close_awaitable, is_awaitable
from automa._core.status import ROLLBACK
from automa.errors import AsyncStepError
from automa.runtime.interrupts import InterruptGuard

if TYPE_CHECKING:
    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa.runtime.launch import Launch


def drive(launch: Launch) -> WorkflowReport:
    """Carry out a walk in the calling thread.

    Args:
        launch: The walk, and all that goes with it.

    Returns:
        The report of the run.

    Raises:
        BaseException: What interrupted the run, once it is closed.
    """
    answer: object = None
    walk, run = launch.walk, launch.run
    with InterruptGuard() as guard, contextlib.closing(launch):
        while True:
            try:
                command = walk.send(answer)
            except StopIteration as stop:
                report: WorkflowReport = stop.value
                break
            if isinstance(command, Append):
                answer = launch.write(command.records)
                held_back = guard.take_pending()
                if held_back is not None:
                    run.interrupt(held_back)
                continue
            answer = refusal(run, command) or _call(command, guard)
            held_back = guard.take_pending()
            if held_back is not None:  # what the step answered counts all the same
                answer = Interrupted(held_back, answer)
    held_back = guard.take_pending()
    if held_back is not None:
        run.interrupt(held_back)
    return end_of(run, report)


def _call(delivery: Deliver, guard: InterruptGuard) -> object:
    """Call a step; whatever it raises is its answer. Ctrl-C comes through to its work, not to its undo."""
    try:
        guard.is_open = delivery.ctx.action is not ROLLBACK
        if guard.is_open and guard.pending is not None:  # it came up between two steps
            guard.is_open = False
            return Raised(guard.pending)
        answer: object = delivery.controller(delivery.ctx, delivery.event)
        guard.is_open = False
    except BaseException as error:  # noqa: BLE001  # the relay closes the run, then `end_of` raises it
        guard.is_open = False
        return Raised(error)
    return (
        answer
        if isinstance(answer, Handoff) or not is_awaitable(answer)
        else _refuse_awaitable(delivery, answer)
    )


def refusal(run: Run, delivery: Deliver) -> Raised | None:
    """Return the answer for a step that is not to be started, since the run was interrupted before."""
    if run.interruption is None or delivery.ctx.action is ROLLBACK:
        return None
    return Raised(run.interruption)


def end_of(run: Run, report: WorkflowReport) -> WorkflowReport:
    """Return the report, or raise what interrupted the run, with a word on how the run ended."""
    if run.interruption is not None and run.interruption is not run.replayed:
        with contextlib.suppress(Exception):  # it may be of a class that takes no notes
            run.interruption.add_note(f"run {run.run_id}: {report.headline}")
        raise run.interruption
    return report


def _refuse_awaitable(delivery: Deliver, answer: object) -> Raised:
    """Turn an awaitable, which nobody could wait for here, into the failure of its step."""
    close_awaitable(answer)
    return Raised(
        AsyncStepError(
            f"step {delivery.ctx.path!r}: its {delivery.ctx.action} turned out to be async; use start_async"
        )
    )
