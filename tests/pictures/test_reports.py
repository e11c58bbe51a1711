"""A report as a page, as a drawing over time and as a flowchart."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest

from automa import (
    Action,
    Cancelled,
    Late,
    Parallel,
    Resumed,
    Retry,
    Secret,
    Status,
    Step,
    StepReport,
    Suspended,
    Workflow,
    WorkflowReport,
)
from automa.pictures import Journaled, report_to_fragment, report_to_html, report_to_mermaid, report_to_svg
from automa.stores import MemoryStore
from automa.testing import virtual_clock
from automa.wire import v0, v1
from tests.pictures.reading import Page, assert_mermaid, everything, journaled, structure_of_svg, texts_of_svg

FORMS = (report_to_html, report_to_fragment, report_to_svg, report_to_mermaid)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def act(step_id, start, end, *, action=Action.RUN, status=Status.SUCCESS):
    """Return the report of an action that began and ended so many seconds after noon."""
    report = StepReport(step_id, action)
    report.start_time = None if start is None else NOON + timedelta(seconds=start)
    report.end_time = None if end is None else NOON + timedelta(seconds=end)
    report.status = status
    return report


def run_of(*actions, sequence=None):
    report = WorkflowReport("w", sequence or list(dict.fromkeys(each.step_id for each in actions)))
    report.status, report.step_reports = Status.SUCCESS, list(actions)
    return report


def bars(report):
    """Return where the bars of a page are, in order: from and to, in parts of a hundred."""
    found = Page(report_to_html(report)).all("rect")
    spans = [(float(each["x"].rstrip("%")), float(each["width"].rstrip("%"))) for each in found]
    return [(start, round(start + width, 2)) for start, width in spans]


def section(page, name):
    """Return a section of a page as text."""
    inside = page.split(f'id="{name}"')[1].split("<section")[0].split("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", inside.partition(">")[2]))


def rows(page):
    """Return the actions of a page in order: what is said of each, mark and all."""
    inside = page.split("<tbody")[1].split("</tbody>")[0]
    lines = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", line)).strip() for line in inside.split("<tr")[1:]]
    return [line.removeprefix('role="row">').strip() for line in lines]


def done():
    return 1


def boom():
    raise ValueError("refused")


# What a page has.


def test_a_page_is_one_file_that_loads_nothing():
    """There is no script, no address and no style but those whose hashes the policy names."""
    workflow, report, more = everything("x")
    for page in (report_to_html(report, more), workflow.plan().to_html()):
        read = Page(page)
        assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {
            n for n, _ in read.elements
        }
        attributes = {key for _, found in read.elements for key in found}
        assert not {"src", "href", "style", "action"} & attributes
        assert not any(key.startswith("on") for key in attributes)
        assert "url(" not in page
        assert "@import" not in page
        policy = next(
            each["content"]
            for each in read.all("meta")
            if "content" in each and "default-src" in each["content"]
        )
        hashes = {
            base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            for style in re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        }
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
        assert "unsafe" not in policy


def test_a_page_has_landmarks_headings_and_heads_of_tables():
    """Who does not see the page finds the same in it: one h1, sections by name, a head for each row and column."""
    workflow, report, more = everything("x")
    for page in (report_to_html(report, more), workflow.plan().to_html()):
        read = Page(page)
        names = [name for name, _ in read.elements]
        assert [names.count(each) for each in ("html", "header", "main", "footer", "h1")] == [1] * 5
        assert {each["aria-labelledby"] for each in read.all("section")} == {
            each["id"] for each in read.all("h2")
        }
        levels = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        assert all(each["scope"] in {"row", "col"} for each in read.all("th"))
        assert read.all("html")[0]["lang"] == "en"
        assert "width=device-width" in page


def test_a_fragment_is_no_page_and_changes_nothing_around_it():
    """It has neither html nor body, no id, and each rule of its style is about what is in it."""
    workflow, report, more = everything("x")
    for text in (report_to_fragment(report, more), workflow._repr_html_(), workflow.plan()._repr_html_()):
        read = Page(text)
        assert not {"html", "head", "body", "meta", "script"} & {name for name, _ in read.elements}
        assert not any("id" in attributes for _, attributes in read.elements)
        for style in re.findall(r"<style>(.*?)</style>", text, re.DOTALL):
            for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media[^{]+\{", "", style)):
                assert all(".automa" in each for each in selectors.split(",")), selectors


@pytest.mark.parametrize("form", FORMS)
def test_pictures_of_one_report_are_the_same(form):
    """A picture is made of the report alone: it tells no time of its own, and no addresses of objects."""
    _, report, more = everything("x")
    _, again, same = everything("x")
    assert form(report, more) == form(again, same)


def colours(style, name):
    return re.search(rf"--{name}: (#[0-9a-f]{{6}})", style)[1]


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_on_light_and_dark():
    """Texts have a contrast of 4.5 at least to what is behind them, bars one of 3 (WCAG 2.1, AA)."""
    page = report_to_html(run_of(act("a", 0, 1)))
    light, dark = page.split("prefers-color-scheme: dark")
    assert "screen and (" in light[-30:]  # what is printed is light
    for style in (light, dark):
        for ink in ("ink", "good", "bad", "back", "open", "none"):
            for paper in ("paper", "soft"):
                assert contrast(colours(style, ink), colours(style, paper)) >= 4.5, (ink, paper)
    for bar in re.findall(r"automa-bar\.\w+ \{ fill: (#[0-9a-f]{6})", page):
        for paper in ("#ffffff", "#12151a", "#f3f5f7", "#1d2229"):
            assert contrast(bar, paper) >= 3, (bar, paper)
    drawing = report_to_svg(run_of(act("a", 0, 1)))
    for half, papers in zip(
        drawing.split("prefers-color-scheme: dark"),
        (("#ffffff", "#f3f5f7"), ("#12151a", "#1d2229")),
        strict=True,
    ):
        for ink in re.findall(r"text[.\w]* \{[^}]*fill: (#[0-9a-f]{6})", half):
            assert all(contrast(ink, paper) >= 4.5 for paper in papers), ink


# What it tells.


def test_the_head_tells_how_it_ended_and_when():
    """Workflow, run, outcome, moments, duration, and what is left over."""
    with virtual_clock(NOON) as clock:
        wait = Step("wait", run=lambda: clock.advance(90))
        report = Workflow("order", [wait, Step("charge", run=boom), Step("ship")]).start(run_id="r-17")
    page = report_to_html(report)
    head = re.sub(r"<[^>]+>", " ", page.split("<header>")[1].split("</header>")[0])
    assert " ".join(head.split()) == (
        "Run of order ↶ undone run r-17 began 2026-01-01T12:00:00Z ended 2026-01-01T12:01:30Z took 1 m 30 s "
        "mode rollback not run ship"
    )


def test_actions_stand_in_the_order_of_time():
    """Attempts that failed, what was skipped, nested steps and the way back, each with a mark and in words."""
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionError("busy")

    with virtual_clock():
        steps = [
            Step("dial", run=flaky, undo=done, retry=Retry(2, jitter=False, initial=1)),
            Step("maybe", run=done, when=lambda: False),
            Workflow("in", [Step("x", run=done, undo=boom)]),
            Step("last", run=boom),
        ]
        report = Workflow("w", steps).start()
    assert [line.split(" +")[0] for line in rows(report_to_html(report))] == [
        "dial ConnectionError: busy ✗ failed, attempt 1",
        "dial (2 attempts) → ran",
        "maybe its condition is false - skipped",
        "in → ran",
        "in/x → ran",
        "last ValueError: refused ✗ failed",
        "last no undo function - undo skipped",
        "in ValueError: refused ✗ undo failed",
        "in/x ValueError: refused ✗ undo failed",
        "maybe was not run - undo skipped",
        "dial ↶ undone",
    ]


def test_branches_stand_side_by_side_in_time():
    """A bar is where the action was in time, as long as it took: branches overlap, the rest does not."""
    nested = act("p", 0, 6)
    nested.workflow = run_of(act("a", 0, 6), act("b", 1, 3))
    assert bars(run_of(nested, act("c", 6, 8))) == [(0, 75), (0, 75), (12.5, 37.5), (75, 100)]


def test_the_way_back_has_another_form_than_the_way_forward():
    """Bars of undos are hollow, those of workflows thin: nobody needs colours to tell them."""
    nested = act("n", 0, 2)
    nested.workflow = run_of(act("a", 0, 1))
    report = run_of(nested, act("b", 2, 3, status=Status.FAILED), act("b", 3, 4, action=Action.ROLLBACK))
    thin, forward, failed, back = Page(report_to_html(report)).all("rect")
    assert float(thin["height"]) < float(forward["height"])
    assert [each["class"] for each in (forward, failed, back)] == [
        "automa-bar good", "automa-bar bad", "automa-bar back hollow",
    ]  # fmt: skip


def test_a_span_in_which_nothing_was_done_is_drawn_short():
    """A run that lay still for two days shows its work, and says what is drawn short."""
    report = run_of(act("a", 0, 1), act("b", 2 * 86_400, 2 * 86_400 + 1))
    first, second = bars(report)
    assert first[1] - first[0] > 40
    assert second[1] - second[0] > 40
    assert "dotted: 1 idle span of 1 d 23 h drawn short" in Page(report_to_html(report)).text
    assert "1 idle span of 1 d 23 h" in texts_of_svg(report_to_svg(report))


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [act("a", None, None)],
        [act("a", None, None), act("b", 1, 2), act("c", None, 3)],
        [act("a", 5, 1)],
        [act("a", 0, 0), act("b", 0, 0)],
        [act("a", 3, 4), act("b", 1, 2)],
        [act("a", 0, None, status=Status.UNDEFINED)],
        [act("a", 0, 1), act("b", 10**9, 10**9)],
    ],
    ids=[
        "nothing",
        "no times",
        "some times",
        "clock set back",
        "no time at all",
        "another order",
        "open",
        "far",
    ],
)
def test_times_that_are_missing_or_odd_do_no_harm(actions):
    """Where times are missing, equal, reversed or far apart, all actions are told, within the picture."""
    report = run_of(*actions)
    page = Page(report_to_html(report))
    assert len(page.all("th", "path")) == (1 + len(actions) if actions else 0)  # the head of the column
    assert all(0 <= start <= end <= 100.1 for start, end in bars(report))
    structure_of_svg(report_to_svg(report))
    assert_mermaid(report_to_mermaid(report))


def test_naive_times_are_taken_for_utc():
    """A report that somebody has built with times without a zone is drawn beside others."""
    naive = act("a", 0, 1)
    naive.start_time = naive.start_time.replace(tzinfo=None)
    assert bars(run_of(naive, act("b", 1, 2))) == [(0, 50), (50, 100)]


def test_the_tree_has_every_step_with_what_became_of_it():
    """Steps that were not reached are there too, nested ones in theirs."""
    with virtual_clock():
        inner = Workflow("in", [Step("x", run=done, undo=done), Step("y", run=boom), Step("z", run=done)])
        report = Workflow("w", [Step("a", run=done, undo=done), inner, Step("b")]).start()
    assert section(report_to_html(report), "steps").strip() == (
        "Steps a → ran ↶ undone in ✗ failed x → ran ↶ undone "
        "y ✗ failed - undo skipped ValueError: refused no undo function z · not run b · not run"
    )


def test_the_error_of_the_run_comes_first_with_what_it_came_from():
    """Then errors of undos; causes, contexts, notes and the members of groups are told."""

    def fails():
        try:
            raise KeyError("seat")
        except KeyError as error:
            error.add_note("of plane 7")
            raise ExceptionGroup("two", [ValueError("one"), OSError("other")]) from None

    def chained():
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError as error:
            raise ValueError("refused") from error

    def cannot():
        try:
            raise KeyError("x")
        except KeyError:
            raise OSError("jammed")

    steps = [Step("a", run=done, undo=cannot), Workflow("in", [Step("x", run=chained, undo=fails)])]
    told = section(report_to_html(Workflow("w", steps).start()), "errors").strip()
    assert told == (
        "What went wrong The error of the run in in/x ValueError : refused 1 cause caused by "
        "ZeroDivisionError : division by zero "
        "Undo failed in in/x ExceptionGroup : two (2 sub-exceptions) ValueError : one OSError : other "
        "Undo failed in a OSError : jammed 1 cause came up while this was handled KeyError : &#x27;x&#x27;"
    )


def test_errors_that_come_back_to_themselves_come_to_an_end():
    """Causes that go in a circle, chains of thousands, and groups in groups are told as far as is of use."""
    circle = ValueError("one")
    circle.__cause__ = KeyError("two")
    circle.__cause__.__cause__ = circle
    long = ValueError("link 0")
    for number in range(5_000):
        outer = ValueError(f"link {number + 1}")
        outer.__cause__ = long
        long = outer
    deep = ValueError("leaf")
    for _ in range(2_000):
        deep = ExceptionGroup("around", [deep])
    wide = ExceptionGroup("wide", [ValueError(str(number)) for number in range(1_000)])
    for error in (circle, long, deep, wide):
        failed = act("a", 0, 1, status=Status.FAILED)
        failed.error = error
        page = report_to_html(run_of(failed))
        assert len(page) < 40_000
        Page(page)
    assert "980 more, left out" in page


def test_the_state_at_the_start_stands_against_that_of_now():
    """What was added, changed and removed, what is as it was, and what each step set."""

    def sets(ctx):
        ctx.shared["seat"] = "12A"
        ctx.shared["count"] = 1
        del ctx.shared["gone"]

    store = MemoryStore()
    Workflow("w", [Step("a", run=sets)]).start({"gone": 0, "count": True, "kept": 5}, store=store, run_id="r")
    told = section(report_to_html(*journaled(store, "w", "r")), "state").strip()
    assert told == (
        "State key at the start now change gone 0 absent - removed count true 1 ~ changed "
        "seat absent &quot;12A&quot; + added 1 key as at the start key value kept 5 "
        "What each step set step action key set to a run count 1 a run seat &quot;12A&quot; a run gone absent"
    )


def test_without_a_journal_there_is_no_state_to_tell():
    """A report alone keeps no state, so that the page has no such section."""
    assert 'id="state"' not in report_to_html(run_of(act("a", 0, 1)))


def test_effects_and_whether_they_stand():
    """What was done outside is told with what became of its step."""

    def pays(ctx):
        ctx.record_effect("payment", "pay-17", amount=42)

    def mails(ctx):
        ctx.record_effect("mail", "m-1")

    with virtual_clock():
        steps = [Step("mail", run=mails), Step("pay", run=pays, undo=done), Step("last", run=boom)]
        report = Workflow("w", steps).start()
    told = section(report_to_html(report), "effects")
    assert "mail m-1 mail run 2000-01-01T00:00:00Z stands" in told
    assert "payment pay-17 {&quot;amount&quot;: 42} pay run 2000-01-01T00:00:00Z its step went back" in told


def test_what_operators_asked_is_told():
    """Requests with their notes, and where the run stopped and went on."""
    store = MemoryStore()
    jam = [True]

    def cannot():
        if jam:
            raise OSError("jammed")

    workflow = Workflow("w", [Step("a", run=done, undo=cannot)])
    workflow.start(store=store, run_id="r")
    workflow.rollback("r", store, note="the customer has cancelled")
    jam.clear()
    workflow.mark_undone("r", "a", store, note="by phone")
    told = section(report_to_html(*journaled(store, "w", "r")), "asked")
    assert re.search(r"an operator asked for: rollback \S+Z the customer has cancelled", told)
    assert re.search(r"an operator asked for: mark undone a \S+Z by phone", told)


def test_where_a_run_stopped_and_went_on_is_told():
    """Each record that is no step's doing is a line: stops, resumes, turns, late steps."""
    at = NOON + timedelta(hours=1)
    history = [
        Suspended(NOON, KeyboardInterrupt("ctrl c")),
        Resumed(at),
        Resumed(at, at + timedelta(hours=1)),
        Cancelled("a/b", ValueError("stop it")),
        Late("slow", at, True, OSError("too late")),
        Late("slower", at, False),
    ]
    report = run_of(act("a", 0, 1))
    report.detail = "a remark"
    page = report_to_html(report, Journaled("succeeded", history, {}, {}))
    assert "a remark" in page.split("<main>")[0]
    assert section(page, "asked").strip() == (
        "What else came about what step at why "
        "stopped 2026-01-01T12:00:00Z KeyboardInterrupt: ctrl c "
        "taken up again 2026-01-01T13:00:00Z "
        "taken up again 2026-01-01T13:00:00Z deadline 2026-01-01T14:00:00Z "
        "turned back after a/b ValueError: stop it "
        "came to its end, too late slow 2026-01-01T13:00:00Z OSError: too late "
        "was still at work slower 2026-01-01T13:00:00Z"
    )


