"""Secrets: live values that are never written down, and what keeps them out of what is.

A `Secret` belongs into ``resources``. Should its text turn up in an error, a remark or a line of the
log all the same, it is replaced there; in the state and in results, which steps work with, it is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from automa.errors import EncodedError, WorkflowDefinitionError, decode_error, encode_error

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORTEST = 6  # what is shorter turns up everywhere, and would make texts unreadable
_MASK = "[secret]"

_known: set[str] = set()
_texts: re.Pattern[str] | None = None


class Secret:
    """A text that must not be written down: a password, a token.

    It prints as ``Secret([secret])``. A text of at least six characters is replaced wherever automa
    writes one down; a shorter one is only kept from printing itself.

    Args:
        value: The text.

    Example:
        >>> token = Secret("s3cr3t-token")
        >>> print(token)
        Secret([secret])
        >>> token.reveal()
        's3cr3t-token'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a secret is a text, not {type(value).__name__}")
        self._value = value
        if len(value) >= _SHORTEST:
            _remember(value)

    def reveal(self) -> str:
        """Return the text itself: where it is used, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled: it would be written down")


def _remember(value: str) -> None:
    """Look for a text from now on, also as it stands in a ``repr``, in JSON and in a URL."""
    global _texts  # noqa: PLW0603  # what one process knows of secrets
    from urllib.parse import quote  # noqa: PLC0415  # only those who have secrets need it

    bare = value.encode("utf-8", "replace").decode()
    _known.update({value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(bare), quote(bare, safe="")})
    _texts = re.compile("|".join(re.escape(text) for text in sorted(_known, key=len, reverse=True)))


class Redactor:
    """Keeps secrets, and what matches patterns, out of what is written down.

    Args:
        patterns: Regular expressions; what they match is replaced.

    Raises:
        WorkflowDefinitionError: Where one is no regular expression.
    """

    __slots__ = ("_patterns",)

    def __init__(self, patterns: Iterable[str | re.Pattern[str]] = ()) -> None:
        if isinstance(patterns, str | re.Pattern):
            raise WorkflowDefinitionError(f"redact takes a list of regular expressions, not {patterns!r}")
        try:
            self._patterns = [re.compile(pattern) for pattern in patterns]
        except (re.error, TypeError) as error:
            raise WorkflowDefinitionError(f"redact: no regular expression: {error}") from None

    def __bool__(self) -> bool:
        return bool(self._patterns) or _texts is not None

    def text(self, text: str) -> str:
        """Return a text with what is secret in it replaced."""
        if _texts is not None:
            text = _texts.sub(_MASK, text)
        for pattern in self._patterns:
            text = pattern.sub(_MASK, text)
        return text

    def finds(self, text: str) -> bool:
        """Whether there is something secret in a text."""
        return self.text(text) != text

    def error(self, error: BaseException) -> BaseException:
        """Return an error with what is secret in it replaced; the same one where nothing is.

        One with a secret in it is made anew of its data, so that nothing of the old one, such as
        what its frames hold, goes along.
        """
        redacted: EncodedError | None = None
        is_changed = False
        for link in reversed(encode_error(error).chain()):  # it may be longer than Python's stack
            document = link.alone_to_dict()
            clean = self.value(document)
            is_changed = is_changed or clean != document
            redacted = EncodedError.alone_from_dict(clean, redacted, "error")._replace(context=link.context)
        return error if redacted is None or not is_changed else decode_error(redacted)

    def value(self, value: Any) -> Any:
        """Return a JSON value with what is secret in its texts replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return value
