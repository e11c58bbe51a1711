"""Telling a page, by server-sent events, that what it shows has changed; it gets itself anew then."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool

from automa.errors import AutomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_BEAT = 15.0  # seconds of silence after which a line is sent, so that nobody in between takes it for dead
_TROUBLED_PAUSE = 3.0  # seconds before a store is asked again that could not be read


class Glance(NamedTuple):
    """What a page would show, as short as can be.

    Attributes:
        mark: A text that differs where the page would.
        is_over: Whether nothing will change any more by itself.
    """

    mark: str
    is_over: bool = False


def mark_of(*values: object) -> str:
    """Return a text that differs where values do."""
    return hashlib.sha256(repr(values).encode("utf-8", "backslashreplace")).hexdigest()[:16]


class Streams:
    """The streams of events that are open, of which there are not too many.

    Args:
        most: How many there may be at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stopping = asyncio.Event()
        self.open: int = 0

    def has_room(self) -> bool:
        """Whether another one may be opened."""
        return self.open < self._most and not self._stopping.is_set()

    def stop(self) -> None:
        """Have all streams come to their end; on the event loop that serves them."""
        self._stopping.set()

    async def events(self, glance: Callable[[], Glance], pause: float) -> AsyncIterator[str]:
        """Yield events: ``changed`` with a mark, whenever that is another one; ``end`` after the last.

        ``trouble`` tells why the store could not be read; it is asked again.

        Args:
            glance: Tells how a page stands; called in a thread.
            pause: The seconds between two looks.
        """
        self.open += 1
        try:
            known: str | None = None
            silent = 0.0
            yield "retry: 3000\n\n"
            while not self._stopping.is_set():
                wait = pause
                try:
                    found = await run_in_threadpool(glance)
                except AutomaError as error:
                    found, wait = Glance(mark_of(str(error))), _TROUBLED_PAUSE
                    event = "trouble"
                else:
                    event = "changed"
                silent += wait
                if found.mark != known:
                    known, silent = found.mark, 0.0
                    yield f"event: {event}\ndata: {known}\n\n"
                elif silent >= _BEAT:
                    silent = 0.0
                    yield ": still there\n\n"
                if found.is_over:
                    yield "event: end\ndata: .\n\n"
                    return
                await self._pause(wait)
        finally:
            self.open -= 1

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
