"""The observers that are there already, and what a run owes to any observer."""

from __future__ import annotations

import asyncio
import datetime
import io
import logging
import sys

import pytest

from automa import Answered, Ended, Late, Retry, Skip, Started, Step, Workflow
from automa.abc import Observer
from automa.observe import LoggingObserver, ProgressObserver
from automa.stores import MemoryStore


def fail():
    raise ValueError("no")


def skip():
    raise Skip("why")


@pytest.fixture
def audit(caplog):
    """Return a logger of its own, all of whose lines are kept."""
    caplog.set_level(logging.DEBUG, "audit")
    return logging.getLogger("audit")


def lines_of(caplog, name="audit"):
    return [f"{record.levelname} {record.message}" for record in caplog.records if record.name == name]


class Breaks:
    def for_run(self, run_id):
        raise RuntimeError("broken")

    def resumed(self, history):
        raise SystemExit(1)

    def on_record(self, record):
        raise RuntimeError("broken")


@pytest.mark.parametrize("observer", [LoggingObserver(), ProgressObserver()])
def test_they_are_observers(observer):
    """Each satisfies the protocol."""
    assert isinstance(observer, Observer)


# LoggingObserver


def test_a_run_is_logged_where_the_observer_says(audit, caplog):
    """A further logger gets the lines of the workflow's own, each with run and step beside its text."""
    steps = [Step("a", run=skip), Step("b", run=fail)]
    Workflow("w", steps, observers=[LoggingObserver(audit)]).start(run_id="r")
    assert lines_of(caplog) == [
        "DEBUG [r a] run",
        "INFO [r a] run SKIPPED: why",
        "DEBUG [r b] run",
        "ERROR [r b] run FAILED: ValueError('no')",
        "DEBUG [r b] rollback",
        "INFO [r b] rollback SKIPPED: no undo function",
        "DEBUG [r a] rollback",
        "INFO [r a] rollback SKIPPED: no undo function",
        "ERROR [r] workflow 'w' ended undone: ValueError: no",
    ]
    told = [(record.run_id, record.step) for record in caplog.records if record.name == "audit"]
    assert told == [("r", "a")] * 2 + [("r", "b")] * 4 + [("r", "a")] * 2 + [("r", "")]


def test_by_default_the_logger_is_that_of_automa(caplog):
    """Without a logger of its own the observer writes where workflows do."""
    quiet = logging.getLogger("quiet")
    quiet.setLevel(logging.CRITICAL)
    with caplog.at_level(logging.INFO, "automa"):
        Workflow("w", [Step("a")], logger=quiet).start(run_id="r", observers=[LoggingObserver()])
    assert lines_of(caplog, "automa") == [
        "INFO [r a] run SKIPPED: no run function",
        "INFO [r] workflow 'w' ended succeeded",
    ]


def test_a_level_that_is_not_enabled_costs_no_text(caplog):
    """Where a level is not enabled no line is put together."""
    asked = []

    class Noted(ValueError):
        def __repr__(self):
            asked.append(self)
            return "noted"

    def fail():
        raise Noted

    logger = logging.getLogger("off")
    logger.setLevel(logging.CRITICAL)
    Workflow("w", [Step("a", run=fail)], logger=logger, observers=[LoggingObserver(logger)]).start()
    assert (asked, lines_of(caplog, "off")) == ([], [])


def test_the_turns_of_a_journaled_run_are_logged(audit, caplog):
    """Beginning, suspension, resumption and what an operator asks have a line each."""
    store, power = MemoryStore(), {"on": False}

    def work():
        if not power["on"]:
            raise KeyboardInterrupt

    workflow = Workflow("w", [Step("a", run=work)], observers=[LoggingObserver(audit)])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    power["on"] = True
    workflow.resume("r", store)
    workflow.resume("r", store)  # it has ended: nothing is to be told
    workflow.rollback("r", store, note="changed my mind")
    assert lines_of(caplog) == [
        "DEBUG [r] workflow 'w' begins",
        "DEBUG [r a] run",
        "WARNING [r] suspended: KeyboardInterrupt()",
        "INFO [r] workflow 'w' ended suspended: KeyboardInterrupt: ",
        "INFO [r] resumed",
        "DEBUG [r a] run",
        "INFO [r a] run SUCCESS",
        "INFO [r] workflow 'w' ended succeeded",
        "INFO [r] rollback requested: changed my mind",
        "DEBUG [r a] rollback",
        "INFO [r a] rollback SKIPPED: no undo function",
        "ERROR [r] workflow 'w' ended undone: RollbackRequested: changed my mind",
    ]


