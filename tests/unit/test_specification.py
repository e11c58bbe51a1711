"""What automa-spec asks for: modes, prepare, nesting; and the bugs of its first implementation, not here.

The numbers in the names are those of the list of bugs that were found by running that implementation.
"""

from __future__ import annotations

import pytest

from automa import (
    Action,
    ExecutionMode,
    Outcome,
    RollbackMode,
    Skip,
    StateError,
    Status,
    Step,
    Workflow,
    WorkflowDefinitionError,
    step,
)


@pytest.fixture
def calls():
    return []


def fail():
    raise ValueError("boom")


class Notes:
    """Makes steps that note their calls."""

    def __init__(self, calls):
        self.calls = calls

    def step(self, id, *, fails=False, undo_fails=False, **options):
        def run():
            self.calls.append(f"run {id}")
            if fails:
                fail()

        def undo():
            self.calls.append(f"undo {id}")
            if undo_fails:
                raise OSError(f"undo {id}")

        return Step(id, run=run, undo=undo, **options)


@pytest.fixture
def notes(calls):
    return Notes(calls)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("rollback", ["run a", "run b", "undo b", "undo a"]),
        ("stop", ["run a", "run b"]),
        ("continue", ["run a", "run b", "run c"]),
        (ExecutionMode.STOP, ["run a", "run b"]),
    ],
)
def test_execution_modes(calls, notes, mode, expected):
    """rollback undoes from the failed step down, stop halts, continue goes on; texts name them as well."""
    report = Workflow("w", [notes.step("a"), notes.step("b", fails=True), notes.step("c")], mode=mode).start()
    assert calls == expected
    assert report.status is Status.FAILED
    assert report.execution_mode == mode


@pytest.mark.parametrize(
    ("mode", "undone"),
    [("continue", ["undo c", "undo b", "undo a"]), (RollbackMode.STOP, ["undo c", "undo b"])],
)
def test_rollback_modes(calls, notes, mode, undone):
    """continue undoes the others in spite of a failed undo, stop leaves them."""
    steps = [notes.step("a"), notes.step("b", undo_fails=True), notes.step("c", fails=True)]
    report = Workflow("w", steps, rollback_mode=mode).start()
    assert calls[3:] == undone
    assert report.outcome is Outcome.NEEDS_ATTENTION


def test_bug_2_a_failed_undo_in_a_nested_workflow_halts_the_whole_pass(calls, notes):
    """Bug 2: rollback mode stop holds across nesting, whether the inner workflow undoes itself or is undone."""
    inner = [notes.step("b1"), notes.step("b2", undo_fails=True), notes.step("b3", fails=True)]
    report = Workflow("w", [notes.step("a"), Workflow("b", inner)], rollback_mode="stop").start()
    assert calls == ["run a", "run b1", "run b2", "run b3", "undo b3", "undo b2"]
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert report.remaining.not_undone == ("b/b2", "b/b1", "a")
    calls.clear()
    inner = Workflow("b", [notes.step("b1"), notes.step("b2", undo_fails=True)])
    report = Workflow(
        "w", [notes.step("a"), inner, notes.step("c", fails=True)], rollback_mode="stop"
    ).start()
    assert calls[4:] == ["undo c", "undo b2"]
    assert report.step_reports[-1].status is Status.FAILED
    assert str(report.rollback_errors[0]) == "undo b2"


def test_bug_4_a_state_that_cannot_be_encoded_does_not_stop_the_way_back(calls, notes):
    """Bug 4: a step that leaves a NaN fails, says so, and it and all before it are undone."""

    def spoil(ctx):
        ctx.shared["list"] = values = []
        values.append(float("nan"))

    steps = [notes.step("a"), Step("b", run=spoil, undo=lambda: calls.append("undo b")), notes.step("c")]
    report = Workflow("w", steps).start()
    assert calls == ["run a", "undo b", "undo a"]
    assert isinstance(report.error, StateError)
    assert "shared['list'][0] in step 'b': nan is no JSON number" in str(report.error)


