"""Futures of an event loop that other threads end."""

from __future__ import annotations

import asyncio
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

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._waiting: deque[tuple[asyncio.Future[Halt | None], Exception | None]] = deque()
        self._is_called = False

    def put(self, future: asyncio.Future[Halt | None], answer: Exception | None) -> None:
        """Have a future of the loop end with what stops the walk, or None; from any thread."""
        self._waiting.append((future, answer))
        loop = self._loop()
        if self._is_called and loop is not None and not loop.is_closed():
            return
        self._is_called = True
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._take_home)
        except RuntimeError:  # the loop is closed: nobody waits any more, and the futures would keep it alive
            self._waiting.clear()

    def _take_home(self) -> None:
        self._is_called = False  # first: whoever puts another from now on calls again
        while self._waiting:
            future, answer = self._waiting.popleft()
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
