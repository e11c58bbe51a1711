"""A clock that tests set: retries and deadlines without waiting."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from automa._core import clock as core_clock
from automa._core.commands import Await, Back, CutOff, Deliver, Interrupted, Raised, Refused, Sleep
from automa.testing.interposing import interposed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from automa._core.commands import Command, Limit
    from automa._core.runs import Run


_real_now: list[Callable[[], datetime]] = []
"""What tells the real time, while there are virtual clocks."""


class VirtualClock:
    """A time that goes on only where it is told to.

    Args:
        start: The time at the beginning, with its time zone.

    Attributes:
        sleeps: The seconds that runs have waited between attempts, in order.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        """Return the present time, in UTC."""
        return self._now

    def advance(self, seconds: float | timedelta) -> None:
        """Let time go by: in a step, it is the time that the step takes.

        Args:
            seconds: How much.

        Raises:
            ValueError: Where time would go back.
        """
        span = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        if span < timedelta():
            raise ValueError(f"time does not go back: {seconds!r}")
        with self._lock:
            self._now += span


_clocks: list[VirtualClock] = []
"""The virtual clocks that there are; the last one tells the time."""


@contextlib.contextmanager
def virtual_clock(start: datetime | None = None) -> Iterator[VirtualClock]:
    """Let runs take their time from a clock that the test sets, and wait for nothing.

    A wait between attempts moves the clock, and takes no time. A step takes as long as it advances the
    clock: where that is longer than its time-out, or goes past the deadline, it is cut off as it would be in
    real time, a sync step as one that came to its end too late.

    Args:
        start: The time at the beginning, with its time zone; by default 2000-01-01, UTC.

    Yields:
        The clock.

    Example:
        >>> from automa import Retry, Step, Workflow
        >>> with virtual_clock() as clock:
        ...     step = Step("slow", run=lambda: clock.advance(60), timeout=30)
        ...     report = Workflow("w", [step]).start()
        >>> report.error
        StepTimeout('run of step slow took longer than 30 s')
    """
    clock = VirtualClock(start or datetime(2000, 1, 1, tzinfo=UTC))
    late: dict[str, object] = {}

    def handle(command: Command, run: Run) -> Generator[Command, Any, Any]:
        if clock is not _clocks[-1]:  # there is one time, and it is that of the last
            return (yield command)
        if isinstance(command, Sleep):
            clock.sleeps.append(command.seconds)
            clock.advance(command.seconds)
            return None if command.is_protected or run.stopped_by is None else Raised(run.stopped_by)
        if isinstance(command, Await) and command.path in late:
            return Back(late.pop(command.path))
        if not isinstance(command, Deliver) or command.limit is None:
            return (yield command)
        began = clock.now()
        answer = yield command
        if (clock.now() - began).total_seconds() <= command.limit.seconds:
            return answer
        return _too_late(command, command.limit, answer, late)

    if not _clocks:
        _real_now.append(core_clock.now)
    _clocks.append(clock)
    core_clock.now = clock.now
    try:
        with interposed(handle):
            yield clock
    finally:
        _clocks.remove(clock)  # it need not be the last: there may be clocks in other threads
        core_clock.now = _clocks[-1].now if _clocks else _real_now.pop()


def _too_late(command: Deliver, limit: Limit, answer: object, late: dict[str, object]) -> object:
    """Return the answer for a step that took longer than it may."""
    if isinstance(answer, Refused | CutOff | Interrupted):
        return answer
    if isinstance(answer, Raised) and not isinstance(answer.error, Exception):
        return answer  # it interrupts the run, however late
    if command.might_block():  # it would have gone on in its thread, and come to its end
        late[command.ctx.path] = answer
        return CutOff(limit.error, is_at_work=True)
    return CutOff(limit.error)