def test_bug_6_a_failed_workflow_can_be_run_again(calls, notes):
    """Bug 6: a second run of the same workflow, nested ones too, undoes as the first did."""
    workflow = Workflow("w", [notes.step("a"), Workflow("n", [notes.step("b")]), notes.step("c", fails=True)])
    workflow.start()
    first = list(calls)
    calls.clear()
    workflow.start()
    assert calls == first == ["run a", "run b", "run c", "undo c", "undo b", "undo a"]


def test_bug_7_each_undo_gets_its_own_context(calls):
    """Bug 7: after a failed prepare each undo has what its own prepare and run left, and nobody else's."""

    def look(ctx):
        calls.append((ctx.step_id, dict(ctx.local), ctx.result))

    def make(id, prepare=None):
        return Step(id, prepare=prepare or (lambda: {"mine": id}), run=lambda: f"result {id}", undo=look)

    report = Workflow("w", [make("a"), make("b"), make("c", prepare=fail)]).start()
    assert calls == [("b", {"mine": "b"}, "result b"), ("a", {"mine": "a"}, "result a")]
    failed = report.step_reports[2]
    assert (failed.step_id, failed.action, failed.status) == ("c", Action.PREPARE, Status.FAILED)
    passed = report.step_reports[3]
    assert (passed.step_id, passed.action, passed.status) == ("c", Action.ROLLBACK, Status.SKIPPED)
    assert passed.detail == "was not run"


def test_bug_9_snapshots_are_deep(calls):
    """Bug 9: a map that a later step changes in place is, for an earlier undo, as it was."""

    def change(ctx):
        ctx.shared["map"]["inner"]["count"] += 1

    steps = [
        Step(id, run=change, undo=lambda ctx: calls.append(ctx.shared["map"]["inner"]["count"]))
        for id in "ab"
    ]
    Workflow("w", [*steps, Step("fail", run=fail)]).start({"map": {"inner": {"count": 0}}})
    assert calls == [2, 1]


def test_without_snapshots_an_undo_gets_the_state_as_it_is(calls):
    """snapshots=False: no deltas are kept, and each undo sees the present values, those of other undos too."""

    def change(ctx):
        ctx.shared["count"] += 1

    def undo(ctx):
        calls.append(ctx.shared["count"])
        ctx.shared["count"] -= 1

    steps = [Step(id, run=change, undo=undo) for id in "ab"]
    Workflow("w", [*steps, Step("fail", run=fail)], snapshots=False).start({"count": 0})
    assert calls == [2, 1]


def test_what_a_prepare_returns_or_sets_is_seen_by_run_and_undo_of_its_step_alone(calls):
    """A step's prepare fills ctx.local: by what it returns and by what it sets."""

    @step
    def a(ctx):
        calls.append(("run", dict(ctx.local)))

    @a.prepare
    def look_up(ctx):
        assert ctx.action is Action.PREPARE
        ctx.local["set"] = 1
        return {"returned": 2}

    @a.undo
    def undo(ctx):
        calls.append(("undo", dict(ctx.local)))

    class B(Step):
        def saga_prepare(self):
            return {"b": 3}

        def saga_run(self, ctx):
            calls.append(("run", dict(ctx.local)))
            raise ValueError

    report = Workflow("w", [a, B("b")]).start()
    mine = {"set": 1, "returned": 2}
    assert calls == [("run", mine), ("run", {"b": 3}), ("undo", mine)]
    assert [r.action for r in report.step_reports][:2] == [Action.RUN, Action.RUN]
    assert callable(look_up)


