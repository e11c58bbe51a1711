"""What functions do with their state, in all the ways in which that is written."""

from __future__ import annotations

import os

import pytest

from automa import Expand, Step, Workflow


def kill():
    os.kill(0, 9)


def reads(ctx):
    print(ctx.local["kept"])


def found(run, undo=reads, before=(), after=(), prepare=None, **options):
    steps = [*before, Step("s", run=run, undo=undo, **options), *after]
    return [each.path for each in Workflow("w", steps, prepare=prepare).lint() if each.code == "SAGA005"]


def by_update(ctx):
    ctx.local.update({"kept": 1})


def by_keyword(ctx):
    ctx.local.merge(kept=1)


def by_default(ctx):
    ctx.local.setdefault("kept", 1)


def by_variable(ctx):
    key = "kept"
    ctx.local[key] = 1


def by_unknown(ctx):
    ctx.local.update(ctx.shared["values"])


def by_splat(ctx):
    ctx.local.update({**ctx.shared["values"]})


def by_alias(ctx):
    local = ctx.local
    local["kept"] = 1


def by_method(ctx):
    keep = ctx.local.update
    keep(kept=1)


def by_sub_function(ctx):
    def keep(ctx):
        ctx.local["kept"] = 1

    keep(ctx)


def by_step(ctx):
    ctx.step.keep(ctx)


def by_strange(ctx):
    ctx.local.strange()


@pytest.mark.parametrize(
    "run",
    [
        by_update, by_keyword, by_default, by_variable, by_unknown, by_splat, by_alias, by_method, by_sub_function,
        by_step, by_strange,
    ],
)  # fmt: skip
def test_what_may_write_a_key(run):
    """A key that is written in any way, or may be by what cannot be told, is not missed."""
    assert found(run) == []


def looks_only(ctx):
    for key in ctx.local:
        print(key, ctx.local[key])
    if "kept" in ctx.local or ctx.local == {}:
        print(ctx.local.get("kept"), ctx.local.keys(), [key + "x" for key in ctx.local])


def writes_another(ctx):
    ctx.local["other"] = 1
    ctx.local.update({"more": 1}, most=1)
    del ctx.local["other"]


def counts(ctx):
    ctx.local["other"] += 1


@pytest.mark.parametrize("run", [looks_only, writes_another, counts])
def test_what_writes_other_keys(run):
    """Looking at the state, or writing other keys, does not write a key."""
    assert found(run) == ["s"]


def prepares_with(keys):
    return lambda: keys


def test_what_a_prepare_returns():
    """What a prepare returns is written; where its keys are not literal, nothing is said."""
    assert found(kill, prepare=None) == ["s"]
    assert found(kill, before=[]) == ["s"]
    step = Step("s", run=kill, undo=reads, prepare=prepares_with({"kept": 1}))
    assert Workflow("w", [step]).lint() == []
    step = Step("s", run=kill, undo=reads, prepare=lambda: {"other": 1})
    assert [each.code for each in Workflow("w", [step]).lint()] == ["SAGA005"]


def reads_shared(ctx):
    print(ctx.shared["number"])


def asks_shared(ctx):
    print(ctx.shared.get("number"))


def guarded(ctx):
    if "number" in ctx.shared:
        print(ctx.shared["number"])


def writes_shared(ctx):
    ctx.shared["number"] = 1


def writes_near(ctx):
    ctx.shared["numbr"] = 1


def opens_shared(ctx):
    kill(ctx.shared)


LATE = [Step("late", run=writes_shared)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"undo": reads_shared, "after": LATE}, ["s"]),
        ({"undo": reads_shared, "after": LATE, "prepare": lambda: {"other": 1}}, ["s"]),
        ({"undo": reads_shared, "after": LATE, "prepare": lambda: {"number": 1}}, []),
        ({"undo": reads_shared, "after": LATE, "prepare": lambda ctx: dict(ctx.shared)}, []),
        ({"undo": reads_shared, "after": LATE, "before": [Step("opens", run=opens_shared)]}, []),
        ({"undo": reads_shared, "after": LATE, "before": [Step("built-in", run=open)]}, []),
        ({"undo": guarded, "after": LATE}, []),
        ({"undo": asks_shared, "after": LATE}, []),
        ({"undo": reads_shared, "after": [Workflow("in", LATE)]}, []),
        ({"undo": asks_shared, "before": [Step("near", run=writes_near)]}, ["s"]),
        ({"undo": asks_shared, "before": [Step("near", run=writes_near)], "after": LATE}, []),
        ({"undo": asks_shared, "before": [Step("near", run=writes_near)], "after": [Step("o", run=open)]}, []),
    ],
)  # fmt: skip
def test_keys_of_the_shared_state(options, expected):
    """A key that only a later step writes is missed, and so is one that is noted under a like name."""
    assert found(kill, **options) == expected


def reads_typed(ctx):
    print(ctx.results.typed("lettre", int), ctx.results["s"])


def reads_result(ctx):
    print(ctx.result["number"], ctx.result["other"])


def returns_either(ctx):
    if ctx.shared["a"]:
        return {"number": 1}
    return {"other": 1}


def returns_splat(ctx):
    return {**ctx.shared["a"]}


def returns_value(ctx):
    return ctx.shared["a"]


def returns_none():
    return None  # that is the case


def test_results():
    """All that a run may return counts, by any return; what is not a literal dict may have any key."""
    letter = Step("letter", run=returns_value)
    assert found(kill, reads_typed, before=[letter]) == ["s"]
    assert found(kill, reads_typed, before=[letter, Expand("e", list)]) == []
    for run, expected in (
        (returns_either, []),
        (returns_splat, []),
        (returns_value, []),
        (returns_none, ["s", "s"]),
        (open, []),
    ):
        assert found(run, reads_result) == expected


class Computed(Step):
    @property
    def place(self):
        return self.id

    @place.setter
    def place(self, value):
        os.kill(0, value)

    def saga_run(self):
        self.place = 1

    def saga_undo(self):
        print(self.place)


memo = {}
rows = []
later = None


def writes_rows():
    rows[0] = 1
    memo["a"] = 1


def reads_others():
    print(memo["b"], memo.get("c"), rows.pop("a"))


def gets_memo():
    print(memo.get("a"))


def writes_later():
    later["a"] = 1


def test_what_is_kept_elsewhere():
    """A property may keep its value anywhere; other keys, and what is no dict, are let be."""
    memory = [
        Computed("c"),
        Step("r", run=writes_rows, undo=reads_others),
        Step("l", run=writes_later, undo=reads_others),
        Step("m", run=writes_rows, undo=gets_memo),
    ]
    assert [each.path for each in Workflow("w", memory).lint() if each.code == "SAGA006"] == ["m"]
