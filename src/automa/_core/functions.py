"""How the functions that a user gives to a step are called."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from automa.errors import WorkflowDefinitionError, repr_of

if TYPE_CHECKING:
    from types import ModuleType

    from automa._core.context import Context
    from automa._core.events import Failure, Handoff, Success
    from automa._core.reports import StepReport
    from automa._core.steps import Step

SagaRun = Callable[..., Any]
"""A step's work: takes the context or nothing, sync or async (seed: SagaRun)."""

SagaUndo = Callable[..., Any]
"""A step's compensation: takes the context or nothing, sync or async (seed: SagaUndo)."""


def _inspect() -> ModuleType:
    """Return the module `inspect`, imported when the first step is made: `import automa` stays quick."""
    import inspect  # noqa: PLC0415

    return inspect


SagaPrepare = Callable[..., Any]
"""What comes before a step's work: takes the context or nothing, sync or async; may return a dict."""


SagaWhen = Callable[..., Any]
"""Tells whether a step is to be run: takes the context or nothing, sync or async; true or false."""


SagaVerify = Callable[..., Any]
"""Tells whether a step's work was done: takes the context or nothing, sync or async; True, False or None."""


class StepFunction(NamedTuple):
    """A user's function, ready to be called for any copy of its step.

    Attributes:
        call: Calls it with the step and the context.
        is_async: Whether it gives an awaitable, as far as can be told without calling it.
        name: What it is called, for messages.
        function: What the user gave, for those who read it; of a method of the step itself, the function
            behind it.
        is_method: Whether it is a method of the step itself.
    """

    call: Callable[[Step, Context], Any]
    is_async: bool
    name: str = ""
    function: Any = None
    is_method: bool = False


def is_coroutine_function(function: object) -> bool:
    """Whether a function is declared async."""
    is_async: bool = _inspect().iscoroutinefunction(function)
    return is_async


def is_awaitable(value: object) -> bool:
    """Whether something can be awaited; asked of its class, since an instance may answer to any name."""
    return hasattr(type(value), "__await__")


def step_function(function: object, owner: Any, role: str) -> StepFunction:
    """Return a user's function as a `StepFunction`.

    A bound method of the step itself is bound anew to each copy of the step. The context goes to
    the first argument if it is required, or called ``ctx``.

    Args:
        function: What the user gave.
        owner: The step, or the workflow, to which it was given.
        role: What the function is to it, for messages: ``run``, ``undo`` or ``prepare``.

    Raises:
        WorkflowDefinitionError: Where it cannot be called with the context or with nothing, or
            is a generator function, whose body a call does not run.
    """
    if not callable(function):
        raise WorkflowDefinitionError(f"{owner!r}: {role} is {function!r}, which cannot be called")
    what = f"{owner!r}: the {role} function {getattr(function, '__qualname__', repr(function))}"
    if _inspect().isgeneratorfunction(_innermost(function)) or _inspect().isasyncgenfunction(
        _innermost(function)
    ):
        raise WorkflowDefinitionError(
            f"{what} is a generator: a call would not run its body; use return, not yield"
        )
    takes_context = _takes_context(function, what)
    is_async = _inspect().iscoroutinefunction(_innermost(function))
    name = getattr(function, "__name__", "")
    if getattr(function, "__self__", None) is owner:
        method = function.__func__  # type: ignore[attr-defined]  # a bound method has one
        call = method if takes_context else lambda step, _ctx: method(step)
        return StepFunction(call, is_async, name, method, is_method=True)
    if takes_context:
        return StepFunction(lambda _step, ctx: function(ctx), is_async, name, function)
    return StepFunction(lambda _step, _ctx: function(), is_async, name, function)


