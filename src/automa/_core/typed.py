"""Results as what they were: the way back from the JSON values that a journal keeps of them.

The inverse of `automa._core.results.as_journaled`.
"""

from __future__ import annotations

import dataclasses
import operator
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, Flag
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin

from automa._core.results import as_plain
from automa.errors import ResultError, repr_of, text_of

T = TypeVar("T")

_ABSENT: Any = object()


def as_typed(value: Any, model: type[T], step: str) -> T:
    """Return a result as an instance of a model.

    Args:
        value: What a step returned, or what a journal has kept of it.
        model: A dataclass, an enumeration, a pydantic model, a JSON type, or a list, tuple, dictionary
            or union of such.
        step: The step, for the message.

    Raises:
        ResultError: Where the value does not fit.
    """
    try:
        return cast("T", _read(value, model, ""))
    except _MisfitError as misfit:
        place = f", at {misfit.place}" if misfit.place else ""
        problem, cause = f"{place}: {misfit}", misfit.__cause__
    except RecursionError:
        problem, cause = ": it nests too deeply, or contains itself", None
    raise ResultError(f"the result of step {step!r}{problem}") from cause


class _MisfitError(Exception):
    """A value is not what it should be.

    Attributes:
        place: Where in the result: ``.lines[2].price``.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


def _refuse(value: Any, model: Any, place: str) -> NoReturn:
    raise _MisfitError(place, f"expected {_name(model)}, found {repr_of(value)}")


def _name(model: Any) -> str:
    return model.__name__ if isinstance(model, type) else str(model)


def _read(value: Any, model: Any, place: str) -> Any:  # noqa: PLR0911  # a kind of model a line
    """Return a value as what a model says; what is that already is returned as it is.

    Raises:
        _MisfitError: Where it does not fit.
    """
    if model is Any:
        return value
    origin = get_origin(model) or model
    if origin in {list, Sequence, tuple}:
        return _read_items(value, model, origin, place)
    if origin in {dict, Mapping}:
        return _read_mapping(value, model, place)
    if origin in {Union, types.UnionType}:
        return _read_union(value, model, place)
    if origin is Literal:
        return _pick(value, get_args(model), model, place)
    if isinstance(model, type):
        return _read_class(value, model, place)
    for alias in ("__supertype__", "__value__"):  # of a NewType; of a `type` statement
        if hasattr(model, alias):
            return _read(value, getattr(model, alias), place)
    return value if model is value is None else _refuse(value, model, place)


def _read_class(value: Any, model: type, place: str) -> Any:
    if _is_instance(value, model):
        return value
    if issubclass(model, Flag) and type(value) is int:
        return _made(lambda: model(value), _name(model), place)
    if issubclass(model, Enum):
        return _pick(value, model, model, place)
    if dataclasses.is_dataclass(model):
        return _read_dataclass(value, model, place)
    if hasattr(model, "model_validate"):
        return _read_pydantic(value, model, place)
    return _refuse(value, model, place)


def _is_instance(value: Any, model: type) -> bool:
    """Whether a value is an instance, as JSON sees it: true is no number, and 1 may stand for 1.0."""
    try:
        if isinstance(value, model):
            return model is not int or type(value) is not bool
    except TypeError:  # a protocol, say
        return False
    return model is float and type(value) is int


def _read_items(value: Any, model: Any, origin: type, place: str) -> Any:
    if not isinstance(value, list | tuple):
        _refuse(value, model, place)
    models: tuple[Any, ...] = get_args(model)
    if origin is not tuple or model is tuple or models[1:] == (...,):
        models = (models[:1] or (Any,)) * len(value)
    if len(models) != len(value):
        _refuse(value, model, place)
    items = [
        _read(item, each, f"{place}[{index}]")
        for index, (item, each) in enumerate(zip(value, models, strict=True))
    ]
    if isinstance(value, origin) and all(map(operator.is_, value, items)):
        return value
    return tuple(items) if origin is tuple else items


def _read_mapping(value: Any, model: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        _refuse(value, model, place)
    of_keys, of_items = get_args(model) or (Any, Any)
    places = [f"{place}[{key!r}]" for key in value]
    keys = [_read(key, of_keys, where) for key, where in zip(value, places, strict=True)]
    items = [_read(item, of_items, where) for item, where in zip(value.values(), places, strict=True)]
    if all(map(operator.is_, value, keys)) and all(map(operator.is_, value.values(), items)):
        return value
    return dict(zip(keys, items, strict=True))


def _read_union(value: Any, model: Any, place: str) -> Any:
    """Return a value as the first alternative that it fits."""
    alternatives = get_args(model)
    if value is None and types.NoneType in alternatives:
        return None
    misfits: list[_MisfitError] = []
    for alternative in alternatives:
        try:
            return _read(value, alternative, place)
        except _MisfitError as misfit:  # one of them may fit
            if alternative is not types.NoneType:
                misfits.append(misfit)
    if len(misfits) > 1 and all(misfit.place == place for misfit in misfits):
        _refuse(value, model, place)
    raise max(misfits, key=lambda misfit: len(misfit.place))  # the one that it comes nearest to


def _pick(value: Any, candidates: Iterable[Any], model: Any, place: str) -> Any:
    """Return the one of some values that has the same form in a journal."""
    plain = as_plain(value)
    for candidate in candidates:
        form = as_plain(candidate)
        if type(form) is type(plain) and form == plain:
            return candidate
    return _refuse(value, model, place)


def _read_dataclass(value: Any, model: type, place: str) -> Any:
    if not isinstance(value, dict):
        _refuse(value, model, place)
    fields = {field.name: field for field in dataclasses.fields(model)}
    unknown = next((name for name in value if name not in fields), _ABSENT)
    if unknown is not _ABSENT:
        raise _MisfitError(place, f"{_name(model)} has no field {unknown!r}")
    hints = _made(lambda: typing.get_type_hints(model), f"reading the annotations of {_name(model)}", place)
    read = {name: _read(item, hints[name], f"{place}.{name}") for name, item in value.items()}
    given = {name: item for name, item in read.items() if fields[name].init}
    instance = _made(lambda: model(**given), _name(model), place)
    for name, item in read.items():
        if not fields[name].init:
            object.__setattr__(instance, name, item)  # as a frozen dataclass sets its own fields
    return instance


def _read_pydantic(value: Any, model: Any, place: str) -> Any:
    try:
        return model.model_validate(value)
    except Exception as error:
        raise _told_by_pydantic(error, place) from error


def _told_by_pydantic(error: Any, place: str) -> _MisfitError:
    """Return the first complaint of a ``pydantic.ValidationError``, with its place."""
    try:
        first = error.errors()[0]
        inside = "".join(f"[{part}]" if type(part) is int else f".{part}" for part in first["loc"])
        return _MisfitError(place + inside, f"{first['msg']}, found {repr_of(first['input'])}")
    except Exception:  # noqa: BLE001  # another class that has a model_validate may raise anything
        return _MisfitError(place, f"{type(error).__name__}: {text_of(error)}")


def _made(make: Callable[[], Any], what: str, place: str) -> Any:
    """Return what a user's class makes of what was read; what it raises is a misfit."""
    try:
        return make()
    except RecursionError:  # it is not the class that is wrong
        raise
    except Exception as error:
        raise _MisfitError(place, f"{what} raised {type(error).__name__}: {text_of(error)}") from error
