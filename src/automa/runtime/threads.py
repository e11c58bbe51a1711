"""Calls in threads of their own: one that takes too long is left to itself."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from automa._core.commands import Raised

if TYPE_CHECKING:
    from collections.abc import Callable

    from automa._core.commands import Deliver


def call(delivery: Deliver) -> object:
    """Call a step; whatever it raises is its answer."""
    try:
        return delivery.controller(delivery.ctx, delivery.event)
    except BaseException as error:  # noqa: BLE001  # the relay closes the run, then `end_of` raises it
        return Raised(error)


def call_in_thread(delivery: Deliver) -> Future[object]:
    """Call a step in a thread that does not keep the process alive; return the future of its answer."""
    future: Future[object] = Future()
    context = contextvars.copy_context()
    try:
        start(lambda: future.set_result(context.run(call, delivery)), delivery.ctx.path)
    except RuntimeError as error:  # no thread can be had
        future.set_result(Raised(error))
    return future


def start(work: Callable[[], None], name: str) -> None:
    """Do work in a new thread.

    Raises:
        RuntimeError: Where no thread can be had.
    """
    threading.Thread(target=work, name=f"automa {name}", daemon=True).start()
