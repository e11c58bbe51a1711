"""What a step finds in its context, what listeners hear, and what a report tells."""

from __future__ import annotations

import contextvars
import datetime
import logging
import threading

import pytest

from automa import (
    Action,
    Answered,
    Ended,
    Outcome,
    Skip,
    Started,
    Status,
    Step,
    StepReport,
    Workflow,
    WorkflowFailed,
    WorkflowReport,
)


def test_the_context_tells_where_a_step_is():
    """workflow_id, run_id, step_id, path, action and attempt of a nested step."""
    seen = []

    def look(ctx):
        seen.append((ctx.workflow_id, ctx.run_id, ctx.step_id, ctx.path, ctx.action, ctx.attempt, repr(ctx)))

    inner = Workflow("inner", [Step("a", run=look)])
    Workflow("outer", [inner]).start(run_id="r1")
    assert seen == [("outer", "r1", "a", "inner/a", Action.RUN, 1, "<Context run inner/a of run r1>")]


def test_the_idempotency_key_is_stable_and_distinct():
    """The key is of workflow, run, path and action, percent-encoded, and differs between run and undo."""
    keys = []

    def note(ctx):
        keys.append(ctx.idempotency_key)

    def fail():
        raise ValueError("x")

    inner = Workflow("in/ner", [Step("a b", run=note, undo=note)])
    Workflow("w:1", [inner, Step("fail", run=fail)]).start(run_id="r1")
    assert keys == ["w%3A1/r1/in%2Fner/a%20b/run", "w%3A1/r1/in%2Fner/a%20b/undo"]


def test_results_are_found_by_sibling_and_by_path():
    """ctx.results takes a sibling's id or a path; what has no result is an error that lists those that have."""
    seen = {}

    def look(ctx):
        seen["sibling"] = ctx.results["a"]
        seen["path"] = ctx.results["inner/a"]
        seen["outer"] = ctx.results["before"]
        with pytest.raises(KeyError, match="no step 'later' has a result"):
            ctx.results["later"]  # a sibling that has not run, not the step of that id outside
        seen["all"] = dict(ctx.results)
        seen["count"] = len(ctx.results)
        with pytest.raises(
            KeyError, match="no step 'zzz' has a result .those that have: 'before', 'later', 'inner/a'"
        ):
            ctx.results["zzz"]

    inner = Workflow("inner", [Step("a", run=lambda: 1), Step("look", run=look), Step("later")])
    report = Workflow("w", [Step("before", run=lambda: 0), Step("later", run=lambda: 9), inner]).start()
    report.raise_for_status()
    assert seen == {"sibling": 1, "path": 1, "outer": 0, "all": {"before": 0, "a": 1}, "count": 2}
    assert report.results["inner"] == {"a": 1, "look": None}


def test_the_undo_gets_the_result_of_its_run():
    """ctx.result is what the run of the step returned."""
    seen = []
    steps = [
        Step("a", run=lambda: {"id": 7}, undo=lambda ctx: seen.append(ctx.result)),
        Step("b", run=lambda: 1 / 0),
    ]
    Workflow("w", steps).start()
    assert seen == [{"id": 7}]


def test_resources_are_live_objects():
    """What is given as resources reaches the steps as it is, and is in no report."""
    connection = object()
    seen = []
    Workflow("w", [Step("a", run=lambda ctx: seen.append(ctx.resources["db"]))]).start(
        resources={"db": connection}
    )
    assert seen == [connection]


@pytest.mark.parametrize(("name", "value"), [("k", 7), (7, "x"), ("k", None)])
def test_metadata_takes_texts_and_bytes_only(name, value):
    """Metadata of another kind is refused where it is set: the formats have no place for it."""

    def run(ctx):
        ctx.metadata.update({name: value})

    report = Workflow("w", [Step("a", run=run)]).start()
    assert isinstance(report.error, TypeError)
    assert "values texts or bytes" in str(report.error)


def test_the_log_of_a_step_has_run_and_step_in_every_line(caplog):
    """ctx.log writes run and step into the text and into the record."""
    with caplog.at_level(logging.INFO, "automa"):
        Workflow("w", [Step("a", run=lambda ctx: ctx.log.info("hello %s", "you", extra={"more": 1}))]).start(
            run_id="r"
        )
    record = next(record for record in caplog.records if "hello" in record.message)
    assert record.message == "[r a] hello you"
    assert (record.run_id, record.step, record.more) == ("r", "a", 1)


