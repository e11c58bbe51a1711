"""The driver that waits on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from automa._core.commands import (
    Append,
    Await,
    Command,
    CutOff,
    Deliver,
    Fork,
    Interrupted,
    Raised,
    Sleep,
)
from automa._core.events import Failure, Handoff
from automa._core.functions import close_awaitable, is_awaitable
from automa._core.reports import WorkflowReport
from automa._core.status import Action
from automa.runtime.loop_futures import Uncancelled, answers_for
from automa.runtime.sync_driver import Crew, end_of, refusal
from automa.runtime.threads import call, call_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from automa._core.commands import Halt, Limit
    from automa._core.records import Record
    from automa._core.runs import Run
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
    walker = Walker(launch, launch.walk, launch.run)
    loop = asyncio.get_running_loop()
    try:
        command = await walker.go_on(walker.advance(None), until_rollback=True)
    except GeneratorExit as error:  # nothing may be awaited here any more: another task goes on
        if not _leave_behind(walker.go_on_behind(error), loop):
            _close_elsewhere(launch)
        raise
    except BaseException:
        launch.close()
        raise
    if isinstance(command, WorkflowReport):
        launch.close()
        return end_of(launch.run, command)
    command, cancellation = await uncancelled(_protected(walker.go_to_end(command)))
    if cancellation is not None:
        launch.run.interrupt(cancellation)
    return end_of(launch.run, command)


def _leave_behind(work: Coroutine[Any, Any, WorkflowReport], loop: asyncio.AbstractEventLoop) -> bool:
    """Do work in a task for which nobody waits; return whether the loop of the run is there to do it."""
    try:
        is_there = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_there = False
    if is_there:
        _protected(work)
    else:  # a journaled run can be resumed
        work.close()
    return is_there


def _close_elsewhere(launch: Launch) -> None:
    """Give a run back in another thread: this one may be at a write, in which garbage was collected."""
    if launch.journal is None:
        return
    if not sys.is_finalizing():  # then a thread would never start, and Python 3.11 waits until it has
        with contextlib.suppress(RuntimeError):  # none can be had
            threading.Thread(target=launch.close, name="automa-close").start()
            return
    launch.close()


class Walker:
    """Carries out a walk on the running event loop: that of a run, or of one of its branches.

    Args:
        launch: What the run is driven with.
        walk: The commands.
        run: What the steps share whose commands they are.
    """

    __slots__ = ("_is_branch", "_launch", "_run", "_thread", "_walk", "_writing")

    def __init__(self, launch: Launch, walk: Walk, run: Run) -> None:
        self._launch = launch
        self._walk = walk
        self._run = run
        self._is_branch = run is not launch.run
        self._thread: asyncio.Future[object] | None = None
        self._writing: tuple[list[Record], asyncio.Future[Halt | None]] | None = None

    def advance(self, answer: object) -> Any:
        """Send an answer into the walk; return its next command, or what it returns at the end."""
        try:
            return self._walk.send(answer)
        except StopIteration as stop:
            return stop.value

    async def go_on(
        self, command: Any, task: asyncio.Task[Any] | None = None, *, until_rollback: bool = False
    ) -> Any:
        """Carry out the walk from a command on, to its end or to the way back.

        Args:
            command: The command.
            task: The task that does so; asked for when it is needed.
            until_rollback: Whether to return the first command of the way back.
        """
        answer: object
        tells = self._launch.listeners.hears_calls
        while True:
            if isinstance(command, Append):
                answer = await self._write(command)
            elif isinstance(command, Deliver):
                if until_rollback and command.ctx.action is Action.ROLLBACK:
                    return command
                answer = refusal(self._run, command)
                if answer is None and (tells or command.might_block() or command.limit is not None):
                    answer = await (self._told(command) if tells else self._deliver(command))
                elif answer is None:  # `_deliver`, spelt out for the usual async step: a coroutine costs
                    answer = call(command)
                    if is_awaitable(answer):
                        if command.ctx.action is Action.ROLLBACK:
                            answer = await _alone(functools.partial(self._attended, answer))
                        else:
                            task = task or _this_task()
                            answer = await self._attended(answer, task)
            elif not isinstance(command, Command) or (until_rollback and _is_of_way_back(command)):
                return command
            else:
                answer = await self._wait(command)
            command = self.advance(answer)

    async def go_to_end(self, command: Any) -> WorkflowReport:
        """Carry out the walk from a command on, to its end, and give the run back."""
        try:
            report = await self.go_on(command)
        finally:
            self._launch.close()
        assert isinstance(report, WorkflowReport)  # noqa: S101  # nothing stops the rest of the walk
        return report

    async def go_on_behind(self, error: GeneratorExit) -> WorkflowReport:
        """Carry out the rest of a walk whose coroutine was closed while a step was at work, or was written.

        An async step was closed with it; a thread and a write are waited for.
        """
        answer: object = Raised(error)
        try:
            if self._thread is not None:
                await asyncio.wait([self._thread])
                answer = Interrupted(error, self._thread.result())
            elif self._writing is not None:
                records, future = self._writing
                await asyncio.wait([future])
                answer = self._written(records, future.result(), error)
        except BaseException:
            self._launch.close()
            raise
        return await self.go_to_end(self.advance(answer))

    async def _write(self, command: Append) -> object:
        """Write records, in a thread where there is a journal: the loop goes on meanwhile."""
        launch = self._launch
        if launch.journal is None:
            launch.publish(self._run, command.records)
            return None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Halt | None] = Uncancelled(loop=loop)
        answers = answers_for(loop)
        cancellation: BaseException | None = None
        if launch.append_soon(command.records, lambda answer: answers.put(future, answer)):
            self._writing = command.records, future
            try:
                await future
            except asyncio.CancelledError as error:  # it has come to its end all the same
                cancellation = error
            halt = future.result()
        else:
            in_thread = loop.run_in_executor(writers(), launch.append, command.records)
            self._writing = command.records, in_thread
            halt, cancellation = await uncancelled(in_thread)
        self._writing = None
        return self._written(command.records, halt, cancellation)

    def _written(
        self, records: list[Record], halt: Halt | None, cancellation: BaseException | None
    ) -> Halt | None:
        """Take what came of a write; return what the walk is answered."""
        self._interrupt(cancellation)
        if halt is None:
            self._launch.publish(self._run, records)
        return halt

    def _interrupt(self, cancellation: BaseException | None) -> None:
        """Note a cancellation, unless it says only that this branch is given up."""
        if cancellation is not None and self._run.given_up is None:
            self._run.interrupt(cancellation)

    async def carry_out(self, command: Command) -> object:
        """Carry out one command that calls a step, or waits."""
        if isinstance(command, Deliver):
            return await (self._told if self._launch.listeners.hears_calls else self._deliver)(command)
        return await self._wait(command)

    async def _told(self, delivery: Deliver) -> object:
        """Call a step, and tell those who want to know when it is called, and when it has returned."""
        self._launch.listeners.starting(delivery)
        try:
            return await self._deliver(delivery)
        finally:
            self._launch.listeners.returned(delivery)

    async def _deliver(self, delivery: Deliver) -> object:
        """Call a step, in a thread where it might block, and wait for its answer."""
        limit, cancellation = delivery.limit, None
        until = 0.0 if limit is None else asyncio.get_running_loop().time() + limit.seconds
        if delivery.might_block():
            answer, cancellation = await self._call_in_thread(delivery, limit)
        else:
            answer = call(delivery)
        if is_awaitable(answer):
            if cancellation is not None:  # cancelled while the function worked that gave it
                close_awaitable(answer)
                return self._stopped(cancellation)
            waits = functools.partial(self._attended, answer)
            if limit is not None:
                waits = functools.partial(self._limited, answer, limit, until)
            return await (_alone(waits) if delivery.ctx.action is Action.ROLLBACK else waits(_this_task()))
        if cancellation is None or self._run.given_up is not None:
            return answer
        return Interrupted(cancellation, answer)

    async def _attended(self, awaitable: Any, task: asyncio.Task[Any]) -> object:
        """Wait for the answer of an async step; one that swallows its cancellation does not end the task."""
        before = task.cancelling()
        answer: object
        try:
            answer = await awaitable
        except asyncio.CancelledError as error:
            return self._stopped(error)
        except GeneratorExit:  # the coroutine is being closed
            raise
        except BaseException as error:  # noqa: BLE001  # as in `call`
            answer = Raised(error)
        if task.cancelling() == before or self._run.given_up is not None:
            return answer
        return Interrupted(asyncio.CancelledError(), answer)

    async def _limited(self, awaitable: Any, limit: Limit, until: float, task: asyncio.Task[Any]) -> object:
        """Wait for the answer of an async step, as long as it may take; what comes later does not count."""
        before = task.cancelling()
        async with asyncio.timeout_at(until) as scope:
            answer = await self._attended(awaitable, task)
        if not scope.expired():
            return answer
        late = answer.answer if isinstance(answer, Interrupted) else answer
        if isinstance(late, Handoff) and isinstance(late.event, Failure):
            limit.error.__cause__ = late.event.error
        cut_off = CutOff(limit.error)  # even where it came back: it came too late
        if task.cancelling() == before or self._run.given_up is not None:
            return cut_off
        return Interrupted(asyncio.CancelledError(), cut_off)

    def _stopped(self, cancellation: BaseException) -> CutOff | Raised:
        """Return the answer for a step that was cancelled: with its whole run, or with its branch alone."""
        given_up = self._run.given_up
        return Raised(cancellation) if given_up is None else CutOff(given_up)

    async def _call_in_thread(
        self, delivery: Deliver, limit: Limit | None
    ) -> tuple[object, BaseException | None]:
        """Call a step in a thread; return its answer, and the cancellation met meanwhile.

        A thread cannot be cancelled: its answer is waited for, and counts, but for one that takes too long.
        """
        if limit is None and not self._is_branch:
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            try:
                self._thread = loop.run_in_executor(None, context.run, call, delivery)
            except RuntimeError as error:  # no thread can be had
                return Raised(error), None
            answered = await uncancelled(self._thread)
            self._thread = None
            return answered
        thread = call_in_thread(delivery)  # the loop's own threads are few, and waited for at its end
        self._thread = future = asyncio.wrap_future(thread)
        seconds = None if limit is None else limit.seconds
        cancellation = await _wait_for(future, seconds)
        self._thread = None
        if future.done():
            return future.result(), cancellation
        assert limit is not None  # noqa: S101  # else it was waited for
        self._launch.late[delivery.ctx.path] = thread
        return CutOff(limit.error, is_at_work=True), cancellation

    async def _wait(self, command: Command) -> object:
        """Carry out a command that waits for something else than the step's answer."""
        if isinstance(command, Sleep):
            return await self._sleep(command)
        if isinstance(command, Await):
            thread = self._launch.late.get(command.path)
            if thread is not None and command.seconds:
                await _wait_for(asyncio.wrap_future(thread), command.seconds)
            return self._launch.late_answer(command)
        assert isinstance(command, Fork)  # noqa: S101  # there are no others
        return await self._fork(command)

    async def _sleep(self, command: Sleep) -> Raised | None:
        """Wait between two attempts; a cancellation ends that on the way forward."""
        try:
            if self._run.stopped_by is None or command.is_protected:
                await asyncio.sleep(command.seconds)
        except asyncio.CancelledError as error:
            return Raised(self._run.given_up or error)
        return None if command.is_protected or self._run.stopped_by is None else Raised(self._run.stopped_by)

    async def _fork(self, fork: Fork) -> list[object]:
        """Carry out branches, each in a task; a cancellation reaches all, and waits for them."""
        crew = Crew(fork)
        loop = asyncio.get_running_loop()
        all_done: asyncio.Future[None] = loop.create_future()
        at_work, begun = crew.workers, 0

        async def work() -> None:
            nonlocal begun
            begun += 1
            task = _this_task()
            wake = functools.partial(_cancel, loop, task)
            try:
                for index, branch in crew.rest:
                    branch.run.wake = wake
                    walker = Walker(self._launch, branch.walk, branch.run)
                    crew.ended(index, await walker.go_on(walker.advance(None), task))
            finally:
                leave(1)

        def leave(count: int) -> None:
            nonlocal at_work
            at_work -= count
            if not at_work and count:
                all_done.set_result(None)

        tasks = [loop.create_task(work()) for _ in range(crew.workers)]
        # A task that is cancelled before it has begun never comes to its end: by then, all others have begun.
        loop.call_soon(lambda: leave(len(tasks) - begun))
        while tasks and not all_done.done():
            try:
                await asyncio.wait([all_done])
            except asyncio.CancelledError as error:
                self._interrupt(error)
        for task in tasks:
            if task.done() and not task.cancelled():  # its walk has ended all the same
                task.result()
        for index, branch in crew.rest:  # nobody has begun them: the run is interrupted, and they are told so
            self._interrupt(asyncio.CancelledError())
            walker = Walker(self._launch, branch.walk, branch.run)
            crew.ended(index, await walker.go_on(walker.advance(None), _this_task()))
        return crew.ends


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # whoever asks runs in one
    return task


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """Cancel a task, from whatever thread."""
    loop.call_soon_threadsafe(task.cancel)


