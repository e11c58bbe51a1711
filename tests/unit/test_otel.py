"""Runs as traces and metrics of OpenTelemetry, kept in memory by its SDK."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import subprocess
import sys
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from automa import (
    Action,
    Expand,
    Outcome,
    Parallel,
    Retry,
    RunExistsError,
    Secret,
    Skip,
    Step,
    StoreError,
    Workflow,
)
from automa.abc import Observer
from automa.engines import LocalEngine
from automa.observe.otel import OtelObserver
from automa.stores import MemoryStore, SqliteStore


class Telemetry:
    """An SDK that keeps all in memory, and an observer that tells it."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.tracer = self.provider.get_tracer("tests")
        self.observer = OtelObserver(
            tracer_provider=self.provider,
            meter_provider=MeterProvider([self.reader], shutdown_on_exit=False),
        )

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    def span(self, name, number=0):
        return [span for span in self.spans if span.name == name][number]

    @property
    def names(self):
        return [span.name for span in self.spans]

    def parent(self, name, number=0):
        """Return the name of the span above one."""
        above = self.span(name, number).parent
        return above and next(span.name for span in self.spans if span.context.span_id == above.span_id)

    def linked(self, name):
        """Return the names of the spans that one is linked to, as far as they have ended here."""
        spans = {span.context.span_id: span.name for span in self.spans}
        return [spans[link.context.span_id] for link in self.span(name).links]

    def figures(self, name):
        """Return the points of a metric: its attributes without their prefix, and its value or count."""
        data = self.reader.get_metrics_data()
        every = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        points = [point for metric in every if metric.name == name for point in metric.data.data_points]
        return {
            tuple(point.attributes[key] for key in sorted(point.attributes)): getattr(point, "value", None)
            or point.count
            for point in points
        }


@pytest.fixture
def telemetry():
    return Telemetry()


def fail():
    raise ValueError("card refused")


def make(telemetry, *steps, **options):
    return Workflow("checkout", steps, observers=[telemetry.observer], **options)


def step(name, run=lambda: 1, undo=lambda: None, **options):
    return Step(name, run=run, undo=undo, **options)


def test_it_is_an_observer(telemetry):
    """It satisfies the protocol."""
    assert isinstance(telemetry.observer, Observer)


# Traces


def test_a_run_is_a_span_with_one_for_each_call(telemetry):
    """A run that succeeds is a span without a parent, above one for each of its steps, and none tells an error."""
    make(telemetry, step("reserve"), step("charge")).start(run_id="r")
    assert telemetry.names == ["run reserve", "run charge", "workflow checkout"]
    root = telemetry.span("workflow checkout")
    assert root.parent is None
    assert dict(root.attributes) == {
        "automa.workflow.id": "checkout",
        "automa.run.id": "r",
        "automa.run.resumed": False,
        "automa.outcome": "succeeded",
    }
    assert telemetry.parent("run reserve") == telemetry.parent("run charge") == "workflow checkout"
    assert dict(telemetry.span("run charge").attributes) == {
        "automa.workflow.id": "checkout",
        "automa.run.id": "r",
        "automa.step.path": "charge",
        "automa.action": "run",
        "automa.attempt": 1,
        "automa.status": "SUCCESS",
    }
    assert {span.status.status_code for span in telemetry.spans} == {StatusCode.UNSET}


def test_an_undo_is_linked_to_what_it_undoes(telemetry):
    """The spans of the way back stand below that of the run, each linked to the span of the step's last call."""
    retry = Retry(attempts=2, initial=0.001)
    make(telemetry, step("reserve"), step("charge", fail, retry=retry)).start()
    assert telemetry.names == [
        "run reserve", "run charge", "run charge", "rollback charge", "rollback reserve", "workflow checkout"
    ]  # fmt: skip
    assert telemetry.linked("rollback reserve") == ["run reserve"]
    (link,) = telemetry.span("rollback charge").links
    assert link.context.span_id == telemetry.span("run charge", 1).context.span_id
    assert telemetry.parent("rollback reserve") == "workflow checkout"


