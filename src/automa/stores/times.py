"""Times in stores: microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

EPOCH: datetime = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(micros: int) -> datetime:
    """Return the time that microseconds since 1970 stand for."""
    return EPOCH + timedelta(microseconds=micros)


def time_of_entry(entry: Mapping[str, Any]) -> int:
    """Return the latest time that an entry tells, or 0."""
    times = (entry.get(key) for key in ("to", "at", "suspended", "resumed"))
    return max((time for time in times if type(time) is int), default=0)
