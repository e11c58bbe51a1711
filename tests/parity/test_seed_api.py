"""One test for each row of the table that says what became of the Go package's API.

The Go names are in each test's sentence; ``docs/reference/seed-parity.md`` has the table.
"""

from __future__ import annotations

import base64
import json
import logging
import threading

import pytest

import automa
from automa import (
    Action,
    Failure,
    Handoff,
    Skip,
    Status,
    Step,
    StepIDs,
    StepRegistry,
    StepReport,
    Success,
    UnknownStepError,
    Workflow,
    WorkflowFailed,
    WorkflowReport,
    step,
)
from automa.abc import (
    AtomicStep,
    AtomicStepRegistry,
    AtomicWorkflow,
    Backward,
    Choreographer,
    Forward,
)
from automa.errors import EncodedError, RemoteError, decode_error, encode_error
from automa.wire import v0


class Plain:
    """A step that shares nothing with `Step` but the protocol."""

    def __init__(self, id, log, fail=False):
        self.id = id
        self.log = log
        self.fail = fail
        self.next = None
        self.prev = None

    def run(self, ctx, prev_success):
        self.log.append(f"run {self.id}")
        report = StepReport(self.id, Action.RUN)
        if self.fail:
            return Handoff(self, Failure.of_run(prev_success, ValueError("no"), report))
        return Handoff(self.next, Success.of(prev_success, report))

    def rollback(self, ctx, prev_failure):
        self.log.append(f"undo {self.id}")
        return Handoff(self.prev, Failure.of(prev_failure, StepReport(self.id, Action.ROLLBACK)))


def told(report):
    return [(r.step_id, r.action.value, r.status.value) for r in report.step_reports]


def test_atomic_step():
    """AtomicStep: whatever satisfies the protocol can stand in a workflow, without subclassing Step."""
    log = []
    plain = [Plain("a", log), Plain("b", log, fail=True)]
    assert all(isinstance(each, AtomicStep) for each in [*plain, Step("c")])
    report = Workflow("w", plain).start()
    assert log == ["run a", "run b", "undo b", "undo a"]
    assert told(report) == [
        ("a", "run", "SUCCESS"),
        ("b", "run", "FAILED"),
        ("b", "rollback", "SUCCESS"),
        ("a", "rollback", "SUCCESS"),
    ]


def test_forward_run():
    """Forward.Run: `run` gets the context and the Success of the step before, and answers a Handoff."""
    seen = []

    class Second(Step):
        def run(self, ctx, prev_success):
            seen.append((ctx.step_id, type(prev_success), len(prev_success.workflow_report.step_reports)))
            return self.run_next(prev_success)

    assert isinstance(Second("b"), Forward)
    Workflow("w", [Step("a", run=lambda: 1), Second("b")]).start()
    assert seen == [("b", Success, 1)]


def test_backward_rollback():
    """Backward.Rollback: `rollback` gets the context and the Failure, which carries error and report."""
    seen = []

    class First(Step):
        def rollback(self, ctx, prev_failure):
            seen.append((ctx.action, str(prev_failure.error), len(prev_failure.workflow_report.step_reports)))
            return self.rollback_prev(prev_failure)

    assert isinstance(First("a"), Backward)
    Workflow("w", [First("a"), Step("b", run=lambda: 1 / 0)]).start()
    assert seen == [(Action.ROLLBACK, "division by zero", 3)]


def test_choreographer():
    """Choreographer: `next` and `prev` can be read and written, and in a run they are the neighbours."""
    seen = {}

    class Looks(Step):
        def run(self, ctx, prev_success):
            seen[self.id] = (self.prev and self.prev.id, self.next and self.next.id)
            return self.run_next(prev_success)

    a, b = Step("a"), Step("b")
    a.next, b.prev = b, a
    assert isinstance(a, Choreographer)
    assert (a.next, b.prev) == (b, a)
    Workflow("w", [Looks("x"), Looks("y"), Looks("z")]).start()
    assert seen == {"x": (None, "y"), "y": ("x", "z"), "z": ("y", None)}


def test_atomic_step_registry():
    """AtomicStepRegistry: the protocol that StepRegistry satisfies."""
    assert isinstance(StepRegistry(), AtomicStepRegistry)


def test_atomic_workflow():
    """AtomicWorkflow: the protocol that Workflow satisfies."""
    assert isinstance(Workflow("w"), AtomicWorkflow)


def test_step():
    """Step{ID, Next, Prev}: the kernel can be made with an id alone, and then skips both ways."""
    kernel = Step("a")
    assert (kernel.id, kernel.next, kernel.prev) == ("a", None, None)
    report = Workflow("w", [kernel, Step("b", run=lambda: 1 / 0)]).start()
    assert told(report)[0] == ("a", "run", "SKIPPED")
    assert told(report)[-1] == ("a", "rollback", "SKIPPED")


