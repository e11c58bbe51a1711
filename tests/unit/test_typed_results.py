"""Results as instances of a class, in memory and from a journal."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NewType, Optional, Protocol

import pydantic
import pytest
from typing_extensions import TypeAliasType

from automa import ResultError, Step, Workflow
from automa._core.results import as_journaled
from automa._core.typed import as_typed
from automa.stores import MemoryStore

Sku = NewType("Sku", str)
Price = TypeAliasType("Price", float)


class Size(enum.Enum):
    SMALL = "small"
    LARGE = ("large", 2)


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclass(frozen=True)
class Line:
    sku: Sku
    price: Price
    size: Size = Size.SMALL
    kind: Literal["gift", "sale"] = "sale"


@dataclass
class Order:
    id: int
    lines: list[Line]
    note: str | None = None
    totals: dict[str, float] = field(default_factory=dict)
    place: tuple[float, float] = (0.0, 0.0)
    tags: tuple[str, ...] = ()
    parent: Order | None = None
    extra: Any = None
    rights: Rights = Rights.READ
    count: int = field(init=False, default=0)

    def __post_init__(self):
        self.count = len(self.lines)


@dataclass
class Refund:
    amount: float


@dataclass
class Picky:
    amount: int

    def __post_init__(self):
        if self.amount < 0:
            raise ValueError("it must not be negative")


@dataclass
class Unresolvable:
    what: Nowhere  # noqa: F821


class Guest(pydantic.BaseModel):
    name: str
    born: date


class Party(pydantic.BaseModel):
    guests: list[Guest]


class Odd:
    @classmethod
    def model_validate(cls, value):
        raise LookupError("odd")


class Named(Protocol):
    name: str


ORDER = Order(
    7,
    [Line(Sku("a"), 1.5), Line(Sku("b"), 2, Size.LARGE, "gift")],
    totals={"net": 3.5},
    place=(1.0, 2.0),
    tags=("x", "y"),
    parent=Order(6, []),
    extra={"any": [1, None]},
    rights=Rights.READ | Rights.WRITE,
)
ORDER.count = 5  # what was set later comes back as well


@pytest.mark.parametrize(
    ("value", "model"),
    [
        (ORDER, Order),
        ([ORDER], list[Order]),
        ({"a": ORDER}, dict[str, Order]),
        ((ORDER, 1, "x"), tuple[Order, int, str]),
        ((1, 2, 3), tuple[int, ...]),
        ((1, "x"), tuple),
        ((), tuple[()]),
        ([1, "x"], list),
        ([1, 2], Sequence[int]),
        ({"a": 1}, Mapping[str, int]),
        ({"a": [1]}, dict),
        (Size.LARGE, Size),
        (Level.LOW, Level),
        (Rights.READ | Rights.WRITE, Rights),
        (Refund(3), Order | Refund),
        (None, Optional[Order]),  # noqa: UP045  # it is another class than that of `Order | None`
        (None, None),
        ([None, ORDER], list[Order | None]),
        ([True, 1, 1.5, "x"], list[bool | int | float | str]),
        ("gift", Literal["gift", 3]),
        (Size.LARGE, Literal[Size.LARGE]),
        (Sku("a"), Sku),
        (1.5, Price),
        (3, float),
        (3, int),
        ("x", str),
        (True, bool),
        ({"x": 1}, Any),
        (Guest(name="Ada", born=date(1815, 12, 10)), Guest),
        ([Party(guests=[Guest(name="Ada", born=date(1815, 12, 10))])], list[Party]),
    ],
)
def test_what_a_journal_keeps_comes_back_as_it_was(value, model):
    """For each kind of model the way back is the inverse of the way into the journal; what is live stays as it is."""
    kept = as_journaled(value, "a", None)
    back = as_typed(kept, model, "a")
    assert back == value
    assert type(back) is type(value)
    assert as_typed(value, model, "a") is value


@pytest.mark.parametrize(
    ("value", "model", "problem"),
    [
        (5, Order, ": expected Order, found 5"),
        (True, int, ": expected int, found True"),
        ("3", int, ": expected int, found '3'"),
        (True, float, ": expected float, found True"),
        (3, str, ": expected str, found 3"),
        (3, None, ": expected None, found 3"),
        ({}, list[int], ": expected list[int], found {}"),
        ("ab", Sequence[str], "expected collections.abc.Sequence[str], found 'ab'"),
        ([], dict, ": expected dict, found []"),
        ([1], tuple[int, int], "expected tuple[int, int], found [1]"),
        ([1], tuple[()], "expected tuple[()], found [1]"),
        ([1, 2, "x"], list[int], "at [2]: expected int, found 'x'"),
        ({"a": {"b": "x"}}, dict[str, dict[str, int]], "at ['a']['b']: expected int, found 'x'"),
        ({"a": 1}, dict[Size, int], "at ['a']: expected Size, found 'a'"),
        ("medium", Size, ": expected Size, found 'medium'"),
        (True, Level, ": expected Level, found True"),
        (8, Rights, ": Rights raised ValueError"),
        ("r", Rights, ": expected Rights, found 'r'"),
        ("x", Literal["gift"], "expected typing.Literal['gift'], found 'x'"),
        ({"sku": "a", "price": 1, "colour": "red"}, Line, ": Line has no field 'colour'"),
        ({"sku": "a"}, Line, ": Line raised TypeError: Line.__init__() missing 1 required"),
        ({"amount": -1}, Picky, ": Picky raised ValueError: it must not be negative"),
        (
            {"what": 1},
            Unresolvable,
            ": reading the annotations of Unresolvable raised NameError: name 'Nowhere'",
        ),
        ([1], set[int], ": expected set[int], found [1]"),
        ({"name": "x"}, Named, ": expected Named, found {'name': 'x'}"),
        ({"x": 1}, Order | Refund, ": expected"),
        ("x", int | None, ": expected int, found 'x'"),
        ({"amount": "x"}, Order | Refund, "at .amount: expected float, found 'x'"),
        (
            {"guests": [{"name": "Ada", "born": "never"}]},
            Party,
            "at .guests[0].born: Input should be a valid date",
        ),
        ([{"guests": 5}], list[Party], "at [0].guests: Input should be a valid list, found 5"),
        ({}, Odd, ": LookupError: odd"),
    ],
)
def test_what_does_not_fit_is_refused(value, model, problem):
    """The error names the step, the place in its result, what was expected there and what was found."""
    with pytest.raises(ResultError) as caught:
        as_typed(value, model, "buy")
    assert str(caught.value).startswith("the result of step 'buy'")
    assert problem in str(caught.value)


def test_the_place_of_a_misfit_is_told_to_any_depth():
    """A field of a dataclass in a list of a dataclass is named as a program would."""
    order = {"id": 1, "lines": [{"sku": "a", "price": 1.5}, {"sku": "b", "price": "free"}]}
    with pytest.raises(ResultError) as caught:
        as_typed(order, Order, "buy")
    assert str(caught.value) == ("the result of step 'buy', at .lines[1].price: expected float, found 'free'")


def test_what_was_raised_is_the_cause():
    """The error of a user's class is kept."""
    with pytest.raises(ResultError) as caught:
        as_typed({"amount": -1}, Picky, "buy")
    assert repr(caught.value.__cause__) == "ValueError('it must not be negative')"


