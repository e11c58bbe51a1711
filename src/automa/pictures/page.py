"""One page of HTML that needs nothing else, and the part of one that a notebook shows."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from automa.pictures.markup import Markup, joined, tag
from automa.pictures.svg import BARS
from automa.pictures.words import LONGEST_ID, known, shortened
from automa.wire.documents import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from automa.pictures.words import Said

# Colours are pairs for light and dark, each readable on its own; words and marks tell the same without one.
# What is printed is light. All is below .automa, so that a part in a notebook changes nothing around it.
STYLE = f"""
.automa {{ --good: #18692b; --bad: #b3131d; --back: #0a58ad; --open: #7a5200; --none: #5b626a;
  --line: #c9ced4; --soft: #f3f5f7; --paper: #ffffff; --ink: #16191d; color-scheme: light;
  font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  overflow-wrap: anywhere; box-sizing: border-box }}
@media screen and (prefers-color-scheme: dark) {{
  .automa {{ --good: #6fd08c; --bad: #ff8f8a; --back: #7ab7ff; --open: #e3b341; --none: #a3abb5;
    --line: #3d444d; --soft: #1d2229; --paper: #12151a; --ink: #e8ebef; color-scheme: dark }}
}}
body.automa {{ max-width: 76rem; margin: 0 auto; padding: 1rem }}
div.automa {{ border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; font-size: 14px }}
.automa h1, .automa h2, .automa h3 {{ font-weight: 600; line-height: 1.4; color: inherit }}
.automa h1 {{ font-size: 1.4em; margin: 0 0 .3rem }}
.automa h2 {{ font-size: 1.15em; margin: 1.6rem 0 .4rem }}
.automa > h2 {{ margin-top: 0 }} .automa h3 {{ font-size: 1em; margin: 0 }} .automa p {{ margin: .3rem 0 }}
.automa .good {{ color: var(--good) }} .automa .bad {{ color: var(--bad); font-weight: 600 }}
.automa .back {{ color: var(--back) }} .automa .open {{ color: var(--open) }}
.automa .none, .automa .dim {{ color: var(--none) }}
.automa .outcome {{ font-size: 1.1em; font-weight: 600 }}
.automa code, .automa pre {{ font: .9em/1.4 ui-monospace, monospace; background: none; color: inherit;
  padding: 0; border: 0 }}
.automa pre {{ white-space: pre-wrap; margin: .3rem 0 0; overflow-wrap: anywhere }}
.automa summary {{ cursor: pointer }} .automa summary h2, .automa summary h3 {{ display: inline }}
.automa dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .6rem 0 }}
.automa dt, .automa dd {{ float: none; width: auto; margin: 0; padding: 0; font-weight: 400 }}
.automa dt {{ color: var(--none) }}
.automa .scroll {{ overflow-x: auto }}
.automa table {{ border-collapse: collapse; width: 100%; margin: .4rem 0; border: 0;
  font-size: .94em; color: inherit; table-layout: auto }}
.automa tr {{ background: none }}
.automa caption {{ text-align: left; color: var(--none); padding-bottom: .3rem }}
.automa th, .automa td {{ text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border: 0; border-bottom: 1px solid var(--line); white-space: normal; max-width: none; background: none }}
.automa thead {{ border: 0; vertical-align: bottom }}
.automa thead th {{ color: var(--none); font-weight: 600 }} .automa tbody th {{ font-weight: 400 }}
.automa .number, .automa td.said, .automa span.said {{ white-space: nowrap }}
.automa th.number, .automa td.number {{ text-align: right; font-variant-numeric: tabular-nums }}
.automa .mark {{ display: inline-block; min-width: 1.2em; font-weight: 600 }}
.automa small {{ display: block; color: var(--none); font-size: .9em }}
.automa .time td.bars {{ width: 42%; min-width: 10rem; padding: 0 }}
.automa .time th.path {{ min-width: 7rem }}
.automa .time svg {{ display: block; width: 100%; height: 26px; overflow: visible }}
.automa ul.tree, .automa .tree ul {{ list-style: none; margin: 0; padding: 0 }}
.automa .tree ul {{ padding-left: .9rem; border-left: 2px solid var(--line); margin-left: .3rem }}
.automa .tree li {{ padding: .12rem 0 }} .automa .tree .said {{ margin-left: .6em }}
.automa .tree .row {{ display: inline }}
.automa article {{ border-left: 4px solid var(--bad); background: var(--soft); padding: .6rem 1rem;
  margin: .6rem 0 }}
