"""Futures of an event loop that other threads end."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque

from automa._core.commands import Halt


class Uncancelled(asyncio.Future["Halt | None"]):
    """A future that is not cancelled with the task that waits for it: the task hears of that at its end."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  # as it is called
        """Refuse."""
        return False


class Answers:
    """Brings what other threads have found out to a loop, all that there is in one call.

    What is on its way belongs to the loop alone, and is forgotten with it: its futures would keep it alive.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._latest: weakref.ref[_OnTheirWay] | None = None

    def put(self, future: asyncio.Future[Halt | None], answer: Exception | None) -> None:
        """Have a future of the loop end with what stops the walk, or None; from any thread."""
        answers = None if self._latest is None else self._latest()
        if answers is None:
            answers = _OnTheirWay()
            self._latest = weakref.ref(answers)
        answers.append((future, answer))
        loop = self._loop()
        if loop is None or (answers.is_called and not loop.is_closed()):
            return
        answers.is_called = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(answers.arrive)


class _OnTheirWay(deque[tuple[asyncio.Future["Halt | None"], "Exception | None"]]):
    """Answers that a loop will find."""

    is_called: bool = False

    def arrive(self) -> None:
        """End the futures with their answers."""
        self.is_called = False  # first: whoever adds another from now on calls again
        while self:
            future, answer = self.popleft()
            if future.done():  # it was told twice: whoever told it was interrupted
                continue
            if isinstance(answer, Halt) or answer is None:
                future.set_result(answer)
            else:
                future.set_exception(answer)


def answers_for(loop: asyncio.AbstractEventLoop) -> Answers:
    """Return what brings answers to a loop: one for each loop."""
    answers = _answers_of_loops.get(loop)
    if answers is None:
        answers = _answers_of_loops[loop] = Answers(loop)
    return answers


_answers_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Answers] = weakref.WeakKeyDictionary()
