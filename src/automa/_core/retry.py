"""How often a step is tried, and how long is waited in between."""

from __future__ import annotations

import math
from dataclasses import dataclass

from automa._core.selection import ErrorSelection, check_selection, selects
from automa.errors import (
    AsyncStepError,
    GiveUp,
    IllegalHandoff,
    UnknownOutcomeError,
    WorkflowDefinitionError,
)

_NEVER: tuple[type[BaseException], ...] = (GiveUp, IllegalHandoff, AsyncStepError, UnknownOutcomeError)


@dataclass(frozen=True)
class Retry:
    """How often a step is tried, and how long is waited in between: longer each time.

    Each attempt begins with the state as it was before the first. The attempts that failed are in the
    step's report, and in the journal. `GiveUp` ends them at once.

    Args:
        attempts: How often the step is tried at most, the first time included.
        initial: Seconds before the second attempt.
        maximum: The most seconds before an attempt.
        multiplier: By what the seconds grow from one attempt to the next.
        jitter: Whether each wait is a random part of that time, between half of it and all, so that many who
            failed together do not come again together.
        on: Which errors are tried again: a class, a tuple of them, or a function of the error.

    Raises:
        WorkflowDefinitionError: Where a number is out of its range.

    Example:
        >>> Retry(attempts=5, initial=0.5, jitter=False).delay(3)
        2.0
    """

    attempts: int = 3
    initial: float = 0.2
    maximum: float = 30.0
    multiplier: float = 2.0
    jitter: bool = True
    on: ErrorSelection = Exception

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise WorkflowDefinitionError(f"Retry: attempts is a whole number from 1, not {self.attempts!r}")
        for name, least in (("initial", 0), ("maximum", 0), ("multiplier", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value) or value < least:
                raise WorkflowDefinitionError(f"Retry: {name} is a number from {least}, not {value!r}")
        check_selection(self.on, "Retry: on")

    def delay(self, attempt: int, random: float = 1.0) -> float:
        """Return the seconds to wait after an attempt has failed.

        Args:
            attempt: Its number, from 1.
            random: A number from 0 to 1, by chance.
        """
        try:
            longest = min(self.maximum, self.initial * self.multiplier ** (attempt - 1))
        except OverflowError:
            longest = self.maximum
        return longest * (0.5 + random / 2) if self.jitter else longest

    def tries_again(self, attempt: int, error: BaseException) -> bool:
        """Return whether a step is tried once more.

        Args:
            attempt: The number of the attempt that failed, from 1.
            error: Why it failed.
        """
        if attempt >= self.attempts or isinstance(error, _NEVER) or not isinstance(error, Exception):
            return False
        return selects(self.on, error)