.automa .picture {{ overflow-x: auto }} .automa .picture > svg {{ max-width: none }}
.automa footer {{ margin-top: 2rem; color: var(--none); font-size: .9em }}
{BARS}
@media (max-width: 44rem) {{
  .automa .time thead {{ position: absolute; clip-path: inset(50%); width: 1px; height: 1px;
    overflow: hidden }}
  .automa .time, .automa .time caption, .automa .time tbody {{ display: block }}
  .automa .time tr {{ display: grid; grid-template-columns: 1fr max-content max-content; column-gap: .6rem;
    border-bottom: 1px solid var(--line); padding: .3rem 0 }}
  .automa .time th, .automa .time td {{ border: 0; padding: 0; width: auto }}
  .automa .time th.path, .automa .time td.bars, .automa .time td.gap {{ grid-column: 1 / -1 }}
  .automa .time th.path {{ order: -1 }}
  .automa .time td.bars {{ order: 1; width: auto }}
}}
@media print {{
  body.automa {{ max-width: none; padding: 0; font-size: 11px }}
  .automa tr, .automa article, .automa li {{ break-inside: avoid }} .automa h2 {{ break-after: avoid }}
  .automa .scroll, .automa .picture {{ overflow: visible }}
  .automa details::details-content {{ content-visibility: visible }}
}}
"""


_STYLE_OF_PARTS = re.sub(r"\.automa(?=[ {,])", ".automa.automa.automa", STYLE)
"""The same, said with an emphasis: notebooks have styles of their own for tables, lists and headings."""


def page(title: str, parts: Iterable[Markup], styles: Sequence[str] = ()) -> str:
    """Return a whole page, as a file of its own.

    Args:
        title: What it is about.
        parts: What stands in it, in landmarks.
        styles: Further style sheets that stand in its parts.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'"
        for each in (STYLE, *styles)
    )
    policy = f"default-src 'none'; style-src {hashes}; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"{tag('title', title)}\n<style>{STYLE}</style>\n</head>\n"
        f"{tag('body', *parts, class_='automa')}\n</html>\n"
    )


def fragment(label: str, parts: Iterable[Markup]) -> str:
    """Return a part of a page, with its own style, which is about itself alone."""
    inside = tag("div", *parts, class_="automa", role="region", aria_label=label)
    return f"<style>{_STYLE_OF_PARTS}</style>{inside}"


def section(name: str, title: str, *inside: str) -> Markup:
    """Return a landmark with its heading.

    Args:
        name: Its name in the page, a constant of ours.
        title: The heading.
        *inside: What is in it.
    """
    return tag("section", tag("h2", title, id=name), *inside, aria_labelledby=name)


def folded(title: str, *inside: str, is_open: bool = False) -> Markup:
    """Return what can be folded and unfolded without a script."""
    return tag("details", tag("summary", title), *inside, open="" if is_open else None)


def table(name: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return a table, in what scrolls where it is too wide; the first cell of each row is its head.

    Args:
        name: What it shows.
        heads: The heads of the columns.
        rows: The cells of each row.
    """
    head = tag("thead", tag("tr", *(tag("th", each, scope="col") for each in heads)))
    lines = (
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows
    )
    body = tag("tbody", joined(*lines, between=Markup("\n")))
    return tag("div", tag("table", head, body), class_="scroll", role="region", aria_label=name, tabindex=0)


def code(text: str) -> Markup:
    """Return a text that is a value."""
    return tag("code", text)


def named(text: str) -> Markup:
    """Return an id, or a path."""
    return code(shortened(text, LONGEST_ID))


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return ids one after the other, and how many there are more.

    Args:
        names: The ids; what is markup already stays as it is.
        most: How many are told at most.
    """
    shown: list[str] = [each if isinstance(each, Markup) else named(each) for each in names[:most]]
    if len(names) > most:
        shown.append(f"and {len(names) - most:,} more")
    return joined(*shown, between=", ")


def moment(time: datetime | None) -> str:
    """Return a time, to the millisecond; empty where there is none."""
    time = known(time)
    return "" if time is None else tag("time", format_time(time, 3), datetime=format_time(time))


def saying(said: Said) -> Markup:
    """Return what became of something: a mark, and words, in a colour."""
    mark = tag("span", said.mark, class_="mark", aria_hidden="true")
    return tag("span", mark, said.words, class_=f"said {said.look}")


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Return names with what they stand for; those without anything are left out."""
    return tag("dl", *(part for name, what in pairs if what for part in (tag("dt", name), tag("dd", what))))
