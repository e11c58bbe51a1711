"""Runs at once, each in a thread of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def at_once(run: Callable[[], object], runs: int) -> None:
    """Have so many runs at once, and wait for them; where one fails, fail as it did."""
    if runs == 1:
        run()
        return
    with ThreadPoolExecutor(runs) as pool:
        for each in [pool.submit(run) for _ in range(runs)]:
            each.result()