def test_register_saga():
    """RegisterSaga: sets run and undo, and is chainable."""
    calls = []
    kernel = Step("a").register_saga(lambda: calls.append("run"), lambda: calls.append("undo"))
    assert isinstance(kernel, Step)
    Workflow("w", [kernel, Step("b", run=lambda: 1 / 0)]).start()
    assert calls == ["run", "undo"]


def test_step_keyword_functions():
    """RegisterSaga: `Step(id, run=…, undo=…)` is the same in one line."""
    calls = []
    Workflow("w", [Step("a", run=lambda: calls.append("run"), undo=lambda: calls.append("undo")),
                   Step("b", run=lambda: 1 / 0)]).start()  # fmt: skip
    assert calls == ["run", "undo"]


def test_step_subclass_methods():
    """RegisterSaga: methods `saga_run` and `saga_undo` of a subclass, with what run keeps on self seen in undo."""
    calls = []

    class Deploy(Step):
        def saga_run(self, ctx):
            self.kept = ctx.run_id

        def saga_undo(self):
            calls.append(self.kept)

    deploy = Deploy("deploy")
    Workflow("w", [deploy, Step("b", run=lambda: 1 / 0)]).start(run_id="r1")
    assert calls == ["r1"]
    assert not hasattr(deploy, "kept")


def test_step_decorators():
    """RegisterSaga: `@step` and `@that_step.undo` make a step of functions, which stay callable."""
    calls = []

    @step
    def reserve():
        return 17

    @reserve.undo
    def release(ctx):
        calls.append(ctx.result)

    @step(id="charge-card")
    def charge():
        raise ValueError("refused")

    assert (reserve.id, charge.id, callable(release)) == ("reserve", "charge-card", True)
    Workflow("w", [reserve, charge]).start()
    assert calls == [17]


def test_saga_run_and_saga_undo_take_ctx_or_nothing():
    """SagaRun, SagaUndo: callables that take ctx or nothing; an exception is the error, Skip is skipped."""
    assert callable(lambda: automa.SagaRun) and callable(lambda: automa.SagaUndo)

    def skips(ctx):
        raise Skip("nothing to do")

    report = Workflow(
        "w", [Step("a", run=skips, undo=skips), Step("b", run=lambda ctx: ctx.shared["missing"])]
    ).start()
    first, second, _, last = report.step_reports
    assert (first.status, first.reason, first.detail) == (Status.SKIPPED, "nothing to do", "nothing to do")
    assert (second.status, type(second.reason)) == (Status.FAILED, KeyError)
    assert (last.step_id, last.status, last.reason) == ("a", Status.SKIPPED, "nothing to do")


def test_step_run_controller():
    """Step.Run: no run function is skipped; an error goes to the step's own rollback; it can be overridden."""
    calls = []
    report = Workflow(
        "w", [Step("a"), Step("b", run=lambda: 1 / 0, undo=lambda: calls.append("undo b"))]
    ).start()
    assert told(report)[:3] == [("a", "run", "SKIPPED"), ("b", "run", "FAILED"), ("b", "rollback", "SUCCESS")]
    assert calls == ["undo b"]


def test_step_rollback_controller():
    """Step.Rollback: no undo is skipped; an error is recorded and the step before still rolls back."""
    calls = []
    report = Workflow(
        "w",
        [
            Step("a", run=lambda: 1, undo=lambda: calls.append("undo a")),
            Step("b", run=lambda: 1, undo=lambda: {}["lost"]),
            Step("c", run=lambda: 1 / 0),
        ],
    ).start()
    assert told(report)[3:] == [
        ("c", "rollback", "SKIPPED"),
        ("b", "rollback", "FAILED"),
        ("a", "rollback", "SUCCESS"),
    ]
    assert calls == ["undo a"]


@pytest.fixture
def success():
    return Success.start_trigger(WorkflowReport("w", ["a", "b"]))


@pytest.fixture
def failure(success):
    return Failure.of_run(success, ValueError("first"), StepReport("b", Action.RUN))


def linked():
    before, kernel, after = Step("before"), Step("a"), Step("after")
    kernel.prev, kernel.next = before, after
    return kernel


def test_run_next(success):
    """RunNext: records SUCCESS and hands a Success to the next."""
    kernel = linked()
    handoff = kernel.run_next(success)
    assert handoff.to is kernel.next and isinstance(handoff.event, Success)
    assert told(handoff.event.workflow_report) == [("a", "run", "SUCCESS")]


def test_skipped_run(success):
    """SkippedRun: records SKIPPED with its reason and hands a Success to the next."""
    kernel = linked()
    handoff = kernel.skipped_run(success, reason="why")
    assert handoff.to is kernel.next and isinstance(handoff.event, Success)
    assert told(handoff.event.workflow_report) == [("a", "run", "SKIPPED")]
    assert handoff.event.workflow_report.step_reports[0].reason == "why"


