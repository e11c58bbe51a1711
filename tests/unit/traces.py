"""Steps that note what they do, and who hears of it: what the tests of steps share."""

from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta

from automa import Ended, Step

WAYS = ("sync", "async")


class Trace:
    """Makes steps that note their calls; as an observer it keeps the records of a run."""

    def __init__(self):
        self.calls = []
        self.records = []

    def on_record(self, record):
        self.records.append(record)

    @property
    def report(self):
        """The report of a run that has ended, by an interruption say."""
        return next(each.report for each in reversed(self.records) if isinstance(each, Ended))

    def step(self, id, run=None, undo=None, **options):
        """Return a step whose calls are noted before its functions do their work."""
        undo = undo if options.get("irreversible") else self.noted("undo", id, undo)
        return Step(id, run=self.noted("run", id, run), undo=undo, **options)

    def noted(self, kind, id, function=None):
        def call(ctx):
            self.calls.append(f"{kind} {id}")
            if function is not None:
                return function(ctx) if inspect.signature(function).parameters else function()
            return None

        async def call_async(ctx):
            self.calls.append(f"{kind} {id}")
            return await function(ctx)

        return call_async if inspect.iscoroutinefunction(function) else call


def start(workflow, way, **options):
    """Start a workflow by one of the two drivers."""
    if way == "async":
        return asyncio.run(workflow.start_async(**options))
    return workflow.start(**options)


def fails(*_):
    raise ValueError("x")


def fails_times(count, error=ValueError):
    """Return a function that fails as often as told, then returns how often it was called."""
    calls = []

    def run():
        calls.append(1)
        if len(calls) <= count:
            raise error(f"attempt {len(calls)}")
        return len(calls)

    return run


class ShiftedClock:
    """A clock of the core that can be put forward.

    Args:
        clock: The module that holds the clock.
        monkeypatch: Puts this one there for a test.
    """

    def __init__(self, clock, monkeypatch):
        self._now, self._by = clock.now, timedelta()
        monkeypatch.setattr(clock, "now", lambda: self._now() + self._by)

    def forward(self, seconds):
        self._by += timedelta(seconds=seconds)
