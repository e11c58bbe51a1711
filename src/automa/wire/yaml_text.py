"""YAML by PyYAML (extra ``yaml``), with what an untrusted document could do shut off."""

from __future__ import annotations

from typing import Any

try:
    import yaml
except ImportError:
    raise ImportError("YAML needs the extra 'yaml': pip install 'automa-saga[yaml]'") from None

from automa.errors import WireError
from automa.wire.documents import MAX_DEPTH


class _Loader(yaml.SafeLoader):
    """Reads plain values; leaves times as texts, since PyYAML's drop digits and zones."""


_LEFT_AS_TEXTS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}  # the latter: a lone =

_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _LEFT_AS_TEXTS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Writes each value where it stands: a reader need not know aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML asks this way
        """Never write an alias."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML's own line breaks are folded when read back, except where they are written as escapes.
    style = '"' if set(text) & {"\x85", "\u2028", "\u2029"} else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def parse(text: str | bytes) -> Any:
    """Parse one YAML document.

    Raises:
        WireError: Where the text is no YAML, nests too deeply or has aliases.
    """
    try:
        _check_events(text)
        return yaml.load(text, _Loader)  # noqa: S506  # nosec B506  # a SafeLoader
    except WireError:
        raise
    except Exception as error:  # noqa: BLE001  # besides its own, PyYAML lets errors of all kinds through
        raise WireError(f"no YAML document: {type(error).__name__}: {error}") from None


def _check_events(text: str | bytes) -> None:
    """Refuse, before anything is built, what nests too deeply or has aliases."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise WireError(f"line {_line_of(event)}: aliases are not allowed in the YAML document")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise WireError(f"line {_line_of(event)}: the YAML document nests too deeply")


def _line_of(event: yaml.Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.line + 1


def dump(value: Any) -> str:
    """Write plain values as one YAML document."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
