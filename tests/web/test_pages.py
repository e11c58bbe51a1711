"""What the pages show."""

from __future__ import annotations

import logging
import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from automa import Expand, Parallel, Retry, Step, Workflow
from automa.stores import FileStore, MemoryStore, SqliteStore
from tests.web.serving import serving, text_of

XSS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "javascript:alert(1)",
    "</pre></textarea></title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;&#x3c;img&#x3e;",
    "<!--<script>",
    "\u202eevil\u2066\x00\x1b[31m\ud800",
    "]]><a href=javascript:alert(1)>x</a>",
]


class Marks(HTMLParser):
    """Collects the elements of a page and their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


TAGS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "nav", "main", "h1", "h2", "h3", "p", "div",
    "span", "section", "dl", "dt", "dd", "ul", "ol", "li", "time", "details", "summary", "pre", "code", "bdi", "strong",
    "form", "label", "input", "select", "option", "datalist", "button", "textarea", "table", "caption", "thead", "tbody",
    "tr", "th", "td",
}  # fmt: skip


def check_harmless(page):
    """Check that a page has only elements and attributes of ours."""
    assert page.status_code < 500, page.text
    marks = Marks(page.text).found
    assert {tag for tag, _ in marks} <= TAGS
    assert [attrs for tag, attrs in marks if tag == "script"] == [{"src": "/static/automa.js", "defer": None}]
    for _, attrs in marks:
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        assert attrs.get("href", "/").startswith(("/", "#"))
    assert "\0" not in page.text
    assert "\u202e" not in page.text


def hostile(text):
    """Return a workflow that has a text in every field that an author can fill, and its store after a run."""

    def act(ctx):
        ctx.shared[text.replace("\ud800", "")] = text.replace("\ud800", "")
        ctx.report.metadata["note"] = text.replace("\ud800", "")
        ctx.record_effect(
            text.replace("\ud800", "") or "kind", text.replace("\ud800", ""), more=text.replace("\ud800", "")
        )
        return {"result": text.replace("\ud800", "")}

    def fail():
        try:
            raise KeyError(text)
        except KeyError as error:
            error.add_note(text)
            raise ValueError(text) from error

    def jam():
        raise ExceptionGroup(text, [OSError(text)])

    bare = text.replace("\ud800", "").replace("\0", "") or "id"
    inner = Workflow(f"{bare} in", [Step(f"{bare} x", run=act, undo=jam)])
    silent = logging.getLogger("silent")
    silent.disabled = True  # pytest-xdist cannot pass on what is no text
    steps = [inner, Step(f"{bare} y", run=lambda: None), Step(f"{bare} fail", run=fail)]
    workflow = Workflow(bare, steps, logger=silent)
    store = MemoryStore()
    workflow.start({"seen": bare}, store=store, run_id="run")
    return workflow, store


@pytest.mark.parametrize("text", XSS, ids=range(len(XSS)))
def test_no_field_can_harm_a_page(text):
    """Whatever stands in ids, state, results, effects, errors, notes and addresses is text on the page."""
    workflow, store = hostile(text)
    with serving(store, workflow) as browser:
        query = {"workflow": workflow.id, "run": "run"}
        page = browser.get(f"/run?{urlencode(query)}")
        check_harmless(page)
        step = next(
            path
            for path, state in _states(store, workflow.id).items()
            if path.endswith("x") and "FAILED" in state
        )
        form = browser.form(
            "mark_undone",
            "run",
            step,
            workflow.id,
            who=text.replace("\ud800", ""),
            why=text.replace("\ud800", ""),
        )
        check_harmless(browser.get(f"/ask?{urlencode(query | {'kind': 'retry_undo', 'step': step})}"))
        check_harmless(browser.post(form | {"why": ""}))
        assert browser.post(form).status_code == 303
        check_harmless(browser.get(f"/run?{urlencode(query)}&all=1"))
        check_harmless(browser.get("/"))
        for name in ("q", "workflow", "status", "before", "run"):
            value = text.encode("utf-8", "surrogatepass")
            check_harmless(browser.get(f"/?{urlencode({name: value})}"))
            check_harmless(browser.get(f"/run?{urlencode({'workflow': value, name: value})}"))


def _states(store, workflow_id):
    from automa.durable import load_history
    from automa.journal.reading import read

    return {path: state.name for path, state in read(load_history(store, workflow_id, "run")).states.items()}


def hello(id="hello", **options):
    return Workflow(id, [Step("say", run=lambda: 1, undo=lambda: None)], **options)


@pytest.fixture(params=["memory", "file", "sqlite"])
def store(request, tmp_path):
    made = {
        "memory": MemoryStore,
        "file": lambda: FileStore(tmp_path / "runs", durability="process"),
        "sqlite": lambda: SqliteStore(tmp_path / "runs.db", durability="process"),
    }
    store = made[request.param]()
    yield store
    store.close()


def ids_on(page):
    return re.findall(r'href="/run\?[^"]*run=([^"&]*)"', page.text)


def test_an_empty_store_has_an_empty_list(store):
    """The list says that no run is there yet."""
    with serving(store) as browser:
        assert "No run is here yet" in text_of(browser.get("/"))


def test_the_list_is_turned_over(store):
    """Older and newer pages follow one another without a gap, also where runs begin meanwhile."""
    workflow = hello()
    for number in range(120):
        workflow.start(store=store, run_id=f"r{number:03}")
    with serving(store) as browser:
        first = browser.get("/")
        seen = ids_on(first)
        assert seen == [f"r{number:03}" for number in range(119, 69, -1)]
        workflow.start(store=store, run_id="later")
        older = link(first, "page-older")
        second = browser.get(older)
        third = browser.get(link(second, "page-older"))
        assert ids_on(second) == [f"r{number:03}" for number in range(69, 19, -1)]
        assert ids_on(third) == [f"r{number:03}" for number in range(19, -1, -1)]
        assert link(third, "page-older") is None
        back = browser.get(link(third, "page-newer"))
        assert ids_on(back) == ids_on(second)
        top = browser.get(link(back, "page-newer"))
        assert ids_on(top)[-1] in {"r070", "r071"}
        assert ids_on(browser.get(link(third, "page-first")))[0] == "later"


def link(page, id):
    found = re.search(rf'id="{id}"[^>]*href="([^"]*)"', page.text)
    return None if found is None else found[1].replace("&amp;", "&")


def test_the_list_is_filtered(store):
    """Status, workflow and a text in the ids narrow the list, each and together; links keep them."""

    def fail(ctx):
        raise ValueError(ctx.run_id)

    bad = Workflow("refund", [Step("pay", run=fail)])
    hello().start(store=store, run_id="alpha")
    bad.start(store=store, run_id="beta")
    hello("greet").start(store=store, run_id="gamma_1")
    with serving(store) as browser:
        assert ids_on(browser.get("/?status=undone")) == ["beta"]
        assert ids_on(browser.get("/?status=done")) == ["gamma_1", "beta", "alpha"]
        assert ids_on(browser.get("/?workflow=greet")) == ["gamma_1"]
        assert ids_on(browser.get("/?q=ETA")) == ["beta"]
        assert ids_on(browser.get("/?q=refu")) == ["beta"]
        assert ids_on(browser.get("/?q=a_1")) == ["gamma_1"]
        assert ids_on(browser.get("/?q=%25")) == []
        assert ids_on(browser.get("/?status=undone&workflow=greet")) == []
        assert "No run is like that" in text_of(browser.get("/?status=suspended"))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?status=odd", 400),
        ("/?before=odd", 400),
        ("/?before=[1,2,3]", 400),
        ("/?after=[1e400,%22a%22,%22b%22]", 400),
        ("/?before=[99999999999999999999,%22a%22,%22b%22]", 400),
        ("/run", 400),
        ("/run?workflow=hello&run=nobody", 404),
        ("/run?workflow=&run=..%2F..%2Fetc%2Fpasswd", 404),
        ("/run?workflow=hello&run=%00", 404),
        ("/ask?workflow=hello&run=one&kind=odd", 400),
        ("/ask?workflow=hello&run=one&kind=resume", 409),
        ("/ask?workflow=hello&run=one&kind=retry_undo&step=nowhere", 409),
        ("/nowhere", 404),
        ("/static/..%2Fapp.py", 404),
        ("/act", 405),
    ],
)
def test_an_address_that_makes_no_sense_is_told_in_words(store, path, status):
    """It is answered by a page with a reason, never by a traceback."""
    hello().start(store=store, run_id="one")
    with serving(store, hello()) as browser:
        answer = browser.get(path)
        assert answer.status_code == status
        assert "<h1>" in answer.text
        assert "Traceback" not in answer.text
        assert "defect" not in answer.text


def test_the_page_of_a_run_tells_all(store):
    """Its timeline, its steps with how they ran and were undone, its state, errors with causes, and effects."""
    if isinstance(store, FileStore):
        pytest.skip("the specification's journal has neither effects nor branches")

    def reserve(ctx):
        ctx.shared["seat"] = "12A"
        ctx.record_effect("seat", "12A", price=3)

    def charge():
        try:
            raise OSError("line is cut")
        except OSError as error:
            raise ValueError("card refused") from error

    workflow = Workflow(
        "order",
        [
            Step("reserve", run=reserve, undo=lambda: None),
            Parallel(
                "tell",
                Step("mail", run=lambda: {"sent": 1}),
                Step("sms", run=lambda: None, undo=lambda: None),
            ),
            Step("charge", run=charge),
            Step("never", run=lambda: None),
        ],
    )
    workflow.start(store=store, run_id="one")
    with serving(store) as browser:
        said = text_of(browser.run("one"))
    assert "↶ undone of workflow order" in said
    assert "ValueError : card refused from OSError : line is cut" in said
    assert "run reserve ✓ done" in said
    assert "effect seat 12A by reserve" in said
    assert "run charge ✗ failed" in said
    assert "on the way back" in said
    assert "undo tell/sms ↶ undone" in said
    assert "undo tell/mail – skipped" in said
    assert "no undo function" in said
    assert said.index("undo tell/sms") < said.index("undo reserve")
    assert "never · not reached" in said
    assert "Not run never" in said
    assert 'result { "sent": 1 }' in said


def test_a_run_that_goes_on_has_no_error(tmp_path):
    """That a run has not ended yet is no error; that its nested workflow has failed is told once."""

    def fail():
        raise ValueError("card refused")

    seen = []
    inner = Workflow("inner", [Step("x", run=fail), Step("y")])
    with serving(store := SqliteStore(tmp_path / "runs.db")) as browser:
        workflow = Workflow(
            "order", [Step("a_b", run=lambda: seen.append(text_of(browser.run("one")))), inner]
        )
        workflow.start(store=store, run_id="one")
        page = browser.run("one")
    assert "Errors" not in seen[0]
    assert "run a_b ▶ at work" in seen[0]
    before_records = page.text.partition('id="records"')[0]
    assert before_records.count("card refused") == 2  # among the errors, and in the timeline
    store.close()


def test_a_step_that_was_at_work_when_its_process_died_is_told_as_such():
    """It was at work, and nobody knows what it has done; called again, both calls are told."""
    store = MemoryStore()
    lease = store.create("hello", "one")
    at = 1_800_000_000_000_000
    begun = {"begun": 1, "workflow": "hello", "run": "one", "at": at, "modes": ["rollback", "continue"],
             "steps": ["say"], "state": {}}  # fmt: skip
    lease.append([begun, {"started": "say", "at": at}], "running")
    with serving(store) as browser:
        assert "run say ▶ at work" in text_of(browser.run("one", "hello"))
        lease.release()
        said = text_of(browser.run("one", "hello"))
        assert "run say ? was at work" in said
        assert "Steps say ? was at work" in said
        hello().resume("one", store)
        said = text_of(browser.run("one", "hello"))
        assert said.index("run say ? was at work") < said.index("resumed") < said.index("run say ✓ done")


def test_a_page_can_be_made_at_any_moment():
    """Whatever a run with branches, built steps, retries and a failed undo has written so far, its page is there."""
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("not yet")

    def fail():
        raise ValueError("card refused")

    inner = Workflow(
        "in", [Step("x", prepare=lambda: None, run=lambda: 1, undo=fail), Step("no", when=lambda: False)]
    )
    built = Expand("built", lambda: Parallel("both", Step("l", run=lambda: 1), Workflow("r", [Step("deep")])))
    retried = Step("flaky", run=flaky, retry=Retry(attempts=3, initial=0))
    workflow = Workflow("order", [inner, built, retried, Step("bad", run=fail)])
    whole = MemoryStore()
    workflow.start(store=whole, run_id="one")
    workflow.mark_undone("one", "in/x", whole, note="Ann: by hand")
    entries = whole.load("order", "one")
    partial = MemoryStore()
    with serving(partial, workflow) as browser:
        for count in range(1, len(entries) + 1):
            lease = partial.create("order", f"part-{count}")
            lease.append([entries[0] | {"run": f"part-{count}"}, *entries[1:count]], "running")
            for _ in range(2):
                page = browser.run(f"part-{count}")
                assert page.status_code == 200, page.text
                assert page.text.count('<li class="line') >= 1
                lease.release()
    assert len(entries) > 30


def test_a_long_run_is_shown_from_its_end():
    """Of many lines the last are shown, and all where they are asked for."""
    store = MemoryStore()
    Workflow("order", [Step(f"s{number}", run=lambda: None) for number in range(400)]).start(
        store=store, run_id="one"
    )
    with serving(store) as browser:
        page = browser.run("one")
        assert "102 earlier lines are not shown" in text_of(page)
        assert page.text.count('class="line') == 300
        assert browser.get(link(page, "all-lines")).text.count('class="line') == 402


def test_a_journal_that_cannot_be_read_is_told(tmp_path):
    """A broken file is listed as unreadable, and its page says so."""
    store = FileStore(tmp_path)
    (tmp_path / "order-one.journal").write_text("{}")
    with serving(store) as browser:
        page = browser.get("/")
        assert "unreadable" in text_of(page)
        answer = browser.get(link_of_run(page))
        assert answer.status_code == 500
        assert "is no journal, or a broken one" in text_of(answer)


def link_of_run(page):
    return re.search(r'href="(/run\?[^"]*)"', page.text)[1].replace("&amp;", "&")


def test_a_store_that_has_gone_is_told(tmp_path):
    """Where the store cannot be read any more, the page says why; the server stays."""
    store = SqliteStore(tmp_path / "runs.db")
    hello().start(store=store, run_id="one")
    with serving(store) as browser:
        for file in tmp_path.glob("runs.db*"):
            if file.is_file():
                file.unlink()
        answer = browser.get("/")
        assert answer.status_code == 503
        assert "was deleted or replaced" in text_of(answer)
    store.close()
