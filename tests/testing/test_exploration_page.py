"""What an exploration is told as: the table in a terminal, and the page."""

from __future__ import annotations

from html.parser import HTMLParser

from automa.testing import Difference, Exploration, Property, Verdict, Violation

VOID = {"meta"}


def exploration(step="pay", **changes):
    violation = Violation(
        step,
        Property.IDEMPOTENT_RUN,
        "crash after <b>; resumed",
        (Difference(("paid",), 120, "<script>alert('x')</script>"),),
        "success+crash-after-run:pay",
        """explore(make_order, world, only='"&<success'>)""",
        2,
    )
    verdicts = tuple(
        Verdict(
            step,
            kind,
            {Property.VERIFY_IS_RIGHT: 0}.get(kind, 345),
            violation if kind == violation.kind else None,
        )
        for kind in Property
    )
    options = {
        "workflow": "<order>",
        "depth": 1,
        "cases": ("success", "fail-before:<pay>"),
        "verdicts": verdicts,
    }
    return Exploration(**(options | changes))


class Page(HTMLParser):
    """Reads a page, and refuses one that is not well-formed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.attributes = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def test_the_page_tells_everything_and_needs_nothing():
    """Verdicts in words, violations with story, difference and line, cases folded; no script, nothing from elsewhere."""
    page = Page(exploration(remarks=("a <remark>",)).to_html())
    for text in (
        "Exploration of <order>",
        "workflow '<order>': 2 cases, with up to 1 crash each: 1 violation",
        "a <remark>",
        "run twice",
        "ok (345)",
        "violated",
        "crash after <b>; resumed",
        "<script>alert('x')</script>",
        """explore(make_order, world, only='"&<success'>)""",
        "fail-before:<pay>",
    ):
        assert text in page.text
    assert "details" in page.tags
    assert not {"script", "link", "img", "iframe", "b"} & set(page.tags)
    assert not {"src", "href", "style"} & set(page.attributes)


def test_the_page_of_what_holds():
    """Where nothing is violated there is no heading for violations; one without differences has no table of them."""
    right = Page(exploration(verdicts=(Verdict("pay", Property.IDEMPOTENT_RUN, 1, None),)).to_html())
    assert "Violations" not in right.text
    violation = Violation("pay", Property.IDEMPOTENT_RUN, "it failed", (), "success", "again")
    bare = Page(exploration(verdicts=(Verdict("pay", Property.IDEMPOTENT_RUN, 1, violation),)).to_html())
    assert "(in 1 case)" in bare.text
    assert bare.tags.count("table") == 1


def test_the_page_is_for_phones_and_for_both_schemes():
    """The width is that of the device, wide tables scroll by themselves, and dark has colours of its own."""
    html = exploration().to_html()
    assert 'name="viewport"' in html
    assert "overflow-x: auto" in html
    assert "prefers-color-scheme: dark" in html


def test_the_table_fits_a_terminal():
    """With names of 20 characters no line of the table is longer than 100 columns; each cell tells its cases."""
    lines = list(exploration(step="a" * 20).lines())
    heads = [head.strip() for head in lines[1].split("  ") if head]
    assert heads == ["run twice", "undo twice", "undo restores", "undo nothing", "new process", "verify"]
    assert "VIOLATED   holds (345)  holds (345)" in lines[2]
    assert lines[2].endswith("-")
    assert max(map(len, lines[:3])) <= 100