def test_an_attempt_is_a_span(telemetry):
    """Each attempt has a span with its number and its own error; that of the last tells how the step ended."""
    answers = iter([ValueError("busy"), ValueError("still busy"), None])

    def flaky():
        error = next(answers)
        if error is not None:
            raise error

    make(telemetry, step("charge", flaky, retry=Retry(attempts=3, initial=0.001))).start()
    spans = [span for span in telemetry.spans if span.name == "run charge"]
    assert [span.attributes["automa.attempt"] for span in spans] == [1, 2, 3]
    assert [span.attributes["automa.status"] for span in spans] == ["FAILED", "FAILED", "SUCCESS"]
    assert [span.status.description for span in spans] == ["ValueError: busy", "ValueError: still busy", None]


def test_an_error_is_told_with_status_and_event(telemetry):
    """A failed step, and its run, have the status of an error, its text and its class, and no traceback."""
    make(telemetry, step("charge", fail)).start()
    for name in ("run charge", "workflow checkout"):
        span = telemetry.span(name)
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "ValueError: card refused"
        assert span.attributes["error.type"] == "ValueError"
        (event,) = span.events
        assert event.name == "exception"
        assert dict(event.attributes) == {
            "exception.type": "ValueError",
            "exception.message": "card refused",
        }
    assert telemetry.span("rollback charge").status.status_code is StatusCode.UNSET


def test_a_failed_undo_is_told_beside_the_first_error(telemetry):
    """The span of an undo that failed has its own error, that of the run the first one, and the outcome."""

    def stuck():
        raise RuntimeError("the bank is closed")

    make(telemetry, step("charge", fail, stuck)).start()
    assert telemetry.span("rollback charge").status.description == "RuntimeError: the bank is closed"
    root = telemetry.span("workflow checkout")
    assert root.status.description == "ValueError: card refused"
    assert root.attributes["automa.outcome"] == "needs_attention"


def test_what_is_skipped_has_a_span_too(telemetry):
    """A step that had nothing to do, or whose condition was false, has a span that says so, and no error."""

    def nothing():
        raise Skip("why")

    make(telemetry, step("a", nothing), step("b", when=lambda _: False)).start()
    assert telemetry.span("run a").attributes["automa.status"] == "SKIPPED"
    assert telemetry.span("run b").attributes["automa.status"] == "SKIPPED"
    assert "automa.attempt" not in telemetry.span("run b").attributes


def test_a_nested_workflow_is_the_parent_of_its_steps(telemetry):
    """The spans of steps stand below that of their workflow, on the way back below that of its way back."""
    inner = Workflow("inner", [step("a"), Workflow("deep", [step("b")])])
    make(telemetry, inner, step("last", fail)).start()
    assert telemetry.parent("run inner/a") == "run inner"
    assert telemetry.parent("run inner/deep/b") == "run inner/deep"
    assert telemetry.parent("run inner/deep") == "run inner"
    assert telemetry.parent("rollback inner/deep/b") == "rollback inner/deep"
    assert telemetry.parent("rollback inner/a") == "rollback inner"
    assert telemetry.linked("rollback inner") == ["run inner"]
    assert telemetry.linked("rollback inner/deep/b") == ["run inner/deep/b"]


@pytest.mark.parametrize("is_async", [False, True])
def test_branches_stand_below_their_parallel_step(telemetry, is_async):
    """Branches side by side, in threads or tasks, have spans below that of the parallel step, each its own steps."""
    met = threading.Barrier(2)

    def meet():
        met.wait(10)

    branches = [Workflow(name, [step(f"{name}1", meet), step(f"{name}2")]) for name in "xy"]
    workflow = make(telemetry, Parallel("par", *branches), step("last", fail))
    if is_async:
        asyncio.run(workflow.start_async())
    else:
        workflow.start()
    for name in "xy":
        assert telemetry.parent(f"run par/{name}/{name}1") == f"run par/{name}"
        assert telemetry.parent(f"run par/{name}/{name}2") == f"run par/{name}"
        assert telemetry.parent(f"run par/{name}") == "run par"
        assert telemetry.parent(f"rollback par/{name}") == "rollback par"
    assert telemetry.names.count("run par") == 1


