"""What the relay asks of its driver, and what the driver answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from automa._core.context import Context
    from automa._core.events import Failure, Success
    from automa._core.records import Record


class Append(NamedTuple):
    """Write these records, in one durable write, before anything else happens."""

    records: list[Record]


class Deliver:
    """Call a step's controller with the context and the event, and send back what it answered.

    The driver sends back what the controller returned, or `Raised`; either in `Interrupted` where
    the run must not go on.

    Args:
        controller: The step's ``run`` or ``rollback``.
        ctx: The context for it.
        event: A `Success` to a run, or a `Failure` to a rollback.
    """

    __slots__ = ("controller", "ctx", "event")

    def __init__(
        self, controller: Callable[[Context, Any], Any], ctx: Context, event: Success | Failure
    ) -> None:
        self.controller: Callable[[Context, Any], Any] = controller
        self.ctx: Context = ctx
        self.event: Success | Failure = event


class Raised(NamedTuple):
    """The step did not answer, but raised; an error that is no `Exception` interrupts the run."""

    error: BaseException


class Interrupted(NamedTuple):
    """The run was interrupted while the step was at work; the step answered all the same."""

    error: BaseException
    answer: object


Command = Append | Deliver
