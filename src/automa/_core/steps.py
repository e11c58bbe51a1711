"""The kernel of a step (seed: Step), and the decorator that makes one of a function."""

from __future__ import annotations

import functools
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack, overload

from automa._core.events import Failure, Handoff, Success
from automa._core.functions import (
    PendingAnswer,
    SagaPrepare,
    SagaRun,
    SagaUndo,
    SagaVerify,
    SagaWhen,
    StepFunction,
    has_async_controller,
    is_awaitable,
    step_function,
)
from automa._core.reports import StepReport
from automa._core.retry import Retry
from automa._core.status import ROLLBACK, RUN
from automa.errors import Skip, WorkflowDefinitionError, text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from automa._core.context import Context
    from automa._core.protocols import Backward, Forward
    from automa._core.status import Action

Undo = TypeVar("Undo", bound=SagaUndo)
Prepare = TypeVar("Prepare", bound=SagaPrepare)
Verify = TypeVar("Verify", bound=SagaVerify)
When = TypeVar("When", bound=SagaWhen)


class StepOptions(TypedDict, total=False):
    """What `Step` and `step` take beside the functions; a subclass may set them as class attributes.

    Attributes:
        retry: How often the run is tried; by default once.
        undo_retry: How often the undo is tried; by default once. It never shares the run's.
        timeout: The most seconds, or a timedelta, that one attempt of the run may take. A step that is not
            async works in a thread of its own then: it goes on there, and is not tried again.
        undo_timeout: The most seconds, or a timedelta, that one attempt of the undo may take.
        pivot: Whether it is the point of no return: once it has completed, nothing is undone any more.
        irreversible: Whether it cannot be undone by its nature: it has no undo, and the report says that it
            is left.
    """

    retry: Retry | None
    undo_retry: Retry | None
    timeout: float | timedelta | None
    undo_timeout: float | timedelta | None
    pivot: bool
    irreversible: bool


