"""The driver that waits by blocking, and what both drivers do alike."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from automa._core.commands import Append, Await, CutOff, Deliver, Fork, Interrupted, Raised, Refused, Sleep
from automa._core.events import Handoff
from automa._core.functions import close_awaitable, is_awaitable
from automa._core.status import ROLLBACK
from automa.errors import AsyncStepError, BranchCancelled
from automa.runtime.interrupts import InterruptGuard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from automa._core.commands import Branch, Command, Limit
    from automa._core.reports import WorkflowReport
    from automa._core.runs import Run
    from automa.runtime.launch import Launch, Walk


def drive(launch: Launch) -> WorkflowReport:
    """Carry out a walk in the calling thread; branches side by side have threads of their own.

    Args:
        launch: The walk, and all that goes with it.

    Returns:
        The report of the run.

    Raises:
        BaseException: What interrupted the run, once it is closed.
    """
    run = launch.run
    with InterruptGuard() as guard, contextlib.closing(launch):
        report: WorkflowReport = _walk(launch, launch.walk, run, guard)
    held_back = guard.take_held_back()
    if held_back is not None:
        run.interrupt(held_back)
    return end_of(run, report)


def _walk(launch: Launch, walk: Walk, run: Run, guard: InterruptGuard) -> Any:
    """Carry out a walk, that of a run or of a branch; return what it returns."""
    answer: object = None
    tells = launch.listeners.hears_calls
    while True:
        try:
            command = walk.send(answer)
        except StopIteration as stop:
            return stop.value
        if isinstance(command, Append):
            answer = launch.write(run, command.records)
            held_back = guard.take_held_back()
            if held_back is not None:
                run.interrupt(held_back)
            continue
        if isinstance(command, Deliver):
            answer = refusal(run, command) or (
                _call(command, guard)
                if command.limit is None and not tells
                else _deliver(launch, command, guard)
            )
        else:
            answer = _wait(launch, command, run, guard)
        held_back = guard.take_held_back() if guard.held else None
        if held_back is not None:
            if isinstance(command, Deliver):  # what the step answered counts all the same
                answer = Interrupted(held_back, answer)
            else:
                run.interrupt(held_back)


def _deliver(launch: Launch, delivery: Deliver, guard: InterruptGuard) -> object:
    """Call a step as its limit has it, and tell those who want to know."""
    tells = launch.listeners.hears_calls
    if tells:
        launch.listeners.starting(delivery)
    limit = delivery.limit
    answer = _call(delivery, guard) if limit is None else _call_limited(launch, delivery, limit, guard)
    if tells:
        launch.listeners.returned(delivery)
    return answer


def _call(delivery: Deliver, guard: InterruptGuard) -> object:
    """Call a step; whatever it raises is its answer. Ctrl-C comes through to its work, not to its undo."""
    try:
        guard.is_open = delivery.ctx.action is not ROLLBACK
        if guard.is_open and guard.held:  # a signal came up between two steps
            guard.is_open = False
            raised = guard.take_held_back()
            if raised is not None:
                return Refused(raised)
            guard.is_open = True
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


def _call_limited(launch: Launch, delivery: Deliver, limit: Limit, guard: InterruptGuard) -> object:
    """Call a step in a thread, and leave it there when its time is over, or when Ctrl-C ends the waiting."""
    from automa.runtime.threads import call_in_thread  # noqa: PLC0415  # few steps have a limit

    until = time.monotonic() + limit.seconds
    future = call_in_thread(delivery)
    raised: BaseException | None = None
    if delivery.ctx.action is ROLLBACK:
        _wait_for(future, until)
    else:
        raised = _wait_openly(future, until, guard)
    if not future.done():
        launch.late[delivery.ctx.path] = future
        return CutOff(raised or limit.error, is_at_work=True)
    answer = future.result()
    if not isinstance(answer, Handoff) and is_awaitable(answer):
        answer = _refuse_awaitable(delivery, answer)
    return answer if raised is None else Interrupted(raised, answer)


def _wait_openly(future: Future[object], until: float, guard: InterruptGuard) -> BaseException | None:
    """Wait for a future; return what the handler of a signal has raised meanwhile, which ends the waiting."""
    try:
        guard.is_open = True
        raised = guard.take_held_back()  # what came before
        while raised is None and not future.done() and time.monotonic() < until:
            _wait_for(future, min(until, time.monotonic() + _GLANCE))
        guard.is_open = False
    except BaseException as error:  # noqa: BLE001  # raised by the handler of a signal
        guard.is_open = False
        raised = error
    return raised


_GLANCE = 0.2  # seconds; a signal that comes in the moment in which a wait begins does not end that wait


def _wait_for(future: Future[object], until: float) -> None:
    """Wait for a future, until a moment of the monotonic clock at most."""
    from concurrent.futures import wait  # noqa: PLC0415  # as above

    wait([future], max(0.0, until - time.monotonic()))


def _wait(launch: Launch, command: Command, run: Run, guard: InterruptGuard) -> object:
    """Carry out a command that waits for something else than the step's answer."""
    if isinstance(command, Sleep):
        return _sleep(command, run, guard)
    if isinstance(command, Await):
        future = launch.late.get(command.path)
        if future is not None:
            _wait_for(future, time.monotonic() + command.seconds)
        return launch.late_answer(command)
    assert isinstance(command, Fork)  # noqa: S101  # there are no others
    return _fork(launch, command, run, guard)