async def test_a_prepare_may_be_async(calls):
    """An async prepare is awaited on the loop, also before a run that works in a thread."""

    async def prepare(ctx):
        return {"x": 1}

    steps = [Step("a", prepare=prepare, run=lambda ctx: calls.append(ctx.local["x"]))]
    workflow = Workflow("w", steps, prepare=prepare)
    (await workflow.start_async()).raise_for_status()
    assert calls == [1]
    with pytest.raises(WorkflowDefinitionError, match="async step 'prepare'"):
        workflow.start()
    with pytest.raises(WorkflowDefinitionError, match="async step 'a'"):
        Workflow("w", steps).start()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda: 7, "returns a dict of values to keep, or nothing, not int"),
        (lambda: {"x": object()}, "is no JSON value"),
        (lambda: 1 / 0, "division by zero"),
    ],
)
@pytest.mark.parametrize("of", ["step", "workflow", "nested"])
def test_a_prepare_that_fails_runs_nothing(calls, notes, prepare, message, of):
    """A failed prepare is reported with the action prepare; what it belongs to is neither run nor undone."""
    if of == "step":
        workflow = Workflow("w", [notes.step("a"), notes.step("b", prepare=prepare)])
    elif of == "nested":
        workflow = Workflow("w", [notes.step("a"), Workflow("b", [notes.step("c")], prepare=prepare)])
    else:
        workflow = Workflow("w", [notes.step("a")], prepare=prepare)
    report = workflow.start()
    assert message in str(report.error)
    if of == "workflow":
        assert (calls, report.action, report.status) == ([], Action.PREPARE, Status.FAILED)
        assert report.prepare.status is Status.FAILED
    else:
        assert calls == ["run a", "undo a"]
        assert [(r.step_id, str(r.action), str(r.status)) for r in report.step_reports] == [
            ("a", "run", "SUCCESS"),
            ("b", "prepare", "FAILED"),
            ("b", "rollback", "SKIPPED"),
            ("a", "rollback", "SUCCESS"),
        ]


@pytest.mark.parametrize("mode", ["rollback", "stop"])
def test_the_outcome_of_a_failed_prepare_of_a_workflow(mode):
    """Nothing was done: undone where the mode undoes, else failed."""
    report = Workflow("w", [Step("a")], prepare=fail, mode=mode).start()
    assert report.outcome is {"rollback": Outcome.UNDONE, "stop": Outcome.FAILED}[mode]


def test_what_a_workflows_prepare_keeps_is_seen_by_its_steps_alone(calls):
    """A workflow's prepare fills its shared state; what a nested one keeps does not flow back."""

    def look(ctx):
        calls.append((ctx.step_id, dict(ctx.shared)))

    def prepare(ctx):
        ctx.shared["set"] = ctx.path
        ctx.metadata["seen"] = "yes"
        return {"returned": 1}

    inner = Workflow("inner", [Step("b", run=look, undo=look)], prepare=prepare)
    steps = [inner, Step("a", run=look), Step("fail", run=fail)]
    report = Workflow("w", steps, prepare=lambda: {"outer": True}).start()
    kept = {"outer": True, "set": "inner", "returned": 1}
    assert calls == [("b", kept), ("a", {"outer": True}), ("b", kept)]
    assert report.step_reports[0].workflow.metadata == {"seen": "yes"}


def test_a_prepare_that_skips(calls, notes):
    """Skip from a prepare: the step, or the workflow, is skipped, and never undone."""

    def skip():
        raise Skip("nothing to do")

    nested = Workflow("n", [notes.step("b")], prepare=skip)
    report = Workflow("w", [notes.step("a", prepare=skip), nested, notes.step("c", fails=True)]).start()
    assert calls == ["run c", "undo c"]
    assert [(r.step_id, str(r.action), str(r.status), r.detail) for r in report.step_reports][:2] == [
        ("a", "prepare", "SKIPPED", "nothing to do"),
        ("n", "prepare", "SKIPPED", "nothing to do"),
    ]
    whole = Workflow("w", [notes.step("a")], prepare=skip).start()
    assert (whole.status, whole.outcome, whole.detail) == (Status.SKIPPED, Outcome.SUCCEEDED, "nothing to do")
    whole.raise_for_status()


@pytest.mark.parametrize("of", ["step", "workflow"])
def test_an_interruption_of_a_prepare(calls, notes, of):
    """Ctrl-C in a prepare: what it belongs to is not run, what was done is undone, and it goes on."""

    def stop():
        raise KeyboardInterrupt

    if of == "step":
        workflow = Workflow("w", [notes.step("a"), notes.step("b", prepare=stop)])
    else:
        workflow = Workflow("w", [notes.step("a"), Workflow("n", [notes.step("b")], prepare=stop)])
    with pytest.raises(KeyboardInterrupt):
        workflow.start()
    assert calls == ["run a", "undo a"]


