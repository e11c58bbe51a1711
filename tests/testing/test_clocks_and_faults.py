"""Clocks and faults side by side, one within another, and such as cannot be."""

from __future__ import annotations

import contextlib

import pytest

from automa import Retry, Step, Workflow
from automa._core import clock as core_clock
from automa.testing import inject, virtual_clock


class Demanding(Exception):
    """Cannot be made without arguments."""

    def __init__(self, _one):
        super().__init__()


def test_of_nested_clocks_the_inner_one_goes_on():
    """There is one time: waiting moves the clock that tells it."""
    with virtual_clock() as outer, virtual_clock() as inner, inject(step="a", times=1):
        step = Step("a", run=lambda: 1, retry=Retry(attempts=2, initial=10, jitter=False))
        assert Workflow("w", [step]).start().outcome == "succeeded"
    assert (outer.sleeps, inner.sleeps) == ([], [10])


def test_clocks_may_end_in_any_order():
    """When the last is gone time is real again."""
    real = core_clock.now
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    first.enter_context(virtual_clock())
    clock = second.enter_context(virtual_clock())
    first.close()
    assert core_clock.now() == clock.now()
    second.close()
    assert core_clock.now is real


@pytest.mark.parametrize("error", ["boom", int, Demanding], ids=["a text", "no error", "not to be made"])
def test_what_cannot_be_raised_cannot_be_injected(error):
    """That is said at once, and not in the middle of a run."""
    with pytest.raises(ValueError, match="^error"), inject(step="a", error=error):
        pass
