"""What a plan tells is what a run does."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automa import Expand, Outcome, Parallel, Retry, Step, UnknownStepError, Workflow
from tests.properties.plans import all_of, build_steps, real_plans


def leaves_of(steps, prefix=""):
    for plan in steps:
        if plan.steps is None:
            yield prefix + plan.id, plan
        else:
            yield from leaves_of(plan.steps, f"{prefix}{plan.id}/")


def skipped_of(steps, prefix=""):
    for plan in steps:
        if "skip" in plan.prepare or plan.when == "false":
            yield prefix + plan.id
        yield from skipped_of(plan.steps or [], f"{prefix}{plan.id}/")


def rollbacks_of(report, prefix=""):
    """Yield the path and the report of each step's way back, in their order."""
    for each in report.step_reports:
        if each.workflow is not None:
            yield from rollbacks_of(each.workflow, f"{prefix}{each.step_id}/")
        elif each.action == "rollback":
            yield prefix + each.step_id, each


def that_go_well(steps):
    """Take out of drawn steps all that fails in the end; what fails at first is tried again."""
    for plan, _ in all_of(steps):
        plan.gives_up = plan.undo_gives_up = False
        plan.failures = min(plan.failures, max(plan.budget - 1, 0))
        plan.undo_failures = min(plan.undo_failures, max(plan.undo_budget - 1, 0))
        plan.prepare = "ok" if plan.prepare == "fail" else plan.prepare
        plan.when = "true" if plan.when == "fail" else plan.when
        plan.run = "ok" if plan.run == "fail" else plan.run
        plan.undo = "ok" if plan.undo == "fail" else plan.undo
        plan.way = "overrides" if plan.way == "calls own rollback" else plan.way


def expanded(steps, built, flags):
    """Return steps, with some of the workflows among them built on the way, and the ids of those."""
    ids = {
        plan.id
        for plan, flag in zip(steps, flags, strict=False)
        if flag and plan.steps is not None and plan.on_failure is None
        if not any(each.is_pivot for each, _ in all_of(plan.steps))
    }
    return [Expand(each.id, lambda each=each: each) if each.id in ids else each for each in built], ids


@given(real_plans("sync", depth=2), st.integers(0, 1000), st.lists(st.booleans(), min_size=5), st.booleans())
def test_a_plan_tells_what_a_run_does(drawn, number, flags, undo_fails):
    """Whichever step fails, a plan has the undos, what stays, their order and reasons, and the outcome."""
    steps, mode, rollback_mode = drawn
    that_go_well(steps)
    leaves, skipped = dict(leaves_of(steps)), set(skipped_of(steps))
    runs = {
        path: plan
        for path, plan in leaves.items()
        if not any(f"{path}/".startswith(f"{each}/") for each in skipped)
    }
    failing = [path for path, plan in runs.items() if plan.run == "ok"]
    if not failing:
        return
    path = failing[number % len(failing)]
    leaves[path].run, leaves[path].budget, leaves[path].failures = "fail", 2 * (leaves[path].budget > 0), 0
    calls = []
    built, ids = expanded(steps, build_steps(steps, calls), flags)
    plan = Workflow("w", built, mode=mode, rollback_mode=rollback_mode).plan()
    assert calls == []  # nothing is run by a plan
    assert str(plan).startswith("workflow w")

    def shown(path):
        return path.split("/")[0] if path.split("/")[0] in ids else path

    way = plan.if_fails(shown(path), skipped)
    undoing = [fate.path for fate in way.undone if fate.path not in ids and leaves[fate.path].undo != "none"]
    failed_undo = undoing[number % len(undoing)] if undo_fails and undoing else None
    if failed_undo is not None:
        leaves[failed_undo].undo, leaves[failed_undo].undo_failures = "fail", 0
        calls = []
        built, _ = expanded(steps, build_steps(steps, calls), flags)
    report = Workflow("w", built, mode=mode, rollback_mode=rollback_mode).start()
    called = [each for each, _ in itertools.groupby(shown(c[5:]) for c in calls if c.startswith("undo "))]
    told = [fate.path for fate in way.undone if fate.path in undoing or fate.path in called]
    if failed_undo is not None and rollback_mode == "stop":
        assert called == [
            each for each in told[: told.index(failed_undo) + 1] if each in undoing or each in ids
        ]
        assert report.outcome is Outcome.NEEDS_ATTENTION
        return
    assert called == told
    assert report.outcome is (way.outcome if failed_undo is None else Outcome.NEEDS_ATTENTION)
    ran = {shown(call[4:]) for call in calls if call.startswith("run ")}
    tells = [fate.path for fate in (*way.undone, *way.stays)]
    assert {each for each in tells if each not in ids and leaves[each].run != "none"} == ran - ids
    assert ran & ids <= set(tells)
    assert not ran & set(way.not_run)
    if mode == "rollback" and not way.pivots:
        no_undo = {
            path
            for path, leaf in runs.items()
            if leaf.undo == "none" and leaf.run != "none" and leaf.way in {"functions", "subclass"}
            if shown(path) not in ids and path in ran  # a branch that was given up is passed by too
        }
        assert [(fate.path, fate.reason) for fate in way.stays] == [
            (path, "irreversible" if each.is_irreversible else "no undo")
            for path, each in rollbacks_of(report)
            if path in no_undo
        ]


def done():
    return 1


def chosen(error):
    return True


def undoable(id, **options):
    return Step(id, run=done, undo=done, **options)


