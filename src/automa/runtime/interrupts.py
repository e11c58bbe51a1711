"""Ctrl-C in a synchronous run: it reaches the step at work, and nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType


class InterruptGuard:
    """Holds Ctrl-C back while no step is at work, and all through the way back.

    Without it a ``KeyboardInterrupt`` could come up between two steps, or in an undo, and end the
    run half-way. It takes the place of Python's own handler only: whoever has set another one, or
    runs in another thread than the main one, where no signal arrives, is left alone.

    Attributes:
        is_open: Whether Ctrl-C may come through now: while a step works forward.
        pending: What was held back.
    """

    def __init__(self) -> None:
        self.is_open: bool = False
        self.pending: KeyboardInterrupt | None = None
        self._before: object = None
        self._is_installed = False

    def __enter__(self) -> Self:
        import signal  # noqa: PLC0415  # its enumerations take long to make: `import automa` stays quick

        if threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            ours = isinstance(getattr(self._before, "__self__", None), InterruptGuard)  # a run within a step
            if ours or self._before is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._handle)
                self._is_installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_installed:
            import signal  # noqa: PLC0415  # as above

            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]  # it came from getsignal

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_open:
            raise KeyboardInterrupt
        self.pending = KeyboardInterrupt()

    def take_pending(self) -> KeyboardInterrupt | None:
        """Return what was held back, and forget it."""
        pending, self.pending = self.pending, None
        return pending