def test_failed_run(success):
    """NewFailedRun: records FAILED and hands a Failure to the step's own rollback."""
    kernel = linked()
    handoff = kernel.failed_run(success, ValueError("no"))
    assert handoff.to is kernel and isinstance(handoff.event, Failure)
    assert str(handoff.event.error) == "no"
    assert told(handoff.event.workflow_report) == [("a", "run", "FAILED")]


def test_rollback_prev(failure):
    """RollbackPrev: records SUCCESS of the rollback and hands a Failure to the step before."""
    kernel = linked()
    handoff = kernel.rollback_prev(failure)
    assert handoff.to is kernel.prev and isinstance(handoff.event, Failure)
    assert told(handoff.event.workflow_report)[1:] == [("a", "rollback", "SUCCESS")]


def test_skipped_rollback(failure):
    """SkippedRollback: records SKIPPED with its reason and hands a Failure to the step before."""
    kernel = linked()
    handoff = kernel.skipped_rollback(failure, reason="why")
    assert handoff.to is kernel.prev
    assert handoff.event.workflow_report.step_reports[1].reason == "why"
    assert told(handoff.event.workflow_report)[1:] == [("a", "rollback", "SKIPPED")]


def test_failed_rollback(failure):
    """FailedRollback: records FAILED and hands a Failure, still with the first error, to the step before."""
    kernel = linked()
    handoff = kernel.failed_rollback(failure, KeyError("second"))
    assert handoff.to is kernel.prev
    assert str(handoff.event.error) == "first"
    assert told(handoff.event.workflow_report)[1:] == [("a", "rollback", "FAILED")]


def test_step_accessors():
    """GetID, GetNext, GetPrev, SetNext, SetPrev: the attributes id, next and prev."""
    kernel = Step("a")
    kernel.next = kernel.prev = other = Step("b")
    assert (kernel.id, kernel.next, kernel.prev) == ("a", other, other)


def test_success_events(success):
    """Success, NewStartTrigger, NewSuccess, NewSkippedRun: carry the report as it grows."""
    ran = Success.of(success, StepReport("a", Action.RUN))
    skipped = Success.skipped(ran, StepReport("b", Action.RUN))
    assert success.workflow_report.step_reports == []
    assert told(ran.workflow_report) == [("a", "run", "SUCCESS")]
    assert told(skipped.workflow_report) == [("a", "run", "SUCCESS"), ("b", "run", "SKIPPED")]


def test_failure_events(failure):
    """Failure, NewFailedRun, NewFailure, NewFailedRollback, NewSkippedRollback: carry report and first error."""
    undone = Failure.of(failure, StepReport("b", Action.ROLLBACK))
    failed = Failure.of_rollback(undone, KeyError("second"), StepReport("a", Action.ROLLBACK))
    skipped = Failure.skipped(failed, StepReport("z", Action.ROLLBACK))
    assert [status for _, _, status in told(skipped.workflow_report)] == [
        "FAILED",
        "SUCCESS",
        "FAILED",
        "SKIPPED",
    ]
    assert str(skipped.error) == "first"
    assert str(skipped.workflow_report.step_reports[2].error) == "'second'"


def test_status():
    """Status: SUCCESS, FAILED, SKIPPED, UNDEFINED, with the values that Go writes."""
    assert [str(status) for status in Status] == ["SUCCESS", "FAILED", "SKIPPED", "UNDEFINED"]


def test_action():
    """StepActionType: run and rollback, plus prepare."""
    assert {str(action) for action in Action} == {"run", "rollback", "prepare"}


def test_step_ids():
    """StepIDs: an alias of list[str]."""
    assert StepIDs == list[str]


def test_step_report():
    """StepReport, NewStepReport: id, action, times, status, reason and metadata of one action."""
    report = StepReport("a", Action.RUN)
    assert (report.step_id, report.action, report.status, report.reason) == (
        "a",
        Action.RUN,
        Status.UNDEFINED,
        None,
    )
    assert report.start_time is not None and report.end_time is None
    report.metadata["host"] = b"db1"
    assert report.metadata == {"host": b"db1"}


def test_workflow_report_append():
    """WorkflowReport, NewWorkflowReport, Append: adds a step's report with its end time and status, in order."""
    report = WorkflowReport("w", ["a"])
    first = StepReport("a", Action.RUN)
    report.append(first, Action.RUN, Status.SUCCESS)
    assert (report.workflow_id, report.step_sequence, report.step_reports) == ("w", ["a"], [first])
    assert first.status is Status.SUCCESS
    assert first.end_time is not None and first.start_time is not None
    assert first.end_time >= first.start_time