def test_a_nested_workflow_takes_its_parents_modes(calls, notes):
    """Whatever a workflow was built with, nested it has the modes of the root, at every depth."""
    inner = Workflow(
        "n", [Workflow("m", [notes.step("a", fails=True), notes.step("b")], mode="rollback")], mode="stop"
    )
    report = Workflow("w", [inner, notes.step("c")], mode="continue").start()
    assert calls == ["run a", "run b", "run c"]
    assert report.step_reports[0].workflow.step_reports[0].workflow.execution_mode == "continue"


def test_state_does_not_flow_back_from_a_nested_workflow(calls):
    """A nested workflow has a deep copy of the state; what it hands up goes through its result."""

    def change(ctx):
        ctx.shared["list"].append("inner")
        return len(ctx.shared["list"])

    steps = [
        Workflow("n", [Step("change", run=change)]),
        Step("look", run=lambda ctx: calls.append(dict(ctx.shared))),
    ]
    report = Workflow("w", steps).start({"list": ["outer"]})
    assert calls == [{"list": ["outer"]}]
    assert report.results["n"] == {"change": 2}


def test_rollback_on_classes(calls, notes):
    """Only the named errors send the run back; others halt it with nothing undone."""
    steps = [notes.step("a"), notes.step("b", fails=True)]
    assert Workflow("w", steps, rollback_on=ValueError).start().outcome is Outcome.UNDONE
    assert Workflow("w", steps, rollback_on=(OSError, ValueError)).start().outcome is Outcome.UNDONE
    calls.clear()
    report = Workflow("w", [Workflow("n", steps), notes.step("c")], rollback_on=OSError).start()
    assert report.outcome is Outcome.FAILED
    assert calls == ["run a", "run b"]


def test_rollback_on_a_function(calls, notes):
    """A function of the error decides."""
    steps = [notes.step("a"), notes.step("b", fails=True)]
    assert (
        Workflow("w", steps, rollback_on=lambda error: "boom" in str(error)).start().outcome is Outcome.UNDONE
    )
    assert Workflow("w", steps, rollback_on=lambda error: False).start().outcome is Outcome.FAILED


@pytest.mark.parametrize("rollback_on", [7, int, (ValueError, int), "ValueError"])
def test_rollback_on_something_else_is_refused(rollback_on):
    """Neither classes of exceptions nor a function: refused when built."""
    with pytest.raises(
        WorkflowDefinitionError, match="rollback_on takes classes of exceptions or a function"
    ):
        Workflow("w", rollback_on=rollback_on)


def test_a_rollback_on_that_raises_sends_the_run_back(calls, notes):
    """A deciding function that breaks must not leave things as they are: the run is undone."""

    def broken(error):
        raise RuntimeError("broken")

    report = Workflow("w", [notes.step("a"), notes.step("b", fails=True)], rollback_on=broken).start()
    assert calls == ["run a", "run b", "undo b", "undo a"]
    assert str(report.error) == "boom"
    assert report.error.__notes__ == ["rollback_on raised RuntimeError('broken'): undone all the same"]


def test_a_wrong_prepare_is_refused():
    """A prepare of the wrong signature is refused when the workflow is built."""
    with pytest.raises(WorkflowDefinitionError, match="workflow 'w': the prepare function"):
        Workflow("w", prepare=lambda a, b: None)
    with pytest.raises(WorkflowDefinitionError, match="the prepare function"):
        Step("a", prepare=lambda a, b: None)


