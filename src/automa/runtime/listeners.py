"""Who hears of the records of a run, once they are written: observers and the log."""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import TYPE_CHECKING, Any

from automa._core.functions import Admission, Condition
from automa.runtime.logging_observer import LoggingObserver, package_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from automa._core.commands import Deliver
    from automa._core.protocols import Observer
    from automa._core.records import Record
    from automa._core.secrets import Redactor

__all__ = ["Listeners", "StepLogger", "package_logger"]


class StepLogger(logging.LoggerAdapter[logging.Logger]):
    """Writes run and step into every line, and into the record as ``run_id`` and ``step``."""

    def __init__(self, logger: logging.Logger, redactor: Redactor, run_id: str, step: str) -> None:
        super().__init__(logger, {"run_id": run_id, "step": step})
        self._redactor = redactor
        self._where = f"[{run_id} {step}]"

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add run and step to a line."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return f"{self._where} {msg}", kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write a line, without secrets: where there are any, it is put together here."""
        if not self.isEnabledFor(level):
            return
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # this method is not the caller that is meant
        if not self._redactor:
            line, options = self.process(msg, kwargs)
            if args:  # then a percent sign in the path of the step would ask for one of them
                line = line.replace(self._where, self._where.replace("%", "%%"), 1)
            self.logger.log(level, line, *args, **options)
            return
        text = str(msg)
        try:
            text = (
                text % (args[0] if len(args) == 1 and isinstance(args[0], dict) else args) if args else text
            )
        except (
            TypeError,
            ValueError,
            KeyError,
        ) as error:  # logging would print the arguments in its complaint
            text = f"{text} [its arguments do not fit: {type(error).__name__}]"
        raised = kwargs.pop("exc_info", None)
        if raised:
            text += "\n" + _traceback_of(raised)
        line, options = self.process(self._redactor.text(text), kwargs)
        self.logger.log(level, line, **options)


def _traceback_of(raised: object) -> str:
    """Return what logging would print for ``exc_info``."""
    import traceback  # noqa: PLC0415  # only where there are secrets

    if isinstance(raised, BaseException):
        return "".join(traceback.format_exception(raised)).rstrip()
    if isinstance(raised, tuple):
        return "".join(traceback.format_exception(*raised)).rstrip()
    return traceback.format_exc().rstrip()


_CALLS = ("step_starting", "step_returned")
"""What an observer may have beside `on_record`, to hear of calls as they happen."""


def told_traceparent(observers: Iterable[Observer], logger: logging.Logger, run_id: str) -> str | None:
    """Return the span that the first of the observers tells which tell one."""
    for observer in observers:
        tells: Callable[[], str | None] | None = getattr(observer, "traceparent", None)
        try:
            told = None if tells is None else tells()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a listener does no harm
            _complain(logger, run_id, observer, error)
        else:
            if told is not None:
                return str(told)
    return None


def _complain(logger: logging.Logger, run_id: str, listener: object, error: BaseException) -> None:
    """Log that a listener has raised."""
    message = "[%s] %r raised; the run goes on"
    with contextlib.suppress(Exception):  # the log itself may be what has raised
        logger.error(message, run_id, listener, exc_info=error, extra={"run_id": run_id, "step": ""})


class Listeners:
    """Passes the records of one run to its observers and its log; whoever raises does it no harm.

    Args:
        observers: Those who asked for the records.
        logger: Where the run is logged: an action a line where INFO is enabled, and how it ended.
        run_id: The id of the run.
        workflow_id: The id of its workflow.

    Attributes:
        hears_steps: Whether records of the steps are wanted; the end of the run always is.
        hears_calls: Whether anybody wants to know when a step is called, and when it has returned.
    """

    def __init__(
        self, observers: Iterable[Observer], logger: logging.Logger, run_id: str, workflow_id: str
    ) -> None:
        self._logger = logger
        self._run_id = run_id
        self._workflow_id = workflow_id
        observers = tuple(self._of_run(observer) for observer in observers)
        self._observers: tuple[Observer, ...] = (LoggingObserver(logger, run_id), *observers)
        self.hears_steps: bool = bool(observers) or logger.isEnabledFor(logging.INFO)
        self.hears_calls: bool = any(hasattr(each, name) for each in observers for name in _CALLS)

    def _of_run(self, observer: Observer) -> Observer:
        """Return the observer of this run, where an observer of many runs has one for each."""
        for_run: Callable[[str], Observer] | None = getattr(observer, "for_run", None)
        for_run_of: Callable[[str, str], Observer] | None = getattr(observer, "for_run_of", None)
        if for_run_of is not None:
            for_run = functools.partial(for_run_of, self._workflow_id)
        if for_run is None:
            return observer
        try:
            return for_run(self._run_id)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the latter: a console nobody reads any more
            self._complain(for_run, error)
            return observer

    def traceparent(self) -> str | None:
        """Return the span in which the run begins, where an observer tells one."""
        return told_traceparent(self._observers, self._logger, self._run_id)

    def resumed(self, history: list[Record]) -> None:
        """Tell those observers that ask for it what was recorded before the run was resumed."""
        for observer in self._observers:
            hears = getattr(observer, "resumed", None)
            if hears is not None:
                try:
                    hears(history)
                except (Exception, SystemExit) as error:  # noqa: BLE001  # likewise
                    self._complain(hears, error)

    def starting(self, delivery: Deliver) -> None:
        """Tell those observers that ask for it that a step is being called."""
        self._tell("step_starting", delivery)

    def returned(self, delivery: Deliver) -> None:
        """Tell those observers that ask for it that a call has come to its end, or was given up."""
        self._tell("step_returned", delivery)

    def _tell(self, name: str, delivery: Deliver) -> None:
        ctx = delivery.ctx
        if isinstance(delivery.controller, Admission | Condition):  # the step itself is not called yet
            return
        for observer in self._observers:
            hears = getattr(observer, name, None)
            if hears is not None:
                try:
                    hears(ctx.path, ctx.action, ctx.attempt)
                except (Exception, SystemExit) as error:  # noqa: BLE001  # likewise
                    self._complain(hears, error)

    def publish(self, records: list[Record]) -> BaseException | None:
        """Pass on records that have been written; return what interrupted a listener, if anything did.

        A listener that raises does no harm: the run goes on, and the log says who raised. What is
        no `Exception`, such as Ctrl-C that arrives just then, is meant for the run.
        """
        interruption: BaseException | None = None
        for record in records:
            for observer in self._observers:
                try:
                    observer.on_record(record)
                except (Exception, SystemExit) as error:  # noqa: BLE001  # likewise
                    self._complain(observer, error)
                except BaseException as error:  # noqa: BLE001  # it is given to the run
                    interruption = error if interruption is None else interruption
        return interruption

    def _complain(self, listener: object, error: BaseException) -> None:
        _complain(self._logger, self._run_id, listener, error)