def test_more_errors_and_keys_than_anybody_reads_are_left_out():
    """Of a hundred errors and a thousand keys the first are told, and how many there are more."""

    def sets(ctx):
        ctx.shared.merge({f"k{number}": number for number in range(1_000)})

    store = MemoryStore()
    steps = [Step("sets", run=sets), *(Step(f"s{number}", run=boom) for number in range(100))]
    Workflow("w", steps, mode="continue").start(store=store, run_id="r")
    page = report_to_html(*journaled(store, "w", "r"))
    assert "50 further errors left out." in page
    assert "700 changed keys more, left out." in page
    assert "700 changes more, left out." in page


def test_a_run_on_its_way_has_its_steps_at_work_and_no_end():
    """Of a journal that ends in the midst of a run, the page tells what is known, and makes up nothing."""
    store = MemoryStore()
    with virtual_clock(NOON) as clock:
        inner = Parallel("p", Step("b", run=done), Step("c", run=done), limit=1)
        steps = [Step("a", run=lambda: clock.advance(1)), Workflow("in", [inner]), Step("d")]
        Workflow("w", steps).start(store=store, run_id="r")
    entries = store.load("w", "r")
    length = next(at for at, entry in enumerate(entries, 1) if entry.get("started") == "in/p/c")
    report, more = journaled(store, "w", "r", "interrupted", length)
    page = report_to_html(report, more)
    assert "⚠ interrupted" in re.sub(r"<[^>]+>", "", page).replace("⚠", "⚠ ")
    assert "at work" in section(page, "steps")
    assert 'id="errors"' not in page
    assert "<dt>ended</dt>" not in page
    assert any(line.startswith("in/p/c … at work") for line in rows(page))
    assert page == report_to_html(*journaled(store, "w", "r", "interrupted", length))
    chart = report_to_mermaid(report, more)
    assert "c<br/>#8230; at work" in chart
    assert_mermaid(chart)


