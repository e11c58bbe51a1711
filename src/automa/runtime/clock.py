"""The system's clock and chance, given to the core."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from automa._core import clock

utc_now: clock.Clock = functools.partial(datetime.now, UTC)
"""Returns the present time, in UTC."""


def by_chance() -> float:
    """Return a number from 0 to 1, by chance."""
    import random  # noqa: PLC0415  # it takes long to import, and few runs wait between attempts

    return random.random()  # noqa: S311  # it spreads retries, and guards nothing


clock.now = utc_now
clock.random = by_chance
