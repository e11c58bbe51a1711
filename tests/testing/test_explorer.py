"""The explorer finds what a saga does not stand, names the step and the kind, and accuses nobody else."""

from __future__ import annotations

import asyncio

import pytest

from automa import Expand, Outcome, Parallel, Retry, Skip, Step, Workflow
from automa.testing import DictWorld, DirectoryWorld, ExplorationError, Property, explore


def found_by(make_workflow, world, **options):
    """Return what an exploration found: the steps and kinds of the violations."""
    exploration = explore(make_workflow, world, **options)
    return {(each.step, each.kind.value) for each in exploration.violations}


def put(world, key, **options):
    """Return a step that is right: it sets a key, and takes it away."""
    return Step(
        key,
        run=lambda: world.data.__setitem__(key, 1),
        undo=lambda: world.data.pop(key, None),
        **options,
    )


def test_a_right_saga_is_not_accused():
    """Nothing is violated, every property of a step with an undo was put to the test, and the text says so."""
    world = DictWorld()
    exploration = explore(lambda: Workflow("w", [put(world, "a"), put(world, "b")]), world)
    assert exploration.ok
    exploration.raise_for_violations()
    for step in ("a", "b"):
        for kind in set(Property) - {Property.VERIFY_IS_RIGHT}:
            assert exploration.verdict(step, kind).cases > 0, (step, kind)
            assert exploration.verdict(step, kind).word == "holds"
        assert exploration.verdict(step, "verify_is_right").word == "-"
    assert "nothing is violated" in str(exploration)
    with pytest.raises(KeyError):
        exploration.verdict("c", "undo_restores")


def test_every_crash_point_of_run_and_rollback_is_visited():
    """There is a crash before each effect, after it and after its record, forward and on the way back."""
    world = DictWorld()
    cases = explore(lambda: Workflow("w", [put(world, "a"), put(world, "b")]), world).cases
    for moment in ("before", "after"):
        for place in ("run:a", "run:b"):
            assert f"success+crash-{moment}-{place}" in cases
            assert f"rollback+crash-{moment}-{place}" in cases
        for place in ("undo:a", "undo:b"):
            assert f"rollback+crash-{moment}-{place}" in cases
    assert "success+crash-ended" in cases
    assert {"fail-before:a", "fail-after:b", "cancel-after:a", "suspend-before:b"} <= set(cases)
    assert len(cases) == len(set(cases))


def test_a_violation_tells_its_story():
    """Step, kind, story, difference of the worlds, and a line that shows the same again."""
    world = DictWorld({"payments": []})

    def make():
        return Workflow(
            "order",
            [
                Step(
                    "charge_card",
                    run=lambda: world.data["payments"].append("p1"),
                    undo=lambda: world.data["payments"].clear(),
                )
            ],
        )

    exploration = explore(make, world)
    (violation,) = exploration.violations
    assert (violation.step, violation.kind) == ("charge_card", Property.IDEMPOTENT_RUN)
    assert violation.story == (
        "crash after the effect of the run of charge_card, before its record; resumed: "
        "run of charge_card left another world"
    )
    assert [str(each) for each in violation.differences] == ["payments: ['p1'] → ['p1', 'p1']"]
    assert violation.reproduce == "explore(make, world, only='success+crash-after-run:charge_card')"
    again = eval(violation.reproduce)  # noqa: S307  # it is meant to be typed
    assert [(each.step, each.kind, each.case) for each in again.violations] == [
        (violation.step, violation.kind, violation.case)
    ]
    with pytest.raises(AssertionError, match="charge_card"):
        exploration.raise_for_violations()
    told = exploration.to_dict()
    assert told["ok"] is False
    assert told["violations"][0]["kind"] == "idempotent_run"
    assert violation.case in exploration.to_json()


def test_what_only_two_crashes_show_is_found_at_depth_two():
    """A run that stands one repetition, not two, is accused at depth 2 alone."""
    world = DictWorld({"tries": 0, "done": 0})

    def run():
        world.data["tries"] += 1
        world.data["done"] = 1 if world.data["tries"] <= 2 else 2

    def make():
        return Workflow("w", [Step("a", run=run, irreversible=True)])

    class Done(DictWorld):
        def snapshot(self):
            return {"done": self.data["done"]}

    world = Done({"tries": 0, "done": 0})
    assert found_by(make, world, depth=1) == set()
    deeper = explore(make, world, depth=2)
    assert [each.case for each in deeper.violations] == ["success+crash-after-run:a+crash-after-run:a"]
    assert found_by(make, world, depth=0) == set()