def rules_of(*steps, **options):
    return " ".join(str(Workflow("w", steps, **options).plan()).split())


def test_a_plan_says_what_stays_and_why():
    """What has no undo by nature stays, and the text and the JSON values say so."""
    send = Step("send", run=done, irreversible=True)
    plan = Workflow("w", [undoable("a"), send, Step("b", run=done)]).plan()
    assert "stays, once run (irreversible): send" in str(plan)
    assert "stays, once run (no undo): b" in str(plan)
    assert plan.to_dict()["if_fails"][1]["stays"][0]["reason"] == "irreversible"
    assert plan.if_fails("send").not_run == ("b",)
    with pytest.raises(UnknownStepError):
        plan.if_fails("c")


def test_a_pivot_that_may_be_skipped_has_two_endings():
    """A plan tells both what comes of a failure past such a pivot, and what where it was skipped."""
    approve = Step("approve", run=done, pivot=True, when=lambda: True)
    plan = Workflow(
        "w", [undoable("a"), approve, undoable("b"), Step("go", pivot=True), undoable("c")]
    ).plan()
    past = plan.if_fails("b")
    assert (past.outcome, past.pivots, past.undone) == (Outcome.NEEDS_ATTENTION, ("approve",), ())
    assert past.otherwise.outcome is Outcome.UNDONE
    assert [fate.path for fate in past.otherwise.undone] == ["b", "a"]
    assert (plan.if_fails("c").pivots, plan.if_fails("c").otherwise) == (("go",), None)
    text = " ".join(str(plan).split())
    assert "if b … go fails: the same, if none of the pivots before it (approve) was run" in text
    assert "if c fails: past the pivot go nothing is undone" in text


def test_a_pivot_in_a_workflow_that_was_entered_is_passed():
    """A prepare may skip a workflow with its pivot, but not where a later step in it fails."""
    inner = Workflow("in", [Step("p", run=done, pivot=True), undoable("x")], prepare=done)
    plan = Workflow("w", [inner, undoable("y")]).plan()
    assert plan.if_fails("in/x").otherwise is None
    assert plan.if_fails("y").otherwise.stays == ()
    assert [fate.path for fate in plan.if_fails("y").otherwise.undone] == ["y", "in/x"]
    assert plan.if_fails("y", {"in"}).pivots == ()


def test_a_plan_says_which_errors_send_it_back():
    """The selection of errors is told in words, and nothing of it where all do."""
    assert "goes back on" not in rules_of(undoable("a"))
    assert "it goes back on OSError; on any other" in rules_of(undoable("a"), rollback_on=OSError)
    assert "OSError or KeyError" in rules_of(undoable("a"), rollback_on=(OSError, KeyError))
    assert "it goes back on what chosen says" in rules_of(undoable("a"), rollback_on=chosen)
    assert "the way back halts there" in rules_of(undoable("a"), rollback_mode="stop")


def test_a_plan_says_which_steps_still_run():
    """In the modes that undo nothing, the steps after a failed one are run, or are not."""
    assert "all others are run" in rules_of(undoable("a"), undoable("b"), mode="continue")
    assert "those after it are not run" in rules_of(undoable("a"), undoable("b"), mode="stop")
    stop = Workflow("w", [undoable("a"), undoable("b")], mode="stop").plan().if_fails("a")
    assert (stop.not_run, stop.outcome) == (("b",), Outcome.FAILED)
    assert Workflow("w", [undoable("a"), undoable("b")], mode="continue").plan().if_fails("a").not_run == ()


def test_a_plan_says_how_branches_go_back():
    """Branches beside a failed one come to their end, or are given up; they go back whole."""
    both = Parallel("both", undoable("l"), undoable("r"))
    either = Parallel("either", undoable("l"), undoable("r"), on_failure="cancel", limit=2)
    text = rules_of(both, either)
    assert "if a step in both fails: the branches beside it come to their end first" in text
    assert "if a step in either fails: branches that have not begun are not begun" in text
    assert "the last listed first" in text
    way = Workflow("w", [both, either]).plan().if_fails("either/l")
    assert [(fate.path, fate.condition) for fate in way.undone[:2]] == [
        ("either/r", "if it was begun"),
        ("either/l", ""),
    ]


def test_the_text_of_a_plan_grows_with_its_steps():
    """Ten times as many steps make about ten times as much text, and none makes some too."""
    few, many = (len(rules_of(*map(undoable, map(str, range(n))))) for n in (50, 500))
    assert many < 12 * few
    assert "no step, so none that could fail" in rules_of()


def test_a_plan_tells_what_a_step_is_known_by():
    """Conditions, prepares, retries, limits and steps that do nothing are in the table."""
    text = rules_of(
        undoable("a", when=lambda: True, prepare=done, retry=Retry(3), timeout=2),
        Step("b", undo=done),
        Expand("c", done),
    )
    assert "a step undo, when, prepare, 3 attempts, 2 s b step undo, no run c expand" in text
    assert "what an expand builds is known in the run only" in text


def test_control_characters_do_not_steer_whoever_reads_a_plan():
    """An escape sequence or a new line in an id is spelt out."""
    assert r"\x1b[2J\n" in str(Workflow("w\x1b[2J\n", [undoable("a\x1b[2J\n")]).plan())
    assert "\x1b" not in str(Workflow("w\x1b[2J\n", [undoable("a\x1b[2J\n")]).plan())
