"""What tests of runs share."""

from __future__ import annotations

import signal

import pytest

from tests.unit.traces import Trace


@pytest.fixture
def trace():
    """What steps have done."""
    return Trace()


@pytest.fixture
def ctrl_c():
    """Python's own handler for Ctrl-C, which a job in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
