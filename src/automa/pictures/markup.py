"""Markup that no text can break out of: what is not `Markup` already is spelt out and escaped."""

from __future__ import annotations

from html import escape

from automa.pictures.words import spelt_out


class Markup(str):
    """A text that is HTML, or SVG; `tag` and the like make it, and nothing else does."""

    __slots__ = ()


def escaped(text: str, *, lines: bool = False) -> Markup:
    """Return a text as markup that shows it.

    Args:
        text: Any text; what is markup already stays as it is.
        lines: Whether line ends are kept, rather than spelt out.
    """
    return text if isinstance(text, Markup) else Markup(escape(spelt_out(text, lines=lines)))


def joined(*parts: str, between: str = "") -> Markup:
    """Return parts one after the other; those that are no markup are escaped."""
    return Markup(escaped(between).join(map(escaped, parts)))


def tag(name: str, *inside: str, **attributes: str | float | None) -> Markup:
    """Return an element.

    Args:
        name: Its name, a constant of ours.
        *inside: What is in it; texts are escaped.
        **attributes: By name; ``class_`` is ``class``, ``_`` stands for ``-``, and None leaves one out.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value if isinstance(value, str) else f"{value:g}")}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{told}>{''.join(map(escaped, inside))}</{name}>")
