"""The drivers: one waits by blocking, the other on an event loop. The walk is the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from automa._core.commands import Append, Command, Deliver, Interrupted, Raised
from automa._core.events import Handoff
from automa._core.functions import close_awaitable, needs_thread
from automa._core.reports import WorkflowReport
from automa._core.status import Action
from automa.errors import AsyncStepError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from automa._core.runs import Run
    from automa.runtime.listeners import Listeners

    Walk = Generator[Command, Any, WorkflowReport]

Value = TypeVar("Value")


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
            return _end(run, stop.value)
        if isinstance(command, Append):
            listeners.publish(command.records)
            answer = None
        else:
            answer = _refuse_awaitable(command, _call(command))


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
        run.interruption = run.interruption or cancellation
    assert isinstance(command, WorkflowReport)  # noqa: S101  # nothing stops the rest of the walk
    return _end(run, command)


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


def _end(run: Run, report: WorkflowReport) -> WorkflowReport:
    """Return the report, or raise what interrupted the run, with a word on how the run ended."""
    if run.interruption is not None:
        run.interruption.add_note(f"run {run.run_id}: {report.headline}")
        raise run.interruption
    return report


def _call(delivery: Deliver) -> object:
    """Call a step; whatever it raises is its answer."""
    try:
        return delivery.controller(delivery.ctx, delivery.event)
    except BaseException as error:  # noqa: BLE001  # the relay closes the run, then `_end` raises it
        return Raised(error)


def _refuse_awaitable(delivery: Deliver, answer: object) -> object:
    """Turn an awaitable, which nobody could wait for here, into the failure of its step."""
    if isinstance(answer, Handoff) or not hasattr(answer, "__await__"):
        return answer
    close_awaitable(answer)
    return Raised(
        AsyncStepError(
            f"step {delivery.ctx.path!r}: its {delivery.ctx.action} turned out to be async; use start_async"
        )
    )


async def _deliver(delivery: Deliver) -> object:
    """Call a step, in a thread where it might block, and wait for its answer."""
    if needs_thread(delivery.controller):
        answer, cancellation = await _uncancelled(asyncio.to_thread(_call, delivery))
        if cancellation is not None:
            return Interrupted(cancellation, answer)  # a thread cannot be cancelled: its answer counts
    else:
        answer = _call(delivery)
    if hasattr(answer, "__await__"):
        try:
            return await answer
        except BaseException as error:  # noqa: BLE001  # as in `_call`
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