def test_building_steps_is_a_span_and_what_was_built_another(telemetry):
    """The call that builds steps is a span of its own; the steps built stand below that of the step."""
    make(telemetry, Expand("calls", lambda _: [step("one"), step("two")])).start()
    assert telemetry.names == [
        "build calls", "run calls/one", "run calls/two", "run calls", "workflow checkout"
    ]  # fmt: skip
    assert telemetry.parent("build calls") == telemetry.parent("run calls") == "workflow checkout"
    assert telemetry.parent("run calls/two") == "run calls"


def test_a_run_stands_below_the_span_in_which_it_is_started(telemetry):
    """A run that is started while a span is the current one, of a request say, stands below it."""
    with telemetry.tracer.start_as_current_span("request"):
        make(telemetry, step("a")).start()
    assert telemetry.parent("workflow checkout") == "request"


async def test_a_run_on_an_event_loop_stands_below_the_span_in_which_it_is_started(telemetry):
    """So does one on an event loop."""
    with telemetry.tracer.start_as_current_span("request"):
        await make(telemetry, step("a")).start_async()
    assert telemetry.parent("workflow checkout") == "request"


def test_a_saga_started_by_a_step_stands_below_it(telemetry):
    """A step that starts a saga of its own has that run below its span."""
    inner = Workflow("inner", [step("a")], observers=[telemetry.observer])
    make(telemetry, step("outer", lambda: inner.start().outcome)).start()
    assert telemetry.parent("workflow inner") == "run outer"


def client(telemetry, name):
    """Return what stands for a client of HTTP: its spans stand below the current one."""

    def call():
        with telemetry.tracer.start_as_current_span(name):
            pass

    return call


@pytest.mark.parametrize("timeout", [None, 20])
@pytest.mark.parametrize("is_async", [False, True])
def test_the_span_of_a_call_is_current_while_it_works(telemetry, is_async, timeout):
    """What a sync step or undo tells, in whatever thread, stands below its span, and nothing is current after."""
    before = trace.get_current_span()
    steps = [
        Step("a", run=client(telemetry, "GET"), undo=client(telemetry, "DELETE"), timeout=timeout, undo_timeout=timeout),
        step("last", fail),
    ]  # fmt: skip
    workflow = make(telemetry, *steps)
    if is_async:
        asyncio.run(workflow.start_async())
    else:
        workflow.start()
    assert telemetry.parent("GET") == "run a"
    assert telemetry.parent("DELETE") == "rollback a"
    assert trace.get_current_span() is before


@pytest.mark.parametrize("limit", [None, 20])
async def test_the_span_of_an_async_call_is_current_while_it_works(telemetry, limit):
    """So is that of an async step or undo, also after it has waited, and where others work beside it."""
    both = asyncio.Barrier(2)

    def calls(name):
        async def call():
            await asyncio.sleep(0)
            client(telemetry, name)()

        async def meet():
            await both.wait()
            await call()

        undo = undo_of(f"DELETE {name}")
        return Step(name, run=meet, undo=undo, timeout=limit, undo_timeout=limit)

    def undo_of(name):
        async def undo():
            await asyncio.sleep(0)
            client(telemetry, name)()

        return undo

    await make(telemetry, Parallel("par", calls("x"), calls("y")), step("last", fail)).start_async()
    for name in "xy":
        assert telemetry.parent(name) == f"run par/{name}"
        assert telemetry.parent(f"DELETE {name}") == f"rollback par/{name}"
    assert not trace.get_current_span().get_span_context().is_valid


# Runs that are resumed


def interrupted(telemetry, store, **options):
    """Start a run that is interrupted in its second step, and return a workflow that goes on with it."""

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(telemetry, step("reserve"), step("charge", interrupt)).start(run_id="r", store=store)
    return make(telemetry, step("reserve"), step("charge", **options))


