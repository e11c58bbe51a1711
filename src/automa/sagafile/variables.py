"""The variables of a saga file: what is written of them, and what is given for them."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from automa.errors import StateError, WireError
from automa.sagafile.commands import unfit
from automa.wire.documents import parse_json

if TYPE_CHECKING:
    from automa.sagafile.commands import Scalar
    from automa.sagafile.reading import Value

TYPES = ("string", "integer", "number", "boolean")

NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")


class Variable(NamedTuple):
    """A variable of a saga file.

    Attributes:
        name: Its name.
        type: Which values it takes.
        default: What it is where nothing is given; None where something has to be.
        choices: The values from which it is chosen; empty where there are no such.
        description: What it is for.
    """

    name: str
    type: str
    default: Scalar | None
    choices: tuple[Scalar, ...]
    description: str


def variables_in(value: Value) -> dict[str, Variable]:
    """Return the variables that are written in a mapping, by name."""
    found = {}
    for name, given in value.fields().items():
        if not NAME.fullmatch(name):
            given.refuse_key(f"{name!r} is no name: a small letter, then small letters, digits and '_'")
        found[name] = _variable_of(name, given)
    return found


def _variable_of(name: str, value: Value) -> Variable:
    """Return a variable: as a mapping, or by its default alone."""
    if not value.is_mapping:
        value_of_it = _as_written(value)
        return Variable(name, _type_of(value_of_it), value_of_it, (), "")
    fields = value.record(("type", "default", "choices", "description"))
    description = fields["description"].text() if "description" in fields else ""
    if "type" in fields:
        kind = fields["type"].word(TYPES)
    else:
        kind = _type_of(_as_written(fields["default"])) if "default" in fields else "string"
    choices = tuple(of_type(each, kind) for each in fields["choices"].items()) if "choices" in fields else ()
    default: Scalar | None = of_type(fields["default"], kind) if "default" in fields else None
    if choices and default is not None and default not in choices:
        fields["default"].refuse(f"it is none of the choices: {', '.join(map(_shown, choices))}")
    return Variable(name, kind, default, choices, description)


def _as_written(value: Value) -> Scalar:
    """Return a scalar: as a number only where that would be written the same, as ``--set`` has it."""
    found = value.scalar()
    text = given_text(value)
    return found if isinstance(found, str) or json.dumps(found) == text else text


def _type_of(value: Scalar) -> str:
    return {bool: "boolean", int: "integer", float: "number"}.get(type(value), "string")


def of_type(value: Value, kind: str) -> Scalar:
    """Return what is written in a file as a value of a type."""
    if kind == "string":
        return given_text(value)
    if kind == "boolean":
        return value.boolean()
    found = value.scalar()
    if isinstance(found, bool | str) or (kind == "integer" and not isinstance(found, int)):
        value.refuse(f"a value of type {kind} is expected, not {value.kind}")
    return found


def meant(text: str) -> Any:
    """Return what a text means for a variable that is no string; the text itself where it means nothing."""
    try:
        return parse_json(text)
    except WireError:
        return text


def fitting(variable: Variable, given: Any) -> Scalar:
    """Return what was given for a variable, as a value of its type; a number or truth value is a text too.

    Raises:
        StateError: Where it is of another type, or none of the choices.
    """
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    fits = {
        "string": isinstance(given, str),
        "boolean": isinstance(given, bool),
        "integer": is_number and isinstance(given, int),
        "number": is_number and _is_finite(given),
    }
    if variable.type == "string" and isinstance(given, int | float):
        given = _shown(given)
    elif not fits[variable.type]:
        raise StateError(f"variable {variable.name!r} is of type {variable.type}, and {given!r} is not")
    problem = unfit(given) if isinstance(given, str) else None
    if problem:
        raise StateError(f"variable {variable.name!r}: {problem}")
    if variable.choices and given not in variable.choices:
        raise StateError(
            f"variable {variable.name!r} is one of {', '.join(map(_shown, variable.choices))}, "
            f"not {_shown(given)}"
        )
    value: Scalar = given
    return value


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that is larger than any other
        return False


def _shown(value: Scalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def given_text(value: Value) -> str:
    """Return a text that commands are given."""
    text = value.text()
    problem = unfit(text)
    if problem:
        value.refuse(problem)
    return text