def _sleep(command: Sleep, run: Run, guard: InterruptGuard) -> Raised | None:
    """Wait between two attempts; Ctrl-C ends that on the way forward."""
    woken = threading.Event()
    if command.is_protected:
        woken.wait(command.seconds)
        return None
    run.wake = woken.set
    until = time.monotonic() + command.seconds
    try:
        guard.is_open = True
        while run.stopped_by is None and not guard.held and time.monotonic() < until:
            woken.wait(min(_GLANCE, until - time.monotonic()))
        guard.is_open = False
    except BaseException as error:  # noqa: BLE001  # raised by the handler of a signal
        guard.is_open = False
        return Raised(error)
    return None if run.stopped_by is None else Raised(run.stopped_by)


def _fork(launch: Launch, fork: Fork, run: Run, guard: InterruptGuard) -> list[object]:
    """Carry out branches, each in a thread; Ctrl-C waits until all have ended."""
    from automa.runtime.threads import start  # noqa: PLC0415  # as above

    crew = Crew(fork)
    all_done = threading.Event()
    count = crew.workers
    lock = threading.Lock()
    at_work = count
    broken: list[BaseException] = []

    def work() -> None:
        nonlocal at_work
        try:
            for index, branch in crew.rest:
                crew.ended(index, _walk(launch, branch.walk, branch.run, InterruptGuard()))
        except BaseException as error:  # noqa: BLE001  # it is raised where the others have ended
            broken.append(error)
        with lock:
            at_work -= 1
            if not at_work:
                all_done.set()

    for _ in range(count):
        try:
            start(_in_context(work), fork.path)
        except RuntimeError:  # no thread can be had: those that there are do it, or this one
            work()
    if count:
        _wait_for_all(all_done, run, guard)
    if broken:  # no step has: what the journal tells of a branch does not fit, say
        raise broken[0]
    return crew.ends


def _wait_for_all(all_done: threading.Event, run: Run, guard: InterruptGuard) -> None:
    """Wait until all branches have ended; Ctrl-C tells them that no further step is to be started."""
    while not all_done.is_set():
        try:
            guard.is_open = True
            if not guard.held:  # else it came while the threads were being started
                all_done.wait(_GLANCE)
            guard.is_open = False
        except BaseException as error:  # noqa: BLE001  # raised by the handler of a signal
            guard.is_open = False
            run.interrupt(error)
        held_back = guard.take_held_back()
        if held_back is not None:
            run.interrupt(held_back)


def _in_context(work: Any) -> Any:
    import contextvars  # noqa: PLC0415  # as above

    context = contextvars.copy_context()
    return lambda: context.run(work)


class Crew:
    """Who takes which branch of a fork, and what has come of it.

    Args:
        fork: The branches.

    Attributes:
        rest: The branches that nobody has taken yet, with their numbers; workers take one after the other.
        workers: How many go on at once.
        ends: What each branch has returned.
    """

    def __init__(self, fork: Fork) -> None:
        self._fork = fork
        self.rest: Iterator[tuple[int, Branch]] = iter(enumerate(fork.branches))
        self.workers: int = min(fork.limit or len(fork.branches), len(fork.branches))
        self.ends: list[object] = [None] * len(fork.branches)

    def ended(self, index: int, end: object) -> None:
        """Note what a branch has returned; where one has failed the others may have to be given up."""
        self.ends[index] = end
        if end is False and self._fork.cancels:
            failed = self._fork.branches[index]
            error = BranchCancelled(f"given up, since {failed.path} has failed")
            for number, branch in enumerate(self._fork.branches):
                if self.ends[number] is None:
                    branch.run.give_up(error)


def refusal(run: Run, delivery: Deliver) -> Refused | None:
    """Return the answer for a step that is not to be started: the run was stopped, or its time is over."""
    stopped_by = run.given_up if run.interruption is None else run.interruption
    limit = delivery.limit
    if (stopped_by is None and limit is None) or delivery.ctx.action is ROLLBACK:
        return None
    if stopped_by is not None:
        return Refused(stopped_by)
    return Refused(limit.error) if limit is not None and limit.seconds <= 0 else None


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
