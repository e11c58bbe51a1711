"""A report as SVG that needs nothing else: its actions as bars over time, the way back in another form."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from automa.pictures.markup import Markup, joined, tag
from automa.pictures.rows import Scale, rows_of, thinned
from automa.pictures.words import LEFT_OUT, counted, said_of_run, shortened, span, spelt_out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from automa._core.reports import WorkflowReport
    from automa.pictures.rows import Bar, Journaled, Row

_MOST_ROWS = 400
_ROW, _HEAD, _PAD = 22, 76, 14
_CHARACTER = 7.3
_SAID, _PATH, _BARS, _TOOK = 180, 260, 460, 90
_WIDTH = _SAID + _PATH + _BARS + _TOOK + 2 * _PAD


class Box(NamedTuple):
    """What a bar is drawn in, in pixels; without a width in parts of a hundred of what there is."""

    left: float
    top: float
    width: float
    height: float

    def across(self, part: float) -> str:
        """Return where a part of the width ends."""
        return self.long(part) if not self.width else f"{self.left + part * self.width:.2f}"

    def long(self, part: float) -> str:
        """Return how long a part of the width is."""
        return f"{part * self.width:.2f}" if self.width else f"{part:.2%}"


_THINNEST = 0.001
"""What has no width is not drawn, not even its edge."""

WHOLE = Box(0, 0, 0, 26)

BARS = """
.automa-bar { stroke-width: 2 }
.automa-bar.good { fill: #2a7d46; stroke: #2a7d46 } .automa-bar.bad { fill: #c9313a; stroke: #c9313a }
.automa-bar.back { fill: #2472c8; stroke: #2472c8 } .automa-bar.none { fill: #737b85; stroke: #737b85 }
.automa-bar.open { fill: #b7791f; stroke: #b7791f; fill-opacity: .3; stroke-dasharray: 4 3 }
.automa-bar.hollow { fill-opacity: 0 }
.automa-cut { stroke: #737b85; stroke-dasharray: 2 3 }
""".strip()
"""How bars look on light and on dark: each colour stands out from both."""

_STYLE = f"""
.automa-time .page {{ fill: #ffffff }} .automa-time .even {{ fill: #f3f5f7 }}
.automa-time text {{ font: 12px ui-monospace, monospace; fill: #16191d }}
.automa-time text.title {{ font-weight: 600; font-size: 14px }}
.automa-time text.good {{ fill: #18692b }} .automa-time text.bad {{ fill: #b3131d }}
.automa-time text.back {{ fill: #0a58ad }} .automa-time text.open {{ fill: #7a5200 }}
.automa-time text.none {{ fill: #5b626a }}
{BARS}
@media screen and (prefers-color-scheme: dark) {{
  .automa-time .page {{ fill: #12151a }} .automa-time .even {{ fill: #1d2229 }}
  .automa-time text {{ fill: #e8ebef }}
  .automa-time text.good {{ fill: #6fd08c }} .automa-time text.bad {{ fill: #ff8f8a }}
  .automa-time text.back {{ fill: #7ab7ff }} .automa-time text.open {{ fill: #e3b341 }}
  .automa-time text.none {{ fill: #a3abb5 }}
}}
"""
"""No variables of CSS: of the programs that draw SVG only browsers know them."""


def timeline(report: WorkflowReport, journaled: Journaled | None = None) -> str:
    """Return the actions of a run as bars over time, as an SVG file."""
    rows = rows_of(report, journaled)
    scale = Scale(rows)
    chosen = thinned(rows, _MOST_ROWS, (row.said.look in {"bad", "open"} for row in rows))
    height = _HEAD + len(chosen) * _ROW + _PAD
    said = said_of_run(report, None if journaled is None else journaled.status)
    title = f"workflow {spelt_out(shortened(report.workflow_id, 60))}: {said.mark} {said.words}"
    lines = (
        tag("title", title),
        Markup(f"<style>{_STYLE}</style>"),
        tag("rect", class_="page", width=_WIDTH, height=height),
        _text(_PAD, 24, title, f"title {said.look}"),
        _text(_PAD, 44, _caption(report, scale, len(rows)), "none"),
        _text(
            _PAD, 62, "filled: the way forward; hollow: the way back; thin: what others are part of", "none"
        ),
        *(_line(row, scale, place) for place, row in enumerate(chosen)),
    )
    return tag(
        "svg", "\n", joined(*lines, between=Markup("\n")), Markup("\n"),
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {height}", width=_WIDTH, height=height,
        role="img", class_="automa-time",
    )  # fmt: skip


def _caption(report: WorkflowReport, scale: Scale, actions: int) -> str:
    told = [counted(actions, "action")]
    if scale.begun is not None and scale.ended is not None:
        told.append(f"{span(scale.ended - scale.begun)} from {scale.begun:%Y-%m-%d %H:%M:%S} UTC")
    if scale.idle:
        told.append(idle_words(scale))
    if report.run_id:
        told.insert(0, f"run {shortened(report.run_id, 40)}")
    return ", ".join(told)


def idle_words(scale: Scale) -> str:
    """Return what the dotted lines stand for."""
    total: timedelta = sum(scale.idle[1:], scale.idle[0])
    return f"dotted: {counted(len(scale.idle), 'idle span')} of {span(total)} drawn short"


def _line(row: Row | int, scale: Scale, place: int) -> Markup:
    y = _HEAD + place * _ROW
    shade = [tag("rect", class_="even", x=0, y=y, width=_WIDTH, height=_ROW)] if place % 2 else []
    if isinstance(row, int):
        said = f"{LEFT_OUT.mark} {counted(row, 'action')} {LEFT_OUT.words}"
        return tag("g", *shade, _text(_PAD, y + 15, said, LEFT_OUT.look))
    left = _PAD + _SAID + _PATH
    told = "  ".join(filter(None, (row.path, row.said.words, span(row.took), row.remark)))
    return tag(
        "g",
        tag("title", shortened(told)),
        *shade,
        _text(_PAD, y + 15, f"{row.said.mark} {row.said.words}", row.said.look),
        _text(_PAD + _SAID, y + 15, _fitting(spelt_out(row.path), _PATH - 12)),
        *bars(scale, scale.bar(row), row, Box(left, y, _BARS - 12, _ROW)),
        _text(left + _BARS, y + 15, span(row.took), "none"),
    )


def _fitting(text: str, width: float) -> str:
    """Return the end of a path that fits: what tells it from others is there."""
    room = width / _CHARACTER
    wide = 0.0
    for place in range(len(text) - 1, -1, -1):
        wide += 2 if unicodedata.east_asian_width(text[place]) in "WF" else 1
        if wide > room:
            return f"…{text[place + 2 :]}"
    return text


def _text(x: float, y: float, text: str, name: str | None = None) -> Markup:
    return tag("text", text, x=x, y=y, class_=name)


def bars(scale: Scale, bar: Bar | None, row: Row, box: Box = WHOLE) -> Iterator[Markup]:
    """Yield the shapes of a row.

    Args:
        scale: Where moments are drawn.
        bar: Where the row is.
        row: The row.
        box: What is drawn in; by default all there is, in parts of a hundred.
    """
    for cut in scale.cuts:
        x = box.across(cut)
        yield tag("line", class_="automa-cut", x1=x, x2=x, y1=box.top, y2=box.top + box.height)
    if bar is None:
        return
    inset, thick = (box.height / 2 - 2, 4.0) if row.kind == "workflow" else (6.0, box.height - 12)
    looks = f"automa-bar {row.said.look}{' hollow' if row.is_back and row.kind != 'workflow' else ''}"
    yield tag(
        "rect", class_=looks, x=box.across(bar.start), y=box.top + inset,
        width=box.long(max(bar.end - bar.start, _THINNEST)), height=thick,
    )  # fmt: skip
