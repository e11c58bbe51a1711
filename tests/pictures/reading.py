"""What the tests of pictures read them with, and a run that has something in every place that is shown."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from automa import Expand, Parallel, Retry, Skip, Step, Workflow
from automa.errors import RunRequestError
from automa.journal.entries import decode_entries
from automa.journal.reading import read
from automa.pictures import Journaled
from automa.stores import MemoryStore
from automa.testing import virtual_clock

MERMAID = re.compile(
    r"flowchart TB"
    r'|head\(\["([\w ,/+-]|#\d+;|<br/>)*"\]\)'
    r'|n\d+\["([\w ,/+-]|#\d+;|<br/>)*"\]'
    r'|subgraph n\d+\["([\w ,/+-]|#\d+;)*"\]|direction TB|end'
    r'|n\d+ (-->|---)(\|"[\w ,]+"\|)? n\d+|n\d+ -\.-\|"#\d+; [a-z ]+"\| n\d+'
    r"|classDef \w+ [a-z0-9#:, -]+|class n\d+(,n\d+)* \w+",
    re.ASCII,
)
VOID = {"meta"}


class Page(HTMLParser):
    """A page as a browser takes it: its elements with their attributes, and its texts."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], []
        self.raw = text
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        assert len(dict(attributes)) == len(attributes)
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, text):
        if self.open and self.open[-1] != "style":
            self.texts.append(text)

    def handle_comment(self, text):
        raise AssertionError(text)

    def handle_decl(self, text):
        assert text == "doctype html"

    def unknown_decl(self, text):
        raise AssertionError(text)

    def handle_pi(self, text):
        raise AssertionError(text)

    @property
    def text(self):
        return " ".join(self.texts)

    @property
    def structure(self):
        """All that no data may change: elements, the names of attributes, and classes and roles."""
        fixed = ("class", "role", "id", "scope", "aria-labelledby", "open", "colspan")
        return [
            (name, sorted(attributes), [attributes.get(each) for each in fixed])
            for name, attributes in self.elements
        ]

    def all(self, name, class_=None):
        return [
            attributes
            for element, attributes in self.elements
            if element == name and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]


def structure_of_svg(text):
    root = ET.fromstring(text)  # noqa: S314  # our own
    return [(each.tag, sorted(each.attrib), each.get("class")) for each in root.iter()]


def texts_of_svg(text):
    return " ".join(each for each in ET.fromstring(text).itertext() if each)  # noqa: S314  # our own


def assert_mermaid(text):
    for line in text.split("\n"):
        assert MERMAID.fullmatch(line.strip()), line


def journaled(store, workflow_id, run_id, status=None, length=None):
    """Return the report and the rest of what the journal of a run tells, as far as it goes."""
    history = decode_entries(store.load(workflow_id, run_id)[:length])
    reading = read(history)
    info = next(iter(store.runs(workflow_id=workflow_id, run_id=run_id)))
    return reading.report, Journaled(status or info.status, history, reading.shared, reading.at_work)


def everything(text, note="a note"):
    """Return a run that has a text in every place that is shown: its report, and what its journal tells."""
    tries = []

    def fails_first():
        tries.append(text)
        if len(tries) == 1:
            raise ConnectionError(text)

    def sets(ctx):
        ctx.shared[f"key {text}"] = {text: [text]}
        ctx.record_effect(f"kind {text}", f"ref {text}", more=text)
        ctx.metadata[f"left {text}"] = text

    def skips():
        raise Skip(text)

    def fails():
        try:
            raise KeyError(text)
        except KeyError as cause:
            error = ExceptionGroup(text, [ValueError(text), OSError(text)])
            error.add_note(text)
            raise error from cause

    def cannot():
        raise OSError(text)

    names = [f"{number} {text}" for number in range(9)]
    steps = [
        Step(names[0], run=fails_first, undo=cannot, retry=Retry(2, initial=1, jitter=False)),
        Step(names[1], run=sets, undo=skips),
        Step(names[2], run=skips),
        Parallel(names[3], Step(names[0]), Workflow(names[1], [Step(names[0]), Step(names[1])])),
        Expand(names[4], lambda: [Step(names[5])]),
        Step(names[6], run=fails),
        Step(names[7]),
    ]
    with virtual_clock():
        workflow = Workflow(f"w {text}", steps, rollback_on=Exception)
        store = MemoryStore()
        state = {f"old {text}": text, f"gone {text}": text}
        workflow.start(state, store=store, run_id="r1")
        try:
            workflow.retry_undo("r1", "0 " + text.replace("%", "%25").replace("/", "%2F"), store, note=note)
        except RunRequestError:
            raise AssertionError(text) from None
        return workflow, *journaled(store, workflow.id, "r1")
