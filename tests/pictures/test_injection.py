"""No text that a run holds becomes markup: the pictures of a hostile run are built like those of a tame one."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automa.pictures import report_to_fragment, report_to_html, report_to_mermaid, report_to_svg
from tests.pictures.reading import (
    Page,
    assert_mermaid,
    everything,
    structure_of_svg,
    texts_of_svg,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "<svg onload=alert(1)>",
    "<!-- --> <![CDATA[ ]]> <?php ?>",
    "&lt;b&gt; &#60;b&#62; &amp;amp; &quot;",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "\x00\x01\x08\x0b\x0c\x1b[31m\x7f\x85",
    "\ufffe\uffff\u2028\u2029\u202e\u200b\ufeff",
    "\ud800 alone",
    "]]>",
    '"] --> x["y',
    "a\nend\nclick n0 href 'javascript:alert(1)'",
    "%%{init: {'securityLevel': 'loose'}}%%",
    "#quot;#35;&#x22;`${1}`\\",
    "--x -->|a| subgraph graph end",
    "style=position:fixed",
    "{{constructor}} {% x %}",
    "\U0001d54f ẞ 漢字 e\u0301",
    "a/b%2Fc",
]


def pictures(text):
    workflow, report, more = everything(text)
    pages = [
        report_to_html(report, more),
        report_to_html(report),
        report_to_fragment(report, more),
        workflow.plan().to_html(),
        workflow._repr_html_(),
    ]
    drawings = [report_to_svg(report, more), workflow.plan().to_svg()]
    return pages, drawings, report_to_mermaid(report, more)


TAME = pictures("tame")


def check(text):
    """Check that what stands in the pictures of a run changes nothing but their texts."""
    pages, drawings, chart = pictures(text)
    for page, tame in zip(pages, TAME[0], strict=True):
        page.encode()
        assert Page(page).structure == Page(tame).structure
    for drawing, tame in zip(drawings, TAME[1], strict=True):
        drawing.encode()
        assert structure_of_svg(drawing) == structure_of_svg(tame)
    assert_mermaid(chart)
    assert len(chart.split("\n")) == len(TAME[2].split("\n"))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_hostile_text_becomes_markup(text):
    """Ids, messages, notes, causes, keys and values of the state, effects and requests are shown as they are."""
    check(text)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=30))
@example("\ud800\udc00\x00")
def test_any_text_gives_well_formed_pictures(text):
    """Whatever is in a run, its pages and drawings are well-formed, and built like those of any other."""
    check(json.loads(json.dumps(text)))  # two halves of a pair come back from a journal as one character


def test_what_is_hostile_can_be_read():
    """A text is told as it is, and not lost: in the page, and in the drawing."""
    _, report, more = everything("<b>'\"&")
    told = Page(report_to_html(report, more)).text
    for text in ("w <b>'\"&", "key <b>'\"&", "kind <b>'\"&", "ref <b>'\"&", "7 <b>'\"&", "a note"):
        assert text in told
    assert "w <b>'\"&" in texts_of_svg(report_to_svg(report, more))


def test_the_corpus_stands_in_every_place():
    """The run of these tests has its text in each section of the page, so that none goes untested."""
    workflow, report, more = everything("MARK", note="MARK of an operator")
    page = report_to_html(report, more)
    sections = page.split("<section ")[1:]
    assert [each.split('id="')[1].split('"')[0] for each in sections] == [
        "errors", "time", "steps", "state", "effects", "asked",
    ]  # fmt: skip
    assert all("MARK" in each for each in sections)
    assert "MARK of an operator" in sections[-1]
    assert "MARK" in page.split("<main>")[0]
    assert "MARK" in workflow.plan().to_html()
