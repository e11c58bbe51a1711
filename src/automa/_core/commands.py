"""What the relay asks of its driver, and what the driver answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.functions import Preparation, is_coroutine_function
from automa._core.status import ROLLBACK, RUN
from automa._core.steps import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from automa._core.context import Context
    from automa._core.events import Failure, Success
    from automa._core.records import Record
    from automa._core.reports import StepReport
    from automa._core.runs import Run
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
    the run must not go on. `Refused` where it was not called, `CutOff` where it took too long.

    Args:
        controller: The step's ``run`` or ``rollback``, or a `Preparation`.
        ctx: The context for it.
        event: A `Success` to a run, or a `Failure` to a rollback.
        limit: How long it may take; None where it may take as long as it likes.
    """

    __slots__ = ("controller", "ctx", "event", "limit")

    def __init__(
        self,
        controller: Callable[[Context, Any], Any],
        ctx: Context,
        event: Success | Failure,
        limit: Limit | None = None,
    ) -> None:
        self.controller: Callable[[Context, Any], Any] = controller
        self.ctx: Context = ctx
        self.event: Success | Failure = event
        self.limit: Limit | None = limit

    def might_block(self) -> bool:
        """Whether the call might block an event loop: there is a user's function in it that is not async."""
        controller: Any = self.controller
        if isinstance(controller, Preparation):
            return not controller.function.is_async
        called = getattr(controller, "__func__", None)
        if called is Step.run or called is Step.rollback:
            function = controller.__self__.function_of(RUN if called is Step.run else ROLLBACK)
            return function is not None and not function.is_async
        return not is_coroutine_function(controller)


class Limit(NamedTuple):
    """How long a call may take.

    Attributes:
        seconds: The most seconds; where there are none, it is not to be called.
        error: Why it is cut off then.
    """

    seconds: float
    error: Exception


class Sleep(NamedTuple):
    """Wait.

    The driver sends back None; `Raised` where the run was interrupted meanwhile.

    Attributes:
        seconds: How long.
        reason: What for, in words.
        is_protected: Whether no interruption ends it: on the way back.
    """

    seconds: float
    reason: str
    is_protected: bool


class Await(NamedTuple):
    """Wait for a step that took too long and goes on in a thread.

    The driver sends back `Back` with what the step answered, `Gone` where it knows of no such thread, or None
    where the step is still at work.

    Attributes:
        path: The path of the step.
        seconds: How long to wait at most.
        report: The report that the step has, for what it has done outside meanwhile.
    """

    path: str
    seconds: float
    report: StepReport


class Branch(NamedTuple):
    """A branch of a `Fork`.

    Attributes:
        path: The path of its step.
        walk: Its commands; it returns whether it went well, or the `Halt` that has stopped it.
        run: What its steps share.
    """

    path: str
    walk: Generator[Command, Any, Halt | bool]
    run: Run


class Fork(NamedTuple):
    """Carry out branches side by side, begun in their order.

    The driver sends back what each has returned, in their order.

    Attributes:
        path: The path of the step that forks.
        branches: The branches.
        limit: How many go on at once at most; None where all do.
        cancels: Whether the others are given up when one has failed.
    """

    path: str
    branches: Sequence[Branch]
    limit: int | None
    cancels: bool


class Refused(NamedTuple):
    """The step was not called."""

    error: BaseException


class CutOff(NamedTuple):
    """The step was cut off at its work: its effect is unknown.

    Attributes:
        error: Why.
        is_at_work: Whether it goes on in a thread, where nobody can stop it.
    """

    error: BaseException
    is_at_work: bool = False


class Back(NamedTuple):
    """A step that took too long has come to an end after all."""

    answer: object


class Gone(NamedTuple):
    """Nobody is at work any more: the process in which a step took too long has died."""


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


Command = Append | Deliver | Sleep | Await | Fork
