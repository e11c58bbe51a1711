"""Results as a journal keeps them: JSON values, also of dataclasses, enumerations and pydantic models."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from typing import TYPE_CHECKING, Any

from automa._core.state import check_json
from automa.errors import ResultError, text_of

if TYPE_CHECKING:
    from automa._core.state import Guard

_PLAIN = frozenset({str, int, bool, type(None)})


def as_journaled(value: Any, path: str, guard: Guard | None) -> Any:
    """Return a result as it comes back from a journal: so that a resumed run sees what the first one saw.

    Args:
        value: What a step returned.
        path: The path of the step, for the message.
        guard: Tells whether there is something in a text that must not be written down.

    Raises:
        ResultError: Where it has no such form.
    """
    try:
        plain = as_plain(value)
        check_json(plain)
        if guard is None or not guard(json.dumps(plain)):
            return plain if type(plain) in _PLAIN else json.loads(json.dumps(plain))
        problem = "there is a secret in it; secrets go into resources"
    except RecursionError:
        problem = "it nests too deeply, or contains itself"
    except Exception as error:  # noqa: BLE001  # a model's method may raise anything
        problem = text_of(error)
    raise ResultError(f"the result of step {path} cannot be kept in a journal: {problem}")


def as_plain(value: Any) -> Any:
    """Return a value as JSON values, as far as it has such a form; the rest stays as it is."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Enum):
        return as_plain(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if kind is list or kind is tuple:
        return [as_plain(item) for item in value]
    if kind is dict:
        return {key: as_plain(item) for key, item in value.items()}
    dump = getattr(kind, "model_dump", None)  # pydantic
    return value if dump is None else dump(value, mode="json")
