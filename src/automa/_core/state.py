"""The state that steps share: mutable mappings of JSON values, checked where they are set."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from automa.errors import StateError

MAX_DEPTH = 100
"""How deeply values may nest; also what stops a value that contains itself."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every reader of JSON keeps exactly (RFC 8259, section 6)."""

Delta = dict[str, tuple[str | None, str | None]]
"""What changed between two moments: by key, the JSON text before and after; None is absent."""

Changes = dict[str, "str | None"]
"""What a step changed: by key, the JSON text of the value afterwards; None is gone."""

Guard = Callable[[str], bool]

_REQUIRED: Any = object()


class PrecisionWarning(UserWarning):
    """An integer was put in the state that other readers of JSON would round."""


class State(MutableMapping[str, Any]):
    """A mapping of JSON values: null, booleans, finite numbers, texts, lists and objects with text keys.

    A value is checked when it is set, and again when the step has ended, since a list or an object
    may have been changed in place. What changed is kept as text, so that it can be taken back.

    Args:
        name: What the state is called in messages: ``shared`` or ``local``.
        values: The first values; they are copied.
        step: The id of the step at work, for messages.
        warn: Whether the first values are warned of, too, where others would round them.
        guard: Tells whether there is something in a text that must not be written down.

    Attributes:
        touched: The keys whose values may have changed since the last commit.

    Raises:
        StateError: Where a value is not JSON; the message names the key and the step.
    """

    __slots__ = ("_name", "_texts", "_values", "guard", "step", "touched")

    def __init__(
        self,
        name: str,
        values: Mapping[str, Any] | None = None,
        *,
        step: str | None = None,
        warn: bool = True,
        guard: Guard | None = None,
    ) -> None:
        self._name = name
        self.guard: Guard | None = guard
        self.step: str | None = step
        self._values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}  # each key's JSON as of the last commit
        self.touched: set[str] = set()
        if values:
            for key, value in values.items():
                self._warn(key, self._check(key, value) and warn)
                self._texts[key] = text = self._encode(key, value)
                self._values[key] = json.loads(text)

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if type(value) in _CONTAINERS:
            self.touched.add(key)  # the caller may change it in place
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._warn(key, self._check(key, value))
        self.touched.add(key)
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self.touched.add(key)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<{self._name} state {self._values!r}>"

    def merge(self, values: Mapping[str, Any]) -> None:
        """Set all of these keys; all are checked before the first is set.

        Raises:
            StateError: Where one of the values is not JSON.
        """
        large = [key for key, value in values.items() if self._check(key, value)]
        self.touched.update(values)
        self._values.update(values)
        for key in large:
            self._warn(key, is_large=True)

    def clone(self) -> dict[str, Any]:
        """Return a deep copy of the values."""
        copy: dict[str, Any] = json.loads(self._encode_all())
        return copy

    def get_int(self, key: str, default: int = _REQUIRED) -> int:
        """Return an integer; ``3.0`` and ``"3"`` are read as 3.

        Raises:
            StateError: Where the value is no integer, or there is none and no default.
        """
        if default is not _REQUIRED and key not in self._values:
            return default
        value = self._required(key)
        if type(value) is int:
            return value
        if type(value) is float and value.is_integer():
            return int(value)
        if type(value) is str and _INTEGER.fullmatch(value):
            return int(value)
        raise self._cannot(key, value, "an integer")

    def get_float(self, key: str, default: float = _REQUIRED) -> float:
        """Return a finite float; integers that a float holds exactly, and texts, are converted.

        Raises:
            StateError: Where the value is no such number, or there is none and no default.
        """
        if default is not _REQUIRED and key not in self._values:
            return default
        value = self._required(key)
        if type(value) is str and _NUMBER.fullmatch(value):
            exact: int | float = int(value) if _INTEGER.fullmatch(value) else float(value)
            is_lost = exact == 0 and any(digit in "123456789" for digit in value.partition("e")[0])
        else:
            exact, is_lost = value, type(value) not in {int, float}
        try:
            number = float("nan") if is_lost else float(exact)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and (type(exact) is not int or int(number) == exact):
            return number
        raise self._cannot(key, value, "a number without loss")

    def get_bool(self, key: str, default: bool = _REQUIRED) -> bool:  # noqa: FBT001  # as dict.get
        """Return a boolean; the texts ``true`` and ``false`` are read, in any case; numbers are not.

        Raises:
            StateError: Where the value is no boolean, or there is none and no default.
        """
        if default is not _REQUIRED and key not in self._values:
            return default
        value = self._required(key)
        if type(value) is bool:
            return value
        if type(value) is str and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        raise self._cannot(key, value, "a boolean")

    def get_str(self, key: str, default: str = _REQUIRED) -> str:
        """Return a text; numbers and booleans are written as JSON writes them.

        Raises:
            StateError: Where the value is null, a list or an object, or there is none and no default.
        """
        if default is not _REQUIRED and key not in self._values:
            return default
        value = self._required(key)
        if type(value) is str:
            return value
        if type(value) in {int, float, bool}:
            return json.dumps(value)
        raise self._cannot(key, value, "a text")

    def commit(self) -> tuple[Delta | None, StateError | None]:
        """Make the present values the committed ones; return what changed, or None if nothing did.

        A value that was changed in place and is not JSON any more is taken back; the error that
        is returned beside the rest names its key.
        """
        if not self.touched:
            return None, None
        delta: Delta = {}
        invalid: StateError | None = None
        for key in sorted(self.touched):
            before, after = self._texts.get(key), None
            if key in self._values:
                try:
                    self._check(key, self._values[key])
                    after = self._encode(key, self._values[key])
                except StateError as error:
                    invalid = invalid or error
                    after = before
                    self._restore(key, before)
                else:
                    if type(self._values[key]) in _CONTAINERS:  # whoever holds on to it changes a copy
                        self._values[key] = json.loads(after)
            if before != after:
                delta[key] = (before, after)
                self._set_text(key, after)
        self.touched.clear()
        return delta or None, invalid

    def as_committed(self) -> State:
        """Return a state of its own with what was committed last."""
        texts = self._texts
        values = {key: json.loads(text) for key, text in texts.items()} if texts else {}
        state = State.__new__(State)  # no `__init__`: every branch has one
        state.step, state.guard, state.touched = self.step, self.guard, set()
        state._name, state._texts, state._values = self._name, texts.copy(), values  # noqa: SLF001  # its own kind
        return state

    def changes(self) -> Changes | None:
        """Return what a commit would change now, as JSON text by key; None is gone. All must be JSON."""
        changes: Changes = {}
        for key in sorted(self.touched):
            text = _to_text(self._values[key]) if key in self._values else None
            if text != self._texts.get(key):
                changes[key] = text
        return changes or None

    def replay(self, changes: Changes | None) -> None:
        """Change again what was changed before: as if a step did it, and without a warning."""
        for key, text in (changes or {}).items():
            self.touched.add(key)
            self._restore(key, text)

    def redo(self, delta: Delta | None) -> None:
        """Make again, and commit, a change that was taken back."""
        for key, (_, after) in (delta or {}).items():
            self._set_text(key, after)
            self._restore(key, after)

    def check(self) -> StateError | None:
        """Return what is not JSON in the values that may have changed since the last commit."""
        for key in sorted(self.touched & self._values.keys()):
            try:
                self._check(key, self._values[key])
            except StateError as error:
                return error
        return None

    def discard(self) -> None:
        """Take back whatever changed since the last commit."""
        for key in self.touched:
            self._restore(key, self._texts.get(key))
        self.touched.clear()

    def revert(self, delta: Delta | None) -> None:
        """Take back what a commit changed; uncommitted changes are discarded first."""
        self.discard()
        for key, (before, _) in (delta or {}).items():
            self._set_text(key, before)
            self._restore(key, before)

    def _encode(self, key: str, value: Any) -> str:
        text = _to_text(value)
        if self.guard is not None and (self.guard(text) or self.guard(key)):
            raise StateError(f"{self._place(key)}: there is a secret in it; secrets go into resources")
        return text

    def _set_text(self, key: str, text: str | None) -> None:
        if text is None:
            self._texts.pop(key, None)
        else:
            self._texts[key] = text

    def _restore(self, key: str, text: str | None) -> None:
        if text is None:
            self._values.pop(key, None)
        else:
            self._values[key] = json.loads(text)

    def _encode_all(self) -> str:
        for key in self.touched & self._values.keys():
            self._check(key, self._values[key])
        return _to_text(self._values)

    def _required(self, key: str) -> Any:
        if key not in self._values:
            known = ", ".join(map(repr, self._values)) or "none"
            raise StateError(f"{self._place(key)}: there is no such key (there are: {known})")
        return self._values[key]

    def _cannot(self, key: str, value: Any, wanted: str) -> StateError:
        return StateError(
            f"{self._place(key)}: {value!r} ({type(value).__name__}) cannot be read as {wanted}"
        )

    def _check(self, key: str, value: Any) -> bool:
        """Check a value; return whether there is an integer in it that other readers round."""
        if type(key) is not str:
            raise StateError(f"{self._place(key)}: keys are texts, not {type(key).__name__}")
        try:
            return check_json(value)
        except _InvalidValueError as error:
            raise StateError(f"{self._place(key, error.place)}: {error}") from None

    def _warn(self, key: str, is_large: bool) -> None:  # noqa: FBT001  # what `_check` returned
        if not is_large:
            return
        message = (
            f"{self._place(key)}: an integer beyond 2^53-1: other readers of JSON round it; keep it as a text"
        )
        try:
            warnings.warn(message, PrecisionWarning, stacklevel=3)
        except PrecisionWarning as warning:  # where warnings are errors
            raise StateError(str(warning)) from None

    def _place(self, key: object, inside: str = "") -> str:
        where = "" if self.step is None else f" in step {self.step!r}"
        return f"{self._name}[{key!r}]{inside}{where}"