def test_a_resumed_run_is_linked_to_the_span_in_which_it_began(telemetry):
    """A resume is a span of its own, linked to the first one, and has only what was done in it."""
    store = MemoryStore()
    interrupted(telemetry, store).resume("r", store)
    first, second = (span for span in telemetry.spans if span.name == "workflow checkout")
    assert first.attributes["automa.outcome"] == "suspended"
    assert first.status.status_code is StatusCode.UNSET
    assert first.links == ()
    assert second.attributes["automa.run.resumed"] is True
    assert second.attributes["automa.outcome"] == "succeeded"
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert second.context.trace_id != first.context.trace_id
    assert telemetry.names.count("run reserve") == 1
    assert telemetry.span("run charge", 1).attributes["automa.attempt"] == 2
    assert telemetry.span("run charge", 1).parent.span_id == second.context.span_id


def test_a_call_that_was_never_recorded_has_a_span_without_a_status(telemetry):
    """The call that was interrupted has a span, which does not say how it went: nobody knows."""
    interrupted(telemetry, MemoryStore())
    assert "automa.status" not in telemetry.span("run charge").attributes


def test_a_resume_in_another_process_is_linked(tmp_path):
    """The span in which a run began is in its journal: a process that goes on after a kill -9 links to it."""
    script = tmp_path / "saga.py"
    script.write_text(
        "import os, sys\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor\n"
        "from automa import Step, Workflow\n"
        "from automa.observe.otel import OtelObserver\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(\n"
        "    formatter=lambda span: span.to_json(indent=None) + '\\n')))\n"
        "def charge():\n"
        "    if sys.argv[1] == 'die':\n"
        "        os.kill(os.getpid(), 9)\n"
        "steps = [Step('reserve', run=lambda: 1), Step('charge', run=charge)]\n"
        "saga = Workflow('pay', steps, observers=[OtelObserver(tracer_provider=provider)])\n"
        "saga.resume('r', 'sqlite:///runs.db', missing='start')\n"
    )
    died = run(script, "die", cwd=tmp_path)
    assert died.returncode == -9
    went_on = run(script, "live", cwd=tmp_path)
    assert went_on.returncode == 0, went_on.stderr
    (reserve,) = map(json.loads, died.stdout.splitlines())
    charge, root = map(json.loads, went_on.stdout.splitlines())
    (link,) = root["links"]
    assert link["context"]["trace_id"] == reserve["context"]["trace_id"]
    assert link["context"]["span_id"] == reserve["parent_id"]
    assert charge["parent_id"] == root["context"]["span_id"]


def run(*command, cwd):
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_an_operators_request_is_a_stay_of_its_own(telemetry):
    """A run that had ended, and is rolled back, has another span, linked to the first, and its undos below it."""
    store = MemoryStore()
    workflow = make(telemetry, step("reserve"))
    workflow.start(run_id="r", store=store)
    workflow.rollback("r", store, note="wrong order")
    first, second = (span for span in telemetry.spans if span.name == "workflow checkout")
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert second.attributes["automa.outcome"] == "undone"
    assert telemetry.span("rollback reserve").parent.span_id == second.context.span_id


def test_a_run_that_ended_long_ago_has_no_span(telemetry):
    """A resume of a run that has ended does nothing, and tells nothing; so does a start that is refused."""
    store = MemoryStore()
    workflow = make(telemetry, step("reserve"))
    workflow.start(run_id="r", store=store)
    telemetry.exporter.clear()
    workflow.resume("r", store)
    with pytest.raises(RunExistsError):
        workflow.start(run_id="r", store=store)
    assert telemetry.names == []
    assert telemetry.figures("automa.runs") == {("succeeded", "checkout"): 1}


def test_steps_that_were_built_are_built_again_in_a_resume(telemetry):
    """A resume within steps that were built has no second span for building them, and one for the step above."""
    store = MemoryStore()

    def interrupt():
        raise KeyboardInterrupt

    def make_with(run):
        return make(telemetry, Expand("calls", lambda _: [step("one"), step("two", run)]))

    with pytest.raises(KeyboardInterrupt):
        make_with(interrupt).start(run_id="r", store=store)
    telemetry.exporter.clear()
    make_with(lambda: 2).resume("r", store)
    assert telemetry.names == ["run calls/two", "run calls", "workflow checkout"]
    assert telemetry.parent("run calls/two") == "run calls"