def test_a_request_without_a_note_is_logged_without_one(audit, caplog):
    """A rollback that nobody has explained is told all the same."""
    store = MemoryStore()
    workflow = Workflow("w", [Step("a")], observers=[LoggingObserver(audit)])
    workflow.start(run_id="r", store=store)
    workflow.rollback("r", store)
    assert "INFO [r] rollback requested" in lines_of(caplog)


async def test_a_run_that_is_turned_back_between_two_steps_says_so(audit, caplog):
    """A cancellation that is undone is a line of its own, with the step after which it came."""
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work():
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result()

    workflow = Workflow("w", [Step("a", run=work), Step("b")], observers=[LoggingObserver(audit)])
    task = asyncio.create_task(workflow.start_async(run_id="r", store=MemoryStore(), on_cancel="rollback"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "WARNING [r a] turned back: CancelledError()" in lines_of(caplog)


def test_attempts_and_effects_are_logged(audit, caplog):
    """An attempt that failed says when the next is, an effect what was done outside."""

    def charge(ctx):
        if ctx.attempt == 1:
            raise ValueError("no")
        ctx.record_effect("payment", "4711")

    step = Step("a", run=charge, retry=Retry(attempts=2, initial=0.001, jitter=False))
    Workflow("w", [step], observers=[LoggingObserver(audit)]).start(run_id="r").raise_for_status()
    lines = lines_of(caplog)
    assert "WARNING [r a] run failed, and is tried again in 0.001 s: ValueError('no')" in lines
    assert "INFO [r a] effect: payment 4711" in lines


@pytest.mark.parametrize(
    ("is_back", "error", "text"),
    [
        (True, None, "came back too late"),
        (True, ValueError("no"), "came back too late, and failed: ValueError('no')"),
        (False, None, "is still at work in its thread"),
    ],
)
def test_what_became_of_a_late_step_is_logged(audit, caplog, is_back, error, text):
    """A step that went on in its thread is a warning, whatever became of it."""
    now = datetime.datetime.now(datetime.UTC)
    LoggingObserver(audit, "r").on_record(Late("a", now, is_back, error))
    assert lines_of(caplog) == [f"WARNING [r a] {text}"]


def test_a_handler_that_raises_does_no_harm(audit, caplog):
    """A logger whose handler raises costs lines, not the run; the log of the workflow says so."""

    class Full(logging.Handler):
        def emit(self, record):
            raise OSError("the disk is full")

    handler = Full()
    audit.addHandler(handler)
    try:
        report = Workflow("w", [Step("a")]).start(run_id="r", observers=[LoggingObserver(audit)])
    finally:
        audit.removeHandler(handler)
    report.raise_for_status()
    assert [record.exc_info[1].args for record in caplog.records if record.name == "automa"] == [
        ("the disk is full",)
    ] * 3


def test_a_log_of_the_workflow_that_raises_does_no_harm():
    """Even where the workflow's own log is what raises, the run goes on, and the observers hear all."""

    class Broken(logging.Logger):
        def _log(self, *args, **kwargs):
            raise OSError("broken")

    heard = []

    class Notes:
        def on_record(self, record):
            heard.append(record)

    Workflow(
        "w", [Step("a")], logger=Broken("broken", logging.DEBUG), observers=[Notes()]
    ).start().raise_for_status()
    assert len(heard) == 3


# ProgressObserver


def test_progress_is_a_line_an_action():
    """Each finished action has a line with how many steps are done; the last line names the run."""
    stream = io.StringIO()
    steps = [Step("a", run=lambda: 1), Step("b", run=skip), Step("c", run=fail)]
    Workflow("w", steps).start(run_id="r", observers=[ProgressObserver(stream)])
    assert stream.getvalue().splitlines() == [
        "[1] run a SUCCESS",
        "[2] run b SKIPPED: why",
        "[2] run c FAILED: ValueError('no')",
        "[2] rollback c SKIPPED: no undo function",
        "[1] rollback b SKIPPED: no undo function",
        "[0] rollback a SKIPPED: no undo function",
        "run r: workflow 'w' ended undone: ValueError: no",
    ]


def test_of_a_journaled_run_it_is_known_of_how_many():
    """The steps in nested workflows count, by path; workflows and prepares do not."""
    stream = io.StringIO()
    inner = Workflow("in/ner", [Step("a", run=lambda: 1), Step("b", run=lambda: 1)])
    prepared = Step("c", run=lambda: 1, prepare=lambda: {"x": 1})
    Workflow("w", [inner, prepared, Step("d", run=lambda: 1, prepare=skip)]).start(
        run_id="r", store=MemoryStore(), observers=[ProgressObserver(stream)]
    ).raise_for_status()
    assert stream.getvalue().splitlines() == [
        "[1/4] run in%2Fner/a SUCCESS",
        "[2/4] run in%2Fner/b SUCCESS",
        "[2/4] run in%2Fner SUCCESS",
        "[2/4] prepare c SUCCESS",
        "[3/4] run c SUCCESS",
        "[4/4] prepare d SKIPPED: why",
        "run r: workflow 'w' ended succeeded",
    ]


def test_an_undo_that_failed_leaves_its_step_done():
    """What could not be undone still counts."""
    stream = io.StringIO()
    steps = [Step("a", run=lambda: 1, undo=fail), Step("b", run=fail)]
    Workflow("w", steps).start(observers=[ProgressObserver(stream)])
    assert "[1] rollback a FAILED: ValueError('no')\n" in stream.getvalue()


def test_a_resumed_run_says_how_much_is_done_already():
    """The first line of a resumed run counts what is recorded; the count goes on from there."""
    stream, store, power = io.StringIO(), MemoryStore(), {"on": False}

    def work():
        if not power["on"]:
            raise KeyboardInterrupt

    workflow = Workflow("w", [Step("a"), Step("b", run=work)])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    power["on"] = True
    workflow.resume("r", store, observers=[ProgressObserver(stream)])
    assert stream.getvalue().splitlines() == [
        "run r: 1/2 steps are done already",
        "[2/2] run b SUCCESS",
        "run r: workflow 'w' ended succeeded",
    ]


async def test_runs_that_go_on_at_once_are_told_apart(audit, caplog):
    """One observer of a workflow counts each run for itself, and logs each under its own id."""
    stream, turn = io.StringIO(), asyncio.Barrier(2)

    async def meet():
        await turn.wait()

    steps = [Step("a", run=meet), Step("b", run=meet)]
    workflow = Workflow("w", steps, observers=[ProgressObserver(stream), LoggingObserver(audit)])
    await asyncio.gather(workflow.start_async(run_id="r1"), workflow.start_async(run_id="r2"))
    lines = stream.getvalue().splitlines()
    assert sorted(lines) == [
        *["[1] run a SUCCESS"] * 2,
        *["[2] run b SUCCESS"] * 2,
        "run r1: workflow 'w' ended succeeded",
        "run r2: workflow 'w' ended succeeded",
    ]
    assert {"INFO [r1 a] run SUCCESS", "INFO [r2 a] run SUCCESS"} <= set(lines_of(caplog))


def test_by_default_progress_goes_to_standard_error_as_it_is_then(monkeypatch):
    """The stream is looked up when a line is written, so that a redirection holds."""
    observer, later = ProgressObserver(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    Workflow("w", [Step("a", run=lambda: 1)]).start(observers=[observer])
    assert later.getvalue().startswith("[1] run a SUCCESS\n")


def test_a_line_stays_one_line_and_fits_its_stream():
    """Line breaks and control characters are spelt out, and what the stream's encoding does not have."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")

    def fail():
        raise ValueError("a\x1b[2J\nb")

    Workflow("w", [Step("über", run=fail)]).start(run_id="r", observers=[ProgressObserver(stream)])
    first, *_, last = stream.buffer.getvalue().decode().splitlines()
    assert first == "[0] run \\xfcber FAILED: ValueError('a\\x1b[2J\\nb')"
    assert last == "run r: workflow 'w' ended undone: ValueError: a\\x1b[2J\\nb"


class NobodyReads(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [closed(), NobodyReads()])
def test_a_stream_that_nobody_reads_does_no_harm(stream, caplog):
    """A closed stream and a broken pipe cost the lines, and nothing else."""
    Workflow("w", [Step("a")]).start(observers=[ProgressObserver(stream)]).raise_for_status()
    assert caplog.text == ""


# Any observer


def test_an_observer_that_raises_at_any_time_does_no_harm(caplog):
    """Whether it is asked for an observer of the run, given the history or a record: the log says who raised."""
    store = MemoryStore()
    workflow = Workflow("w", [Step("a", run=lambda: 1)])
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [Step("a", run=lambda: (_ for _ in ()).throw(KeyboardInterrupt))]).start(
            run_id="r", store=store
        )
    workflow.resume("r", store, observers=[Breaks()]).raise_for_status()
    complaints = [record for record in caplog.records if "the run goes on" in record.message]
    assert all(record.run_id == "r" and "Breaks" in record.message for record in complaints)
    assert [type(record.exc_info[1]) for record in complaints[:3]] == [RuntimeError, SystemExit, RuntimeError]


def test_an_observer_of_many_runs_may_have_one_for_each():
    """for_run is asked before each run, with its id; what it returns hears the run in place of the other."""
    heard = []

    class OfRun:
        def __init__(self, run_id):
            self.run_id = run_id

        def on_record(self, record):
            if isinstance(record, Ended):
                heard.append(self.run_id)

    class Many:
        def for_run(self, run_id):
            return OfRun(run_id)

    workflow = Workflow("w", [Step("a")], observers=[Many()])
    workflow.start(run_id="r1")
    workflow.start(run_id="r2")
    assert heard == ["r1", "r2"]


class Watches:
    """An observer that notes calls and records in the order in which it hears of them."""

    def __init__(self):
        self.heard = []

    def on_record(self, record):
        if isinstance(record, Started | Answered):
            self.heard.append(f"{type(record).__name__} {record.path}")

    def step_starting(self, path, action, attempt):
        self.heard.append(f"starting {action} {path} {attempt}")

    def step_returned(self, path, action, attempt):
        self.heard.append(f"returned {action} {path} {attempt}")


@pytest.mark.parametrize("is_async", [False, True])
def test_calls_are_told_as_they_happen(is_async):
    """A live view hears when a step is called and when it has returned, between its two records; not of conditions."""
    watches = Watches()
    failing = Retry(2, initial=0)

    def fail():
        raise OSError("no")

    steps = [
        Step("a", run=lambda: 1, when=lambda: True, prepare=lambda: {"x": 1}),
        Step("b", run=fail, retry=failing, when=lambda: True),
    ]
    workflow = Workflow("w", steps, observers=[watches], mode="stop")
    if is_async:
        asyncio.run(workflow.start_async())
    else:
        workflow.start()
    assert watches.heard == [
        "Started a",
        "starting prepare a 1",
        "returned prepare a 1",
        "Answered a",
        "Started a",
        "starting run a 1",
        "returned run a 1",
        "Answered a",
        "Started b",
        "starting run b 1",
        "returned run b 1",
        "Started b",
        "starting run b 2",
        "returned run b 2",
        "Answered b",
    ]


def test_a_live_view_that_raises_does_no_harm(caplog):
    """What `step_starting` raises is logged, and the run goes on."""

    class Broken:
        def on_record(self, record):
            pass

        def step_starting(self, path, action, attempt):
            raise ValueError("broken view")

    report = Workflow("w", [Step("a", run=lambda: 1)], observers=[Broken()]).start()
    assert report.results == {"a": 1}
    assert "broken view" in caplog.text