class _InvalidValueError(Exception):
    """Something in a value is not JSON.

    Attributes:
        place: Where in the value.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

_CONTAINERS = frozenset({list, dict})


def check_json(value: Any, place: str = "", depth: int = 0) -> bool:
    """Check that a value is made of JSON values only, of exactly Python's own types for them.

    Subclasses are refused: they would come back as the plain type after a resume.

    Returns:
        Whether there is an integer in it that other readers of JSON round.

    Raises:
        _InvalidValueError: Where it is not.
    """
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return False
    if kind is int or kind is float:
        return _check_number(value, place)
    if kind not in _CONTAINERS:
        hint = "; use a list" if kind is tuple else "; live objects go into resources"
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise _InvalidValueError(place, f"{name} is no JSON value{hint}")
    if depth >= MAX_DEPTH:
        raise _InvalidValueError("", f"nested deeper than {MAX_DEPTH} levels, or contains itself")
    is_large = False
    for key, item in value.items() if kind is dict else enumerate(value):
        if kind is dict and type(key) is not str:
            raise _InvalidValueError(place, f"the key {key!r} is no text, but {type(key).__name__}")
        is_large |= check_json(item, f"{place}[{key!r}]", depth + 1)
    return is_large


def check_effect(kind: object, ref: object, data: dict[str, Any]) -> None:
    """Check what a step tells of an effect.

    Raises:
        StateError: Where it is not texts and JSON values.
    """
    for name, value in (("kind", kind), ("ref", ref)):
        if not isinstance(value, str):
            raise StateError(f"effect: its {name} is a text, not {type(value).__name__}")
    try:
        check_json(data)
    except _InvalidValueError as error:
        raise StateError(f"effect {kind!r}: data{error.place}: {error}") from None


def _check_number(value: float, place: str) -> bool:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _InvalidValueError(place, f"{value} is no JSON number")
        return False
    if value.bit_length() > _MOST_BITS:
        raise _InvalidValueError(place, f"an integer of {value.bit_length()} bits is too large")
    return not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER


_MOST_BITS = 8_192  # well below what Python refuses to write as digits


_to_text = json.JSONEncoder(separators=(",", ":")).encode