def test_remaining_knows_that_a_nested_workflow_has_undone_itself(notes):
    """A nested workflow that failed and undid itself leaves nothing; a failed undo in it is named by path."""
    steps = [notes.step("b"), notes.step("c", fails=True)]
    report = Workflow("w", [notes.step("a"), Workflow("n", steps)]).start()
    assert report.remaining == ((), ())
    steps = [notes.step("b", undo_fails=True), notes.step("c")]
    report = Workflow("w", [notes.step("a"), Workflow("n", steps), notes.step("d", fails=True)]).start()
    assert report.remaining == ((), ("n/b",))
    report = Workflow(
        "w", [Workflow("n", steps), notes.step("d", fails=True), notes.step("e")], mode="stop"
    ).start()
    assert report.remaining == (("e",), ("d", "n"))


@pytest.mark.parametrize("where", ["step", "workflow"])
def test_a_prepare_that_returns_a_broken_mapping_or_skip_fails_or_skips(calls, notes, where):
    """A mapping that breaks, and a Skip that cannot be printed, neither crash the run nor stop the way back."""

    class Broken(dict):
        def keys(self):
            raise RuntimeError("keys")

        def items(self):
            raise RuntimeError("items")

        def __iter__(self):
            raise RuntimeError("iter")

    class BadText:
        def __str__(self):
            raise RuntimeError("no text")

    def skip():
        raise Skip(BadText())

    for prepare, status in ((lambda: Broken(x=1), "FAILED"), (skip, "SKIPPED")):
        calls.clear()
        if where == "step":
            inner = notes.step("b", prepare=prepare)
        else:
            inner = Workflow("b", [notes.step("c")], prepare=prepare)
        report = Workflow("w", [notes.step("a"), inner]).start()
        assert str(report.step_reports[1].status) == status
        assert "run b" not in calls


def test_an_error_in_a_report_is_a_failure():
    """Failed is: the status is failed, or there is an error (spec: status), forward and backward."""

    def sets(ctx):
        ctx.report.error = ValueError(str(ctx.action))

    report = Workflow("w", [Step("a", run=sets, undo=sets)]).start()
    assert (str(report.error), [str(error) for error in report.rollback_errors]) == ("run", ["rollback"])
    assert report.outcome is Outcome.NEEDS_ATTENTION


def test_a_failed_undo_without_an_error_is_refused():
    """A rollback that claims to have failed must say why; either way the run needs attention."""

    class Hides(Step):
        def rollback(self, ctx, prev_failure):
            handoff = self.failed_rollback(prev_failure, ValueError("x"))
            handoff.event.added[0].error = None
            return handoff

    report = Workflow("w", [Hides("a"), Step("f", run=fail)], rollback_mode="stop").start()
    assert report.outcome is Outcome.NEEDS_ATTENTION
    assert len(report.rollback_errors) == 1


def test_whether_a_failure_is_undone_is_decided_once(calls, notes):
    """rollback_on is asked once for a failure, however deep it is: all levels do the same."""
    asked = []

    def decide(error):
        asked.append(error)
        return len(asked) > 1

    steps = [notes.step("b"), notes.step("c", fails=True), notes.step("d")]
    report = Workflow("w", [notes.step("a"), Workflow("n", steps)], rollback_on=decide).start()
    assert len(asked) == 1
    assert calls == ["run a", "run b", "run c"]
    assert report.outcome is Outcome.FAILED


def test_a_rollback_on_that_is_interrupted_undoes_and_goes_on(calls, notes):
    """Ctrl-C while rollback_on decides: all is undone, and it is raised."""

    def decide(error):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [notes.step("a"), notes.step("b", fails=True)], rollback_on=decide).start()
    assert calls == ["run a", "run b", "undo b", "undo a"]


def test_rollback_on_counts_for_the_prepare_of_a_workflow():
    """A prepare that fails with an error that does not send back: failed, not undone."""
    assert Workflow("w", [], prepare=fail, rollback_on=OSError).start().outcome is Outcome.FAILED
    assert Workflow("w", [], prepare=fail, rollback_on=ValueError).start().outcome is Outcome.UNDONE