def test_wire_field_names():
    """The JSON and YAML tags of both reports: exactly those of Go."""

    def run(ctx):
        ctx.metadata["key"] = b"value"

    report = Workflow("w", [Step("a", run=run)]).start()
    document = json.loads(v0.to_json(report))
    assert list(document) == ["workflowID", "startTime", "endTime", "status", "stepSequence", "stepReports"]
    entry = document["stepReports"][0]
    assert list(entry) == ["stepID", "action", "startTime", "endTime", "status", "reason", "metadata"]
    assert entry["metadata"] == {"key": base64.b64encode(b"value").decode()}
    assert entry["reason"] == {"Error": None}
    text = v0.to_yaml(report)
    for name in (
        "workflow_id",
        "start_time",
        "end_time",
        "status",
        "step_sequence",
        "step_reports",
        "step_id",
    ):
        assert f"{name}:" in text


def test_encoded_error():
    """errors.EncodedError: the error as data; a builtin comes back as itself, others as RemoteError."""

    class OwnError(Exception):
        pass

    encoded = encode_error(ValueError("no"))
    assert isinstance(encoded, EncodedError)
    back = decode_error(encoded)
    assert type(back) is ValueError and str(back) == "no"
    remote = decode_error(encode_error(OwnError("mine")))
    assert (
        isinstance(remote, RemoteError)
        and str(remote) == "mine"
        and type(remote).__name__.endswith("OwnError")
    )


def test_step_registry():
    """StepRegistry, NewStepRegistry(logger): takes the logger for its workflows, or none; is thread-safe."""
    registry = StepRegistry(logging.getLogger("mine"))
    threads = [
        threading.Thread(target=lambda n=n: [registry.register(Step(f"{n}-{i}")) for i in range(50)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(registry.get_step(f"{n}-{i}") for n in range(8) for i in range(50))


def test_registry_logger(caplog):
    """NewStepRegistry(logger): its workflows log there."""
    with caplog.at_level(logging.INFO, "mine"):
        StepRegistry(logging.getLogger("mine")).register(Step("a")).build_workflow("w", ["a"]).start(
            run_id="r"
        )
    assert {record.name for record in caplog.records} == {"mine"}


def test_register_steps():
    """RegisterSteps: chainable; the keys of the mapping are the lookup keys; None values are ignored."""
    one = Step("one")
    registry = StepRegistry().register_steps({"key": one, "nothing": None}).register(Step("two"))
    assert registry.get_step("key") is one
    assert registry.get_step("nothing") is None
    assert registry.get_step("two").id == "two"


def test_get_step():
    """GetStep: the step, or None."""
    registry = StepRegistry().register(Step("a"))
    assert registry.get_step("a").id == "a"
    assert registry.get_step("b") is None


def test_build_workflow():
    """BuildWorkflow: a workflow of registered steps; an unknown id raises, naming it and the near misses."""
    registry = StepRegistry().register(Step("reserve"), Step("charge"))
    assert registry.build_workflow("w", ["charge", "reserve"]).start().step_sequence == ["charge", "reserve"]
    with pytest.raises(UnknownStepError, match=r"'reserv'.*did you mean 'reserve'"):
        registry.build_workflow("w", ["reserv"])
    with pytest.raises(UnknownStepError, match=r"'zzz'.*there are: 'reserve', 'charge'"):
        registry.build_workflow("w", ["zzz"])


def test_workflow_options(caplog):
    """Workflow, NewWorkflow, WithSteps, WithLogger: options are keyword arguments."""
    with caplog.at_level(logging.INFO, "other"):
        workflow = Workflow("w", steps=[Step("a")], logger=logging.getLogger("other"))
        workflow.start()
    assert workflow.id == "w" and [each.id for each in workflow.steps] == ["a"]
    assert {record.name for record in caplog.records} == {"other"}


async def test_workflow_start_end():
    """GetID, Start, End: start returns the report whatever happened; a workflow is a context manager both ways."""
    ended = []

    class Mine(Workflow):
        def end(self):
            super().end()
            ended.append(self.id)

    with Mine("w", [Step("a", run=lambda: 1 / 0), Mine("inner", [])]) as workflow:
        report = workflow.start()
    assert report.status is Status.FAILED
    async with Mine("w2") as workflow:
        assert (await workflow.start_async()).status is Status.SUCCESS
    assert ended == ["inner", "w", "w2"]
    with pytest.raises(WorkflowFailed, match="division by zero") as caught:
        report.raise_for_status()
    assert caught.value.report is report
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_logger_is_silent_unless_configured(capfd):
    """logger (zap): the standard logging, silent unless the caller configures it."""
    Workflow("w", [Step("a", run=lambda: 1 / 0)]).start()
    assert capfd.readouterr() == ("", "")