class KeepsOnSelf(Step):
    def __init__(self, world):
        super().__init__("keeps")
        self.world = world

    def saga_run(self):
        self.name = "x"
        self.world.data["x"] = 1

    def saga_undo(self):
        self.world.data.pop(self.name if hasattr(self, "name") else "gone", None)


def test_what_is_kept_on_self_does_not_survive():
    """An undo that needs an attribute set in run works in one process, and not in the next."""
    world = DictWorld()
    assert ("keeps", "state_survives") in found_by(lambda: Workflow("w", [KeepsOnSelf(world)]), world)


def test_what_is_kept_in_a_closure_does_not_survive():
    """A later step that reads what an earlier one has put into a local variable fails in a new process."""
    world = DictWorld()

    def make():
        seen = {}

        def first():
            seen["id"] = 7

        def second():
            world.data["id"] = seen["id"]

        return Workflow("w", [Step("first", run=first), Step("second", run=second, irreversible=True)])

    assert found_by(make, world) == {("second", "state_survives")}


@pytest.mark.parametrize("where", ["state", "result"])
def test_what_is_not_json_is_told_at_once(where):
    """A value that a journal cannot keep is told as state that does not survive, and the rest is not explored."""
    world = DictWorld()

    def run(ctx):
        if where == "result":
            return object()
        ctx.shared["x"] = object()
        return None

    exploration = explore(lambda: Workflow("w", [Step("ok"), Step("a", run=run)]), world)
    assert [(each.step, each.kind) for each in exploration.violations] == [("a", "state_survives")]
    assert "Error" in exploration.violations[0].story
    assert exploration.remarks


def test_a_run_that_forgets_what_its_undo_needs_is_not_idempotent():
    """Called again it keeps the new value as the old one: the undo is right, the run is not."""
    world = DictWorld({"limit": 1})

    def run(ctx):
        ctx.local["old"] = world.data["limit"]
        world.data["limit"] = 5

    def undo(ctx):
        if "old" in ctx.local:
            world.data["limit"] = ctx.local["old"]
        else:
            world.data["limit"] = 1

    assert found_by(lambda: Workflow("w", [Step("a", run=run, undo=undo)]), world) == {
        ("a", "idempotent_run")
    }


def test_a_step_without_undo_is_accused_of_what_it_leaves():
    """What changes the world has an undo, or is declared irreversible."""
    world = DictWorld()
    leave = {"run": lambda: world.data.update(a=1)}
    assert found_by(lambda: Workflow("w", [Step("a", **leave)]), world) == {("a", "undo_restores")}
    assert found_by(lambda: Workflow("w", [Step("a", **leave, irreversible=True)]), world) == set()


def test_what_an_irreversible_step_leaves_in_a_list_hides_nothing_else():
    """A list keeps what the irreversible step has added, and no more: an undo that leaves its part is accused."""
    world = DictWorld({"log": ["old", "draft"]})

    def log(what):
        return lambda: what in world.data["log"] or world.data["log"].append(what)

    def strike(what):
        return lambda: what not in world.data["log"] or world.data["log"].remove(what)

    def send():
        strike("draft")()
        log("mail")()

    def make(undo):
        mail = Step("mail", run=send, irreversible=True)
        return lambda: Workflow("w", [mail, Step("note", run=log("note"), undo=undo), put(world, "b")])

    assert found_by(make(strike("note")), world) == set()
    assert found_by(make(lambda: None), world) == {("note", "undo_restores")}


def test_an_undo_that_needs_its_result_is_accused():
    """A run that has failed, or has not been called, has no result; a step beside it is not accused."""
    world = DictWorld()
    key = lambda ctx: world.data.pop(ctx.result, None) if ctx.result else 1 / 0
    step = Step("a", run=lambda: world.data.update(a=1) or "a", undo=key)
    assert found_by(lambda: Workflow("w", [put(world, "z"), step, put(world, "b")]), world) == {
        ("a", "undo_restores"),
        ("a", "undo_tolerates_nothing"),
    }


def test_a_verify_that_is_wrong_is_accused():
    """It says done where it was not, or not done where it was."""
    world = DictWorld({"paid": 0})

    def pay():
        world.data["paid"] += 1

    def undo():
        world.data["paid"] = 0

    def make(verify):
        step = Step("pay", run=pay, undo=undo)
        step.verify(verify)
        return lambda: Workflow("w", [step, put(world, "b")])

    assert found_by(make(lambda: world.data["paid"] > 0), world) == set()
    assert found_by(make(lambda: None), world) == set()
    assert found_by(make(lambda: True), world) == {("pay", "verify_is_right")}
    assert found_by(make(lambda: False), world) == {("pay", "verify_is_right")}


