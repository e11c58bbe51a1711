"""Which run and which step a line of the log belongs to, whoever writes it."""

from __future__ import annotations

import contextlib
import copy
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from contextvars import Token

    from automa._core.records import Record
    from automa._core.status import Action

_at_work: ContextVar[tuple[str, str]] = ContextVar("automa_at_work", default=("", ""))
"""The run and the step at work, in whose context this is read; empty where none is."""


class StepFilter(logging.Filter):
    """Puts ``run_id`` and ``step`` into each line that is logged while a step works, whoever logs it.

    It is a filter for handlers, which keeps all lines, and the observer that tells it which step is at
    work: give it to both. A line that has the two already, as those of a workflow and of ``ctx.log``, keeps
    them; in one that no step has logged they are empty. A thread that a step starts itself does not know of
    the step, unless it is run in a copy of its context.

    Example:
        >>> import sys
        >>> from automa import Step, Workflow
        >>> handler = logging.StreamHandler(sys.stdout)
        >>> handler.setFormatter(logging.Formatter("%(run_id)s|%(step)s| %(message)s"))
        >>> fields = StepFilter()
        >>> handler.addFilter(fields)
        >>> bank = logging.Logger("bank")  # of a library that knows nothing of sagas
        >>> bank.addHandler(handler)
        >>> steps = [Step("charge", run=lambda: bank.info("connected"))]
        >>> report = Workflow("pay", steps, observers=[fields]).start(run_id="order-42")
        order-42|charge| connected
    """

    def __init__(self) -> None:
        super().__init__()
        self._run_id = ""
        self._tokens: dict[tuple[str, str], Token[tuple[str, str]]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Put in what is not there; keep the line."""
        for name, value in zip(("run_id", "step"), _at_work.get(), strict=True):
            if not hasattr(record, name):
                setattr(record, name, value)
        return True

    def for_run(self, run_id: str) -> Self:
        """Return an observer of one run."""
        observer = copy.copy(self)
        observer._run_id = run_id  # noqa: SLF001  # it is of the same class
        observer._tokens = {}  # noqa: SLF001  # likewise
        return observer

    def on_record(self, record: Record) -> None:
        """Records are not its concern."""

    def step_starting(self, path: str, action: Action, attempt: int) -> None:  # noqa: ARG002  # as it is called
        """Note that a step is at work in this context."""
        self._tokens[path, action] = _at_work.set((self._run_id, path))

    def step_returned(self, path: str, action: Action, attempt: int) -> None:  # noqa: ARG002  # as it is called
        """Note that it is not any more."""
        with contextlib.suppress(ValueError):  # the run was closed from another context, which knows of none
            _at_work.reset(self._tokens.pop((path, action)))
