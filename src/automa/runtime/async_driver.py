"""The driver that waits on an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from automa._core.commands import Append, Command, Deliver, Interrupted, Raised
from automa._core.functions import needs_thread
from automa._core.reports import WorkflowReport
from automa._core.status import Action
from automa.runtime.sync_driver import call_step, end_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from automa._core.runs import Run
    from automa.runtime.listeners import Listeners
    from automa.runtime.sync_driver import Walk

Value = TypeVar("Value")


async def drive_async(walk: Walk, run: Run, listeners: Listeners) -> WorkflowReport:
    """Carry out a walk on the running event loop; steps that are not async work in threads.

    A cancellation reaches the step at work. The way back is not cancelled: it runs to its end, and
    the cancellation goes on afterwards.

    Args:
        walk: The relay's commands.
        run: The run that is walked.
        listeners: Those who hear of its records.

    Returns:
        The report of the run.

    Raises:
        BaseException: What interrupted the run, once it is closed.
    """
    command = await _walk_on(walk, _advance(walk, None), listeners, until_rollback=True)
    if not isinstance(command, WorkflowReport):
        rest = _walk_on(walk, command, listeners, until_rollback=False)
        command, cancellation = await _uncancelled(rest)
        if cancellation is not None:
            run.interrupt(cancellation)
    assert isinstance(command, WorkflowReport)  # noqa: S101  # nothing stops the rest of the walk
    return end_of(run, command)


async def _walk_on(
    walk: Walk, command: Command | WorkflowReport, listeners: Listeners, *, until_rollback: bool
) -> Command | WorkflowReport:
    """Carry out a walk from a command on, to its report or to the first rollback."""
    while not isinstance(command, WorkflowReport):
        answer = None
        if isinstance(command, Append):
            listeners.publish(command.records)
        elif until_rollback and command.ctx.action is Action.ROLLBACK:
            break
        else:
            answer = await _deliver(command)
        command = _advance(walk, answer)
    return command


def _advance(walk: Walk, answer: object) -> Command | WorkflowReport:
    """Send an answer into a walk; return its next command, or its report at the end."""
    try:
        return walk.send(answer)
    except StopIteration as stop:
        report: WorkflowReport = stop.value
        return report


async def _deliver(delivery: Deliver) -> object:
    """Call a step, in a thread where it might block, and wait for its answer."""
    if needs_thread(delivery.controller):
        answer, cancellation = await _uncancelled(asyncio.to_thread(call_step, delivery))
        if cancellation is not None:
            return Interrupted(cancellation, answer)  # a thread cannot be cancelled: its answer counts
    else:
        answer = call_step(delivery)
    if hasattr(answer, "__await__"):
        try:
            return await answer
        except BaseException as error:  # noqa: BLE001  # as in `call_step`
            return Raised(error)
    return answer


async def _uncancelled(work: Coroutine[Any, Any, Value]) -> tuple[Value, BaseException | None]:
    """Wait for work in a task of its own; return what it gave, and the cancellation met meanwhile."""
    task = asyncio.ensure_future(work)
    cancellation: BaseException | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = cancellation or error
    return task.result(), cancellation
