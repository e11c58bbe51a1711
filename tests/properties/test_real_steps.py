"""Steps that are more than plain ones, and steps side by side: as the model has it, whoever drives them, and whoever dies."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from automa import Action, Answered, AttemptFailed, Outcome, Status, Workflow
from automa.durable import load_history
from automa.journal.entries import decode_entries
from automa.journal.reading import read
from automa.stores import MemoryStore
from automa.wire import v1
from tests.properties.plans import all_of, build_steps, expected, fits, flat, real_plans, tell
from tests.properties.test_walk import outcome_of


def workflow_of(plan, calls):
    steps, mode, rollback_mode = plan
    return Workflow("w", build_steps(steps, calls), mode=mode, rollback_mode=rollback_mode)


def check(report, calls, plan):
    """Compare a run with the model, and with what holds whatever the model says."""
    steps, mode, rollback_mode = plan
    model, real = expected(steps, mode, rollback_mode), tell(report, calls)
    assert real.reports == model.reports
    assert (real.status, real.is_stopped) == (model.status, model.is_stopped)
    assert Counter(calls) == Counter(flat(model.calls))
    assert fits(model.calls, calls), (model.calls, calls)
    assert report.outcome.value == outcome_of(model, mode)
    assert (report.error is None) == (model.status == "SUCCESS")
    check_undos(report, calls, plan)
    check_attempts(calls, steps)
    event(f"{mode} {report.outcome}")


def leaves_of(steps, prefix=()):
    """Return the plans of the leaves by path, each with the plans that it is in."""
    found = {}
    for plan in steps:
        within = (*prefix, plan)
        if plan.steps is None:
            found["/".join(each.id for each in within)] = within
        else:
            found |= leaves_of(plan.steps, within)
    return found


def paths_of(calls, kind):
    return list(dict.fromkeys(call.split()[1] for call in calls if call.split()[0] == kind))


def check_undos(report, calls, plan):
    """Check that all that was run is undone once, the last first, where anything is to be undone."""
    steps, mode, rollback_mode = plan
    leaves, ran, undone = leaves_of(steps), paths_of(calls, "run"), paths_of(calls, "undo")
    undos = [call for call in calls if call.startswith("undo ")]
    in_passes = [call for index, call in enumerate(undos) if undos[index - 1 : index] != [call]]
    assert in_passes == [f"undo {path}" for path in undone]  # none comes again after another
    passed = [path for path in ran if leaves[path][-1].is_pivot and path in went_well(report)]
    if report.outcome is Outcome.SUCCEEDED or report.is_stopped or passed:
        assert not undone
        return
    if mode != "rollback":
        assert all(leaves[path][-1].way == "calls own rollback" for path in undone)
        return
    own = {path for path in ran if leaves[path][-1].undo != "none"}
    without_run = {path for path, within in leaves.items() if within[-1].run == "none"}
    assert set(undone) <= own | without_run
    if rollback_mode == "continue":
        assert own <= set(undone)
    order = {path: index for index, path in enumerate(ran)}
    both = [path for path in undone if path in order]
    for index, later in enumerate(both):
        for earlier in both[index + 1 :]:
            assert order[earlier] < order[later] or are_side_by_side(leaves[earlier], leaves[later])


def went_well(report, prefix=""):
    """Return the paths of the steps whose run went well."""
    found = set()
    for each in report.step_reports:
        if each.workflow is not None:
            found |= went_well(each.workflow, f"{prefix}{each.step_id}/")
        elif each.action is Action.RUN and each.status is Status.SUCCESS:
            found.add(prefix + each.step_id)
    return found


def are_side_by_side(one, other):
    """Whether two leaves are in different branches of a `Parallel` that goes on with several at once."""
    for depth, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine is not theirs:
            return depth > 0 and one[depth - 1].on_failure is not None and one[depth - 1].limit != 1
    return False


def check_attempts(calls, steps):
    """Check that no call is made more often than its own retry has it, and that an undo has its own."""
    counts = Counter(calls)
    for path, within in leaves_of(steps).items():
        leaf = within[-1]
        assert counts[f"run {path}"] <= max(leaf.budget, 1)
        assert counts[f"undo {path}"] <= max(leaf.undo_budget, 1)
        is_hopeless = leaf.undo == "fail" and not leaf.undo_gives_up and leaf.way != "calls own rollback"
        if is_hopeless and counts[f"undo {path}"]:
            assert counts[f"undo {path}"] == max(leaf.undo_budget, 1)
        for kind in ("when", "prepare"):
            assert counts[f"{kind} {path}"] <= 1


def check_wire(report):
    """Check that a report can be written in the specification's form, and read again."""
    tree = v1.report_to_dict(report)
    assert v1.report_to_dict(v1.report_from_dict(tree)) == tree