def test_a_lost_answer_that_is_tried_again_pays_once():
    """A step with a retry is tried again after its effect: with a key it pays once, without twice."""
    world = DictWorld({"payments": {}})

    def make(key_of):
        def pay(ctx):
            world.data["payments"][key_of(ctx)] = 1

        step = Step("pay", run=pay, undo=lambda: world.data["payments"].clear(), retry=Retry(on=(OSError,)))
        return lambda: Workflow("w", [step])

    assert found_by(make(lambda ctx: ctx.idempotency_key), world) == set()
    exploration = explore(make(lambda ctx: f"attempt {ctx.attempt}"), world, only="retry-after:pay")
    assert [(each.step, each.kind) for each in exploration.violations] == [("pay", "idempotent_run")]


def test_a_pivot_is_not_undone_and_goes_forward():
    """Before the pivot all is undone, past it the run is resumed: a right saga is not accused."""
    world = DictWorld()

    def make(last):
        pivot = Step("pivot", run=lambda: world.data.update(pivot=1), pivot=True)
        return lambda: Workflow("w", [put(world, "a"), pivot, last])

    late = Step("late", run=lambda: world.data.update(late=1))
    exploration = explore(make(late), world, depth=2)
    assert {(each.step, each.kind.value) for each in exploration.violations} == {("pivot", "undo_restores")}
    again = Step("late", run=lambda: world.data.update(late=world.data.get("late", 0) + 1))
    assert ("late", "idempotent_run") in found_by(make(again), world)


def test_branches_are_in_flight_together():
    """A crash repeats all branches that were in flight; right ones are not accused, a wrong one is."""
    world = DictWorld({"n": 0})

    def add():
        world.data["n"] += 1

    def make(step):
        inner = Workflow("x", [put(world, "x1"), put(world, "x2")])
        return lambda: Workflow("w", [put(world, "a"), Parallel("p", inner, put(world, "y"), step)])

    assert found_by(make(put(world, "z")), world) == set()
    wrong = Step("n", run=add, undo=lambda: world.data.update(n=0))
    assert found_by(make(wrong), world) == {("p/n", "idempotent_run")}


def test_branches_that_are_given_up_are_explored():
    """on_failure="cancel" and a limit are kept."""
    world = DictWorld()

    def make():
        branches = [put(world, each) for each in "abc"]
        return Workflow("w", [Parallel("p", *branches, limit=2, on_failure="cancel")])

    exploration = explore(make, world)
    assert exploration.ok, str(exploration)
    assert exploration.verdict("p/c", "undo_restores").cases


def test_async_steps_are_explored():
    """Async steps are explored on an event loop, also those that only a call can tell."""
    world = DictWorld()

    def put_async(key):
        async def run():
            await asyncio.sleep(0)
            world.data[key] = 1

        return Step(key, run=run, undo=lambda: world.data.pop(key, None), timeout=30)

    def make():
        return Workflow(
            "w",
            [
                put_async("a"),
                Parallel("p", put_async("b"), put(world, "c")),
                Expand("e", lambda: [put_async("d")]),
            ],
        )

    assert found_by(make, world) == set()
    assert found_by(lambda: Workflow("w", [Expand("e", lambda: [put_async("d")])]), world) == set()


def test_time_outs_are_explored():
    """A step with a time-out is cut off before its effect, after it, and when it has been given up."""
    world = DictWorld()

    def make():
        return Workflow("w", [put(world, "a", timeout=30), put(world, "b")])

    exploration = explore(make, world)
    assert exploration.ok, str(exploration)
    assert {"timeout-before:a", "timeout-after:a", "timeout-late:a"} <= set(exploration.cases)
    assert "timeout-late:b" not in exploration.cases
    deadline = explore(lambda: Workflow("w", [put(world, "b")], deadline=60), world)
    assert "timeout-late:b" in deadline.cases
    assert deadline.ok, str(deadline)


def test_conditions_skips_and_prepares_are_explored():
    """Steps that are skipped, and prepares, are no reason to accuse anybody."""
    world = DictWorld()

    def skipped():
        raise Skip("nothing to do")

    prepared = put(world, "p")
    prepared.prepare(lambda: {"name": "p"})
    steps = [prepared, put(world, "never", when=lambda: False) if False else Step("skip", run=skipped)]
    never = put(world, "never")
    never.when(lambda: False)
    assert found_by(lambda: Workflow("w", [*steps, never], prepare=lambda: {"x": 1}), world) == set()


