"""Faults on purpose: a step that fails although nothing is wrong with it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from automa._core.commands import Deliver, Interrupted, Raised, Refused
from automa.testing.interposing import interposed, role_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from automa._core.commands import Command
    from automa._core.runs import Run

When = Literal["before", "after"]
Role = Literal["run", "undo", "prepare"]


class InjectedFault(Exception):  # noqa: N818  # it is a fault
    """What an injected fault raises unless it is told otherwise."""


class Injection:
    """A fault that is being injected.

    Attributes:
        hits: How often it has struck.
    """

    def __init__(self) -> None:
        self.hits: int = 0


@contextlib.contextmanager
def inject(  # what makes a fault
    *,
    step: str,
    when: When = "before",
    action: Role = "run",
    error: BaseException | type[BaseException] | None = None,
    times: int | None = None,
) -> Iterator[Injection]:
    """Make a step fail in all runs that are started or resumed meanwhile, in whatever thread.

    Args:
        step: The id of the step, or its path (``outer/inner/step``).
        when: ``before``, the step is not called; ``after``, it is called, and fails once it has done
            everything: its answer is lost, as over a bad line.
        action: Which of its functions fails: ``run``, ``undo`` or ``prepare``.
        error: What it raises, an exception or a class of them; by default an `InjectedFault`.
        times: How many calls fail, the first ones; by default every call.

    Yields:
        What tells how often it has struck.

    Raises:
        AssertionError: At the end, where it has never struck: the step was not called, or is not there.
        ValueError: Where ``when``, ``action``, ``error`` or ``times`` is none of those.

    Example:
        >>> from automa import Step, Workflow
        >>> pay = Step("pay", run=lambda: print("paid"), undo=lambda: print("paid back"))
        >>> with inject(step="pay", when="after", error=TimeoutError("no answer")):
        ...     report = Workflow("order", [pay]).start()
        paid
        paid back
        >>> report.error
        TimeoutError('no answer')
    """
    if when not in {"before", "after"}:
        raise ValueError(f"when is 'before' or 'after', not {when!r}")
    if action not in {"run", "undo", "prepare"}:
        raise ValueError(f"action is 'run', 'undo' or 'prepare', not {action!r}")
    if times is not None and (type(times) is not int or times < 1):
        raise ValueError(f"times is a whole number from 1, or None for every call, not {times!r}")
    _check_error(error)
    injection = Injection()
    what = f"injected {when} the {action} of {step}"

    def handle(command: Command, _run: Run) -> Generator[Command, Any, Any]:
        if not isinstance(command, Deliver) or role_of(command) != action:
            return (yield command)
        if step not in {command.ctx.path, command.ctx.step_id} or injection.hits == times:
            return (yield command)
        injection.hits += 1
        raised = InjectedFault(what) if error is None else error() if isinstance(error, type) else error
        if when == "after":
            answer = yield command
            return failing(command, answer, raised)
        return Raised(raised)

    with interposed(handle):
        yield injection
    if not injection.hits:
        raise AssertionError(f"nothing was {what}: it was never called")


def _check_error(error: object) -> None:
    """Check that something can be raised, at once and not in the middle of a run.

    Raises:
        ValueError: Where it cannot.
    """
    if error is None or isinstance(error, BaseException):
        return
    if not (isinstance(error, type) and issubclass(error, BaseException)):
        raise ValueError(f"error is an exception, or a class of them, not {error!r}")  # noqa: TRY004  # as the others
    try:
        error()
    except TypeError as refusal:
        raise ValueError(f"error: {error.__name__} takes arguments: give an instance of it") from refusal


def failing(command: Deliver, answer: object, error: BaseException) -> object:
    """Return the answer of a step whose own answer is lost: it raised, and nothing else is known."""
    if isinstance(answer, Refused):  # it was not called at all
        return answer
    command.ctx.report.result = None
    if isinstance(answer, Interrupted):
        return Interrupted(answer.error, Raised(error))
    return Raised(error)
