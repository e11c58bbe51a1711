"""A run on an engine that somebody cancels goes back, from wherever it is, and an engine's worker may die meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from automa import DeadlineExceeded, Outcome, Parallel, Retry, RollbackRequested, Skip, Step, Workflow
from tests.engines.paper import Paper


class Ledger:
    """Makes steps that note what they do."""

    def __init__(self):
        self.lines = []

    def step(self, id, **options):
        return Step(
            id,
            run=lambda ctx: self.lines.append(f"run {ctx.path}"),
            undo=lambda ctx: self.lines.append(f"undo {ctx.path}"),
            **options,
        )

    def check(self, report, *, in_doubt=1):
        """Check that all that was run is undone once; of what was not run, only what may have been.

        Args:
            report: The report.
            in_doubt: How many steps may have been called for all that anybody knows.
        """
        assert report.outcome is Outcome.UNDONE
        ran = [line.removeprefix("run ") for line in self.lines if line.startswith("run ")]
        undone = [line.removeprefix("undo ") for line in self.lines if line.startswith("undo ")]
        assert len(undone) == len(set(undone))
        assert set(ran) <= set(undone)
        assert len(set(undone) - set(ran)) <= in_doubt


def of_many_kinds(ledger):
    inner = Workflow(
        "inner", [ledger.step("i", prepare=lambda: {"n": 1}), ledger.step("j", when=lambda: True)]
    )
    both = Parallel("both", ledger.step("x"), inner, ledger.step("y", verify=lambda: False), limit=1)
    return Workflow(
        "w", [ledger.step("a"), both, ledger.step("b", prepare=lambda: {"n": 1}), ledger.step("c")]
    )


def cancels_at(number):
    def timing(at, signals):
        if at == number:
            signals.cancel("enough")

    return timing


@pytest.mark.guarantee("G4")
@pytest.mark.parametrize("mode", ["rollback", "stop", "continue"])
@pytest.mark.parametrize("forgets", [False, True], ids=["kept", "forgotten"])
def test_a_cancelled_run_is_undone_from_wherever_it_is(forgets, mode):
    """Before whichever durable step a run is cancelled, all that was run is undone, once, in whatever mode."""
    whole = Paper(of_many_kinds(Ledger()))
    assert whole.start().outcome is Outcome.SUCCEEDED
    for number in range(whole.calls - 1):  # the last one has only the end to write
        ledger = Ledger()
        workflow = Workflow("w", of_many_kinds(ledger).steps, mode=mode)

        report = Paper(workflow, forgets=forgets, timing=cancels_at(number)).start()
        ledger.check(report, in_doubt=4 if forgets else 1)  # the branches, and what is beside them
        assert isinstance(report.error, RollbackRequested)
        assert str(report.error) == "enough"


@pytest.mark.guarantee("G4")
@pytest.mark.parametrize("is_pivot", [False, True], ids=["undone", "past its pivot"])
@pytest.mark.parametrize("forgets", [False, True], ids=["kept", "forgotten"])
def test_a_run_cancelled_while_its_last_step_works_is_undone(forgets, is_pivot):
    """The last step, which is not async, ends first; then it is undone with the rest, unless it was the pivot."""
    ledger = Ledger()
    undo = None if is_pivot else lambda: ledger.lines.append("undo b")
    last = Step("b", run=lambda: paper.signals.cancel("enough"), undo=undo, pivot=is_pivot)
    paper = Paper(Workflow("w", [ledger.step("a"), last]), forgets=forgets)
    report = paper.start()
    assert report.outcome is (Outcome.SUCCEEDED if is_pivot else Outcome.UNDONE)
    assert ledger.lines == (["run a"] if is_pivot else ["run a", "undo b", "undo a"])
    assert is_pivot or str(report.error) == "enough"


@pytest.mark.parametrize(("ahead", "undone"), [(False, ["undo a"]), (True, [])])
def test_a_run_cancelled_before_its_first_step_runs_none(ahead, undone):
    """A run that is cancelled before its worker takes it runs no step; the first is undone, lest one who died did."""
    ledger = Ledger()
    report = Paper(of_many_kinds(ledger), timing=cancels_at(0), writes_ahead=ahead).start()
    assert report.outcome is Outcome.UNDONE
    assert ledger.lines == undone


@pytest.mark.guarantee("G4", "G9")
def test_what_a_dead_worker_did_is_undone_where_the_run_is_cancelled_then():
    """Wherever a worker dies with its step done, and the run is cancelled before another takes it, that is undone."""
    whole = Paper(of_many_kinds(Ledger()))
    whole.start()
    for number in range(whole.calls - 1):
        ledger = Ledger()
        paper = Paper(of_many_kinds(ledger), dies_at=[number], timing=cancels_at(number + 1))
        ledger.check(paper.start(), in_doubt=2)


def test_what_a_dead_worker_did_is_undone_where_the_time_is_over_then():
    """A worker dies with its step done, and the deadline passes: the step is not called again, but undone."""
    ledger = Ledger()

    def dawdle(ctx):
        ledger.lines.append(f"run {ctx.path}")
        time.sleep(0.3)

    slow = Step("slow", run=dawdle, undo=lambda ctx: ledger.lines.append(f"undo {ctx.path}"))
    paper = Paper(Workflow("w", [ledger.step("a"), slow]), dies_at=[1])
    report = paper.start(deadline=0.25)
    assert report.outcome is Outcome.UNDONE
    assert isinstance(report.error, DeadlineExceeded)
    assert ledger.lines == ["run a", "run slow", "undo slow", "undo a"]


def test_a_branch_that_a_dead_worker_began_is_undone_where_it_is_given_up():
    """A worker dies with two branches at work, of which one has failed: the other is given up, and undone."""
    ledger = Ledger()

    def fails():
        raise OSError("no")

    both = Parallel("both", Step("fails", run=fails), ledger.step("x"), on_failure="cancel")
    paper = Paper(Workflow("w", [both]), dies_at=[2])
    ledger.check(paper.start(), in_doubt=0)
    assert ledger.lines.count("undo both/x") == 1


@pytest.mark.parametrize("forgets", [False, True], ids=["kept", "forgotten"])
def test_an_async_step_at_work_is_cut_off(forgets):
    """A cancellation reaches the async step at work; its effect is unknown, and it is undone."""
    ledger = Ledger()
    papers = []

    async def slow():
        ledger.lines.append("run slow")
        papers[0].signals.cancel("enough")
        await asyncio.Event().wait()

    steps = [ledger.step("a"), Step("slow", run=slow, undo=lambda: ledger.lines.append("undo slow"))]
    papers.append(Paper(Workflow("w", steps), forgets=forgets))
    report = papers[0].start()
    ledger.check(report)
    assert [(each.step_id, each.detail) for each in report.step_reports][1] == ("slow", "unknown")


def test_a_step_at_work_in_a_thread_ends_first():
    """Nobody can stop a thread: its step comes to its end, which counts, and is undone."""
    ledger = Ledger()
    papers = []

    def slow():
        papers[0].signals.cancel("enough")
        return "done all the same"

    steps = [Step("slow", run=slow, undo=lambda ctx: ledger.lines.append(ctx.result)), ledger.step("never")]
    papers.append(Paper(Workflow("w", steps)))
    report = papers[0].start()
    assert report.outcome is Outcome.UNDONE
    assert ledger.lines == ["done all the same"]


def test_a_cancelled_run_does_not_wait_for_another_attempt():
    """A cancellation ends the wait between two attempts: there is no further one."""
    tries = []

    def fails():
        tries.append(1)
        raise OSError("not yet")

    step = Step("a", run=fails, undo=lambda: tries.append("undo"), retry=Retry(5, initial=0.0))
    report = Paper(Workflow("w", [step]), timing=cancels_at(1)).start()
    assert report.outcome is Outcome.UNDONE
    assert tries == [1, "undo"]


def test_undos_are_not_cut_off():
    """A cancellation on the way back changes nothing: undos come to their end, and the first error stays."""
    ledger = Ledger()
    papers = []

    async def undo():
        papers[0].signals.cancel("enough")
        await asyncio.sleep(0)
        ledger.lines.append("undo a")

    def fails():
        raise OSError("no")

    papers.append(Paper(Workflow("w", [Step("a", run=lambda: 1, undo=undo), Step("b", run=fails)])))
    report = papers[0].start()
    assert (report.outcome, ledger.lines, str(report.error)) == (Outcome.UNDONE, ["undo a"], "no")


def test_past_the_pivot_a_cancellation_comes_too_late():
    """Past its point of no return a run goes forward, whoever cancels it."""
    ledger = Ledger()
    workflow = Workflow("w", [ledger.step("a"), ledger.step("p", pivot=True), ledger.step("b")])
    assert Paper(workflow, timing=cancels_at(2)).start().outcome is Outcome.SUCCEEDED
    assert ledger.lines == ["run a", "run p", "run b"]


def test_branches_at_work_are_cut_off_together():
    """A cancellation reaches all branches at work; then all that was run is undone."""
    ledger = Ledger()
    papers, begun = [], []

    def slow(id):
        async def run(ctx):
            ledger.lines.append(f"run {ctx.path}")
            begun.append(id)
            if len(begun) == 2:
                papers[0].signals.cancel("enough")
            await asyncio.Event().wait()

        return Step(id, run=run, undo=lambda ctx: ledger.lines.append(f"undo {ctx.path}"))

    both = Parallel("both", slow("x"), slow("y"))
    papers.append(Paper(Workflow("w", [ledger.step("a"), both, ledger.step("never")])))
    ledger.check(papers[0].start())


def test_a_step_that_took_too_long_in_a_branch_is_waited_for():
    """A branch ends once its step that took too long is back: whoever undoes it may be in another process."""
    back, lines = threading.Event(), []

    def slow():
        back.wait(5)
        lines.append("back")

    def hurry():
        lines.append("fails")
        back.set()
        raise OSError("no")

    late = Step("late", run=slow, undo=lambda: lines.append("undo"), timeout=0.01)
    workflow = Workflow("w", [Parallel("both", late, Step("fails", run=hurry))], late_grace=5.0)
    report = Paper(workflow).start()
    assert report.outcome is Outcome.UNDONE
    assert lines == ["fails", "back", "undo"] or lines == ["fails", "back", "undo", "undo"]


def test_what_a_prepare_skips_is_skipped_on_an_engine():
    """A step whose prepare says that there is nothing to do is told as such."""

    def nothing():
        raise Skip("nothing to do")

    report = Paper(Workflow("w", [Step("a", prepare=nothing, run=lambda: 1)]), forgets=True).start()
    assert [(each.step_id, each.detail) for each in report.step_reports] == [("a", "nothing to do")]