@pytest.mark.parametrize("mode", ["stop", "continue"])
def test_modes_in_which_nothing_is_undone_are_explored(mode):
    """A failure leaves what was done; crashes are to make no difference to that."""
    world = DictWorld({"n": 0})

    def make():
        return Workflow("w", [put(world, "a"), put(world, "b")], mode=mode)

    assert found_by(make, world) == set()
    add = Step("n", run=lambda: world.data.update(n=world.data["n"] + 1), undo=lambda: world.data.update(n=0))
    assert found_by(lambda: Workflow("w", [put(world, "a"), add], mode=mode), world) == {
        ("n", "idempotent_run")
    }


def test_failures_that_send_the_run_back_are_those_injected():
    """rollback_on is heeded: by its classes where it has some; a function may select none."""
    world = DictWorld()

    class Refused(Exception):
        def __init__(self, code, text):
            super().__init__(code, text)

    def make(rollback_on):
        return lambda: Workflow("w", [put(world, "a"), put(world, "b")], rollback_on=rollback_on)

    chosen = explore(make((Refused, OSError)), world)
    assert chosen.ok, str(chosen)
    assert chosen.verdict("b", "undo_tolerates_nothing").cases
    assert found_by(make(lambda error: False), world) == set()


def test_effects_noted_in_the_middle_are_crash_points():
    """A crash right after ctx.record_effect finds an undo that does not stand half of the work."""
    world = DictWorld()

    def make(undo):
        def run(ctx):
            world.data["first"] = 1
            ctx.record_effect("first", "1")
            world.data["second"] = 1

        return lambda: Workflow("w", [Step("both", run=run, undo=undo)])

    def careless():
        if "second" in world.data:
            world.data.clear()

    exploration = explore(make(lambda: world.data.clear()), world)
    assert exploration.ok, str(exploration)
    assert "success+crash-noted-run:both" in exploration.cases
    assert found_by(make(careless), world) == {("both", "undo_restores")}


def test_resources_and_state_are_given_anew():
    """State is copied for each case; resources may be a mapping, or a function of the world."""
    world = DictWorld({"seen": []})

    def run(ctx):
        ctx.resources["list"]["seen"] = [*ctx.shared["names"]]
        ctx.shared["names"] = [*ctx.shared["names"], "more"]

    step = Step("a", run=run, undo=lambda ctx: ctx.resources["list"].update(seen=[]))

    def make(given):
        assert given is world
        return Workflow("w", [step])

    options = {"state": {"names": ["x"]}, "resources": lambda given: {"list": given.data}}
    assert found_by(make, world, **options) == set()

    def resources(given):
        return {"list": given.data}

    wrong = Step("b", run=lambda ctx: ctx.resources["list"].update(b=ctx.shared["names"]))
    options["resources"] = resources
    exploration = explore(lambda: Workflow("w", [wrong]), world, **options)
    assert exploration.violations[0].reproduce == (
        "explore(make_workflow, world, state={'names': ['x']}, resources=resources, only='fail-after:b')"
    )


class Counted(DirectoryWorld):
    """A folder; its steps keep something in a global of this module."""


_kept = {}


def keep_global(world):
    def run():
        _kept["name"] = "x"
        (world.path / "x").touch()

    def undo():
        if "name" in _kept:
            (world.path / _kept["name"]).unlink(missing_ok=True)

    return Workflow("w", [Step("keeps", run=run, undo=undo)])


def test_real_processes_are_killed():
    """With process=True each process is killed for good: what is kept in a global is gone too."""
    world = DirectoryWorld()
    _kept.clear()
    assert found_by(keep_global, world) == set()
    _kept.clear()
    exploration = explore(keep_global, world, process=True)
    assert ("keeps", "state_survives") in {(each.step, each.kind.value) for each in exploration.violations}

    def right(world):
        file = world.path / "x"
        return Workflow("w", [Step("a", run=file.touch, undo=lambda: file.unlink(missing_ok=True))])

    exploration = explore(right, world, process=True)
    assert exploration.ok, str(exploration)
    assert len(exploration.cases) > 20


def test_a_process_that_cannot_be_explored_says_why():
    """What goes wrong in a child is told; a child that ends without a word, too."""
    import os

    def make(world):
        if (world.path / "x").exists():
            raise LookupError("no more")
        return Workflow("w", [Step("a", run=(world.path / "x").touch, irreversible=True)])

    with pytest.raises(ExplorationError, match="no more"):
        explore(make, DirectoryWorld(), process=True)
    with pytest.raises(ExplorationError, match="without a word"):
        explore(lambda: Workflow("w", [Step("a", run=lambda: os._exit(0))]), DirectoryWorld(), process=True)


