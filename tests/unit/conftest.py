"""What tests of runs share."""

from __future__ import annotations

import pytest

from tests.unit.traces import Trace


@pytest.fixture
def trace():
    """What steps have done."""
    return Trace()