class Step:
    """A step of a saga: does something in `run`, takes it back in `rollback` (seed: Step).

    Give it functions, or subclass it with methods ``saga_run`` and ``saga_undo``, or override
    `run` and `rollback` themselves and answer with the helper methods. A run works on a copy of
    the step made for it alone: what ``run`` keeps on ``self`` is there in ``rollback``, and no
    other run sees it. The copy is shallow: a list made in ``__init__`` is shared by all runs.

    Args:
        id: The id of the step, unique in its workflow; a subclass may set it as a class attribute.
        run: The work: takes the context or nothing, sync or async. What it returns is the
            step's result; an exception is its failure; ``raise Skip("why")`` says that there was
            nothing to do.
        undo: Takes the work back, likewise. It may be called although ``run`` failed half-way.
        prepare: Comes before the work, and is not undone: what it sets in ``ctx.local`` or returns
            as a dict, which is merged into it, is there in run and undo. Where it fails, the step
            has failed without having run. It may be called again by a resume.
        verify: Decides, when a run is resumed, about a work that was going on when the process died:
            True, it was done; False, it was not, and is called again; None, nobody can tell, and it is
            undone like one that failed. Without it the work is called again.
        when: Tells whether the step is to be run; where it is not, it is skipped, and never undone. It may
            be called again by a resume, and what it changes in the state is dropped.
        **options: Retries, time-outs, and whether it can be undone: see `StepOptions`.

    Raises:
        WorkflowDefinitionError: Where the id is empty, a function has the wrong signature, or an option does
            not fit.

    Example:
        >>> seat = Step("seat", run=lambda: "12A", undo=lambda ctx: print("free", ctx.result))
        >>> seat.id
        'seat'
    """

    id: str = ""
    saga_run: SagaRun | None = None
    saga_undo: SagaUndo | None = None
    saga_prepare: SagaPrepare | None = None
    saga_verify: SagaVerify | None = None
    saga_when: SagaWhen | None = None
    retry: Retry | None = None
    undo_retry: Retry | None = None
    timeout: float | None = None
    undo_timeout: float | None = None
    pivot: bool = False
    irreversible: bool = False
    _run_function: StepFunction | None = None
    _rollback_function: StepFunction | None = None
    prepare_function: StepFunction | None = None
    verify_function: StepFunction | None = None
    when_function: StepFunction | None = None
    is_plain: bool = True
    """Whether nothing is to be looked after but its run and its undo."""
    is_async: bool = False
    """Whether the step needs an event loop, as far as can be told without calling it."""
    _slot_names: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("undo", "prepare", "verify", "when"):
            if name in vars(cls):
                raise WorkflowDefinitionError(
                    f"class {cls.__name__} defines {name}, which is a decorator of Step: call it saga_{name}"
                )
        cls.is_async = vars(cls).get("is_async", False) or has_async_controller(cls)
        cls._slot_names = tuple(_slot_names(cls))

    def __init__(  # noqa: PLR0913  # what a step may have are keyword arguments
        self,
        id: str | None = None,
        *,
        run: SagaRun | None = None,
        undo: SagaUndo | None = None,
        prepare: SagaPrepare | None = None,
        verify: SagaVerify | None = None,
        when: SagaWhen | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        if id is not None:
            self.id = id
        check_id(self.id, "a step")
        self.next: Forward | None = None
        self.prev: Backward | None = None
        self._set_options(options)
        prepare = self.saga_prepare if prepare is None else prepare
        if prepare is not None:
            self.prepare_function = step_function(prepare, self, "prepare")
        verify = self.saga_verify if verify is None else verify
        if verify is not None:
            self.verify_function = step_function(verify, self, "verify")
        when = self.saga_when if when is None else when
        if when is not None:
            self.when_function = step_function(when, self, "when")
        self.register_saga(self.saga_run if run is None else run, self.saga_undo if undo is None else undo)

    def is_initialised(self) -> bool:
        """Whether ``Step.__init__`` was called: a subclass may have forgotten to."""
        return "next" in vars(self)

    def register_saga(self, run: SagaRun | None = None, undo: SagaUndo | None = None) -> Self:
        """Set the functions that the default `run` and `rollback` call (seed: RegisterSaga).

        Args:
            run: The work, or None to leave out.
            undo: The compensation, or None to leave out.

        Raises:
            WorkflowDefinitionError: Where a function has the wrong signature.
        """
        self._run_function = None if run is None else step_function(run, self, "run")
        self._rollback_function = None if undo is None else step_function(undo, self, "undo")
        self._note()
        return self

    def _set_options(self, options: StepOptions) -> None:
        for name in options:
            if name not in StepOptions.__annotations__:
                raise TypeError(f"Step takes no argument {name!r}")
        vars(self).update(options)
        for name in ("timeout", "undo_timeout"):
            seconds: Any = getattr(self, name)
            if isinstance(seconds, timedelta):
                seconds = seconds.total_seconds()
                setattr(self, name, seconds)
            is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            if seconds is not None and not (is_number and math.isfinite(seconds) and seconds > 0):
                raise WorkflowDefinitionError(
                    f"{self!r}: {name} is a number of seconds above 0, not {seconds!r}"
                )
        for name in ("retry", "undo_retry"):
            retry = getattr(self, name)
            if retry is not None and not isinstance(retry, Retry):
                raise WorkflowDefinitionError(f"{self!r}: {name} is a Retry, not {retry!r}")

    def prepare(self, function: Prepare) -> Prepare:
        """Set what comes before the work; a decorator that returns the function as it is.

        Raises:
            WorkflowDefinitionError: Where the function has the wrong signature.
        """
        self.prepare_function = step_function(function, self, "prepare")
        self._note()
        return function

    def verify(self, function: Verify) -> Verify:
        """Set what decides about a work that was cut off; a decorator that returns the function as it is.

        Raises:
            WorkflowDefinitionError: Where the function has the wrong signature.
        """
        self.verify_function = step_function(function, self, "verify")
        self._note()
        return function

    def when(self, function: When) -> When:
        """Set what tells whether the step is to be run; a decorator that returns the function as it is.

        Raises:
            WorkflowDefinitionError: Where the function has the wrong signature.
        """
        self.when_function = step_function(function, self, "when")
        self._note()
        return function

    def undo(self, function: Undo) -> Undo:
        """Set the compensation; a decorator that returns the function as it is.

        Raises:
            WorkflowDefinitionError: Where the function has the wrong signature.
        """
        self._rollback_function = step_function(function, self, "undo")
        self._note()
        return function

    @property
    def has_undo(self) -> bool:
        """Whether anything is called to take the work back."""
        return self._rollback_function is not None or type(self).rollback is not Step.rollback

    def function_of(self, action: Action) -> StepFunction | None:
        """Return the user's function that the default controller of an action calls."""
        return self._rollback_function if action is ROLLBACK else self._run_function

    def _note(self) -> None:
        """Note what the engine asks of every step, so that it need not look at all that it has."""
        functions = (
            self._run_function, self._rollback_function, self.prepare_function, self.verify_function,
            self.when_function,
        )  # fmt: skip
        vars(self).pop("is_async", None)
        if any(function is not None and function.is_async for function in functions):
            self.is_async = True
        if self.irreversible and self.has_undo:
            raise WorkflowDefinitionError(f"{self!r} is irreversible, and has an undo: leave one of them out")
        more = (self.prepare_function, self.when_function, self.retry, self.undo_retry, self.timeout,
                self.undo_timeout)  # fmt: skip
        self.is_plain = not (self.pivot or self.irreversible or any(each is not None for each in more))

    def run(self, ctx: Context, prev_success: Success) -> Handoff | Awaitable[Handoff]:
        """Do the work and answer; the default controller (seed: Run).

        Without a run function the step is skipped. An error goes to the step's own rollback.
        """
        if self._run_function is None:
            return self.skipped_run(prev_success, reason="no run function")
        report = ctx.report
        try:
            result = self._run_function.call(self, ctx)
        except Exception as error:  # noqa: BLE001  # whatever a user's function raises is its outcome
            return self._answer_run(prev_success, report, None, error)
        if result is not None and is_awaitable(result):
            return PendingAnswer(result, self._answer_run, prev_success, report)
        report.result = result
        return self.run_next(prev_success, report)

    def _answer_run(
        self, prev_success: Success, report: StepReport, result: Any, error: Exception | None
    ) -> Handoff:
        if error is None:
            report.result = result
            return self.run_next(prev_success, report)
        if isinstance(error, Skip):
            return self.skipped_run(prev_success, report, reason=text_of(error))
        return self.failed_run(prev_success, error, report)

    def rollback(self, ctx: Context, prev_failure: Failure) -> Handoff | Awaitable[Handoff]:
        """Take the work back and answer; the default controller (seed: Rollback).

        Without an undo function the rollback is skipped. An error of the undo is recorded, and
        the step before is rolled back all the same.
        """
        if self._rollback_function is None:
            reason = "irreversible" if self.irreversible else "no undo function"
            return self.skipped_rollback(prev_failure, reason=reason)
        report = ctx.report
        try:
            result = self._rollback_function.call(self, ctx)
        except Exception as error:  # noqa: BLE001  # whatever a user's function raises is its outcome
            return self._answer_rollback(prev_failure, report, None, error)
        if result is not None and is_awaitable(result):
            return PendingAnswer(result, self._answer_rollback, prev_failure, report)
        return self.rollback_prev(prev_failure, report)

    def _answer_rollback(
        self, prev_failure: Failure, report: StepReport, _result: Any, error: Exception | None
    ) -> Handoff:
        if error is None:
            return self.rollback_prev(prev_failure, report)
        if isinstance(error, Skip):
            return self.skipped_rollback(prev_failure, report, reason=text_of(error))
        return self.failed_rollback(prev_failure, error, report)

    def run_next(self, prev_success: Success, report: StepReport | None = None) -> Handoff:
        """Answer that the step has succeeded: hand a `Success` to the next (seed: RunNext)."""
        report = report or StepReport(self.id, RUN)
        return Handoff(self.next, Success.of(prev_success, report))

    def skipped_run(
        self, prev_success: Success, report: StepReport | None = None, reason: str | None = None
    ) -> Handoff:
        """Answer that there was nothing to do: hand a `Success` to the next (seed: SkippedRun)."""
        report = report or StepReport(self.id, RUN)
        report.detail = reason or None
        return Handoff(self.next, Success.skipped(prev_success, report))

    def failed_run(
        self, prev_success: Success, error: BaseException, report: StepReport | None = None
    ) -> Handoff:
        """Answer that the step has failed: hand a `Failure` to its own rollback."""
        report = report or StepReport(self.id, RUN)
        return Handoff(self, Failure.of_run(prev_success, error, report))

    def rollback_prev(self, prev_failure: Failure, report: StepReport | None = None) -> Handoff:
        """Answer that the work is undone: hand a `Failure` to the step before (seed: RollbackPrev)."""
        report = report or StepReport(self.id, ROLLBACK)
        return Handoff(self.prev, Failure.of(prev_failure, report))

    def skipped_rollback(
        self, prev_failure: Failure, report: StepReport | None = None, reason: str | None = None
    ) -> Handoff:
        """Answer that nothing was undone: hand a `Failure` to the step before (seed: SkippedRollback)."""
        report = report or StepReport(self.id, ROLLBACK)
        report.detail = reason or None
        return Handoff(self.prev, Failure.skipped(prev_failure, report))

    def failed_rollback(
        self, prev_failure: Failure, error: BaseException, report: StepReport | None = None
    ) -> Handoff:
        """Answer that the undo has failed: hand a `Failure` to the step before (seed: FailedRollback)."""
        report = report or StepReport(self.id, ROLLBACK)
        return Handoff(self.prev, Failure.of_rollback(prev_failure, error, report))

    def __copy__(self) -> Self:
        cls = type(self)
        copy = cls.__new__(cls)
        copy.__dict__ = self.__dict__.copy()
        for name in self._slot_names:
            if hasattr(self, name):
                setattr(copy, name, getattr(self, name))
        return copy

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def _slot_names(cls: type) -> Iterator[str]:
    """Yield the attributes that a class keeps in slots, under the names by which they are reached."""
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            is_private = name.startswith("__") and not name.endswith("__")
            yield f"_{base.__name__.lstrip('_')}{name}" if is_private else name


def check_id(id: object, what: str) -> None:
    """Check that an id is a text that is not empty.

    Raises:
        WorkflowDefinitionError: Where it is not.
    """
    if not isinstance(id, str):
        raise WorkflowDefinitionError(f"the id of {what} must be a text, not {id!r}")
    if not id.strip():
        raise WorkflowDefinitionError(f"the id of {what} is empty")


@overload
def step(function: SagaRun, /) -> Step: ...
@overload
def step(*, id: str | None = None, **options: Unpack[StepOptions]) -> Callable[[SagaRun], Step]: ...
def step(
    function: SagaRun | None = None, /, *, id: str | None = None, **options: Unpack[StepOptions]
) -> Step | Callable[[SagaRun], Step]:
    """Make a step of a function; its id is the function's name unless one is given.

    Args:
        function: The work of the step.
        id: The id of the step.
        **options: Retries, time-outs, and whether it can be undone: see `StepOptions`.

    Example:
        >>> @step
        ... def reserve(ctx):
        ...     return {"reservation": 17}
        >>> @reserve.undo
        ... def release(ctx):
        ...     print("cancel", ctx.result["reservation"])
        >>> reserve
        <Step reserve>
    """
    if function is None:
        return functools.partial(_step_of, id=id, **options)
    if isinstance(function, str):
        raise WorkflowDefinitionError(f"use @step(id={function!r})")
    return _step_of(function, id=None)


def _step_of(function: SagaRun, *, id: str | None, **options: Unpack[StepOptions]) -> Step:
    name = getattr(function, "__name__", None) if id is None else id
    if name is None:
        raise WorkflowDefinitionError(f"{function!r} has no name: give the step an id, @step(id=…)")
    return Step(name, run=function, **options)
