"""Draw the charts of docs/explanation/speed.md from what was measured, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fleet
import matplotlib as mpl
import memory
import scale
from matplotlib.figure import Figure
from measuring import ROOT, Spread

import durable

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

FOLDER = ROOT / "docs" / "explanation" / "charts"
OURS, BARE, GREY = "#0b7285", "#868e96", "#adb5bd"
COLOURS = ("#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#1971c2", "#f08c00")
"""Of the others; ours is always the same, and so is the floor."""

mpl.rcParams |= {
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "automa",  # the same figures give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def draw(results: dict[str, Any]) -> None:
    """Draw the charts of the parts that were measured."""
    FOLDER.mkdir(exist_ok=True)
    for part, chart in CHARTS.items():
        if part in results:
            figure = chart(results[part]["measured"])
            figure.savefig(
                FOLDER / f"{part}.svg", metadata={"Date": None}, bbox_inches="tight", facecolor="white"
            )


def in_memory(measured: dict[str, Any]) -> Figure:
    """Return the time a step over the steps of a saga, a line for each library."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    colours = _colours(memory.SUBJECTS)
    for each, (way, told) in zip(
        axes, {"forward": "forward", "back": "forward and back"}.items(), strict=True
    ):
        for name, rounds in measured["steps"][way].items():
            medians = {int(size): Spread.of(of).median for size, of in rounds.items()}
            width = 2.4 if name == "automa" else 1.4
            each.plot(
                list(medians), list(medians.values()), "o-", color=colours[name], lw=width, ms=3, label=name
            )
        each.set(xscale="log", yscale="log", title=told, xlabel="steps of a saga")
        each.grid(visible=True, color=GREY, lw=0.3)
    axes[0].set_ylabel("µs a step")
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def on_disk(measured: dict[str, Any]) -> Figure:
    """Return the steps a second, one run and many at once, a bar for each store and library."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    cells = {
        "one run of 1,000 steps": (1, 1_000),
        f"{durable.AT_ONCE} runs at once of 100 steps": (durable.AT_ONCE, 100),
    }
    names = list(durable.SUBJECTS)[::-1]
    for each, (title, (runs, size)) in zip(axes, cells.items(), strict=True):
        for place, name in enumerate(names):
            spread = durable.rate(measured, name, runs, size)
            if isinstance(spread, str):
                each.text(12, place, spread, va="center", fontsize=8, color=BARE)
                continue
            colour = OURS if name.startswith("automa") else BARE if name.startswith("bare") else COLOURS[0]
            each.barh(place, spread.median, color=colour, height=0.7)
            each.plot([spread.least, spread.greatest], [place, place], color="black", lw=1)
            each.text(spread.greatest * 1.1, place, f"{spread.median:,.0f}", va="center", fontsize=8)
        each.set(xscale="log", title=title, xlabel="steps a second")
        each.set_xlim(10, 200_000)
    axes[0].set_yticks(range(len(names)), [name.replace("`", "") for name in names])
    return figure


def on_fleet(measured: dict[str, Any]) -> Figure:
    """Return the rate of sagas over that of bare workflows, a group of bars for each engine."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots(1, len(measured["rates"]), sharey=True)
    for each, (engine, of_engine) in zip(axes, measured["rates"].items(), strict=True):
        for offset, (steps, rows) in enumerate(of_engine.items()):
            ratios = [Spread.of(ours).median / Spread.of(bare).median for _, ours, bare in rows]
            places = [index + offset * 0.4 for index in range(len(rows))]
            each.bar(places, ratios, width=0.36, color=(OURS, "#66b2bd")[offset], label=fleet.STEPS[steps])
        each.axhline(fleet.GOAL, color="black", lw=0.8, ls="--")
        each.set(title=fleet.ENGINES[engine], xlabel="clients")
        each.set_xticks([index + 0.2 for index in range(len(rows))], [str(clients) for clients, _, _ in rows])
    axes[0].set_ylabel("sagas, of bare workflows")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def at_scale(measured: dict[str, Any]) -> Figure:
    """Return what grows, a line each with its exponent; and what a store of many runs takes."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    curves = scale.curves_of(measured[scale.WITH])
    for (name, curve), colour in zip(curves.items(), (OURS, *COLOURS), strict=False):
        label = f"{name.replace('`', '')}: {scale.growth(curve):.2f}"
        _line(left, {int(size): Spread.of(rounds).median for size, rounds in curve.items()}, colour, label)
    stores = measured["stores"]
    names = [name for name in next(iter(stores.values())) if not name.startswith(("the file", "prune"))]
    for name, colour in zip(names, (OURS, *COLOURS), strict=False):
        _line(right, {int(size): Spread.of(of[name]).median for size, of in stores.items()}, colour, name)
    left.set(xlabel="N", ylabel="ms", title="growth, with its exponent")
    right.set(xlabel="runs in the store", title="a store of many runs, ms")
    return figure


def _line(axes: Axes, points: dict[int, float], colour: str, label: str) -> None:
    axes.plot(list(points), list(points.values()), "o-", color=colour, lw=1.6, ms=3, label=label)
    axes.set(xscale="log", yscale="log")
    axes.grid(visible=True, color=GREY, lw=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), fontsize=8)


def _colours(names: dict[str, Any]) -> dict[str, str]:
    others = iter(COLOURS)
    fixed = {"automa": OURS, "bare loop": BARE}
    return {name: fixed.get(name) or next(others) for name in names}


CHARTS: dict[str, Callable[[dict[str, Any]], Figure]] = {
    "memory": in_memory,
    "durable": on_disk,
    "fleet": on_fleet,
    "scale": at_scale,
}
