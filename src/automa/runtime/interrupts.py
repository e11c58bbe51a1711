"""Signals in a synchronous run: what they raise reaches the step at work, and nothing else."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType


class InterruptGuard:
    """Holds the handlers of SIGINT and SIGTERM back while no step is at work, and all through the way back.

    Without it a ``KeyboardInterrupt``, or the ``SystemExit`` of a handler of the user's, could come up
    between two steps, or in an undo, and end the run half-way. What was held back is called as soon as
    it may be. In another thread than the main one no signal arrives, and nothing is done.

    Attributes:
        is_open: Whether handlers may be called now: while a step works forward.
        held: The calls of handlers that were held back.
    """

    def __init__(self) -> None:
        self.is_open: bool = False
        self.held: list[Callable[[], Any]] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        import signal  # noqa: PLC0415  # its enumerations take long to make: `import automa` stays quick

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if callable(before):  # else it is the system's own, or ignored
                    self._before[number] = before
                    signal.signal(number, functools.partial(self._on_signal, before))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before:
            import signal  # noqa: PLC0415  # as above

            for number, before in self._before.items():
                signal.signal(number, before)
        if kind is not None and (raised := self.take_held_back()) is not None:
            raise raised  # no run is left that would raise it in the end

    def _on_signal(
        self, handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None
    ) -> None:
        if self.is_open:
            handler(number, frame)
        else:
            self.held.append(functools.partial(handler, number, frame))

    def take_held_back(self) -> BaseException | None:
        """Call the handlers that were held back; return the first that one has raised."""
        raised: BaseException | None = None
        while self.held:
            try:
                self.held.pop(0)()
            except BaseException as error:  # noqa: BLE001  # it is given to the run
                raised = error if raised is None else raised
        return raised
