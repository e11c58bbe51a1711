"""The explorer accuses no saga that is right, whatever its shape, and finds the one step that is not."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from automa import Expand, Parallel, Retry, Step, Workflow
from automa.testing import DictWorld, explore

EXAMPLES = 400 if os.environ.get("AUTOMA_SOAK") else 20
RIGHT = ("set", "prepared", "verified", "tried_again", "async", "timed", "foreign", "reads", "skipped")
WRONG = {
    "counts": "idempotent_run",
    "forgets": "idempotent_run",
    "pops": "idempotent_undo",
    "leaves": "undo_restores",
    "needs_its_result": "undo_tolerates_nothing",
    "keeps_on_self": "state_survives",
    "lies": "verify_is_right",
}


class OnSelf(Step):
    def __init__(self, key, data):
        super().__init__(key)
        self.data, self.kept = data, None

    def saga_run(self):
        self.kept = self.id
        self.data()[self.id] = 1

    def saga_undo(self):
        self.data().pop(self.kept, None)


class Foreign(Step):
    """A step with controllers of its own."""

    def __init__(self, key, data):
        super().__init__(key)
        self.data = data

    def run(self, ctx, prev_success):
        self.data()[self.id] = 1
        return self.run_next(prev_success)

    def rollback(self, ctx, prev_failure):
        self.data().pop(self.id, None)
        return self.rollback_prev(prev_failure)


def step_of(kind, key, world):
    """Return a step of a kind, which touches one key of the world."""
    data = lambda: world.data  # a reset replaces it

    def put():
        data()[key] = 1

    async def put_async():
        data()[key] = 1

    def take():
        data().pop(key, None)

    def count():
        data()[key] = data().get(key, 0) + 1

    def note(ctx):
        return {"old": data().get(key, "nothing")}

    def restore(ctx):
        if ctx.local["old"] == "nothing":
            take()
        else:
            data()[key] = ctx.local["old"]

    def note_late(ctx):
        ctx.local["old"] = data().get(key, "nothing")
        data()[key] = 1

    def restore_late(ctx):
        if ctx.local.get("old", "nothing") == "nothing":
            take()
        else:
            data()[key] = ctx.local["old"]

    def take_result(ctx):
        data().pop(ctx.result["key"], None)

    made = {
        "set": lambda: Step(key, run=put, undo=take),
        "prepared": lambda: Step(key, run=put, undo=restore, prepare=note),
        "verified": lambda: Step(key, run=count, undo=take, verify=lambda: key in data()),
        "tried_again": lambda: Step(key, run=put, undo=take, retry=Retry(on=OSError)),
        "async": lambda: Step(key, run=put_async, undo=take),
        "timed": lambda: Step(key, run=put, undo=take, timeout=30),
        "foreign": lambda: Foreign(key, data),
        "reads": lambda: Step(key, run=lambda: len(data())),
        "skipped": lambda: Step(key, run=put, undo=take, when=lambda: False),
        "counts": lambda: Step(key, run=count, undo=take),
        "forgets": lambda: Step(key, run=note_late, undo=restore_late),
        "pops": lambda: Step(key, run=put, undo=lambda: data().pop(key)),
        "leaves": lambda: Step(key, run=put, undo=lambda: None),
        "needs_its_result": lambda: Step(key, run=lambda: put() or {"key": key}, undo=take_result),
        "keeps_on_self": lambda: OnSelf(key, data),
        "lies": lambda: Step(key, run=put, undo=take, verify=lambda: True),
    }
    return made[kind]()


shapes = st.recursive(
    st.sampled_from(RIGHT),
    lambda inner: st.tuples(
        st.sampled_from(["workflow", "parallel", "expand"]), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


def workflow_of(drawn, world, places):
    """Return a factory of the workflow; each step has an id of its own in all of it."""
    numbers = iter(range(1_000))

    def renumber(shape):
        number = next(numbers)
        return (
            (number, shape)
            if isinstance(shape, str)
            else (number, (shape[0], [renumber(each) for each in shape[1]]))
        )

    numbered = [renumber(shape) for shape in drawn]

    def make(node, prefix):
        number, shape = node
        name = f"s{number}"
        path = f"{prefix}{name}"
        if isinstance(shape, str):
            return step_of(places.get(path, shape), name, world)
        kind, inner = shape
        if kind == "workflow":
            return Workflow(name, [make(each, f"{path}/") for each in inner])
        if kind == "parallel":
            return Parallel(name, *[make(each, f"{path}/") for each in inner])
        return Expand(name, lambda: [make(each, f"{path}/") for each in inner])

    def paths(node, prefix):
        number, shape = node
        if isinstance(shape, str):
            yield f"{prefix}s{number}"
            return
        for each in shape[1]:
            yield from paths(each, f"{prefix}s{number}/")

    found = [path for node in numbered for path in paths(node, "")]
    return lambda: Workflow("w", [make(node, "") for node in numbered]), found


workflows = st.lists(shapes, min_size=1, max_size=4)


@settings(max_examples=EXAMPLES)
@given(workflows)
def test_no_right_saga_is_accused(drawn):
    """Sagas of right steps, in whatever shape, are explored, and nothing is found."""
    world = DictWorld()
    make, _ = workflow_of(drawn, world, {})
    exploration = explore(make, world)
    assert exploration.ok, str(exploration)


@settings(max_examples=EXAMPLES)
@given(workflows, st.sampled_from(sorted(WRONG)), st.data())
def test_the_one_wrong_step_is_found(drawn, kind, data):
    """One wrong step among right ones is accused of what it does, and no other step of anything."""
    world = DictWorld()
    _, paths = workflow_of(drawn, world, {})
    place = data.draw(st.sampled_from(paths))
    make, _ = workflow_of(drawn, world, {place: kind})
    exploration = explore(make, world)
    found = {(violation.step, violation.kind.value) for violation in exploration.violations}
    assert (place, WRONG[kind]) in found, str(exploration)
    assert {step for step, _ in found} == {place}, str(exploration)
