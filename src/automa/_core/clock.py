"""The clock that drivers set. The core itself tells no time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present time, in UTC."""

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
"""Stands for "no time": the zero time of the seed's reports."""


def _unset() -> datetime:
    return ZERO_TIME


now: Clock = _unset
"""The present time; ``automa.runtime`` puts the system's clock here when it is imported."""