def _innermost(function: Any) -> Any:
    """Return the function that runs in the end, behind partials and ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    if not _inspect().isroutine(function) and not isinstance(function, type):
        return type(function).__call__
    return function


def _takes_context(function: Callable[..., Any], what: str) -> bool:
    try:
        signature = _inspect().signature(function)
    except (TypeError, ValueError):
        raise WorkflowDefinitionError(f"{what} does not tell its arguments: wrap it in a lambda") from None
    parameters = list(signature.parameters.values())
    positional = [
        each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}
    ]
    required = [each for each in positional if each.default is each.empty]
    keywords = [each for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty]
    if len(required) <= 1 and not keywords:
        # A default alone does not ask for the context: think of `lambda name=name: …` in a loop.
        named = any(each.name == "ctx" for each in positional[:1])
        return bool(required) or named or any(each.kind is each.VAR_POSITIONAL for each in parameters)
    raise WorkflowDefinitionError(f"{what}{signature} must take one argument, the context, or none")


def has_async_controller(step: object) -> bool:
    """Return whether a step, or a class of steps, answers with coroutines."""
    return any(_inspect().iscoroutinefunction(getattr(step, name, None)) for name in ("run", "rollback"))


def check_controller(controller: Any, what: str) -> None:
    """Check that a step's ``run`` or ``rollback`` can be called with a context and an event.

    Raises:
        WorkflowDefinitionError: Where it cannot.
    """
    if not callable(controller):
        raise WorkflowDefinitionError(f"{what} is {repr_of(controller)}, which cannot be called")
    try:
        signature = _inspect().signature(controller)
    except (TypeError, ValueError):  # it does not tell
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise WorkflowDefinitionError(
            f"{what}{signature} must take two arguments: the context and the event"
        ) from None


class Preparation:
    """A controller that calls a prepare function: of a step, or of a workflow.

    Args:
        function: The function.
        step: The step to whose copy it is bound; None for a workflow.
    """

    __slots__ = ("function", "step")

    def __init__(self, function: StepFunction, step: Any) -> None:
        self.function: StepFunction = function
        self.step: Any = step

    def __call__(self, ctx: Context, _event: object) -> Any:
        """Call the function; it returns values to be kept, or None."""
        return self.function.call(self.step, ctx)


class Condition(Preparation):
    """A controller that asks whether a step is to be run: it has no effect, and is not recorded."""

    __slots__ = ()


class Expansion(Preparation):
    """A controller that builds steps: it has no effect, and a resume calls it again."""

    __slots__ = ()


class Admission(Preparation):
    """A controller that asks only whether a step may be called: it does nothing, and is not recorded."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(StepFunction(lambda _step, _ctx: None, is_async=True), None)


class PendingAnswer(Awaitable["Handoff"]):
    """The answer of a step whose function gave an awaitable: a handoff, once awaited.

    Args:
        awaitable: What the function gave.
        answer: Turns what came of it, a value or an error, into the handoff.
        event: What the step was handed; the first argument of `answer`.
        report: Its report; the second.
    """

    __slots__ = ("_answer", "_awaitable", "_event", "_report")

    def __init__(
        self,
        awaitable: Awaitable[Any],
        answer: Callable[[Any, StepReport, Any, Exception | None], Handoff],
        event: Success | Failure,
        report: StepReport,
    ) -> None:
        self._awaitable = awaitable
        self._answer = answer
        self._event = event
        self._report = report

    def __await__(self) -> Generator[Any, Any, Handoff]:
        value, error = None, None
        try:
            value = yield from self._awaitable.__await__()
        except Exception as raised:  # noqa: BLE001  # whatever it is, it is the step's outcome
            error = raised
        return self._answer(self._event, self._report, value, error)

    def close(self) -> None:
        """Give up the awaitable without waiting for it."""
        close_awaitable(self._awaitable)


def close_awaitable(awaitable: object) -> None:
    """Give up an awaitable that nobody will wait for: close a coroutine, cancel a future."""
    for name in ("close", "cancel"):
        give_up = getattr(awaitable, name, None)
        if give_up is not None:
            with contextlib.suppress(Exception):  # it is not to be waited for, whatever it says
                give_up()
            return
