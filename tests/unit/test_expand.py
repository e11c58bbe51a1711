"""Steps that build the steps they stand for."""

from __future__ import annotations

import asyncio

import pytest

from automa import (
    Answered,
    DeadlineExceeded,
    Expand,
    JournalError,
    Parallel,
    Retry,
    RunRequestError,
    Skip,
    Step,
    StoreError,
    Workflow,
    WorkflowDefinitionError,
)
from automa.journal.entries import decode_entries
from automa.journal.reading import read
from automa.stores import FileStore, MemoryStore
from tests.durable.crashes import DyingStore, run_until_death


class BoomError(Exception):
    """What a failing step raises."""


@pytest.fixture
def calls():
    return []


def noting(calls, id, error=None):
    def run():
        calls.append(f"run {id}")
        if error is not None:
            raise error
        return id

    return Step(id, run=run, undo=lambda: calls.append(f"undo {id}"))


def copying(calls, fails=""):
    """A workflow that copies the files that its state names, then does something else."""

    def build(ctx):
        return [
            noting(calls, name, BoomError(name) if name == fails else None) for name in ctx.shared["files"]
        ]

    end = noting(calls, "end", BoomError("end") if fails == "end" else None)
    return Workflow("w", [noting(calls, "a"), Expand("copy", build), end])


FILES = {"files": ["x", "y"]}


@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_built_runs_as_a_nested_workflow(calls, is_async):
    """The steps that are built run in order, and their results are those of the step, by id."""
    workflow = copying(calls)
    report = asyncio.run(workflow.start_async(FILES)) if is_async else workflow.start(FILES)
    assert calls == ["run a", "run x", "run y", "run end"]
    assert report.results["copy"] == {"x": "x", "y": "y"}


def test_what_was_built_is_undone_in_reverse(calls):
    """A later failure undoes what was built, the last first, inside the order of the whole."""
    report = copying(calls, fails="end").start(FILES)
    assert calls == ["run a", "run x", "run y", "run end", "undo end", "undo y", "undo x", "undo a"]
    assert report.outcome == "undone"


def test_a_step_that_was_built_and_fails_undoes_all(calls):
    """A built step that fails is undone, and so is all before it."""
    report = copying(calls, fails="y").start(FILES)
    assert calls == ["run a", "run x", "run y", "undo y", "undo x", "undo a"]
    assert isinstance(report.error, BoomError)


def test_a_workflow_may_be_built_and_a_parallel_too(calls):
    """`build` may return a workflow, whose prepare is called, or a `Parallel`; it may be async."""

    async def build(ctx):
        return Workflow("any", [noting(calls, "x")], prepare=lambda: calls.append("prepare"))

    steps = [Expand("more", build), Expand("both", lambda: Parallel("p", noting(calls, "y"), limit=1))]
    report = asyncio.run(Workflow("w", steps).start_async())
    assert calls == ["prepare", "run x", "run y"]
    assert report.results == {"more": {"x": "x"}, "both": {"y": "y"}}


def test_nothing_may_be_built(calls):
    """An empty list succeeds; a `Skip` skips the step, and nothing of it is undone."""

    def skips():
        raise Skip("no files")

    steps = [Expand("empty", list), Expand("none", skips), noting(calls, "end", BoomError())]
    report = Workflow("w", steps).start()
    assert [(each.step_id, str(each.action), str(each.status)) for each in report.step_reports[:2]] == [
        ("empty", "run", "SUCCESS"),
        ("none", "run", "SKIPPED"),
    ]
    assert report.step_reports[1].detail == "no files"
    assert calls == ["run end", "undo end"]


@pytest.mark.parametrize(
    ("built", "says"),
    [
        (17, "has built 17: build returns a list of steps, or a workflow"),
        ("steps", "has built 'steps'"),
        (Step("x"), "has built <Step x>"),
        ([Step("x"), Step("x")], "the step id 'x' twice"),
        ([Step("x", pivot=True)], "put the point of no return into the workflow itself"),
        (None, "has built None"),
    ],
)
def test_what_cannot_be_run_fails_the_step(calls, built, says):
    """What is no list of steps, or could not be run, is a failure of the step; it has run nothing."""
    report = Workflow("w", [noting(calls, "a"), Expand("more", lambda: built)]).start()
    assert isinstance(report.error, WorkflowDefinitionError)
    assert says in str(report.error)
    assert calls == ["run a", "undo a"]


def test_building_for_ever_is_refused():
    """Steps that build steps that build steps end at the limit of nesting, as an error."""

    def build():
        return [Expand("more", build)]

    report = Workflow("w", [Expand("more", build)]).start()
    assert "nests deeper than 100 levels" in str(report.error)


def test_what_building_changes_in_the_state_is_dropped(calls):
    """`build` reads the state; what it writes there nobody sees."""

    def build(ctx):
        ctx.shared["files"].append("z")
        ctx.local["mine"] = 1
        return [Step("x", run=lambda ctx: list(ctx.shared["files"]))]

    report = Workflow("w", [Expand("more", build)]).start(FILES)
    assert report.results == {"more": {"x": ["x", "y"]}}