def test_what_cannot_be_explored_is_refused():
    """A saga that fails undisturbed, a world that is never the same, and wrong arguments are told as such."""
    world = DictWorld()
    numbers = iter(range(100))
    with pytest.raises(ExplorationError, match="does not succeed where nothing happens.*division"):
        explore(lambda: Workflow("w", [Step("a", run=lambda: 1 / 0)]), world)
    with pytest.raises(ExplorationError, match="does not leave the same world twice: n: 0 → 1"):
        explore(lambda: Workflow("w", [Step("a", run=lambda: world.data.update(n=next(numbers)))]), world)
    with pytest.raises(ExplorationError, match="cannot be made: LookupError: here"):
        explore(lambda: (_ for _ in ()).throw(LookupError("here")), world)
    with pytest.raises(ExplorationError, match="lives in the memory of one process"):
        explore(lambda: Workflow("w", [put(world, "a")]), world, process=True)
    with pytest.raises(ExplorationError, match="depth is the number of crashes"):
        explore(lambda: Workflow("w", [put(world, "a")]), world, depth=-1)
    with pytest.raises(ExplorationError, match="there is no case 'success\\+crash-before-run:zz'"):
        explore(lambda: Workflow("w", [put(world, "a")]), world, only="success+crash-before-run:zz")


async def test_async_steps_are_not_explored_on_a_running_loop():
    """On a running event loop async steps are refused with a word on what to do; sync ones are explored."""
    world = DictWorld()

    async def run():
        world.data["a"] = 1

    def make():
        return Workflow("w", [Step("a", run=run, undo=lambda: world.data.pop("a", None))])

    with pytest.raises(ExplorationError, match="to_thread"):
        explore(make, world)
    assert (await asyncio.to_thread(explore, make, world)).ok
    assert explore(lambda: Workflow("w", [put(world, "b")]), world).ok


def test_a_system_without_forks_is_told(monkeypatch):
    """Where processes cannot be forked, process=True is refused."""
    monkeypatch.delattr("os.fork")
    with pytest.raises(ExplorationError, match=r"os\.fork"):
        explore(lambda: Workflow("w", [Step("a")]), DirectoryWorld(), process=True)


def test_nested_workflows_are_explored_by_path():
    """Steps at any depth have a verdict under their path."""
    world = DictWorld()
    wrong = Step("b", run=lambda: world.data.update(b=1), undo=lambda: world.data.pop("b"))

    def make():
        return Workflow("w", [put(world, "a"), Workflow("in", [put(world, "c"), Workflow("deep", [wrong])])])

    assert found_by(make, world) == {
        ("in/deep/b", "idempotent_undo"),
        ("in/deep/b", "undo_tolerates_nothing"),
    }


def test_what_a_prepare_of_the_workflow_leaves_is_the_workflows():
    """A prepare that changes the world is not undone: the workflow itself is accused."""
    world = DictWorld()

    def make():
        return Workflow("w", [put(world, "a")], prepare=lambda: world.data.update(lock=1))

    assert found_by(make, world) == {("w", "undo_restores")}


def test_what_is_done_where_the_workflow_is_made_is_the_workflows():
    """An effect outside of all steps is told as such, and no step is accused."""
    world = DictWorld({"made": []})

    def make():
        world.data["made"].append(1)
        return Workflow("w", [put(world, "a")])

    exploration = explore(make, world, only="success+crash-before-run:a")
    assert [(each.step, each.kind) for each in exploration.violations] == [("w", "idempotent_run")]
    assert "where the workflow is made" in exploration.violations[0].story


def test_what_is_counted_is_accused_of_all_three():
    """A step that counts up and down stands neither a repetition nor an undo of nothing."""
    world = DictWorld({"n": 2})

    def take():
        world.data["n"] -= 1

    def give():
        world.data["n"] += 1

    steps = [Step("once", run=take, undo=give), put(world, "b")]
    assert found_by(lambda: Workflow("w", steps), world) == {
        ("once", "idempotent_run"),
        ("once", "idempotent_undo"),
        ("once", "undo_tolerates_nothing"),
    }


def test_an_exploration_leaves_nothing_behind():
    """After it runs are ordinary runs again, and the world can be used."""
    world = DictWorld()
    workflow = Workflow("w", [put(world, "a")])
    explore(lambda: workflow, world)
    world.reset()
    assert workflow.start().outcome is Outcome.SUCCEEDED
    assert world.data == {"a": 1}
