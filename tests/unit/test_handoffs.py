"""Answers that a step may not give: each is the step's failure, and the rest is undone."""

from __future__ import annotations

import pytest

from automa import (
    Action,
    Failure,
    Handoff,
    IllegalHandoff,
    Outcome,
    Skip,
    Status,
    Step,
    StepReport,
    Success,
    Workflow,
)


class Answers(Step):
    """Answers its run with what a function makes of it."""

    def __init__(self, answer, kind="run"):
        super().__init__("odd")
        self.answer, self.kind = answer, kind

    def run(self, ctx, prev_success):
        return self.answer(self, ctx, prev_success) if self.kind == "run" else self.run_next(prev_success)

    def rollback(self, ctx, prev_failure):
        return (
            self.answer(self, ctx, prev_failure)
            if self.kind == "rollback"
            else self.rollback_prev(prev_failure)
        )


def other_event(step, ctx, event):
    stranger = Workflow("other", [Step("odd")]).start()
    return step.run_next(Success.start_trigger(stranger))


ILLEGAL_RUNS = {
    "nothing": lambda step, ctx, event: None,
    "no handoff": lambda step, ctx, event: "done",
    "no event": lambda step, ctx, event: Handoff(step.next, "done"),
    "a success back": lambda step, ctx, event: Handoff(step.prev, Success.of(event, ctx.report)),
    "a success to itself": lambda step, ctx, event: Handoff(step, Success.of(event, ctx.report)),
    "past the next": lambda step, ctx, event: Handoff(None, Success.of(event, ctx.report)),
    "to a stranger": lambda step, ctx, event: Handoff(Step("stranger"), Success.of(event, ctx.report)),
    "a failure on": lambda step, ctx, event: Handoff(
        step.next, Failure.of_run(event, ValueError("x"), ctx.report)
    ),
    "no report": lambda step, ctx, event: Handoff(step.next, event),
    "two reports": lambda step, ctx, event: step.run_next(Success.of(event, ctx.report)),
    "another's report": lambda step, ctx, event: step.run_next(event, StepReport("before", Action.RUN)),
    "a failure with another's report": lambda step, ctx, event: Handoff(
        step, Failure.of_run(event, ValueError("x"), StepReport("before", Action.RUN))
    ),
    "another run's event": other_event,
}


@pytest.mark.parametrize("name", ILLEGAL_RUNS)
def test_an_illegal_answer_of_a_run_is_its_failure(name):
    """The step has failed with IllegalHandoff, is rolled back itself, and then those before it."""
    undone = []
    before = Step("before", run=lambda: 1, undo=lambda: undone.append("before"))
    odd = Answers(ILLEGAL_RUNS[name])
    after = Step("after", run=lambda: undone.append("never"))
    report = Workflow("w", [before, odd, after]).start()
    assert isinstance(report.error, IllegalHandoff)
    assert "step odd" in str(report.error)
    assert undone == ["before"]
    assert [(r.step_id, r.action, r.status) for r in report.step_reports] == [
        ("before", "run", "SUCCESS"),
        ("odd", "run", "FAILED"),
        ("odd", "rollback", "SUCCESS"),
        ("before", "rollback", "SUCCESS"),
    ]


def test_an_illegal_handoff_names_both_ends():
    """The message names who handed over, to whom, and to whom it should have been."""
    odd = Answers(lambda step, ctx, event: Handoff(step.prev, Success.of(event, ctx.report)))
    report = Workflow("w", [Step("before"), odd, Step("after")]).start()
    assert "step odd: its run handed a Success" in str(report.error)
    assert "to step 'before'" in str(report.error)
    assert "to step 'after'" in str(report.error)
    alone = Workflow(
        "w", [Answers(lambda step, ctx, event: Handoff(step, Success.of(event, ctx.report)))]
    ).start()
    assert "to the end of the workflow" in str(alone.error)


ILLEGAL_ROLLBACKS = {
    "a success": lambda step, ctx, event: Handoff(step.next, Success(event.base, (ctx.report,))),
    "on": lambda step, ctx, event: Handoff(step.next, Failure.of(event, ctx.report)),
    "as a run": lambda step, ctx, event: Handoff(
        step, Failure.of_run(Success(event.base), event.error, ctx.report)
    ),
    "raises": lambda step, ctx, event: 1 / 0,
}


@pytest.mark.parametrize("name", ILLEGAL_ROLLBACKS)
def test_an_illegal_answer_of_a_rollback_is_a_failed_undo(name):
    """The undo has failed, and the step before is undone all the same."""
    undone = []
    before = Step("before", run=lambda: 1, undo=lambda: undone.append("before"))
    report = Workflow(
        "w", [before, Answers(ILLEGAL_ROLLBACKS[name], "rollback"), Step("last", run=lambda: 1 / 0)]
    ).start()
    assert isinstance(report.error, ZeroDivisionError)
    assert undone == ["before"]
    assert len(report.rollback_errors) == 1
    assert report.outcome is Outcome.NEEDS_ATTENTION


def test_a_controller_that_raises_has_failed():
    """An overriding run that raises, Skip included, is a failed step, not a broken run."""

    class Raises(Step):
        def run(self, ctx, prev_success):
            raise Skip("a controller answers; it does not raise")

    report = Workflow("w", [Raises("a")]).start()
    assert report.status is Status.FAILED
    assert isinstance(report.error, Skip)


def test_what_a_refused_answer_added_leaves_no_trace():
    """A report that came with a refused answer is not in the workflow's report."""

    def answer(step, ctx, event):
        step.run_next(event)
        raise ValueError("after all")

    report = Workflow("w", [Answers(answer)]).start()
    assert [r.status for r in report.step_reports] == [Status.FAILED, Status.SUCCESS]


def test_metadata_noted_in_the_context_reaches_a_report_made_by_hand():
    """ctx.metadata goes into the report of the action, whoever made the report."""

    class ByHand(Step):
        def run(self, ctx, prev_success):
            ctx.metadata["seen"] = "ctx"
            report = StepReport(self.id, Action.RUN)
            report.metadata["own"] = b"report"
            return self.run_next(prev_success, report)

    report = Workflow("w", [ByHand("a")]).start()
    assert report.step_reports[0].metadata == {"own": b"report", "seen": "ctx"}


def test_a_tampered_link_does_not_change_the_order():
    """A step that rewires itself in its run cannot leave out the one after it."""

    class Jumps(Step):
        def run(self, ctx, prev_success):
            self.next = self.next.next
            return self.run_next(prev_success)

    report = Workflow("w", [Jumps("a"), Step("b"), Step("c")]).start()
    assert isinstance(report.error, IllegalHandoff)
