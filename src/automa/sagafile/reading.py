"""YAML with places: each value knows its line and column, so that what is wrong with it is told there.

Plain scalars mean what they look like: ``true`` and ``false`` are truth values, ``12`` and ``1.5`` numbers,
all else is text. So ``no`` is a text, and ``1.10`` is one wherever a text is wanted.
"""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

try:
    import yaml
except ImportError:
    raise ImportError("saga files need the extra 'yaml': pip install 'automa-saga[yaml]'") from None

from automa.errors import SagaFileError
from automa.wire.documents import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

MOST_BYTES = 1_000_000
"""How large a saga file may be."""

MOST_VALUES = 20_000
"""How many values there may be in one, those behind aliases counted each time."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 36_500  # days: what is later has no date
_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS = {
    _CORE + each
    for each in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map")
}


def hint_at(name: str, known: Iterable[str], mark: str = "") -> str:
    """Return what may have been meant by a name that is not known, or all that are.

    Args:
        name: The name.
        known: Those that are known.
        mark: What stands before each of them where they are used.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f": is it {mark + near[0] if mark else repr(near[0])}?"
    return f" (there are: {', '.join(known) or 'none'})"


class Source:
    """A saga file that is being read.

    Args:
        name: What it is called in messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._values = 0

    def count(self, value: Value) -> None:
        """Count a value that is looked at.

        Raises:
            SagaFileError: Where there are too many.
        """
        self._values += 1
        if self._values > MOST_VALUES:
            value.refuse(f"there are more than {MOST_VALUES} values in it, aliases counted each time")

    def error(self, problem: str, mark: Any) -> SagaFileError:
        """Return the error for a problem at a place."""
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        return SagaFileError(problem, self.name, line, column)


class Value:
    """A value in a saga file, with its place.

    Args:
        node: The node of YAML.
        source: The file.
        what: What it is called in messages, as in ``steps[0].run``.
        depth: How deeply it nests.
    """

    def __init__(self, node: yaml.Node, source: Source, what: str = "", depth: int = 0) -> None:
        self._node = node
        self._source = source
        self._depth = depth
        self._key: Value | None = None
        self.what = what
        source.count(self)
        if depth > MAX_DEPTH:
            self.refuse("it nests too deeply")
        if node.tag not in _PLAIN_TAGS:
            self.refuse(f"the tag {node.tag!r} means nothing here: leave it out")

    @property
    def file(self) -> str:
        """The name of the file."""
        return self._source.name

    @property
    def line(self) -> int:
        """The line, from 1."""
        return int(self._node.start_mark.line) + 1

    def refuse(self, problem: str) -> NoReturn:
        """Refuse the file, for this value.

        Raises:
            SagaFileError: Always.
        """
        where = f"{self.what}: " if self.what else ""
        raise self._source.error(f"{where}{problem}", self._node.start_mark)

    def refuse_key(self, problem: str) -> NoReturn:
        """Refuse the file, for the key under which this value stands.

        Raises:
            SagaFileError: Always.
        """
        (self._key or self).refuse(problem)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self._node, yaml.MappingNode)

    @property
    def _is_null(self) -> bool:
        return isinstance(self._node, yaml.ScalarNode) and self._node.tag == f"{_CORE}null"

    @property
    def _plain(self) -> str | None:
        """The text of a scalar that is not quoted, or None."""
        node = self._node
        return node.value if isinstance(node, yaml.ScalarNode) and node.style is None else None

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.is_list:
            return "a list"
        if self.is_mapping:
            return "a mapping"
        return "nothing" if self._is_null else f"{self._node.value!r}"

    def items(self) -> Iterator[Value]:
        """Yield the values of a list.

        Raises:
            SagaFileError: Where it is none.
        """
        if not self.is_list:
            self.refuse(f"a list is expected, not {self.kind}")
        for number, node in enumerate(self._node.value):
            yield Value(node, self._source, f"{self.what}[{number}]", self._depth + 1)

    def fields(self) -> dict[str, Value]:
        """Return the values of a mapping by key.

        Raises:
            SagaFileError: Where it is none, or a key comes twice.
        """
        if not self.is_mapping:
            self.refuse(f"a mapping is expected, not {self.kind}")
        found: dict[str, Value] = {}
        for key_node, node in self._node.value:
            key = Value(key_node, self._source, self.what, self._depth + 1)
            name = key.text()
            if name in found:
                key.refuse(f"{name!r} comes twice, first in line {found[name].line}")
            what = f"{self.what}.{name}" if self.what else name
            found[name] = Value(node, self._source, what, self._depth + 1)
            found[name]._key = key  # noqa: SLF001  # the same class
        return found

    def record(self, known: Collection[str], required: Collection[str] = ()) -> dict[str, Value]:
        """Return the values of a mapping with known keys.

        Raises:
            SagaFileError: Where there is another key, or one is missing.
        """
        found = self.fields()
        for name, value in found.items():
            if name not in known:
                value.refuse_key(f"there is no key {name!r} here{hint_at(name, known)}")
        for name in required:
            if name not in found:
                self.refuse(f"{name!r} is missing")
        return found

    def text(self) -> str:
        """Return the text of a scalar, as it stands in the file.

        Raises:
            SagaFileError: Where it is none, or has a character that no command could be given.
        """
        if not isinstance(self._node, yaml.ScalarNode):
            self.refuse(f"a text is expected, not {self.kind}")
        if self._is_null and self._plain is not None:
            self.refuse('a text is expected, not nothing (an empty text is written "")')
        text: str = self._node.value
        if "\0" in text:
            self.refuse("there is a NUL character in it")
        return text

    def word(self, words: Collection[str]) -> str:
        """Return one of some words.

        Raises:
            SagaFileError: Where it is none of them.
        """
        text = self.text()
        if text not in words:
            self.refuse(f"{text!r} is none of {', '.join(words)}")
        return text

    def boolean(self) -> bool:
        """Return a truth value.

        Raises:
            SagaFileError: Where it is none.
        """
        if self._plain not in {"true", "false"}:
            self.refuse(f"true or false is expected, not {self.kind}")
        return self._plain == "true"

    def integer(self, least: int) -> int:
        """Return a whole number.

        Raises:
            SagaFileError: Where it is none, or too small.
        """
        if self._plain is None or not _INTEGER.fullmatch(self._plain) or int(self._plain) < least:
            self.refuse(f"a whole number from {least} is expected, not {self.kind}")
        return int(self._plain)

    def number(self, least: float) -> float:
        """Return a number.

        Raises:
            SagaFileError: Where it is none, or too small.
        """
        plain = self._plain
        number = float(plain) if plain is not None and _NUMBER.fullmatch(plain) else math.nan
        if not (math.isfinite(number) and number >= least):
            self.refuse(f"a number from {least:g} is expected, not {self.kind}")
        return number

    def seconds(self) -> float:
        """Return a span of time in seconds: ``90``, ``1.5``, ``500ms``, ``30s``, ``10m``, ``2h``, ``1d``.

        Raises:
            SagaFileError: Where it is none, or is zero.
        """
        match = None if self.is_list or self.is_mapping else _SPAN.fullmatch(self._node.value)
        if match is None or float(match[1]) <= 0:
            self.refuse(f"a span of time such as 30s, 10m or 2h is expected, not {self.kind}")
        seconds = float(match[1]) * _SECONDS[match[2]]
        if seconds > _LONGEST * _SECONDS["d"]:
            self.refuse(f"a span of time of at most {_LONGEST}d is expected, not {self.kind}")
        return seconds

    def scalar(self) -> str | int | float | bool:
        """Return what a scalar means: a truth value, a number, or a text.

        Raises:
            SagaFileError: Where it is no scalar, or nothing.
        """
        plain = self._plain
        if plain in {"true", "false"}:
            return plain == "true"
        if plain is not None and _INTEGER.fullmatch(plain):
            return int(plain)
        if plain is not None and _NUMBER.fullmatch(plain) and math.isfinite(float(plain)):
            return float(plain)
        return self.text()


def read(text: str | bytes, name: str) -> Value:
    """Read the one document of a saga file.

    Args:
        text: The text; bytes are UTF-8.
        name: What the file is called in messages.

    Raises:
        SagaFileError: Where it is too large, no text or no YAML, or not one document.
    """
    source = Source(name)
    if len(text) > MOST_BYTES:
        raise source.error(f"it is larger than {MOST_BYTES:,} bytes", None)
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        _check_depth(text, source)
        node = yaml.compose(text, yaml.SafeLoader)
    except SagaFileError:
        raise
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        raise source.error(
            f"it is no UTF-8 text: byte {error.object[error.start]:#04x}", _end_of(before)
        ) from None
    except yaml.reader.ReaderError as error:
        assert isinstance(text, str)  # noqa: S101  # it was decoded
        raise source.error(
            f"no YAML: the character {chr(error.character)!r} may not stand in it",
            _end_of(text[: error.position]),
        ) from None
    except yaml.MarkedYAMLError as error:
        problem = " ".join(str(each) for each in (error.context, error.problem) if each)
        raise source.error(f"no YAML: {problem}", error.problem_mark or error.context_mark) from None
    except Exception as error:  # noqa: BLE001  # besides its own, PyYAML lets errors of all kinds through
        raise source.error(f"no YAML: {' '.join(str(error).split())}", None) from None
    if node is None:
        raise source.error("it is empty", None)
    return Value(node, source)


def _end_of(text: str) -> yaml.Mark:
    """Return the place behind a text."""
    return yaml.Mark("", len(text), text.count("\n"), len(text) - text.rfind("\n") - 1, None, 0)


def _check_depth(text: str, source: Source) -> None:
    """Refuse, before anything is built, what nests so deeply that PyYAML's recursion would not stand it."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise source.error("it nests too deeply", event.start_mark)
