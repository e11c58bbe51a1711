"""The actions of a run in the order of time, as a table with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa.pictures.markup import Markup, joined, tag
from automa.pictures.page import named, saying
from automa.pictures.rows import Scale, thinned
from automa.pictures.svg import bars, idle_words
from automa.pictures.words import LEFT_OUT, counted, shortened, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from automa.pictures.rows import Row

_LONGEST_REMARK = 300
_HEADS = (("step", "path"), ("what", "said"), ("after", "number"), ("took", "number"), ("when", "bars"))
"""The heads of the columns, and their classes."""


def timeline(rows: Sequence[Row], most: int) -> Iterator[Markup]:
    """Yield the actions of a run as a table with bars.

    Args:
        rows: The actions.
        most: How many are shown at most.
    """
    if not rows:
        yield tag("p", "Nothing was done.")
        return
    scale = Scale(rows)
    chosen = thinned(rows, most, (row.said.look in {"bad", "open"} for row in rows))
    told = [counted(len(rows), "action"), "filled bars: forward; hollow: back; thin: what others are part of"]
    if scale.idle:
        told.append(idle_words(scale))
    # Roles are spelt out: on a phone this is no table for the style sheet any more.
    heads = (tag("th", name, scope="col", role="columnheader", class_=kind) for name, kind in _HEADS)
    lines = joined(*(_line(row, scale) for row in chosen), between=Markup("\n"))
    yield tag(
        "table",
        tag("caption", "; ".join(told)),
        tag("thead", tag("tr", *heads, role="row"), role="rowgroup"),
        tag("tbody", lines, role="rowgroup"),
        class_="time",
        role="table",
    )


def _line(row: Row | int, scale: Scale) -> Markup:
    if isinstance(row, int):
        said = f"{LEFT_OUT.mark} {counted(row, 'action')} {LEFT_OUT.words} here"
        return tag("tr", tag("td", said, class_="gap dim", colspan=len(_HEADS), role="cell"), role="row")
    remark = [tag("small", shortened(row.remark, _LONGEST_REMARK))] if row.remark else []
    after = scale.since(row)
    drawn = tag("svg", *bars(scale, scale.bar(row), row), aria_hidden="true")
    return tag(
        "tr",
        tag("th", named(row.path), *remark, class_="path", scope="row", role="rowheader"),
        tag("td", saying(row.said), class_="said", role="cell"),
        tag("td", "" if after is None else f"+{span(after)}", class_="number dim", role="cell"),
        tag("td", span(row.took), class_="number", role="cell"),
        tag("td", drawn, class_="bars", role="cell"),
        role="row",
    )
