"""The driver that waits on an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from automa._core.commands import Append, Command, Deliver, Interrupted, Raised
from automa._core.functions import close_awaitable, is_awaitable
from automa._core.reports import WorkflowReport
from automa._core.status import Action
from automa.runtime.sync_driver import end_of, refusal

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from automa.runtime.launch import Launch, Walk

Value = TypeVar("Value")


async def drive_async(launch: Launch) -> WorkflowReport:
    """Carry out a walk on the running event loop; steps that are not async work in threads.

    A cancellation reaches the step at work. The way back is not cancelled: it runs to its end, and
    the cancellation goes on afterwards.

    Args:
        launch: The walk, and all that goes with it.

    Returns:
        The report of the run.

    Raises:
        BaseException: What interrupted the run, once it is closed.
    """
    try:
        command = await _walk_on(launch, _advance(launch.walk, None), until_rollback=True)
        if not isinstance(command, WorkflowReport):
            rest = _walk_on(launch, command, until_rollback=False)
            command, cancellation = await _uncancelled(_protected(rest))
            if cancellation is not None:
                launch.run.interrupt(cancellation)
    finally:
        launch.close()
    assert isinstance(command, WorkflowReport)  # noqa: S101  # nothing stops the rest of the walk
    return end_of(launch.run, command)


async def _walk_on(
    launch: Launch, command: Command | WorkflowReport, *, until_rollback: bool
) -> Command | WorkflowReport:
    """Carry out a walk from a command on, to its report or to the first rollback."""
    while not isinstance(command, WorkflowReport):
        answer: object
        if isinstance(command, Append):
            answer = await _write(launch, command)
        elif until_rollback and command.ctx.action is Action.ROLLBACK:
            break
        else:
            answer = refusal(launch.run, command) or await _deliver(command)
        command = _advance(launch.walk, answer)
    return command


async def _write(launch: Launch, command: Append) -> object:
    """Write records, in a thread where there is a journal: the loop, and the other runs, go on meanwhile."""
    if launch.journal is None:
        return launch.write(command.records)
    future = asyncio.get_running_loop().run_in_executor(_writers(), launch.journal.append, command.records)
    halt, cancellation = await _uncancelled(future)
    if cancellation is not None:
        launch.run.interrupt(cancellation)
    return launch.publish(command.records) if halt is None else halt


@functools.cache
def _writers() -> ThreadPoolExecutor:
    """Return the threads that write journals: many, since those who wait share the next commit."""
    return ThreadPoolExecutor(_MOST_WRITERS, "automa-journal")


_MOST_WRITERS = 64

if hasattr(
    os, "register_at_fork"
):  # a forked child has none of the parent's threads, and would wait for them
    os.register_at_fork(after_in_child=_writers.cache_clear)


def _advance(walk: Walk, answer: object) -> Command | WorkflowReport:
    """Send an answer into a walk; return its next command, or its report at the end."""
    try:
        return walk.send(answer)
    except StopIteration as stop:
        report: WorkflowReport = stop.value
        return report


async def _deliver(delivery: Deliver) -> object:
    """Call a step, in a thread where it might block, and wait for its answer."""
    cancellation: BaseException | None = None
    if delivery.might_block():
        answer, cancellation = await _call_in_thread(delivery)
    else:
        answer = _call(delivery)
    if is_awaitable(answer):
        if cancellation is not None:  # cancelled while the function worked that gave it
            close_awaitable(answer)
            return Raised(cancellation)
        try:
            return await answer  # type: ignore[misc]  # it is awaitable
        except BaseException as error:  # noqa: BLE001  # as in `_call`
            return Raised(error)
    return answer if cancellation is None else Interrupted(cancellation, answer)


def _call(delivery: Deliver) -> object:
    """Call a step; whatever it raises is its answer."""
    try:
        return delivery.controller(delivery.ctx, delivery.event)
    except BaseException as error:  # noqa: BLE001  # the relay closes the run, then `end_of` raises it
        return Raised(error)


async def _call_in_thread(delivery: Deliver) -> tuple[object, BaseException | None]:
    """Call a step in a thread; return its answer, and the cancellation met meanwhile.

    A thread cannot be cancelled: its answer is waited for, and counts.
    """
    context = contextvars.copy_context()
    try:
        future = asyncio.get_running_loop().run_in_executor(None, context.run, _call, delivery)
    except RuntimeError as error:  # no thread can be had
        return Raised(error), None
    return await _uncancelled(future)


async def _uncancelled(future: asyncio.Future[Value]) -> tuple[Value, BaseException | None]:
    """Wait for a future to its end; return what it gave, and the cancellation met meanwhile."""
    cancellation: BaseException | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancellation = error if cancellation is None else cancellation
    return future.result(), cancellation


def _protected(work: Coroutine[Any, Any, Value]) -> asyncio.Task[Value]:
    """Start a task that whoever cancels all tasks of the loop, as its shutdown does, does not find."""
    task = asyncio.ensure_future(work)
    asyncio._unregister_task(task)  # noqa: SLF001  # documented for those who implement tasks
    return task
