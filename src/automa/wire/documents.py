"""Texts to plain values and back, and the checks that every format needs when it reads them.

A document that cannot be read is refused with the place in it: ``report.stepReports[3].status``.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from automa.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    Word = TypeVar("Word", bound=StrEnum)

MAX_DEPTH = 200
"""How deeply a document may nest."""

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))"
)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON as the RFC has it: no NaN, no infinities.

    Raises:
        WireError: Where the text is no JSON, or nests too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise WireError("the JSON document nests too deeply") from None
    except ValueError as error:  # broken JSON, or bytes that are no text
        raise WireError(f"no JSON document: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise WireError(f"{name} is no JSON value")


def parse_yaml(text: str | bytes) -> Any:
    """Parse YAML, times left as texts; aliases are refused, so that no small document grows large.

    Raises:
        WireError: Where the text is no YAML, nests too deeply or has aliases.
        ImportError: Where the extra ``yaml`` is not installed.
    """
    from automa.wire import yaml_text  # noqa: PLC0415  # the extra is needed only where YAML is

    return yaml_text.parse(text)


def dump_yaml(value: Any) -> str:
    """Write plain values as YAML, in block style and in the order given.

    Raises:
        ImportError: Where the extra ``yaml`` is not installed.
    """
    from automa.wire import yaml_text  # noqa: PLC0415  # the extra is needed only where YAML is

    return yaml_text.dump(value)


def field(document: Mapping[str, Any], key: str, kind: type | tuple[type, ...], place: str) -> Any:
    """Return a field that must be there and of a kind.

    Raises:
        WireError: Where it is missing or of another kind.
    """
    if key not in document:
        raise WireError(f"{place}.{key}: missing")
    return expect(document[key], kind, f"{place}.{key}")


def expect(value: Any, kind: type | tuple[type, ...], place: str) -> Any:
    """Return a value that must be of a kind.

    Raises:
        WireError: Where it is of another.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(_JSON_NAMES.get(each, each.__name__) for each in kinds)
        found = _JSON_NAMES.get(type(value), type(value).__name__)
        raise WireError(f"{place}: expected {wanted}, found {found}")
    return value


_JSON_NAMES = {
    str: "a text",
    int: "an integer",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def word(words: type[Word], value: Any, place: str) -> Word:
    """Return the member of an enumeration that a text names.

    Raises:
        WireError: Where it names none.
    """
    try:
        return words(expect(value, str, place))
    except ValueError as error:
        if isinstance(error, WireError):
            raise
        known = ", ".join(repr(member.value) for member in words)
        raise WireError(f"{place}: unknown {words.__name__.lower()} {value!r} (there are: {known})") from None


def parse_time(value: Any, place: str) -> datetime:
    """Return the time that an RFC 3339 text tells; digits beyond microseconds are cut off.

    Raises:
        WireError: Where it is no such text.
    """
    match = _RFC3339.fullmatch(expect(value, str, place))
    if match is None:
        raise WireError(f"{place}: {value!r} is no RFC 3339 time")
    *numbers, fraction, zulu, sign, hours, minutes = match.groups()
    microseconds = int((fraction or "0").ljust(6, "0")[:6])
    try:
        zone = UTC
        if not zulu:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-offset if sign == "-" else offset)
        return datetime(*map(int, numbers), microseconds, tzinfo=zone).astimezone(UTC)  # type: ignore[arg-type, misc]
    except (ValueError, OverflowError) as error:
        raise WireError(f"{place}: {value!r} is no time: {error}") from None


def format_time(time: datetime, digits: int = 6) -> str:
    """Write a time as RFC 3339 in UTC, trailing zeros of the fraction cut off.

    Args:
        time: The time.
        digits: How many digits of the fraction are kept at most; the rest is cut off.
    """
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    text = time.isoformat(timespec="microseconds")
    whole, fraction = text[:19], text[20 : 20 + digits].rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"
