"""Runs as traces and metrics of OpenTelemetry: a span a run, a call of a step and an undo."""

from __future__ import annotations

import atexit
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise ImportError("traces need the extra 'otel': pip install 'automa-saga[otel]'") from None

import automa
from automa._core.records import Answered, AttemptFailed, Begun, Ended, Expanded, Started
from automa._core.status import PREPARE, ROLLBACK, RUN, Action, Outcome, Status
from automa.errors import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Link, Span, SpanContext, TracerProvider

    from automa._core.records import Record
    from automa._core.reports import StepReport, WorkflowReport

__all__ = ["OtelObserver"]

_SCOPE = "automa"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)

_MOST_OPEN = 10_000  # runs whose spans a process keeps open: one that goes on elsewhere never ends here
_propagator = TraceContextTextMapPropagator()


class OtelObserver:
    """Tells OpenTelemetry of runs: traces and metrics, by the SDK that the program has set up.

    Each stay of a run in a process is a span; below it is one for each call of a step or of an undo, and one
    for each workflow that stands among the steps. The span of a call is the current one while the call works,
    so what a client of HTTP tells stands below it. An undo is linked to what it undoes, and a run that is
    resumed to the span in which it began. Give it to a workflow: then all of its runs are traced, also those
    that are submitted to an engine::

        Workflow("checkout", steps, observers=[OtelObserver()])

    Args:
        tracer_provider: Where spans go; by default to the global one.
        meter_provider: Where metrics go; by default to the global one.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, automa.__version__, tracer_provider)
        self._meters = _Meters(meter_provider)
        self._stays: dict[object, _Stay] = {}
        self._lock = threading.Lock()
        self._closes_at_exit = False

    def for_run_of(self, workflow_id: str, run_id: str) -> _RunObserver:
        """Return the observer of one run."""
        return _RunObserver(self, self._meters, workflow_id, run_id)

    def traceparent(self) -> str | None:
        """Return the current span: that in which a run is submitted."""
        return _traceparent_of(context.get_current())

    def on_record(self, record: Record) -> None:
        """Nothing: the observer of the run is told."""

    def stay(self, ids: tuple[str, str], around: Context, history: Sequence[Record] = ()) -> _Stay:
        """Return the spans of a run in this process; of one that goes on here already, those that there are.

        Args:
            ids: The ids of the workflow and of the run.
            around: The context in which it was begun or resumed.
            history: What is recorded already.
        """
        # On an engine a run has several sittings, which share its spans. One that is started here has its
        # own: in memory its id may be that of another one.
        key: object = ids if history else object()
        with self._lock:
            stay = self._stays.get(key)
            if stay is None:
                stay = self._stays[key] = _Stay(key, self._tracer, ids, around, history)
            surplus = [self._stays.pop(next(iter(self._stays)))] if len(self._stays) > _MOST_OPEN else []
            if not self._closes_at_exit:  # by now there is a provider, whose own end at exit comes later
                self._closes_at_exit = True
                atexit.register(self.close)
        for left in surplus:
            left.end()
        return stay

    def end(self, stay: _Stay, report: WorkflowReport) -> None:
        """End the spans of a run that has ended, or stopped, in this process."""
        with self._lock:
            self._stays.pop(stay.key, None)
        stay.end(report)

    def close(self) -> None:
        """End the spans of runs that have not ended here; called by itself before the process ends."""
        with self._lock:
            stays, self._stays = self._stays, {}
        for stay in stays.values():
            stay.end()


class _RunObserver:
    """Hears one run, or on an engine one sitting of it, and turns that into spans and figures."""

    def __init__(self, observer: OtelObserver, meters: _Meters, workflow_id: str, run_id: str) -> None:
        self._observer = observer
        self._meters = meters
        self._ids = (workflow_id, run_id)
        self._around = context.get_current()
        self._known: _Stay | None = None
        self._history: Sequence[Record] = ()

    @property
    def _stay(self) -> _Stay:
        """The spans; made when something happens: a run may be refused, or have ended long ago."""
        if self._known is None:
            self._known = self._observer.stay(self._ids, self._around, self._history)
        return self._known

    def traceparent(self) -> str | None:
        """Begin the span of the run, and return it."""
        return self._stay.traceparent()

    def resumed(self, history: Sequence[Record]) -> None:
        """Note what there is already."""
        self._history = history[:2]

    def step_starting(self, path: str, action: Action, attempt: int) -> None:
        """Begin the span of a call, and make it the current one."""
        self._stay.call(path, action, attempt)

    def step_returned(self, path: str, action: Action, attempt: int) -> None:  # noqa: ARG002  # as it is called
        """End the time of a call; how it went is told by its record."""
        self._stay.returned(path, action)

    def on_record(self, record: Record) -> None:
        """Tell how a step, or the run, has ended."""
        if isinstance(record, Started):
            self._stay.announced(record.path, record.action)
        elif isinstance(record, Expanded):
            self._stay.built(record.path)
        elif isinstance(record, Answered | AttemptFailed):
            self._meters.answered(self._ids[0], record)
            self._stay.answered(record.path, record.report)
        elif isinstance(record, Ended):
            self._meters.ended(self._ids[0], record.report)
            self._observer.end(self._stay, record.report)
            self._known = None


class _Call(NamedTuple):
    """The span of a call, and what made it the current one."""

    span: Span
    token: Token[Context]


class _Stay:
    """The spans of one run in this process; branches side by side, in threads, share them.

    Args:
        key: By what it is found.
        tracer: Makes spans.
        ids: The ids of the workflow and of the run.
        around: The context in which it was begun or resumed.
        history: What was recorded before.
    """

    def __init__(
        self,
        key: object,
        tracer: trace.Tracer,
        ids: tuple[str, str],
        around: Context,
        history: Sequence[Record],
    ) -> None:
        self.key: object = key
        self._tracer = tracer
        self._common = {"automa.workflow.id": ids[0], "automa.run.id": ids[1]}
        self._lock = threading.RLock()
        self._open: dict[str, Span] = {}  # of workflows among the steps
        self._calls: dict[tuple[str, Action], _Call] = {}
        self._returned: dict[tuple[str, Action], int] = {}  # ns since the epoch
        self._announced: dict[str, Action] = {}
        self._ran: dict[str, SpanContext] = {}
        self._has_ended = False
        self._run = tracer.start_span(
            f"workflow {ids[0]}",
            around,
            attributes={**self._common, "automa.run.resumed": len(history) > 1},
            links=_links_to_begin(history),
        )

    def traceparent(self) -> str | None:
        """Return the span of the run."""
        return _traceparent_of(trace.set_span_in_context(self._run, context.Context()))

    def announced(self, path: str, action: Action) -> None:
        """Note what a step is about to be asked."""
        self._announced[path] = action

    def call(self, path: str, action: Action, attempt: int) -> None:
        """Begin the span of a call, and make it the current one."""
        with self._lock:
            self._end_call(path, action)  # of a call that was given up, and never recorded
            span = self._begin(path, action, {"automa.attempt": attempt})
            if action is RUN:
                self._ran[path] = span.get_span_context()
        token = context.attach(trace.set_span_in_context(span))
        self._calls[path, action] = _Call(span, token)

    def returned(self, path: str, action: Action) -> None:
        """Note when a call came to its end; the span before it is the current one again."""
        call = self._calls[path, action]
        self._returned[path, action] = time.time_ns()
        if trace.get_current_span() is call.span:  # else the run was closed from another context
            context.detach(call.token)

    def built(self, path: str) -> None:
        """End the span of the call that has built steps."""
        with self._lock:
            self._end_call(path, RUN, name=f"build {path}")

    def answered(self, path: str, report: StepReport) -> None:
        """End the span of what has answered; what was skipped without a call has one without length."""
        with self._lock:
            action = report.action
            call = self._calls.get((path, action))
            if report.workflow is not None and path in self._open:
                span, ended = self._open.pop(path), None
                span.update_name(f"{action} {path}")
                span.set_attribute("automa.action", action.value)
            elif call is not None:
                del self._calls[path, action]
                span, ended = call.span, self._returned.pop((path, action), None)
            else:
                span, ended = self._begin(path, action, {}), None
            if action is RUN:
                self._ran[path] = span.get_span_context()
            self._announced.pop(path, None)
            span.set_attribute("automa.status", report.status.value)
            if report.status is Status.FAILED:
                _fail(span, report.error)
            span.end(ended)

    def end(self, report: WorkflowReport | None = None) -> None:
        """End all spans: of calls that were never recorded, of workflows on their way, and of the run."""
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
            for path, action in list(self._calls):
                self._end_call(path, action)
            for span in reversed(self._open.values()):
                span.end()
            if report is not None and report.outcome is not None:
                self._run.set_attribute("automa.outcome", report.outcome.value)
                if report.status is Status.FAILED or report.outcome is Outcome.INFRASTRUCTURE_ERROR:
                    _fail(self._run, report.own_error if report.is_stopped else report.error)
            self._run.end()

    def _begin(self, path: str, action: Action, more: dict[str, int]) -> Span:
        """Begin the span of an action of a step, below that of the workflow that it stands in."""
        undone = self._ran.get(path) if action is ROLLBACK else None
        return self._tracer.start_span(
            f"{action} {path}",
            trace.set_span_in_context(self._around(path, action)),
            attributes={**self._common, "automa.step.path": path, "automa.action": action.value, **more},
            links=None if undone is None else [trace.Link(undone)],
        )

    def _around(self, path: str, action: Action) -> Span:
        """Return the span of the workflow that a step stands in, begun with the first action of its steps."""
        outer = path.rpartition("/")[0]
        if not outer:
            return self._run
        span = self._open.get(outer)
        if span is None:
            way = RUN if action is PREPARE else action  # not every engine announces it before
            span = self._open[outer] = self._begin(outer, self._announced.get(outer, way), {})
        return span

    def _end_call(self, path: str, action: Action, name: str | None = None) -> None:
        call = self._calls.pop((path, action), None)
        if call is not None:
            if name is not None:
                call.span.update_name(name)
            call.span.end(self._returned.pop((path, action), None))


class _Meters:
    """The figures: how many runs, steps and attempts, and how long they take; in seconds."""

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = metrics.get_meter(_SCOPE, automa.__version__, provider)
        self._runs = meter.create_counter("automa.runs", "{run}", "Runs that have ended or stopped")
        self._steps = meter.create_counter("automa.steps", "{step}", "Actions of steps, by how they ended")
        self._attempts = meter.create_counter(
            "automa.attempts", "{attempt}", "Calls of steps that were not skipped"
        )
        self._run_duration = meter.create_histogram(
            "automa.run.duration",
            "s",
            "How long runs take, from when they began",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._step_duration = meter.create_histogram(
            "automa.step.duration",
            "s",
            "How long a call of a step takes",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def answered(self, workflow_id: str, record: Answered | AttemptFailed) -> None:
        """Count an action, and the call; a workflow among the steps is counted by its steps."""
        report = record.report
        if report.workflow is not None:
            return
        step = {
            "automa.workflow.id": workflow_id,
            "automa.step.path": record.path,
            "automa.action": report.action.value,
            "automa.status": report.status.value,
        }
        if isinstance(record, Answered):
            self._steps.add(1, step)
        if report.status is not Status.SKIPPED:
            self._attempts.add(1, step)
            if report.duration is not None:
                self._step_duration.record(report.duration.total_seconds(), step)

    def ended(self, workflow_id: str, report: WorkflowReport) -> None:
        """Count a run."""
        run = {"automa.workflow.id": workflow_id, "automa.outcome": str(report.outcome)}
        self._runs.add(1, run)
        if report.duration is not None:
            self._run_duration.record(report.duration.total_seconds(), run)


def _fail(span: Span, error: BaseException | None) -> None:
    """Tell of an error as the report does, which has no secrets; no traceback, which might have some."""
    if error is None:
        span.set_status(trace.StatusCode.ERROR)
        return
    name, text = type(error).__qualname__, text_of(error)
    kind = name if type(error).__module__ == "builtins" else f"{type(error).__module__}.{name}"
    span.set_attribute("error.type", kind)
    span.add_event("exception", {"exception.type": kind, "exception.message": text})
    span.set_status(trace.StatusCode.ERROR, f"{name}: {text}")


def _traceparent_of(around: Context) -> str | None:
    """Return the span of a context as text."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, around)
    return carrier.get("traceparent")


def _links_to_begin(history: Sequence[Record]) -> list[Link] | None:
    """Return a link to the span in which a run began, where that is known."""
    begun = history[0] if history else None
    if not isinstance(begun, Begun) or begun.traceparent is None:
        return None
    found = _propagator.extract({"traceparent": begun.traceparent}, context.Context())
    span_context = trace.get_current_span(found).get_span_context()
    return [trace.Link(span_context)] if span_context.is_valid else None
