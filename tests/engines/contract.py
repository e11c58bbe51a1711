"""What every engine keeps: the same definition and the same inputs come to the same report."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict

import pytest

from automa import (
    Outcome,
    Parallel,
    Retry,
    RollbackRequested,
    RunExistsError,
    RunNotFoundError,
    RunRequestError,
    Step,
    Workflow,
)
from automa.stores import MemoryStore
from tests.durable import scenarios
from tests.durable.scenarios import FIRST_STATE, SCENARIOS, Builder, told
from tests.web.serving import serving, text_of

SECONDS = 60.0


class Lab:
    """The workflows that a contract is proved with, and what they have done.

    Attributes:
        effects: What the scenarios have done, by their name.
        calls: What the others have done, by the id of their run.
        gates: Events that steps wait for, by the id of their run.
        not_kept: Scenarios for which the engine has no form.
    """

    def __init__(self):
        self.not_kept = ()
        self.effects = defaultdict(list)
        self.calls = defaultdict(list)
        self.gates = defaultdict(threading.Event)
        self.scenarios = {name: self._scenario(name) for name in SCENARIOS}
        self.undo_fails = Workflow("undo-fails", [self._stubborn(), self._step("b"), self._failing("c")])
        self.waits = Workflow("waits", [self._step("a"), self._gated("slow"), self._step("never")])
        self.waits_in_a_loop = Workflow("loops", [self._step("a"), self._endless(), self._step("never")])
        self.tries = Workflow(
            "tries", [self._step("a"), self._failing("b", retry=Retry(5, initial=600.0, jitter=False))]
        )
        self.pivots = Workflow("pivots", [self._step("a"), self._step("p", pivot=True), self._healing("z")])
        self.together = Workflow("together", [Parallel("both", self._met("x"), self._met("y"))])
        self.keys = Workflow("keys", [Step("k", run=lambda ctx: ctx.idempotency_key)])
        self.workflows = [
            *self.scenarios.values(), self.undo_fails, self.waits, self.waits_in_a_loop, self.tries, self.pivots,
            self.together, self.keys,
        ]  # fmt: skip

    def _scenario(self, name):
        effects = self.effects[name]
        workflow = SCENARIOS[name](
            Builder(
                lambda *what: effects.append(what),
                lambda: [f"- {kind} {path} -" for kind, path, _ in effects],
            )
        )
        workflow.definition.version = name.replace("_", "-")  # they all have one id, and some the same steps
        return workflow

    def _note(self, kind):
        return lambda ctx: self.calls[ctx.run_id].append(f"{kind} {ctx.path}")

    def _step(self, id, **options):
        return Step(id, run=self._note("run"), undo=self._note("undo"), **options)

    def _failing(self, id, **options):
        def run(ctx):
            self._note("run")(ctx)
            raise OSError(f"{id} is out of order")

        return Step(id, run=run, undo=self._note("undo"), **options)

    def _healing(self, id):
        def run(ctx):
            self._note("run")(ctx)
            if self.calls[ctx.run_id].count(f"run {ctx.path}") == 1:
                raise OSError("not yet")

        return Step(id, run=run)

    def _stubborn(self):
        def undo(ctx):
            self._note("undo")(ctx)
            if self.calls[ctx.run_id].count(f"undo {ctx.path}") == 1:
                raise OSError("stuck")

        return Step("a", run=self._note("run"), undo=undo)

    def _gated(self, id):
        def run(ctx):
            self._note("run")(ctx)
            assert self.gates[ctx.run_id].wait(SECONDS)

        return Step(id, run=run, undo=self._note("undo"))

    def _endless(self):
        async def run(ctx):
            self._note("run")(ctx)
            await asyncio.Event().wait()

        return Step("slow", run=run, undo=self._note("undo"))

    def _met(self, id):
        def run(ctx):
            self._note("run")(ctx)
            if len(self.calls[ctx.run_id]) == 2:
                self.gates[ctx.run_id].set()
            assert self.gates[ctx.run_id].wait(SECONDS)

        return Step(id, run=run)

    def called(self, run_id, call):
        """Wait until a call was made."""
        for _ in range(int(SECONDS * 100)):
            if call in self.calls[run_id]:
                return
            threading.Event().wait(0.01)
        raise AssertionError(f"{call} was not called in {run_id}: {self.calls[run_id]}")


class EngineContract:
    """The contract: the module of a subclass has fixtures ``engine``, and ``lab``, whose worker is at work."""

    @pytest.mark.parametrize("name", sorted(SCENARIOS))
    def test_the_same_report_as_a_local_run(self, engine, lab, name):
        """The same definition with the same inputs tells the same, and has the same effects."""
        if name in lab.not_kept:
            pytest.skip("the specification's journal has no form for it")
        effects = []
        workflow = SCENARIOS[name](Builder(lambda *what: effects.append(what)))
        expected = scenarios.start(workflow, MemoryStore(), on_cancel="rollback")
        handle = engine.submit(lab.scenarios[name], FIRST_STATE, run_id=f"r-{name}")
        assert told(handle.wait(SECONDS)) == told(expected)
        assert sorted(lab.effects[name]) == sorted(effects)
        assert told(handle.report()) == told(expected)

    def test_a_run_id_is_taken_once(self, engine, lab):
        """A second run of the same id is refused, and nothing is started."""
        handle = engine.submit(lab.keys, run_id="once")
        with pytest.raises(RunExistsError, match="once"):
            engine.submit(lab.keys, run_id="once")
        assert handle.wait(SECONDS).results == {"k": "keys/once/k/run"}

    def test_a_run_that_is_not_there_is_told(self, engine, lab):
        """Whoever asks for a run that is not there hears so."""
        for ask in (engine.report, engine.wait, engine.cancel, engine.rollback, engine.resume):
            with pytest.raises(RunNotFoundError, match="nowhere"):
                ask("nowhere")
            with pytest.raises(RunNotFoundError, match="nowhere"):
                ask("nowhere", workflow_id="keys")

    def test_a_wait_has_an_end(self, engine, lab):
        """A wait that takes longer than asked for ends with a TimeoutError; the run goes on."""
        handle = engine.submit(lab.waits, run_id="patient")
        with pytest.raises(TimeoutError, match="patient"):
            handle.wait(0.05)
        lab.gates["patient"].set()
        assert handle.wait(SECONDS).outcome is Outcome.SUCCEEDED

    def test_a_run_on_its_way_is_told(self, engine, lab):
        """A report of a run that goes on tells what has been done so far."""
        handle = engine.submit(lab.waits, run_id="underway")
        lab.called("underway", "run slow")
        report = handle.report()
        assert [each.step_id for each in report.step_reports] == ["a"]
        assert report.outcome is Outcome.SUSPENDED
        (info,) = engine.runs(run_id="underway")
        assert (info.workflow_id, info.status) == ("waits", "running")
        lab.gates["underway"].set()
        handle.wait(SECONDS)
        (info,) = engine.runs(run_id="underway")
        assert info.status == "succeeded"

    @pytest.mark.parametrize("workflow", ["waits", "waits_in_a_loop"])
    def test_a_cancelled_run_is_undone(self, engine, lab, workflow):
        """Whoever cancels a run has it undone: the step at work as well, no step after it is begun."""
        run_id = f"cancelled-{workflow}"
        handle = engine.submit(getattr(lab, workflow), run_id=run_id)
        lab.called(run_id, "run slow")
        handle.cancel("enough")
        if workflow == "waits":  # a thread comes to its end
            threading.Event().wait(1.0)
            lab.gates[run_id].set()
        report = handle.wait(SECONDS)
        assert (report.outcome, type(report.error), str(report.error)) == (
            Outcome.UNDONE, RollbackRequested, "enough",
        )  # fmt: skip
        assert lab.calls[run_id] == ["run a", "run slow", "undo slow", "undo a"]
        with pytest.raises(RunRequestError, match="has ended"):
            handle.cancel()

    def test_a_cancelled_run_waits_for_no_other_attempt(self, engine, lab):
        """A cancellation ends the wait between two attempts, which may be long."""
        handle = engine.submit(lab.tries, run_id="tries")
        lab.called("tries", "run b")
        handle.cancel("enough")
        assert handle.wait(SECONDS).outcome is Outcome.UNDONE
        assert lab.calls["tries"] == ["run a", "run b", "undo b", "undo a"]

    @pytest.mark.parametrize("action", ["retry_undo", "mark_undone"])
    def test_an_operator_sees_to_an_undo_that_failed(self, engine, lab, action):
        """An undo that failed needs attention; it is called again, or taken for done, with a note."""
        run_id = f"operated-{action}"
        handle = engine.submit(lab.undo_fails, run_id=run_id)
        report = handle.wait(SECONDS)
        assert report.outcome is Outcome.NEEDS_ATTENTION
        with pytest.raises(RunRequestError, match="has not failed"):
            engine.retry_undo(run_id, "b")
        again = getattr(engine, action)(run_id, "a", note="by hand").wait(SECONDS)
        assert again.outcome is Outcome.UNDONE
        assert str(again.error) == "c is out of order"
        assert "by hand" in str(again) or action == "retry_undo"
        undone = ["run a", "run b", "run c", "undo c", "undo b", "undo a"]
        assert lab.calls[run_id] == undone + ["undo a"] * (action == "retry_undo")

    def test_an_operator_rolls_back_a_run_that_has_succeeded(self, engine, lab):
        """A run that has ended is undone when somebody asks for it; twice is once too often."""
        handle = engine.submit(lab.waits, run_id="regretted")
        lab.gates["regretted"].set()
        assert handle.wait(SECONDS).outcome is Outcome.SUCCEEDED
        with pytest.raises(RunRequestError, match="nothing to carry on"):
            engine.resume("regretted")
        assert engine.rollback("regretted", note="a mistake").wait(SECONDS).outcome is Outcome.UNDONE
        assert lab.calls["regretted"][3:] == ["undo never", "undo slow", "undo a"]
        with pytest.raises(RunRequestError, match="undone already"):
            engine.rollback("regretted")

    def test_past_its_pivot_a_run_is_carried_on(self, engine, lab):
        """A failure past the point of no return needs attention, and goes forward when it is resumed."""
        handle = engine.submit(lab.pivots, run_id="forward")
        assert handle.wait(SECONDS).outcome is Outcome.NEEDS_ATTENTION
        with pytest.raises(RunRequestError, match="pivot"):
            engine.rollback("forward")
        assert engine.resume("forward").wait(SECONDS).outcome is Outcome.SUCCEEDED
        assert lab.calls["forward"] == ["run a", "run p", "run z", "run z"]

    def test_branches_are_carried_on_at_once(self, engine, lab):
        """Branches that wait for one another come to their end."""
        if lab.not_kept:
            pytest.skip("the specification's journal has no form for it")
        assert engine.submit(lab.together, run_id="met").wait(SECONDS).outcome is Outcome.SUCCEEDED

    def test_its_runs_are_operated_on_the_web_page(self, engine, lab):
        """On a web page an undo is retried, a run rolled back, and one on its way cancelled: by whom and why is told."""
        engine.submit(lab.undo_fails, run_id="web-stuck").wait(SECONDS)
        engine.submit(lab.keys, run_id="web-done").wait(SECONDS)
        engine.submit(lab.waits_in_a_loop, run_id="web-going")
        lab.called("web-going", "run slow")
        asked = [
            ("retry_undo", lab.undo_fails, "web-stuck", "a"),
            ("rollback", lab.keys, "web-done", ""),
            ("cancel", lab.waits_in_a_loop, "web-going", ""),
        ]
        with serving(engine) as browser:
            assert "web-going" in text_of(browser.get("/?text=web-"))
            for kind, workflow, run_id, step in asked:
                form = browser.form(kind, run_id, step, workflow.id, why=f"to {kind}")
                assert browser.post(form).status_code == 303
                report = engine.wait(run_id, workflow_id=workflow.id, timeout=SECONDS)
                assert report.outcome is Outcome.UNDONE
                assert f"Ann: to {kind}" in text_of(browser.run(run_id, workflow.id))

    def test_runs_are_listed(self, engine, lab):
        """Runs are listed, the newest first, and found by workflow, id and status."""
        for number in range(3):
            engine.submit(lab.keys, run_id=f"listed-{number}").wait(SECONDS)
        found = [info.run_id for info in engine.runs(workflow_id="keys") if "listed" in info.run_id]
        assert found == ["listed-2", "listed-1", "listed-0"]
        assert [info.status for info in engine.runs(run_id="listed-1")] == ["succeeded"]
        assert list(engine.runs(run_id="listed-1", status="undone")) == []


@contextlib.contextmanager
def at_work(engine, **options):
    """Have a worker carry on the runs of a lab."""
    lab = Lab()
    with engine.worker(lab.workflows, **options).in_background():
        yield lab