def test_a_report_read_from_a_file_is_drawn():
    """Reports in the seed's format and in the specification's are drawn like others."""
    report = Workflow("w", [Step("a", run=done, undo=done), Step("b", run=boom)]).start()
    for again in (v0.from_json(v0.to_json(report)), v1.report_from_json(v1.report_to_json(report))):
        for form in FORMS:
            assert "refused" in form(again) or form is report_to_mermaid
        assert "↶" in report_to_html(again)


def test_a_secret_in_an_error_is_in_no_picture():
    """What is secret is replaced in causes and notes too."""
    token = Secret("s3cr3t-of-pictures")

    def leaks():
        try:
            raise KeyError(token.reveal())
        except KeyError as cause:
            error = ValueError(f"with {token.reveal()}")
            error.add_note(f"note {token.reveal()}")
            raise error from cause

    report = Workflow("w", [Step("a", run=leaks, retry=Retry(2, initial=0.001))]).start()
    for form in FORMS:
        assert "s3cr3t-of-pictures" not in form(report)
    assert "[secret]" in report_to_html(report)


# The flowchart.


def test_a_flowchart_tells_the_way_that_the_run_took():
    """Each step has what became of it and when in order; arrows lead to what was begun, marked lines back."""
    with virtual_clock():
        steps = [Step("a", run=done, undo=done), Step("b", run=boom), Step("c")]
        chart = report_to_mermaid(Workflow("w", steps).start())
    assert chart.split("\n") == [
        "flowchart TB",
        '    head(["w<br/>#8630; undone"])',
        '    n0["a<br/>#8594; ran #40;1#41;<br/>#8630; undone #40;4#41;"]',
        '    n1["b<br/>#10007; failed #40;2#41;<br/>#45; undo skipped #40;3#41;"]',
        '    n2["c<br/>#183; not run"]',
        "    n0 --> n1",
        '    n0 -.-|"#8630; undone"| n1',
        "    n1 --- n2",
        "    classDef bad stroke:#cf222e,stroke-width:4px",
        "    class n1 bad",
        "    classDef back stroke:#0969da,stroke-width:2px,stroke-dasharray:6 3",
        "    class n0 back",
        "    classDef none stroke:#6e7781,stroke-dasharray:2 3",
        "    class n2 none",
    ]