@settings(max_examples=400)
@given(real_plans("sync", depth=0))
def test_steps_in_a_row_match_the_model(plan):
    """Retries, conditions, pivots and what cannot be undone do what the model says, in all modes."""
    calls = []
    report = workflow_of(plan, calls).start()
    check(report, calls, plan)
    check_wire(report)


@settings(max_examples=200)
@given(real_plans("sync", depth=3))
def test_steps_at_any_depth_match_the_model(plan):
    """The same in nested workflows, and side by side in threads."""
    calls = []
    report = workflow_of(plan, calls).start()
    check(report, calls, plan)
    check_wire(report)


@pytest.mark.parametrize("flavour", ["sync", "async", "mixed"])
def test_steps_on_a_loop_match_the_model(flavour):
    """The same on an event loop, with steps that are async, that are not, and with both mixed."""

    @settings(max_examples=70)
    @given(real_plans(flavour, depth=2))
    def prove(plan):
        calls = []
        check(asyncio.run(workflow_of(plan, calls).start_async()), calls, plan)

    prove()


def start(workflow, store, flavour):
    if flavour == "sync":
        return workflow.start(run_id="r", store=store)
    return asyncio.run(workflow.start_async(run_id="r", store=store))


def resume(workflow, store, flavour):
    if flavour == "sync":
        return workflow.resume("r", store)
    return asyncio.run(workflow.resume_async("r", store))


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("flavour", ["sync", "mixed"])
def test_a_journal_tells_the_same_as_the_run(flavour):
    """A journaled run is the model's too; each part of its journal can be read, and the whole tells the same report."""

    @settings(max_examples=50)
    @given(real_plans(flavour, depth=2))
    def prove(plan):
        calls, store = [], MemoryStore()
        report = start(workflow_of(plan, calls), store, flavour)
        check(report, calls, plan)
        entries = store.load("w", "r")
        for count in range(1, len(entries) + 1):
            reading = read(decode_entries(entries[:count]))
        assert reading.report.outcome is report.outcome
        assert tell(reading.report, []) == tell(report, [])

    prove()


class MortalStore(MemoryStore):
    """Writes nothing from the n-th write on, as where the process has died, until it is told to live again.

    Args:
        at: At which write it dies, from 1; 0 never.
        after: Whether that write is made.
    """

    def __init__(self, at=0, *, after=False):
        super().__init__()
        self.at, self.after, self.writes = at, after, 0

    def write(self, lease, key, entries, status):
        self.writes += 1
        is_over = self.at and self.writes >= self.at
        if not is_over or (self.after and self.writes == self.at):
            super().write(lease, key, entries, status)
        if is_over:
            raise OSError("the process has died")


def without_attempts(reports):
    return [
        (id, action, status, None if inner is None else without_attempts(inner))
        for id, action, status, _, inner in reports
    ]


def without_conditions(calls):
    """Leave out conditions: they may be asked again, and have no effect."""
    return [call for call in calls if not call.startswith("when ")]


@pytest.mark.guarantee("G2", "G3", "G4", "G8")
@pytest.mark.parametrize("flavour", ["sync", "mixed"])
def test_a_run_that_dies_at_any_write_and_is_resumed_is_the_same(flavour):
    """Whichever write is the last of a process, what was answered is not done again, and the report is the model's."""

    @settings(max_examples=100)
    @given(real_plans(flavour, depth=2), st.integers(0, 10_000), st.booleans())
    def prove(plan, at, after):
        steps, mode, rollback_mode = plan
        reference, whole, store = [], MortalStore(), MortalStore()
        report = start(workflow_of(plan, reference), whole, flavour)
        store.at, store.after = 1 + at % whole.writes, after
        died, resumed = [], []
        start(workflow_of(plan, died), store, flavour)
        store.at = 0
        history = []
        if store._journals:
            history = load_history(store, "w", "r")
        again = resume(workflow_of(plan, resumed), store, flavour)
        answered = {f"{each.report.action} {each.path}" for each in history if isinstance(each, Answered)}
        for call in resumed:
            assert call.replace("undo", "rollback") not in answered
        if any(isinstance(each, AttemptFailed) and each.delay is None for each in history):
            return  # it had stopped past its pivot: that step has been given another chance
        model = expected(steps, mode, rollback_mode)
        assert tell(again, []).reports == model.reports
        assert again.outcome is report.outcome
        died, resumed, reference = (without_conditions(calls) for calls in (died, resumed, reference))
        if any(plan.on_failure is not None and plan.limit != 1 for plan, _ in all_of(steps)):
            more = Counter([*died, *resumed])
            more.subtract(reference)
            assert set(more.values()) <= {0, 1}
            return
        overlap = len(died) + len(resumed) - len(reference)
        is_literal = any(plan.way == "calls own rollback" for plan, _ in all_of(steps))
        assert overlap in ({0, 1, 2} if is_literal else {0, 1})  # its undo has no record of its own
        assert died == reference[: len(died)]
        assert resumed == reference[len(died) - overlap :]

    prove()
