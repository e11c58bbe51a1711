"""Pitfall: the retries of a step are those of its undo as well."""

from __future__ import annotations

import contextlib

from tests.naive.engines import Told


class RetriesBoth:
    """One helper calls whatever belongs to a step, as often as the step may be tried."""

    def run(self, acts, on_end=None):
        done = []
        try:
            for act in acts:
                done.append(act)
                self.call(act.run, act.attempts)
        except Exception as error:
            for act in reversed(done):
                with contextlib.suppress(Exception):
                    self.call(act.undo, act.attempts)
            return Told(False, error)
        return Told(False)

    def call(self, function, attempts):
        for attempt in range(1, (attempts or 1) + 1):
            try:
                return function()
            except Exception:
                if attempt == attempts:
                    raise