def test_branches_are_not_linked():
    """Branches have no arrows between them, nor have steps that overlap in time in a report that was read."""
    nested = act("p", 0, 6)
    nested.workflow = run_of(act("a", 0, 6), act("b", 1, 3))
    assert "-->" not in report_to_mermaid(run_of(nested))
    store = MemoryStore()
    branches = Parallel("p", Step("a", run=done), Step("b", run=done), limit=1)
    report = Workflow("w", [branches, Step("c", run=done)]).start(store=store, run_id="r")
    assert report_to_mermaid(report).count("-->") == 1
    assert report_to_mermaid(*journaled(store, "w", "r")).count("-->") == 1


# What is too much.


@pytest.fixture(scope="module")
def long_run():
    """A run of 10,000 steps, whose last one fails."""
    steps = [Step(f"s{number}", run=done, undo=done) for number in range(9_999)]
    return Workflow("long", [*steps, Step("last", run=boom)])


def test_a_long_run_is_told_in_part_and_says_so(long_run):
    """Of 10,000 steps beginning, end and failures are shown; how much is left out is said where it is."""
    report = long_run.start()
    page, drawing, chart = report_to_html(report), report_to_svg(report), report_to_mermaid(report)
    assert len(page) < 1_500_000
    assert len(Page(page).all("tr", None)) < 1_100
    assert re.search(r"⋮ [\d,]+ actions left out here", page)
    assert re.search(r"⋮ [\d,]+ steps left out here", page)
    assert "ValueError: refused" in page
    assert len(drawing) < 300_000
    assert "actions left out" in drawing
    assert "✗ failed" in drawing
    assert len(chart) <= 45_000  # Mermaid takes 50,000
    assert "steps left out" in chart
    assert "last<br/>#10007; failed" in chart
    assert_mermaid(chart)
    assert len(report_to_fragment(report)) < 150_000