def test_an_error_while_building_is_the_failure_of_the_step(calls):
    """What `build` raises fails the step without anything to undo in it."""

    def build():
        raise BoomError("cannot build")

    report = Workflow("w", [noting(calls, "a"), Expand("more", build)]).start()
    assert isinstance(report.error, BoomError)
    assert calls == ["run a", "undo a"]


@pytest.mark.guarantee("G2", "G8")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fails", ["", "y", "end"])
def test_a_resume_builds_the_same(calls, fails, after):
    """Wherever the process dies, a resume builds the same steps, and runs none twice that was answered."""
    for at in range(1, 30):
        calls.clear()
        store = DyingStore(at, after=after)
        if run_until_death(copying(calls, fails), store, state=FILES) is not None:
            break
        report = copying(calls, fails).resume("r", store, state=FILES)
        assert report.outcome == ("undone" if fails else "succeeded")
        for id in ("a", "x", "y", "end"):
            assert calls.count(f"undo {id}") <= 2
            assert calls.count(f"run {id}") <= 2
        answered = [
            record.path
            for record in decode_entries(store.load("w", "r"))
            if isinstance(record, Answered) and str(record.report.action) == "run"
        ]
        assert len(answered) == len(set(answered))
    assert at > 5


@pytest.mark.guarantee("G6")
def test_a_resume_that_builds_others_is_refused(calls):
    """Where the state is the same and what is built is not, the run is not carried on."""
    store = MemoryStore()
    names = ["x"]

    def build():
        return [noting(calls, name) for name in names]

    failing = noting(calls, "end", KeyboardInterrupt())
    workflow = Workflow("w", [Expand("more", build), failing])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(run_id="r", store=store)
    calls.clear()
    names.append("y")
    with pytest.raises(JournalError, match="built x, but now step more built x, y"):
        workflow.resume("r", store)
    assert calls == []


def test_a_journal_is_read_without_the_workflow(calls):
    """What was built is known from the journal alone: where each of its steps stands."""
    store = MemoryStore()
    copying(calls, fails="end").start(FILES, run_id="r", store=store)
    reading = read(decode_entries(store.load("w", "r")))
    assert {path: state.name for path, state in reading.states.items()} == dict.fromkeys(
        ["a", "copy", "copy/x", "copy/y", "end"], "COMPENSATED"
    )
    assert "copy" in reading.workflows


def test_an_operator_can_undo_what_was_built(calls):
    """A rollback of a run that succeeded undoes what was built; a failed undo in it can be tried again."""
    store, fails = MemoryStore(), [True]

    def undo():
        calls.append("undo x")
        if fails:
            raise BoomError("undo")

    workflow = Workflow("w", [Expand("more", lambda: [Step("x", run=lambda: 1, undo=undo)])])
    workflow.start(run_id="r", store=store)
    assert workflow.rollback("r", store).outcome == "needs_attention"
    fails.clear()
    with pytest.raises(RunRequestError, match="has no step 'more/z'"):
        workflow.retry_undo("r", "more/z", store)
    assert workflow.retry_undo("r", "more/x", store).outcome == "undone"
    assert calls == ["undo x", "undo x"]


def test_the_specifications_journal_has_no_form_for_it(calls, tmp_path):
    """The file store refuses a workflow with an `Expand`, and nothing was started."""
    with pytest.raises(StoreError, match="a Parallel or an Expand in it"):
        copying(calls).start(FILES, store=FileStore(tmp_path / "runs"))
    assert calls == []


def test_past_a_pivot_it_is_built_again(calls):
    """A `build` that fails past the pivot stops the run; a resume calls it again, and goes forward."""
    store, fails = MemoryStore(), [True]

    def build():
        if fails:
            raise BoomError("not yet")
        return [noting(calls, "x")]

    workflow = Workflow("w", [Step("p", run=lambda: 1, pivot=True), Expand("more", build)])
    report = workflow.start(run_id="r", store=store)
    assert (report.outcome, report.is_stopped) == ("needs_attention", True)
    fails.clear()
    assert workflow.resume("r", store).outcome == "succeeded"
    assert calls == ["run x"]


def test_the_deadline_cuts_off_building(calls):
    """After the deadline nothing is built."""
    workflow = Workflow("w", [Expand("more", lambda: calls.append("built") or [])], deadline=0)
    report = workflow.start()
    assert isinstance(report.error, DeadlineExceeded)
    assert calls == []


def test_built_steps_may_be_of_any_kind(calls):
    """Built steps have retries and conditions as others have."""
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) < 2:
            raise BoomError("once")

    def build():
        return [Step("x", run=flaky, retry=Retry(2, initial=0)), Step("y", run=flaky, when=lambda: False)]

    report = Workflow("w", [Expand("more", build)]).start(run_id="r", store=MemoryStore())
    assert report.outcome == "succeeded"
    assert report.step_reports[0].workflow.step_reports[0].attempts == 2
