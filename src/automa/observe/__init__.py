"""Observers that are there already: a run in a log, a run as lines of progress."""

from automa.observe.progress import ProgressObserver
from automa.runtime.logging_observer import LoggingObserver

__all__ = ["LoggingObserver", "ProgressObserver"]
