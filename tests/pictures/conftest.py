"""What all tests of pictures need."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _no_log():
    """Keep what runs with hostile ids log out of what pytest's processes send each other: it is no Unicode."""
    logger = logging.getLogger("automa")
    logger.disabled = True
    yield
    logger.disabled = False