@pytest.mark.parametrize("url", ["sqlite:///runs.db", "file:runs"])
def test_the_span_in_which_a_run_began_is_kept_by_each_store(telemetry, url, tmp_path, monkeypatch):
    """Each store that lasts keeps it; a run without such an observer has no trace of it in its journal."""
    monkeypatch.chdir(tmp_path)
    interrupted(telemetry, url).resume("r", url)
    assert len(telemetry.span("workflow checkout", 1).links) == 1


def test_a_run_that_nobody_traced_keeps_nothing(telemetry, tmp_path):
    """Where nobody traces, the journal does not tell of it; a resume that does has no link."""
    store = SqliteStore(tmp_path / "runs.db")

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workflow("checkout", [step("a", interrupt)]).start(run_id="r", store=store)
    assert "traceparent" not in store.load("checkout", "r")[0]
    make(telemetry, step("a")).resume("r", store)
    store.close()
    assert telemetry.span("workflow checkout").links == ()


@pytest.mark.parametrize("kept", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_what_is_no_span_is_not_linked(telemetry, kept):
    """A journal that tells of a span which is none is resumed all the same, without a link."""

    class Tells:
        def on_record(self, record):
            pass

        def traceparent(self):
            return kept

    store = MemoryStore()

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workflow("checkout", [step("a", interrupt)], observers=[Tells()]).start(run_id="r", store=store)
    make(telemetry, step("a")).resume("r", store)
    assert telemetry.span("workflow checkout").links == ()


# Engines


def test_a_run_on_an_engine_is_linked_to_where_it_was_submitted(telemetry):
    """The worker's span of a run is linked to that in which it was submitted, and is one, branches or not."""
    workflow = make(
        telemetry,
        step("a", client(telemetry, "GET")),
        Parallel("par", step("x"), Workflow("y", [step("z", client(telemetry, "PUT"))])),
        step("last", fail, retry=Retry(attempts=2, initial=0.001)),
    )
    engine = LocalEngine("memory:")
    with telemetry.tracer.start_as_current_span("request"):
        handle = engine.submit(workflow)
    with engine.worker(workflow).in_background():
        assert handle.wait(timeout=30).outcome is Outcome.UNDONE
    assert telemetry.names.count("workflow checkout") == 1
    assert telemetry.linked("workflow checkout") == ["request"]
    assert telemetry.span("workflow checkout").attributes["automa.run.resumed"] is False
    assert telemetry.parent("run par/y/z") == "run par/y"
    assert telemetry.parent("run par/y") == telemetry.parent("run par/x") == "run par"
    assert telemetry.parent("GET") == "run a"
    assert telemetry.parent("PUT") == "run par/y/z"
    assert telemetry.linked("rollback par/y/z") == ["run par/y/z"]
    assert telemetry.names.count("run last") == 2
    assert telemetry.figures("automa.runs") == {("undone", "checkout"): 1}
    assert telemetry.figures("automa.steps")["run", "SUCCESS", "par/y/z", "checkout"] == 1


def test_a_worker_may_have_the_observer(telemetry):
    """An observer that a worker is given hears its runs, of whichever workflow."""
    workflow = Workflow("quiet", [step("a")])
    engine = LocalEngine("memory:")
    handle = engine.submit(workflow)
    with engine.worker(workflow, observers=[telemetry.observer]).in_background():
        handle.wait(timeout=30)
    assert telemetry.names == ["run a", "workflow quiet"]


def test_the_way_back_of_a_workflow_is_known_by_its_first_undo(telemetry):
    """Where an engine tells only of an undo in a workflow, and not before of that one's way back, it is one all the same."""
    run = telemetry.observer.for_run_of("checkout", "r")
    contextvars.copy_context().run(run.step_starting, "inner/a", Action.ROLLBACK, 1)
    telemetry.observer.close()
    assert telemetry.names == ["rollback inner/a", "rollback inner", "workflow checkout"]


# What goes wrong


def test_secrets_stay_out_of_spans(telemetry):
    """The text of an error is that of the report: what is secret is replaced in it."""
    token = Secret("s3cr3t-token")

    def leak():
        raise ValueError(f"refused: {token.reveal()} and card 4711-0815")

    retry = Retry(attempts=2, initial=0.001)
    make(telemetry, step("charge", leak, leak, retry=retry), redact=[r"\d{4}-\d{4}"]).start()
    told = "".join(span.to_json() for span in telemetry.spans)
    assert told.count("[secret] and card [secret]") >= 6
    assert "s3cr3t" not in told
    assert "4711" not in told


def test_a_tracer_that_raises_does_no_harm(caplog):
    """Where OpenTelemetry itself breaks the run goes on, and the log says so."""

    class Broken(SimpleSpanProcessor):
        def on_start(self, span, parent_context=None):
            raise RuntimeError("broken")

    telemetry = Telemetry()
    telemetry.provider.add_span_processor(Broken(telemetry.exporter))
    with caplog.at_level(logging.ERROR):
        report = make(telemetry, step("a")).start(store=MemoryStore())
    assert report.outcome is Outcome.SUCCEEDED
    assert "raised; the run goes on" in caplog.text


def test_a_journal_that_cannot_be_written_is_an_error_of_the_run(telemetry):
    """The span of a run whose journal fails says so; the call whose answer is lost has no status."""

    class Full(MemoryStore):
        def create(self, workflow_id, run_id):
            lease = super().create(workflow_id, run_id)
            append, count = lease.append, iter(range(9))

            class Once:
                def append(self, entries, status):
                    if next(count):
                        raise StoreError("disk full")
                    append(entries, status)

                def __getattr__(self, name):
                    return getattr(lease, name)

            return Once()

    make(telemetry, step("a")).start(store=Full())
    root = telemetry.span("workflow checkout")
    assert root.attributes["automa.outcome"] == "infrastructure_error"
    assert root.status.description == "StoreError: disk full"
    assert "automa.status" not in telemetry.span("run a").attributes


async def test_a_cancelled_run_leaves_no_span_current(telemetry):
    """A run that is cancelled while a step waits has its spans in order, and none is the current one after."""
    waits = asyncio.Event()

    async def forever():
        waits.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(make(telemetry, step("a", forever)).start_async())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert telemetry.names == ["run a", "rollback a", "workflow checkout"]
    assert telemetry.span("workflow checkout").attributes["automa.outcome"] == "undone"


async def test_a_run_that_is_closed_from_another_context_is_traced_to_its_end(telemetry, caplog):
    """Where its coroutine is closed in another context than it worked in, OpenTelemetry has nothing to complain of."""
    undone = asyncio.Event()

    async def forever():
        await asyncio.get_running_loop().create_future()

    run = make(telemetry, step("a", forever, undone.set)).start_async()
    contextvars.copy_context().run(run.send, None)
    contextvars.copy_context().run(run.close)
    await undone.wait()
    while "workflow checkout" not in telemetry.names:  # noqa: ASYNC110  # nobody has the task that does it
        await asyncio.sleep(0.001)
    assert telemetry.names == ["run a", "rollback a", "workflow checkout"]
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_spans_of_runs_that_go_on_elsewhere_end_with_the_observer(telemetry):
    """What has not ended in this process is ended by close, which the end of the process calls by itself."""
    begun = threading.Event()
    on = threading.Event()

    def wait():
        begun.set()
        assert on.wait(30)

    runner = threading.Thread(target=lambda: make(telemetry, step("a", wait)).start())
    runner.start()
    assert begun.wait(30)
    telemetry.observer.close()
    telemetry.observer.close()
    assert telemetry.names == ["run a", "workflow checkout"]
    assert "automa.outcome" not in telemetry.span("workflow checkout").attributes
    on.set()
    runner.join()


def test_spans_that_are_open_at_the_end_of_the_process_are_not_lost(tmp_path):
    """A worker's process that ends while a run is on its way exports the span of the run."""
    script = tmp_path / "saga.py"
    script.write_text(
        "import os, sys, threading\n"
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter\n"
        "from automa import Step, Workflow\n"
        "from automa.observe.otel import OtelObserver\n"
        "observer = OtelObserver()\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(\n"
        "    formatter=lambda span: span.name + '\\n')))\n"
        "trace.set_tracer_provider(provider)\n"
        "begun = threading.Event()\n"
        "def wait():\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "saga = Workflow('pay', [Step('charge', run=wait)], observers=[observer])\n"
        "threading.Thread(target=saga.start, daemon=True).start()\n"
        "begun.wait()\n"
    )
    done = run(script, cwd=tmp_path)
    assert done.stdout.splitlines() == ["run charge", "workflow pay"], done.stderr


def test_a_process_does_not_keep_spans_without_end(telemetry, monkeypatch):
    """Of runs that go on elsewhere the span that was begun first is ended where there are too many."""
    monkeypatch.setattr("automa.observe.otel._MOST_OPEN", 2)
    for run_id in ("r1", "r2", "r3"):
        run = telemetry.observer.for_run_of("checkout", run_id)
        contextvars.copy_context().run(run.step_starting, "a", Action.RUN, 1)
    assert [span.attributes["automa.run.id"] for span in telemetry.spans] == ["r1", "r1"]
    telemetry.observer.close()


# Metrics


def test_runs_are_counted_by_outcome(telemetry):
    """Runs are counted, and timed in seconds, by workflow and outcome, and by nothing else."""
    make(telemetry, step("a")).start()
    make(telemetry, step("a")).start()
    make(telemetry, step("a", fail)).start()
    expected = {("succeeded", "checkout"): 2, ("undone", "checkout"): 1}
    assert telemetry.figures("automa.runs") == expected
    assert telemetry.figures("automa.run.duration") == expected


def test_steps_are_counted_by_action_and_status(telemetry):
    """Actions are counted once, their attempts and how long those took each; a workflow by its steps alone."""
    answers = iter([ValueError("busy"), None])

    def flaky():
        error = next(answers)
        if error is not None:
            raise error

    inner = Workflow("inner", [step("a", flaky, retry=Retry(attempts=2, initial=0.001))])
    make(telemetry, inner, step("b", when=lambda _: False), step("last", fail, None)).start()
    assert telemetry.figures("automa.steps") == {
        ("run", "SUCCESS", "inner/a", "checkout"): 1,
        ("run", "SKIPPED", "b", "checkout"): 1,
        ("run", "FAILED", "last", "checkout"): 1,
        ("rollback", "SKIPPED", "last", "checkout"): 1,
        ("rollback", "SKIPPED", "b", "checkout"): 1,
        ("rollback", "SUCCESS", "inner/a", "checkout"): 1,
    }
    expected = {
        ("run", "FAILED", "inner/a", "checkout"): 1,
        ("run", "SUCCESS", "inner/a", "checkout"): 1,
        ("run", "FAILED", "last", "checkout"): 1,
        ("rollback", "SUCCESS", "inner/a", "checkout"): 1,
    }
    assert telemetry.figures("automa.attempts") == expected
    assert telemetry.figures("automa.step.duration") == expected


def test_metrics_have_units_and_buckets_of_seconds(telemetry):
    """Durations are in seconds, with bounds that tell seconds apart; no attribute has as many values as there are runs."""
    make(telemetry, step("a")).start(run_id="order-42")
    metrics = telemetry.reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    units = {metric.name: metric.unit for metric in metrics}
    assert units == {
        "automa.runs": "{run}",
        "automa.steps": "{step}",
        "automa.attempts": "{attempt}",
        "automa.run.duration": "s",
        "automa.step.duration": "s",
    }
    points = [point for metric in metrics for point in metric.data.data_points]
    assert {bounds[0] for point in points if (bounds := getattr(point, "explicit_bounds", None))} == {0.005}
    assert "order-42" not in "".join(str(point.attributes) for point in points)


def test_without_the_extra_the_error_says_what_to_install():
    """Where OpenTelemetry is missing, the import raises an ImportError that names the extra."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try:\n    import automa.observe.otel\nexcept ImportError as error:\n    print(error)\n"
    )
    done = run("-c", code, cwd=None)
    assert "pip install 'automa-saga[otel]'" in done.stdout


def test_the_other_observers_need_no_extra():
    """`import automa.observe` does not import OpenTelemetry."""
    code = "import sys, automa.observe; print('opentelemetry' in sys.modules)"
    assert run("-c", code, cwd=None).stdout.strip() == "False"