def test_a_long_plan_is_told_in_part_and_says_so(long_run):
    """The page of 10,000 planned steps has the first of them, and says how many are left out."""
    page = long_run.plan().to_html()
    assert len(page) < 1_500_000
    assert "9,800 steps more, left out of the picture." in page
    assert "9,000 steps more, left out." in page


def test_long_ids_fit_into_a_flowchart():
    """Where many ids are long, fewer steps are drawn, so that Mermaid takes the text."""
    steps = [Step(f"{number} " + "ß" * 500, run=done) for number in range(300)]
    chart = report_to_mermaid(Workflow("w", steps).start())
    assert len(chart) <= 45_000
    assert "left out" in chart


def test_a_long_text_is_cut_and_says_how_long_it_was():
    """A message, a value, an id: the beginning is shown, and how much there was."""

    def sets(ctx):
        ctx.shared["big"] = "v" * 70_000

    def fails():
        raise ValueError("m" * 80_000)

    store = MemoryStore()
    Workflow("w", [Step("i" * 1_000, run=sets), Step("b", run=fails)], mode="stop").start(
        store=store, run_id="r"
    )
    page = report_to_html(*journaled(store, "w", "r"))
    assert len(page) < 60_000
    for length in ("70,002", "80,000", "1,000"):
        assert f"… ({length} characters in all)" in page


def test_deep_nesting_is_drawn():
    """A hundred workflows in one another are drawn, and their path is told."""
    step = Step("leaf", run=boom)
    for depth in range(99):
        step = Workflow(f"d{depth}", [step])
    report = step.start()
    for form in (report_to_html, report_to_svg):
        form(report)
    assert_mermaid(report_to_mermaid(report))
    assert "leaf" in section(report_to_html(report), "steps")


def test_what_an_action_has_left_is_folded_under_it():
    """What a step puts into its report, the output of a command say, stands under it, a long one cut."""

    def run(ctx):
        ctx.metadata["stdout"] = "first line\nsecond <line>"
        ctx.metadata["bytes"] = b"\xff" * 10_000

    page = report_to_html(Workflow("w", [Step("a", run=run)]).start())
    assert "<summary>what run left</summary>" in page
    assert "<pre>first line\nsecond &lt;line&gt;</pre>" in page
    assert "characters in all)" in page