def test_a_run_is_logged_an_action_a_line(caplog):
    """Steps, skips and failures are logged, and how the run ended."""

    def skip():
        raise Skip("why")

    def fail():
        raise ValueError("no")

    with caplog.at_level(logging.DEBUG, "automa"):
        Workflow("w", [Step("a", run=skip), Step("b", run=fail)]).start(run_id="r")
    assert [f"{record.levelname} {record.message}" for record in caplog.records] == [
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


class Notes:
    def __init__(self):
        self.records = []

    def on_record(self, record):
        self.records.append(record)


def test_observers_hear_each_record_in_order():
    """Observers of the workflow and of the run hear that steps start and answer, and the end, nested ones by path."""
    of_workflow, of_run = Notes(), Notes()
    inner = Workflow("inner", [Step("a")])
    report = Workflow("w", [inner, Step("b", run=lambda: 1 / 0)], observers=[of_workflow]).start(
        observers=[of_run]
    )
    told = []
    for record in of_run.records:
        match record:
            case Started(path, action):
                told.append(("started", path, str(action)))
            case Answered(path, step_report):
                told.append((str(step_report.status), path, str(step_report.action)))
            case Ended(ended):
                assert ended is report
    assert told == [
        ("started", "inner", "run"),
        ("started", "inner/a", "run"),
        ("SKIPPED", "inner/a", "run"),
        ("SUCCESS", "inner", "run"),
        ("started", "b", "run"),
        ("FAILED", "b", "run"),
        ("started", "b", "rollback"),
        ("SKIPPED", "b", "rollback"),
        ("started", "inner", "rollback"),
        ("started", "inner/a", "rollback"),
        ("SKIPPED", "inner/a", "rollback"),
        ("SUCCESS", "inner", "rollback"),
    ]
    assert of_workflow.records == of_run.records
    assert isinstance(of_run.records[-1], Ended)


def test_an_observer_that_raises_does_no_harm(caplog):
    """The run goes on, the other observers hear all, and the log says who raised."""

    class Breaks:
        def on_record(self, record):
            raise RuntimeError("broken")

    notes = Notes()
    report = Workflow("w", [Step("a")], observers=[Breaks(), notes]).start()
    assert report.status is Status.SUCCESS
    assert len(notes.records) == 3
    assert "Breaks" in caplog.text
    assert "the run goes on" in caplog.text


async def test_sync_steps_of_an_async_run_work_in_threads_with_the_context_variables():
    """A sync step does not block the loop: it works in a thread, which sees the caller's context variables."""
    seen = []
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    steps = [
        Step(
            "a",
            run=lambda: seen.append((threading.current_thread() is threading.main_thread(), variable.get())),
        )
    ]
    (await Workflow("w", steps).start_async()).raise_for_status()
    assert seen == [(False, "set")]


async def test_a_controller_of_one_instance_works_in_a_thread_though_its_step_has_an_async_function():
    """Whether a call may block is told by what is called, not by what the class of the step would call."""
    seen = []

    async def noop():
        pass

    class Special(Step):
        def __init__(self):
            super().__init__("special", run=noop)
            self.run = self._run_itself

        def _run_itself(self, ctx, prev_success):
            seen.append(threading.current_thread() is threading.main_thread())
            return ctx.step.run_next(prev_success, ctx.report)

    report = await Workflow("w", [Special()]).start_async()
    assert (report.outcome, seen) == (Outcome.SUCCEEDED, [False])


async def test_an_awaitable_from_a_sync_step_is_awaited_in_an_async_run():
    """A sync function that returns an awaitable is waited for on the loop."""

    async def later():
        return 7

    report = await Workflow("w", [Step("a", run=lambda: later(), undo=lambda: later())]).start_async()
    assert report.results == {"a": 7}


async def test_an_awaitable_that_fails_on_the_way_back_is_a_failed_undo():
    """The error of an awaited undo is recorded like any other."""

    async def fails(ctx):
        raise KeyError("undo")

    report = await Workflow(
        "w", [Step("a", run=lambda: 1, undo=fails), Step("b", run=lambda: 1 / 0)]
    ).start_async()
    assert [type(error) for error in report.rollback_errors] == [KeyError]


def test_the_first_error_stays_and_no_error_is_lost():
    """Errors of undos are kept beside the first error, never instead of it."""

    def fails(text):
        def fail():
            raise ValueError(text)

        return fail

    steps = [
        Step("a", run=lambda: 1, undo=fails("undo a")),
        Step("b", run=fails("run b"), undo=fails("undo b")),
    ]
    report = Workflow("w", steps).start()
    assert str(report.error) == "run b"
    assert [str(error) for error in report.rollback_errors] == ["undo b", "undo a"]
    with pytest.raises(WorkflowFailed) as caught:
        report.raise_for_status()
    assert str(caught.value) == "workflow 'w' ended needs attention: ValueError: run b"
    assert caught.value.__cause__ is report.error
    assert [str(error) for error in caught.value.rollback_errors.exceptions] == ["undo b", "undo a"]


def test_a_workflow_without_steps_succeeds():
    """An empty workflow succeeds with an empty report (Go leaves it UNDEFINED)."""
    report = Workflow("w").start()
    report.raise_for_status()
    assert (report.status, report.outcome, report.step_reports) == (Status.SUCCESS, Outcome.SUCCEEDED, [])


def test_a_second_start_has_a_report_of_its_own():
    """Starting again does not append to the first report (in Go it did)."""
    workflow = Workflow("w", [Step("a")])
    first, second = workflow.start(), workflow.start()
    assert len(first.step_reports) == len(second.step_reports) == 1
    assert first.run_id != second.run_id


def test_the_report_tells_what_remains():
    """remaining names the steps not run, and those whose effects stand, the last first."""

    def fail():
        raise ValueError("x")

    steps = [Step("a", run=lambda: 1, undo=fail), Step("b", run=lambda: 1), Step("c", run=fail), Step("d")]
    undone = Workflow("w", steps).start()
    assert undone.remaining == (("d",), ("a",))
    stopped = Workflow("w", steps, mode="stop").start()
    assert stopped.remaining.not_run == ("d",)
    assert stopped.remaining.not_undone == ("c", "b", "a")
    assert stopped.outcome is Outcome.FAILED


def test_the_report_reads_as_text():
    """str() of a report has a line an action, nested ones indented; repr is one line."""

    def skip():
        raise Skip("why")

    inner = Workflow("inner", [Step("a", run=skip)])
    report = Workflow("w", [inner, Step("fails", run=lambda: 1 / 0)]).start(run_id="r")
    assert str(report) == (
        "workflow 'w' ended undone: ZeroDivisionError: division by zero\n"
        "  run      inner SUCCESS\n"
        "    run      a SKIPPED  'why'\n"
        "  run      fails FAILED  ZeroDivisionError('division by zero')\n"
        "  rollback fails SKIPPED  'no undo function'\n"
        "  rollback inner SUCCESS\n"
        "    rollback a SKIPPED  'no undo function'"
    )
    assert repr(report) == "<WorkflowReport w FAILED, 4 actions>"
    assert repr(report.step_reports[0]) == "<StepReport inner run SUCCESS>"
    assert repr(report.step_reports[1]) == "<StepReport fails run FAILED (division by zero)>"


def test_times_are_utc_and_durations_follow():
    """Times are aware, in UTC; a duration is known once the end is."""
    report = Workflow("w", [Step("a")]).start()
    assert report.start_time.tzinfo is datetime.UTC
    assert report.duration >= report.step_reports[0].duration >= datetime.timedelta(0)
    assert WorkflowReport("w", []).duration is None
    assert StepReport("a", Action.RUN).duration is None


def test_a_step_with_a_copy_of_its_own_decides_what_is_copied():
    """`__copy__` decides what a run's copy shares; by default mutable attributes of __init__ are shared."""

    class Shares(Step):
        def __init__(self, id):
            super().__init__(id)
            self.log = []

        def saga_run(self):
            self.log.append("ran")

    class Keeps(Shares):
        def __copy__(self):
            copy = super().__copy__()
            copy.log = []
            return copy

    shares, keeps = Shares("a"), Keeps("b")
    Workflow("w", [shares, keeps]).start()
    assert (shares.log, keeps.log) == (["ran"], [])


def test_steps_workflows_and_events_have_readable_reprs():
    """What shows up in a debugger names itself."""
    from automa import Handoff, Success

    assert repr(Step("a")) == "<Step a>"
    assert repr(Workflow("w", [Step("a")])) == "<Workflow w, 1 steps>"
    handoff = Handoff(None, Success.start_trigger(WorkflowReport("w", [])))
    assert repr(handoff).startswith("Handoff(to=None, event=<automa._core.events.Success")


@pytest.mark.parametrize("store", [None, "memory:"])
def test_what_cannot_be_undone_by_nature_is_told_as_left(store):
    """An irreversible step stays in `remaining`, and its effects in `effects`, after the run has gone back."""
    letter = Step("letter", run=lambda ctx: ctx.record_effect("letter", "l-1"), irreversible=True)
    report = Workflow("w", [letter, Step("fail", run=lambda: 1 / 0)]).start(store=store)
    assert report.outcome is Outcome.UNDONE
    assert report.remaining.not_undone == ("letter",)
    assert [effect.ref for effect in report.effects] == ["l-1"]
