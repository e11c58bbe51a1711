"""Starts, crashes, resumes, rollbacks, retries and cancels in any order, against a small model of a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from automa import Action, RunRequestError, Step, Workflow
from automa.durable import load_history
from automa.journal.reading import read
from automa.stores import MemoryStore, SqliteStore
from tests.durable.scenarios import told


class Death(BaseException):
    """The process ends here."""


class BoomError(Exception):
    """What a failing step raises."""


class MortalStore:
    """A store whose process may die.

    Args:
        opened: Opens what keeps the journals; another process opens it again.

    Attributes:
        dies_in: After how many writes the process dies in one, or None.
        is_written: Whether that one is durable all the same.
        is_dead: Whether the process has died: nothing is written or given back any more.
    """

    def __init__(self, opened):
        self.opened = opened
        self.store = opened()
        self.dies_in = None
        self.is_written = self.is_dead = False

    def create(self, workflow_id, run_id):
        return MortalLease(self, self.store.create(workflow_id, run_id))

    def take(self, workflow_id, run_id):
        return MortalLease(self, self.store.take(workflow_id, run_id))

    def load(self, workflow_id, run_id):
        return self.store.load(workflow_id, run_id)

    def runs(self, **options):
        return self.store.runs(**options)

    def close(self):
        self.store.close()

    def reborn(self):
        """Let the process be dead: its locks are free, and another opens the store."""
        self.dies_in, self.is_dead = None, False
        if isinstance(self.store, MemoryStore):
            self.store._owners.clear()
        else:
            self.store._held.clear()
            self.store.close()
            self.store = self.opened()


class MortalLease:
    def __init__(self, mortal, lease):
        self.mortal, self.lease = mortal, lease

    def append(self, entries, status):
        mortal = self.mortal
        if mortal.is_dead:
            raise Death
        if mortal.dies_in == 0:
            mortal.is_dead = True
            if mortal.is_written:
                self.lease.append(entries, status)
            raise Death
        if mortal.dies_in is not None:
            mortal.dies_in -= 1
        self.lease.append(entries, status)

    def delete(self):
        self.lease.delete()

    def release(self):
        if not self.mortal.is_dead:
            self.lease.release()


IDS = ("a", "n/x", "n/y", "b")
"""The steps, in the order in which they run; n is a workflow."""

ENDS = {"succeeded", "failed", "undone", "needs_attention"}


class Runs(RuleBasedStateMachine):
    """One run, and what is done to it.

    What the steps do is drawn anew for each process: a step or an undo that failed may go well the next time.
    """

    opened = staticmethod(MemoryStore)

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = MortalStore(self.open)
        self.effects = []  # (process, "run" or "undo", path), in order
        self.marked = set()
        self.process = 0
        self.report = None
        self.is_begun = False
        self.mode, self.rollback_mode = "rollback", "continue"
        self.script = {}
        self.problems = []
        self.answered = {}  # the last answer of each call that is known to be recorded

    def open(self):
        return (
            MemoryStore()
            if self.opened is MemoryStore
            else SqliteStore(self.folder / "runs.db", durability="process")
        )

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # The workflow

    def step(self, path):
        id = path.rpartition("/")[2]

        def act(kind):
            self.fail(self.script.get((kind, path, "before")))
            self.effects.append((self.process, kind, path))
            self.fail(self.script.get((kind, path)))

        def run(ctx):
            ctx.shared["last"] = [*ctx.shared.get("last", []), path]
            act("run")
            return path

        def undo(ctx):
            if self.answered.get(("run", path)) == "SUCCESS" and ctx.shared["last"][-1] != path:
                self.problems.append(f"the undo of {path} did not get the state as its step left it")
            act("undo")

        return Step(id, run=run, undo=undo)

    def fail(self, error):
        if isinstance(error, Death):
            self.store.is_dead = True
        if error is not None:
            raise type(error)(*error.args)

    def workflow(self):
        inner = Workflow("n", [self.step("n/x"), self.step("n/y")])
        return Workflow(
            "w", [self.step("a"), inner, self.step("b")], mode=self.mode, rollback_mode=self.rollback_mode
        )

    def call(self, work, plan):
        """Do something in a process of its own, which may die."""
        script, death = plan
        self.process += 1
        self.script = script
        self.store.dies_in, self.store.is_written = death
        begun = len(self.effects)
        try:
            self.report = work(self.workflow())
        except (Death, KeyboardInterrupt):
            self.report = None
        finally:
            self.store.reborn()
        self.check_process(begun, script)

    def check_process(self, begun, script):
        """Check what one process did: nothing recorded as done is done again (G2, G3)."""
        mine = [effect[1:] for effect in self.effects[begun:]]
        assert len(set(mine)) == len(mine)
        runs = [path for kind, path in mine if kind == "run"]
        assert runs == [path for path in IDS if path in runs]
        undos = [path for kind, path in mine if kind == "undo"]
        assert undos == [path for path in reversed(IDS) if path in undos]
        for call in mine:
            assert self.answered.get(call) != "SUCCESS", f"{call} was done again"
        with contextlib.suppress(LookupError):
            history = load_history(self.store, "w", "r")
            self.is_begun = True
            for record in history:
                report = getattr(record, "report", None)
                if hasattr(record, "path") and report is not None:
                    kind = {Action.RUN: "run", Action.ROLLBACK: "undo"}[report.action]
                    self.answered[kind, record.path] = report.status.value

    # The rules

    @precondition(lambda self: not self.is_begun)
    @rule(
        plan=st.deferred(lambda: PLANS),
        mode=st.sampled_from(("rollback", "rollback", "stop", "continue")),
        rollback_mode=st.sampled_from(("continue", "stop")),
    )
    def start(self, plan, mode, rollback_mode):
        self.mode, self.rollback_mode = mode, rollback_mode
        self.call(lambda workflow: workflow.start(run_id="r", store=self.store), plan)

    @precondition(lambda self: self.is_begun)
    @rule(plan=st.deferred(lambda: PLANS))
    def resume(self, plan):
        before, entries = self.reading(), self.store.load("w", "r")
        count = len(self.effects)
        self.call(lambda workflow: workflow.resume("r", self.store, missing="error"), plan)
        if before.is_done:
            assert self.store.load("w", "r") == entries
            assert len(self.effects) == count
            assert told(self.report) == told(before.report)

    @precondition(lambda self: self.is_begun)
    @rule(plan=st.deferred(lambda: PLANS))
    def rollback(self, plan):
        if self.reading().report.outcome == "undone":
            with pytest.raises(RunRequestError):
                self.workflow().rollback("r", self.store)
            return
        self.call(lambda workflow: workflow.rollback("r", self.store, note="asked"), plan)

    @precondition(lambda self: self.is_begun)
    @rule(path=st.sampled_from(IDS), plan=st.deferred(lambda: PLANS))
    def retry_undo(self, path, plan):
        self.ask(path, plan, lambda workflow: workflow.retry_undo("r", path, self.store))

    @precondition(lambda self: self.is_begun)
    @rule(path=st.sampled_from(IDS), plan=st.deferred(lambda: PLANS))
    def mark_undone(self, path, plan):
        if self.ask(path, plan, lambda workflow: workflow.mark_undone("r", path, self.store, note="seen")):
            self.marked.add(path)

    def ask(self, path, plan, work):
        """Ask something about a step whose undo has failed; return whether it is recorded."""
        reading, count = self.reading(), len(self.effects)
        entries = self.store.load("w", "r")
        if not (reading.is_done and reading.states[path].name == "COMPENSATION_FAILED"):
            with pytest.raises(RunRequestError):
                work(self.workflow())
            assert len(self.effects) == count
            assert self.store.load("w", "r") == entries
            return False
        self.call(work, plan)
        return any("requested" in entry for entry in self.store.load("w", "r")[len(entries) :])

    # What always holds

    def reading(self):
        return read(load_history(self.store, "w", "r"))

    @invariant()
    def outcome_tells_the_truth(self):
        """A run is undone only where each step that ran was taken back; it needs attention where an undo failed."""
        assert self.problems == []
        if not self.is_begun:
            return
        reading = self.reading()
        if self.report is not None and self.report.outcome in ENDS:
            assert told(reading.report) == told(self.report)
        ran = {path for _, kind, path in self.effects if kind == "run"}
        states = {path: reading.states[path].name for path in IDS}
        failed = {path for path, state in states.items() if state == "COMPENSATION_FAILED"}
        went_well = {
            path for (kind, path), status in self.answered.items() if kind == "undo" and status == "SUCCESS"
        }
        if not reading.is_done:
            return
        outcome = reading.report.outcome.value
        assert outcome in ENDS
        assert (outcome == "needs_attention") == bool(failed)
        if outcome == "undone":
            assert ran <= went_well | self.marked | self.skipped()
        if outcome == "succeeded":
            assert ran == set(IDS)
            assert not failed
        for path in failed:
            assert self.answered["undo", path] == "FAILED"

    def skipped(self):
        """Return the steps whose undo had nothing to do."""
        return {
            path for (kind, path), status in self.answered.items() if kind == "undo" and status == "SKIPPED"
        }

    @invariant()
    def a_step_is_run_again_only_where_its_process_ended(self):
        """Each crash brings at most one call that was in flight again (G3)."""
        runs = [path for _, kind, path in self.effects if kind == "run"]
        assert len(runs) - len(set(runs)) <= max(self.process - 1, 0)

    @invariant()
    def nobody_owns_the_run_between_two_processes(self):
        assert not any(info.is_owned for info in self.store.runs())


def failures():
    """Draw what goes wrong in a process: which calls fail, are interrupted, or are the last of it."""
    error = st.sampled_from((BoomError("it failed"), BoomError("it failed"), KeyboardInterrupt(), Death()))
    keys = st.sampled_from(
        [(kind, path, *when) for kind in ("run", "undo") for path in IDS for when in ((), ("before",))]
    )
    return st.dictionaries(keys, error, max_size=3)


DEATHS = st.tuples(st.none() | st.none() | st.integers(0, 9), st.booleans())
PLANS = st.tuples(failures(), DEATHS)


class RunsInSqlite(Runs):
    """The same, in SQLite."""

    opened = SqliteStore


EXAMPLES = 150 if os.environ.get("AUTOMA_SOAK") else 12
IS_SEEDED = "AUTOMA_CRASHES" in os.environ  # it is to fail: that it does is enough
PHASES = [Phase.explicit, Phase.generate] if IS_SEEDED else settings.default.phases
SETTINGS = settings(max_examples=10 * EXAMPLES, stateful_step_count=12, phases=PHASES)


@pytest.mark.guarantee("G2", "G3", "G4", "G8", "G9", "G10")
class TestRunsInMemory(Runs.TestCase):
    """Whatever is done to a run in memory, no recorded step is done again, and its outcome tells what stands."""

    settings = SETTINGS


@pytest.mark.guarantee("G2", "G3", "G4", "G8", "G9", "G10")
class TestRunsInSqlite(RunsInSqlite.TestCase):
    """Whatever is done to a run in SQLite, no recorded step is done again, and its outcome tells what stands."""

    settings = settings(SETTINGS, max_examples=4 * EXAMPLES)


def failing_once(id, fails):
    """Return a step whose undo fails as long as its id is in a set."""

    def undo():
        if id in fails:
            raise BoomError(f"the undo of {id} failed")

    return Step(id, run=lambda: None, undo=undo)


@pytest.mark.guarantee("G10")
def test_an_undo_that_failed_earlier_is_told_again():
    """A second way back that passes a failed undo in a nested workflow by still tells of its error."""
    fails, store = {"x"}, MemoryStore()
    inner = Workflow("inner", [failing_once(id, fails) for id in "vx"])
    outer = Workflow("outer", [failing_once("a", fails), inner])
    workflow = Workflow("w", [outer], rollback_mode="stop")
    workflow.start(run_id="r", store=store)
    first = workflow.rollback("r", store)
    again = workflow.rollback("r", store)
    assert (first.outcome, again.outcome) == ("needs_attention", "needs_attention")
    assert str(again.step_reports[-1].error) == "the undo of x failed"
    fails.clear()
    assert workflow.retry_undo("r", "outer/inner/x", store).outcome == "undone"
    assert told(workflow.resume("r", store)) == told(read(load_history(store, "w", "r")).report)


@pytest.mark.guarantee("G9")
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_request_that_is_made_again_after_each_crash_is_carried_out(times):
    """Where each process that was asked to roll back died at once, the next one rolls back all the same."""
    store, undone = MortalStore(MemoryStore), []
    workflow = Workflow(
        "w", [Step(id, run=lambda: None, undo=lambda id=id: undone.append(id)) for id in "ab"]
    )
    workflow.start(run_id="r", store=store)
    for _ in range(times):
        store.dies_in, store.is_written = 0, True  # the request is recorded, and that was all
        with pytest.raises(Death):
            workflow.rollback("r", store)
        store.reborn()
    assert workflow.rollback("r", store).outcome == "undone"
    assert undone == ["b", "a"]
