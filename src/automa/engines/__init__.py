"""Runs on a fleet: engines that carry workflows on, and the one that needs no server, over a store."""

from automa.engines.engine import RunHandle
from automa.engines.local import LocalEngine
from automa.engines.urls import open_engine

__all__ = ["LocalEngine", "RunHandle", "open_engine"]
