"""Findings are answered with a reason: in a comment, or in the call."""

from __future__ import annotations

import os

import pytest

from automa import Step, Workflow, step


@step
def answered(ctx):  # automa: ignore[SAGA003] only asks whether the process is there
    os.kill(ctx.shared["pid"], 0)


# automa: ignore[SAGA003] only asks
@step
def answered_above(ctx):
    os.kill(ctx.shared["pid"], 0)


@step
def without_reason(ctx):  # automa: ignore[SAGA003]
    os.kill(ctx.shared["pid"], 0)


@step
def unknown(ctx):  # automa: ignore[SAGA999, SAGA003] it is so
    os.kill(ctx.shared["pid"], 0)


@step
def unused(ctx):  # automa: ignore[SAGA001] it is so
    return ctx.shared["pid"]


@step
def names_none(ctx):  # automa: ignore
    return ctx.shared["pid"]


class Machine(Step):  # automa: ignore[SAGA003] machines are ended by hand
    def saga_run(self):
        os.kill(0, 9)


def kill():
    os.kill(0, 9)


made = Step("made", run=kill)  # automa: ignore[SAGA003] made here
other = Step("other", run=kill)


def told(*steps, **options):
    return [(each.code, each.path) for each in Workflow("w", steps).lint(**options)]


@pytest.mark.parametrize("case", [answered, answered_above, Machine("m"), made])
def test_a_reason_silences(case):
    """A comment with a reason, at the function, above it, at the class or where the step is made, silences."""
    assert told(case) == []


def test_a_comment_is_for_its_step():
    """Another step of the same function is not silenced by a comment where the first is made."""
    assert told(made, other) == [("SAGA003", "other")]


def test_a_comment_without_a_reason_silences_nothing():
    """Whoever silences says why."""
    assert told(without_reason) == [("SAGA000", "without_reason"), ("SAGA003", "without_reason")]


@pytest.mark.parametrize(
    ("case", "said"),
    [(unknown, "'SAGA999'"), (unused, "ignores SAGA001, of which there is nothing"), (names_none, "no rule")],
)
def test_a_comment_that_does_nothing_is_found(case, said):
    """A comment with an unknown code, one that silences nothing, and one without a code, are findings."""
    (found,) = Workflow("w", [case]).lint()
    assert (found.code, found.path) == ("SAGA000", case.id)
    assert said in found.message
    assert found.line is not None


def test_reasons_in_the_call():
    """A reason in the call is for all steps, or for one by its path; it too must be used, and have a reason."""
    nested = Workflow("in", [Step("a", run=kill), Step("b", run=kill)])
    assert told(nested, ignore={"SAGA003": "by hand"}) == []
    assert told(nested, ignore={"in/a/SAGA003": "by hand"}) == [("SAGA003", "in/b")]
    assert told(nested, ignore={"SAGA003": "by hand", "in/c/SAGA003": "gone"}) == [("SAGA000", "in/c")]
    assert told(nested, ignore={"SAGA003": " "})[0] == ("SAGA000", "")
    assert str(Workflow("w").lint(ignore={"SAGA3": "x"})[0]).startswith("SAGA000 workflow 'w': lint(ignore=")
