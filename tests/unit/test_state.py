"""The state: JSON values only, checked where they are set, coerced without loss."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automa import PrecisionWarning, State, StateError, Step, Workflow

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON))
def test_json_values_are_kept_equal_and_copied(values):
    """What is put in is there, and a clone is equal and shares nothing."""
    state = State("shared", values)
    assert dict(state) == values
    assert state.clone() == values
    assert len(state) == len(values)
    for key, value in values.items():
        if isinstance(value, list | dict):
            assert state[key] is not value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1, 2}, (1,), b"x", object(), {"a": {2: 3}}, [1j]]
)
def test_what_is_not_json_is_refused_where_it_is_set(value):
    """The message names the state, the key and the step; nothing is set."""
    state = State("shared", step="reserve")
    with pytest.raises(StateError, match=r"^shared\['k'\].* in step 'reserve'"):
        state["k"] = value
    with pytest.raises(StateError, match=r"^shared\['k'\]"):
        state.merge({"fine": 1, "k": value})
    assert dict(state) == {}


def test_a_value_that_contains_itself_is_refused():
    """A cycle, and nesting beyond any use, is refused and not walked for ever."""
    cycle = []
    cycle.append(cycle)
    with pytest.raises(StateError, match="deeper than 100 levels, or contains itself"):
        State("shared")["k"] = cycle


def test_subclasses_of_json_types_are_refused():
    """A subclass would come back from a journal as the plain type: it is refused."""

    class Text(str):
        __slots__ = ()

    with pytest.raises(StateError, match="Text is no JSON value"):
        State("shared")["k"] = Text("x")


def test_large_integers_warn():
    """An integer beyond 2^53-1 is kept, with a warning that other readers round it."""
    state = State("shared")
    with pytest.warns(PrecisionWarning, match=r"shared\['k'\]: an integer beyond 2.53-1"):
        state["k"] = 2**53
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state["k"] = -(2**53) + 1


@pytest.mark.parametrize(
    ("getter", "value", "expected"),
    [
        ("get_int", 3, 3), ("get_int", 3.0, 3), ("get_int", "3", 3), ("get_int", "9007199254740993", 2**53 + 1),
        ("get_float", "1e3", 1000.0), ("get_float", "-3", -3.0), ("get_float", "0.0", 0.0),
        ("get_float", 3, 3.0), ("get_float", 2.5, 2.5), ("get_float", "2.5", 2.5),
        ("get_bool", True, True), ("get_bool", "true", True), ("get_bool", "False", False),
        ("get_str", "x", "x"), ("get_str", 3, "3"), ("get_str", 2.5, "2.5"), ("get_str", True, "true"),
    ],
)  # fmt: skip
def test_getters_coerce_without_loss(getter, value, expected):
    """The getters undo what JSON or a command line does to numbers, booleans and texts."""
    result = getattr(State("shared", {"k": value}), getter)("k")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("getter", "value"),
    [
        ("get_int", "1_000"), ("get_int", " 3 "), ("get_int", "3.0"), ("get_int", "\u0663"),
        ("get_float", "9007199254740993"), ("get_float", "1e-400"), ("get_float", "1e400"), ("get_float", "1_0"),
        ("get_int", 2.5), ("get_int", True), ("get_int", "x"), ("get_int", None), ("get_int", [1]),
        ("get_float", True), ("get_float", "x"), ("get_float", "nan"), ("get_float", None), ("get_float", 2**53 - 1 + 0),
        ("get_bool", 1), ("get_bool", "yes"), ("get_bool", None),
        ("get_str", None), ("get_str", [1]), ("get_str", {}),
    ],
)  # fmt: skip
def test_getters_refuse_loss(getter, value):
    """What cannot be converted without loss is refused, naming key, value and type; booleans are no integers."""
    if getter == "get_float" and value == 2**53 - 1:
        value = 10**30 + 1
        with pytest.warns(PrecisionWarning):
            state = State("shared", {"k": value}, step="s")
    else:
        state = State("shared", {"k": value}, step="s")
    with pytest.raises(StateError, match=r"shared\['k'\] in step 's': .* cannot be read as"):
        getattr(state, getter)("k")


@pytest.mark.parametrize(
    ("getter", "default"), [("get_int", 7), ("get_float", 7.5), ("get_bool", True), ("get_str", "d")]
)
def test_getters_take_a_default_for_what_is_absent(getter, default):
    """A default stands for an absent key, not for null; without one an absent key is an error that lists the others."""
    state = State("shared", {"null": None, "other": 1})
    assert getattr(state, getter)("k", default) == default
    with pytest.raises(StateError, match="cannot be read"):
        getattr(state, getter)("null", default)
    with pytest.raises(StateError, match=r"there is no such key \(there are: 'null', 'other'\)"):
        getattr(state, getter)("k")
    with pytest.raises(StateError, match="there are: none"):
        getattr(State("shared"), getter)("k")


def test_a_huge_text_is_no_float():
    """An integer too large for a float is refused, not an OverflowError."""
    with pytest.warns(PrecisionWarning):
        state = State("shared", {"k": 10**400})
    with pytest.raises(StateError, match="cannot be read as a number without loss"):
        state.get_float("k")


def test_mapping_operations():
    """get, set, delete, clear, keys, items, merge and membership are those of a mapping."""
    state = State("shared", {"a": 1})
    state["b"] = [1]
    state.merge({"c": None})
    assert list(state) == ["a", "b", "c"]
    assert "c" in state
    assert state.get("zzz") is None
    assert state["c"] is None
    del state["a"]
    assert state.pop("b") == [1]
    state.clear()
    assert dict(state) == {}
    assert repr(State("local", {"a": 1})) == "<local state {'a': 1}>"
    with pytest.raises(KeyError):
        state["zzz"]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("abc"), JSON),
        st.tuples(st.just("delete"), st.sampled_from("abc"), st.none()),
        st.tuples(st.just("append"), st.sampled_from("abc"), JSON),
    ),
    max_size=6,
)


def apply(state, operations):
    for kind, key, value in operations:
        if kind == "set":
            state[key] = json.loads(json.dumps(value))
        elif kind == "delete":
            state.pop(key, None)
        elif isinstance(state.get(key), list):
            state[key].append(value)


@given(st.lists(OPERATIONS, max_size=5), OPERATIONS)
def test_deltas_walk_back_through_every_moment(rounds, uncommitted):
    """Whatever is set, deleted or changed in place, reverting the commits gives each earlier state again."""
    state = State("shared", {"a": [1], "b": {"x": 1}})
    moments, deltas = [], []
    for operations in rounds:
        moments.append(state.clone())
        apply(state, operations)
        delta, invalid = state.commit()
        assert invalid is None
        deltas.append(delta)
    last = state.clone()
    apply(state, uncommitted)
    state.discard()
    assert dict(state) == last
    apply(state, uncommitted)
    for moment, delta in zip(reversed(moments), reversed(deltas), strict=True):
        state.revert(delta)
        assert dict(state) == moment


def test_nothing_touched_is_no_delta():
    """A step that only reads, or sets what was there, leaves no delta."""
    state = State("shared", {"a": [1], "b": 2})
    assert state.commit() == (None, None)
    state["b"] = 2
    assert state["a"] == [1]
    assert state.commit() == (None, None)


def test_the_undo_sees_the_state_as_its_run_left_it():
    """Each undo gets the state as it was right after its own run, changes in place included."""
    seen = []

    def changes(ctx):
        ctx.shared["list"].append(ctx.step_id)
        ctx.shared[ctx.step_id] = True
        ctx.local["mine"] = ctx.step_id

    def looks(ctx):
        seen.append((ctx.step_id, list(ctx.shared["list"]), dict(ctx.local)))
        ctx.shared["list"].append("changed by an undo")

    steps = [Step(id, run=changes, undo=looks) for id in "abc"]
    Workflow("w", [*steps, Step("fail", run=lambda ctx: ctx.shared["list"].clear() or 1 / 0)]).start(
        {"list": []}
    )
    assert seen == [
        ("c", ["a", "b", "c"], {"mine": "c"}),
        ("b", ["a", "b"], {"mine": "b"}),
        ("a", ["a"], {"mine": "a"}),
    ]


@pytest.mark.parametrize("where", ["shared", "local"])
def test_a_value_made_invalid_in_place_fails_its_step(where):
    """A list that was changed in place to hold what is not JSON fails its step, naming the key; its undo runs."""
    undone = []

    def spoils(ctx):
        getattr(ctx, where)["good"] = 1
        getattr(ctx, where)["list"] = values = [1]
        values.append(float("nan"))

    def undo(ctx):
        undone.append(dict(getattr(ctx, where)))

    report = Workflow("w", [Step("a", run=spoils, undo=undo)]).start()
    assert isinstance(report.error, StateError)
    assert f"{where}['list']" in str(report.error)
    assert undone == [{"good": 1}]


def test_an_invalid_state_does_not_hide_the_error_of_the_step():
    """A step that fails and spoils the state as well has failed for the first reason."""

    def spoils(ctx):
        ctx.shared["list"] = values = []
        values.append(object())
        raise ValueError("first")

    report = Workflow("w", [Step("a", run=spoils)]).start()
    assert str(report.error) == "first"


def test_a_clone_of_a_spoilt_state_is_refused():
    """Cloning checks what may have been changed in place."""
    state = State("shared", {"list": []})
    state["list"].append(object())
    with pytest.raises(StateError, match=r"shared\['list'\]\[0\]"):
        state.clone()


def test_the_first_values_are_copied():
    """A run does not change the mapping that it was started with."""
    given_state = {"list": [1]}
    Workflow("w", [Step("a", run=lambda ctx: ctx.shared["list"].append(2))]).start(given_state)
    assert given_state == {"list": [1]}


def test_a_large_integer_is_warned_of_once_where_it_was_set():
    """The warning names key and step, comes once, and points to the line that set the value."""
    import warnings as module

    with module.catch_warnings(record=True) as caught:
        module.simplefilter("always")
        Workflow("w", [Step("a", run=lambda ctx: ctx.shared.__setitem__("n", [2**60]))]).start()
        State("shared").merge({"n": 2**60})
    assert [str(each.message)[:11] for each in caught] == ["shared['n']", "shared['n']"]
    assert all(each.filename == __file__ for each in caught)
