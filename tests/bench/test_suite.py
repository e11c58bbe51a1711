"""The benchmarks: how they reckon, whom they refuse to measure, and that their pages say what was measured."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results.json"
PAGE = ROOT / "bench" / "RESULTS.md"
SPEED = ROOT / "docs" / "explanation" / "speed.md"
CHARTS = SPEED.parent / "charts"

with_results = pytest.mark.skipif(
    not RESULTS.exists(), reason="no bench/results.json: `make bench` writes it"
)
with_speed = pytest.mark.skipif(not SPEED.exists(), reason="no docs/explanation/speed.md")


def words(path):
    """The text of a page, however its lines are broken."""
    return " ".join(path.read_text().split())


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_exponent_is_that_of_the_curve(bench, power):
    """Of what is constant, grows in proportion, or as a square, the exponent is 0, 1 or 2, whatever the factor."""
    sizes = [100, 1_000, 10_000]
    values = [0.37 * size**power for size in sizes]
    assert bench("measuring").exponent(sizes, values) == pytest.approx(power)


@pytest.mark.parametrize(
    ("value", "at_least", "told"),
    [
        (5.0, False, "5.00 s**, at most 5 s: kept"),
        (5.01, False, "5.01 s**, at most 5 s: NOT KEPT"),
        (5.0, True, "5.00 s**, at least 5 s: kept"),
        (4.99, True, "4.99 s**, at least 5 s: NOT KEPT"),
    ],
)
def test_a_limit_says_whether_it_is_kept(bench, value, at_least, told):
    """A limit is kept up to its bound, on the side that it names, and says so."""
    assert bench("measuring").limit("it", value, 5, at_least=at_least, unit=" s") == f"- it: **{told}"


def test_a_spread_is_median_least_and_greatest(bench):
    """The spread of rounds is told as the median, with the least and the greatest in brackets."""
    spread = bench("measuring").Spread.of([3.0, 0.126, 1_234.6, 12.34])
    assert (spread.median, spread.least, spread.greatest) == (7.67, 0.126, 1_234.6)
    assert str(spread) == "7.67 (0.13–1,235)"


def test_all_are_measured_in_turn(bench):
    """Each round measures all works, one after the other, before the next round begins."""
    order = []

    def work(name):
        return lambda: order.append(name) or len(order)

    assert bench("measuring").in_turn({"a": work("a"), "b": work("b")}, 2) == {"a": [1, 3], "b": [2, 4]}
    assert order == ["a", "b", "a", "b"]


def library(undone=reversed, run=list, dropped=0):
    """A library whose sagas run and undo their steps in some order, and of many leave some out."""

    def memory(steps, back):
        def play():
            for forward, _ in run(steps):
                forward()
            for _, backward in undone(steps) if back else ():
                backward()

        return play

    @contextlib.contextmanager
    def durable(count, place):
        def play(runs):
            for _ in range(count * runs - dropped * (runs > 1)):
                tick()

        tick = sys.modules["play"].tick
        yield play

    return SimpleNamespace(__name__="fake", memory=memory, durable=durable)


@pytest.fixture
def play(bench, monkeypatch):
    """What plays sagas with a library, for a short time."""
    module = bench("play")
    monkeypatch.setattr(module, "SECONDS", 0.001)
    return module


@pytest.mark.parametrize("back", [False, True])
def test_a_library_that_undoes_in_reverse_is_measured(play, back):
    """A library that runs steps in order, and undoes them in reverse, gets a figure in memory."""
    assert play.memory(library(), 10, back=back)["seconds"] > 0


@pytest.mark.parametrize(
    ("wrong", "back"),
    [
        (library(undone=lambda _: ()), True),
        (library(undone=list), True),
        (library(undone=lambda steps: list(reversed(steps))[1:]), True),
        (library(run=reversed), False),
        (library(run=lambda steps: steps[1:]), False),
    ],
    ids=["undoes nothing", "undoes in order", "undoes too little", "runs in reverse", "runs too little"],
)
def test_a_library_that_does_less_is_refused(play, wrong, back):
    """A library that leaves steps or undos out, or has them in another order, gets no figure in memory."""
    with pytest.raises(RuntimeError, match=r"fake called \[.*\], not \[1, 2, 3"):
        play.memory(wrong, 10, back=back)


@pytest.mark.parametrize("runs", [1, 3])
def test_a_library_that_calls_all_durable_steps_is_measured(play, runs):
    """A library that calls each step of each run gets a figure of its durable runs."""
    assert play.durable(library(), 10, runs, "")["seconds"] > 0


def test_a_library_that_leaves_durable_steps_out_is_refused(play):
    """A library that calls a step less, of many runs at once, gets no figure of them."""
    with pytest.raises(RuntimeError, match="fake called [0-9]+ steps, not [0-9]+"):
        play.durable(library(dropped=1), 10, 3, "")


def test_what_was_measured_is_told_without_engines(bench, monkeypatch):
    """The page of results is made where packages of engines and servers are not installed."""
    for package in ("dbos", "restate", "psycopg", "hypercorn", "httpx", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)
    for part in bench("suite").PARTS:
        assert {"measure", "tell"} <= set(vars(bench(part)))


@with_results
def test_the_page_is_made_of_the_results(bench):
    """bench/RESULTS.md is what bench/results.json gives: `python bench/suite.py --page` writes it."""
    assert PAGE.read_text() == bench("suite").page(json.loads(RESULTS.read_text()))


@with_results
@with_speed
def test_the_page_on_speed_names_each_limit_that_is_not_kept():
    """Each limit of bench/RESULTS.md that is not kept is named in docs/explanation/speed.md."""
    not_kept = re.findall(r"^- (.+): \*\*.*: NOT KEPT$", PAGE.read_text(), re.MULTILINE)
    text = words(SPEED)
    assert [limit for limit in not_kept if limit not in text] == []


@with_results
@with_speed
@pytest.mark.skipif(
    not importlib.util.find_spec("matplotlib"), reason="matplotlib is not installed (extra bench)"
)
def test_the_page_on_speed_shows_each_chart(bench, monkeypatch, tmp_path):
    """The charts that are drawn of bench/results.json are those that docs/explanation/speed.md shows."""
    charts = bench("charts")
    monkeypatch.setattr(charts, "FOLDER", tmp_path)
    charts.draw(json.loads(RESULTS.read_text()))
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in CHARTS.iterdir()}
    assert drawn == set(re.findall(r"!\[[^]]*\]\(charts/([^)]+)\)", words(SPEED)))


@pytest.mark.parametrize(("takes", "kept"), [(90.0, True), (100.0, True), (104.0, True), (110.0, False)])
def test_the_guard_finds_a_scenario_that_takes_a_tenth_more(bench, monkeypatch, capsys, takes, kept):
    """A source keeps the limit of instructions, or takes a tenth more in one scenario and does not."""
    guard = bench("instructions")
    counts = {name: dict.fromkeys(guard.SCENARIOS, 100.0) for name in ("base", "present")}
    counts["present"]["durable"] = takes
    monkeypatch.setattr(guard, "instructions", lambda source, scenarios: counts[source.name])
    assert guard.compare(Path("base"), Path("present")) is kept
    told = capsys.readouterr().out.splitlines()
    assert [line.endswith(" NOT KEPT") for line in told] == [False, not kept, False]


def test_the_guard_says_that_it_is_skipped_without_the_base_commit(bench, monkeypatch, capsys):
    """Where the base commit is not to be had, no instructions are counted, which is said and is no failure."""
    guard = bench("instructions")
    monkeypatch.setattr(guard, "source_at", lambda commit, folder: None)
    monkeypatch.setattr(sys, "argv", ["instructions.py", "--base", "0123abc"])
    assert guard.main() == 0
    assert capsys.readouterr().out.startswith("SKIPPED: commit 0123abc ")


def test_the_guard_plays_all_scenarios(bench):
    """The scenarios whose instructions are counted are those that are there, and each is played."""
    scenarios = bench("scenarios").SCENARIOS
    assert list(bench("instructions").SCENARIOS) == list(scenarios)
    for play in scenarios.values():
        play(2)