@pytest.mark.parametrize("of", ["step", "workflow"])
def test_no_prepare_starts_after_an_interruption(calls, notes, of):
    """An observer interrupted when a prepare is written ahead keeps it from being called."""

    class Stops:
        def on_record(self, record):
            if getattr(record, "action", None) is Action.PREPARE:
                raise KeyboardInterrupt

    prepare = lambda: calls.append("prepared")
    inner = (
        notes.step("b", prepare=prepare)
        if of == "step"
        else Workflow("b", [notes.step("c")], prepare=prepare)
    )
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [notes.step("a"), inner], observers=[Stops()]).start()
    assert calls == ["run a", "undo a"]


def test_a_state_spoilt_in_a_prepare_fails_the_prepare(calls, notes):
    """What a prepare leaves in the state is checked when it has ended, also where it skips."""

    def spoil(ctx):
        ctx.shared["l"] = values = []
        values.append(float("nan"))

    def spoil_and_skip(ctx):
        spoil(ctx)
        raise Skip("why")

    for prepare in (spoil, spoil_and_skip):
        report = Workflow("w", [notes.step("a"), notes.step("b", prepare=prepare)]).start()
        assert isinstance(report.error, StateError)
        assert (report.step_reports[1].action, "run b" in calls) == (Action.PREPARE, False)


def test_a_state_changed_from_outside_fails_the_nested_workflow(calls, notes):
    """Somebody who holds the state and spoils it between two steps fails what needs it next; all is undone."""

    class Holds:
        state = None

        def on_record(self, record):
            if getattr(record, "path", "") == "n":
                self.state["l"].append(object())

    holds = Holds()

    def hand_out(ctx):
        ctx.shared["l"] = []
        holds.state = ctx.shared

    steps = [
        Step("a", run=hand_out, undo=lambda: calls.append("undo a")),
        Step("n"),
        Workflow("m", [Step("c")]),
    ]
    report = Workflow("w", steps, observers=[holds]).start()
    assert isinstance(report.error, StateError)
    assert calls == ["undo a"]


def test_a_successful_prepare_is_told_to_observers(notes):
    """Those who listen hear that a prepare started and that it went well."""
    heard = []

    class Hears:
        def on_record(self, record):
            heard.append((type(record).__name__, getattr(record, "path", "")))

    Workflow("w", [notes.step("a", prepare=lambda: None)], prepare=lambda: None, observers=[Hears()]).start()
    assert heard == [("Started", "w"), ("Answered", "w"), ("Started", "a"), ("Answered", "a"),
                     ("Started", "a"), ("Answered", "a"), ("Ended", "")]  # fmt: skip
    heard.clear()
    Workflow("w", [], prepare=fail, observers=[Hears()]).start()
    assert heard == [("Started", "w"), ("Answered", "w"), ("Ended", "")]


async def test_a_cancel_while_a_prepare_works_in_its_thread(calls, notes):
    """A prepare in a thread is waited for; what it belongs to is not run, and all before it is undone."""
    import asyncio
    import threading

    started, go_on = threading.Event(), threading.Event()

    def prepare():
        started.set()
        go_on.wait(30)
        calls.append("prepared")

    task = asyncio.create_task(
        Workflow("w", [notes.step("a"), notes.step("b", prepare=prepare)]).start_async()
    )
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    await asyncio.sleep(0.01)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run a", "prepared", "undo a"]


def test_a_state_spoilt_while_a_step_is_copied_fails_the_nested_workflow(calls):
    """Whoever spoils the state just before a nested workflow gets its copy fails that workflow; all is undone."""
    held = []

    class Spoils(Step):
        def __copy__(self):
            if held:
                held[0]["l"].append(object())
            return super().__copy__()

    def hold(ctx):
        ctx.shared["l"] = []
        held.append(ctx.shared)

    steps = [
        Step("a", run=hold, undo=lambda: calls.append("undo a")),
        Workflow("n", [Step("b")]),
        Spoils("c"),
    ]
    report = Workflow("w", steps).start()
    assert isinstance(report.error, StateError)
    assert [(r.step_id, str(r.action), str(r.status)) for r in report.step_reports][1:] == [
        ("n", "prepare", "FAILED"),
        ("n", "rollback", "SKIPPED"),
        ("a", "rollback", "SUCCESS"),
    ]
    assert calls == ["undo a"]
