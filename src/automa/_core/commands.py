"""What the relay asks of its driver, and what the driver answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.functions import Preparation, is_coroutine_function
from automa._core.steps import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from automa._core.context import Context
    from automa._core.events import Failure, Success
    from automa._core.records import Record
    from automa._core.status import Outcome


class Append(NamedTuple):
    """Write these records, in one durable write, before anything else happens.

    The driver sends back None; `Halt` where they could not be written; and, where the last of them
    is `Ended`, a `Requested` if an operator has asked for more.
    """

    records: list[Record]


class Deliver:
    """Call a step's controller with the context and the event, and send back what it answered.

    The driver sends back what the controller returned, or `Raised`; either in `Interrupted` where
    the run must not go on.

    Args:
        controller: The step's ``run`` or ``rollback``, or a `Preparation`.
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

    def might_block(self) -> bool:
        """Whether the call might block an event loop: there is a user's function in it that is not async."""
        controller = self.controller
        if isinstance(controller, Preparation):
            return not controller.function.is_async
        if is_coroutine_function(controller):
            return False
        step, name = getattr(controller, "__self__", None), self.ctx.action
        if not isinstance(step, Step) or getattr(type(step), name) is not getattr(Step, name):
            return True
        function = step.function_of(name)
        return function is not None and not function.is_async


class Raised(NamedTuple):
    """The step did not answer, but raised; an error that is no `Exception` interrupts the run."""

    error: BaseException


class Halt(Exception):  # noqa: N818  # it stops the walk; the error is its cause
    """The answer to an `Append` that could not be written: nothing more is done; the run can be resumed.

    Attributes:
        error: Why.
        outcome: What the report says of it.
    """

    def __init__(self, error: BaseException, outcome: Outcome) -> None:
        super().__init__()
        self.error = error
        self.outcome = outcome


class Interrupted(NamedTuple):
    """The run was interrupted while the step was at work; the step answered all the same."""

    error: BaseException
    answer: object


Command = Append | Deliver
