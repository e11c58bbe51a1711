"""The clock, and the chance, that drivers set. The core itself tells no time and throws no dice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present time, in UTC."""

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
"""Stands for "no time": the zero time of the seed's reports."""


def _unset() -> datetime:
    return ZERO_TIME


def _certain() -> float:
    return 1.0


now: Clock = _unset
"""The present time; ``automa.runtime`` puts the system's clock here when it is imported."""

random: Callable[[], float] = _certain
"""A number from 0 to 1; ``automa.runtime`` puts one by chance here when it is imported."""
