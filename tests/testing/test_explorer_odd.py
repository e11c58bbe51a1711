"""Sagas and worlds that are odd: right ones are not accused, wrong ones are told as what they are."""

from __future__ import annotations

import contextlib
import sys

import pytest

from automa import Retry, Step, Workflow
from automa.testing import DictWorld, ExplorationError, SqliteWorld, explore


def put(world, key, **options):
    """Return a step that is right: it sets a key, and takes it away."""
    return Step(
        key,
        run=lambda: world.data.__setitem__(key, 1),
        undo=lambda: world.data.pop(key, None),
        **options,
    )


def test_runs_that_a_step_starts_are_left_alone():
    """A run within a step is the step's own affair: its steps are neither failed nor accused."""
    world = DictWorld()

    def run():
        world.data["outer"] = 1
        Workflow("inner", [put(world, "inner")]).start()

    def undo():
        world.data.pop("outer", None)
        world.data.pop("inner", None)

    exploration = explore(lambda: Workflow("w", [put(world, "a"), Step("b", run=run, undo=undo)]), world)
    assert exploration.ok, str(exploration)
    assert not any("inner" in case for case in exploration.cases)


class Demanding(Exception):
    """Cannot be made without arguments."""

    def __new__(cls, _one, _two):
        return super().__new__(cls)


class Final(Exception):
    """Cannot be subclassed."""

    def __init_subclass__(cls):
        raise TypeError("final")


@pytest.mark.parametrize("errors", [Demanding, Final, ExceptionGroup, (Demanding, ValueError)])
@pytest.mark.parametrize("where", ["retry", "rollback_on"])
def test_errors_that_cannot_be_made_do_no_harm(errors, where):
    """Where no fault can be made of the class that is asked for, the saga is explored without it."""
    world = DictWorld()
    retry = Retry(attempts=2, on=errors) if where == "retry" else None
    more = {"rollback_on": errors} if where == "rollback_on" else {}
    exploration = explore(
        lambda: Workflow("w", [put(world, "a", retry=retry), put(world, "b")], **more), world
    )
    assert exploration.ok, str(exploration)


@pytest.mark.parametrize(
    "on", [lambda error: isinstance(error, ValueError), lambda error: error.status == 503]
)
def test_a_step_that_chooses_its_retries_is_not_accused(on):
    """A function that does not take an injected fault for one to try again leaves out that case alone."""
    world = DictWorld()
    exploration = explore(
        lambda: Workflow("w", [put(world, "a", retry=Retry(attempts=2, on=on)), put(world, "b")]), world
    )
    assert exploration.ok, str(exploration)
    assert "retry-after:a" not in exploration.cases


def test_an_undo_that_brings_back_what_others_have_undone_is_named():
    """Called again by an operator, after the others, it writes what it once found there: told of its step."""
    world = DictWorld({"config": 0})

    def write(id, value):
        return Step(
            id,
            prepare=lambda _: {"old": world.data["config"]},
            run=lambda: world.data.__setitem__("config", value),
            undo=lambda ctx: world.data.__setitem__("config", ctx.local["old"]),
        )

    (violation,) = explore(lambda: Workflow("w", [write("a", 1), write("b", 2)]), world).violations
    assert (violation.step, violation.kind.value) == ("b", "idempotent_undo")
    assert violation.story.endswith("undo of b, called again after the others, changed what they had left")


def test_a_verify_that_fails_is_accused():
    """One that raises sends each run back whose process has died: that is no answer."""
    world = DictWorld()

    def verify(_ctx):
        raise OSError("no line")

    (violation,) = explore(lambda: Workflow("w", [put(world, "a", verify=verify)]), world).violations
    assert (violation.step, violation.kind.value) == ("a", "verify_is_right")
    assert violation.story.endswith("verify of a failed: OSError: no line")


def test_a_prepare_that_changes_the_world_is_told_as_such():
    """Its step has an undo, which is not called before its run: nobody is told that there is none."""
    world = DictWorld()
    step = Step(
        "a",
        prepare=lambda _: world.data.__setitem__("lock", 1),
        run=lambda: None,
        undo=lambda: world.data.pop("lock", None),
    )
    (violation,) = explore(lambda: Workflow("w", [step]), world).violations
    assert violation.story.endswith("let its prepare only look")


def test_an_undo_of_nothing_is_not_told_as_an_undo_of_something():
    """The story of an undo that does harm where its run did nothing says so."""
    world = DictWorld({"count": 0})
    step = Step(
        "a",
        prepare=lambda _: {"count": world.data["count"] + 1},
        run=lambda ctx: world.data.__setitem__("count", ctx.local["count"]),
        undo=lambda: world.data.__setitem__("count", world.data["count"] - 1),
    )
    exploration = explore(lambda: Workflow("w", [step]), world)
    violation = exploration.verdict("a", "undo_tolerates_nothing").violation
    assert violation.story.endswith("undo of a changed the world, though its run had done nothing")


def test_a_story_in_which_nothing_happens_begins_with_what_is_wrong():
    """There is no colon before the first word."""
    (violation,) = explore(lambda: Workflow("w", [Step("a", run=lambda: object())]), DictWorld()).violations
    assert violation.story[0].isalpha()


def test_a_step_that_ends_the_process_does_not_end_the_exploration_in_silence():
    """A `sys.exit` in a step, or where the workflow is made, is an error that says so."""
    step = Step("a", run=lambda: sys.exit(3))
    with pytest.raises(ExplorationError, match="SystemExit: 3"):
        explore(lambda: Workflow("w", [step]), DictWorld())
    with pytest.raises(ExplorationError, match="cannot be made: SystemExit: 3"):
        explore(lambda: sys.exit(3), DictWorld())


def test_an_open_transaction_is_an_error_and_no_waiting():
    """A world whose database somebody holds locked says so, rather than wait for good."""
    world = SqliteWorld("CREATE TABLE t (x)")
    with contextlib.closing(world.connect()) as left_open:
        left_open.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(Exception, match="left a transaction open"):
            world.reset()
    world.reset()


def test_every_pair_of_crashes_is_visited_where_an_operator_rolls_back():
    """At depth 2 the process in which an operator rolls a dead run back dies as well."""
    world = DictWorld()
    cases = explore(lambda: Workflow("w", [put(world, "a"), put(world, "b")]), world, depth=2).cases
    assert "abandon+crash-after-run:b+crash-after-undo:b" in cases
    assert len(cases) == len(set(cases))


def test_the_world_goes_to_an_argument_that_asks_for_it():
    """One that is required, or is called world; a default of something else is left alone."""
    world = DictWorld()
    seen = []

    def make(some):
        seen.append(some)
        return Workflow("w", [put(world, "a")])

    makers = [
        (lambda given: make(given), world),
        (lambda world=None: make(world), world),
        (lambda flag=True: make(flag), True),
        (lambda *, flag=True: make(flag), True),
        (lambda *all_of_them: make(all_of_them), ()),
    ]
    for maker, expected in makers:
        seen.clear()
        assert explore(maker, world).ok
        assert all(each is expected or each == expected for each in seen), seen