def test_fields_that_a_journal_does_not_have_get_their_defaults():
    """A field that was added since, with a default, does not strand a run."""
    assert as_typed({"sku": "a", "price": 1}, Line, "buy") == Line(Sku("a"), 1)


def test_live_objects_stay_what_they_are_in_what_is_converted():
    """Where only a part has to be converted the rest is the very object; what was given is not changed."""
    line = Line(Sku("a"), 1)
    given = {"id": 1, "lines": (line, {"sku": "b", "price": 2})}
    order = as_typed(given, Order, "buy")
    assert order.lines == [line, Line(Sku("b"), 2)]
    assert order.lines[0] is line
    assert given == {"id": 1, "lines": (line, {"sku": "b", "price": 2})}


def test_a_value_that_contains_itself_is_refused():
    """No value overflows the stack."""
    value: dict[str, Any] = {"id": 1, "lines": []}
    value["parent"] = value
    with pytest.raises(ResultError, match="nests too deeply, or contains itself"):
        as_typed(value, Order, "buy")


def test_a_live_run_and_a_resumed_one_see_the_same():
    """ctx.results.typed gives the instance itself in memory, an equal one from a journal, by id and by path."""
    seen: list[Order] = []
    power = {"on": False}

    def use(ctx):
        seen.append(ctx.results.typed("buy", Order))
        assert ctx.results.typed("inner/buy", Order) is not None
        if not power["on"]:
            raise KeyboardInterrupt

    def build():
        inner = Workflow("inner", [Step("buy", run=lambda: ORDER), Step("use", run=use)])
        return Workflow("w", [inner])

    with pytest.raises(KeyboardInterrupt):
        build().start(store=None)
    assert seen[0] is ORDER

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        build().start(run_id="r", store=store)
    power["on"] = True
    build().resume("r", store).raise_for_status()
    assert seen[1:] == [ORDER, ORDER]


def test_a_step_without_a_result_has_no_typed_one():
    """As with ctx.results[…], what is not there is a KeyError."""

    def use(ctx):
        ctx.results.typed("later", int)

    report = Workflow("w", [Step("use", run=use), Step("later", run=lambda: 1)]).start()
    assert isinstance(report.error, KeyError)


def test_a_misfit_fails_the_step_that_asked():
    """The error is the step's; what came before it is undone."""
    undone = []
    steps = [
        Step("buy", run=lambda: "x", undo=lambda: undone.append("buy")),
        Step("use", run=lambda ctx: ctx.results.typed("buy", int)),
    ]
    report = Workflow("w", steps).start()
    assert isinstance(report.error, ResultError)
    assert undone == ["buy"]
