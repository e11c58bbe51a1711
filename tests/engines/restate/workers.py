"""Makes the worker that a process of the fleet tests is."""

from __future__ import annotations

import logging

from automa.engines.restate import RestateEngine


def make(workflows, url, listen):
    """Return a worker that listens there."""
    logging.getLogger("restate").setLevel(logging.ERROR)  # it tells of each call that a kill has cut off
    return RestateEngine(url).worker(workflows, listen=listen, grace=20)
