"""Observers that are there already: a run in a log, as lines of progress; run and step in each line of a log.

Traces and metrics of OpenTelemetry are in `automa.observe.otel`, which needs the extra ``otel``.
"""

from automa.observe.fields import StepFilter
from automa.observe.progress import ProgressObserver
from automa.runtime.logging_observer import LoggingObserver

__all__ = ["LoggingObserver", "ProgressObserver", "StepFilter"]