def _is_of_way_back(command: Command) -> bool:
    """Whether a command belongs to the way back, which is not cancelled."""
    return isinstance(command, Await) or (isinstance(command, Sleep) and command.is_protected)


@functools.cache
def writers() -> ThreadPoolExecutor:
    """Return the threads that write journals: many, since those who wait share the next commit."""
    return ThreadPoolExecutor(_MOST_WRITERS, "automa-journal")


_MOST_WRITERS = 64

if hasattr(
    os, "register_at_fork"
):  # a forked child has none of the parent's threads, and would wait for them
    os.register_at_fork(after_in_child=writers.cache_clear)


async def uncancelled(future: asyncio.Future[Value]) -> tuple[Value, BaseException | None]:
    """Wait for a future to its end; return what it gave, and the cancellation met meanwhile."""
    cancellation = await _wait_for(future, None)
    return future.result(), cancellation


async def _wait_for(future: asyncio.Future[Any], seconds: float | None) -> BaseException | None:
    """Wait for a future to its end, or as long as it may take; return the cancellation met meanwhile."""
    cancellation: BaseException | None = None
    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    while not future.done():
        try:
            left = None if until is None else until - loop.time()
            if left is not None and left <= 0:
                break
            await asyncio.wait([future], timeout=left)
        except asyncio.CancelledError as error:
            cancellation = error if cancellation is None else cancellation
    return cancellation


async def _alone(waits: Callable[[asyncio.Task[Any]], Coroutine[Any, Any, object]]) -> object:
    """Wait for the answer of an async undo in a task of its own: cancelling itself it cuts off no other."""
    answers: list[object] = []

    async def keep() -> None:
        answers.append(await waits(_this_task()))

    task = _protected(keep())
    cancellation = await _wait_for(task, None)
    if cancellation is None and task.cancelled():
        cancellation = asyncio.CancelledError()
    return answers[0] if cancellation is None else Interrupted(cancellation, answers[0])


def _protected(work: Coroutine[Any, Any, Value]) -> asyncio.Task[Value]:
    """Start a task that whoever cancels all tasks of the loop, as its shutdown does, does not find."""
    task = asyncio.get_running_loop().create_task(work)
    asyncio._unregister_task(task)  # noqa: SLF001  # documented for those who implement tasks
    _at_work.add(task)  # the loop does not hold on to it any more
    task.add_done_callback(_at_work.discard)
    return task


_at_work: set[asyncio.Task[Any]] = set()
