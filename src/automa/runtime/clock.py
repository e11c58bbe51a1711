"""The system's clock, given to the core."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from automa._core import clock

utc_now: clock.Clock = functools.partial(datetime.now, UTC)
"""Returns the present time, in UTC."""

clock.now = utc_now
