"""The web page in a real browser: what is seen, typed and clicked."""

from __future__ import annotations

import signal
import subprocess
import sys
from urllib.parse import urlencode

import pytest

from automa import Parallel, Step, Workflow
from automa.stores import MemoryStore, SqliteStore
from tests.web.test_pages import XSS, hostile

SAGA = """
import pathlib, time
from automa import Step, Workflow

HERE = pathlib.Path(__file__).parent

def waits(name):
    def run(ctx):
        while not (HERE / name).exists():
            time.sleep(0.01)
        ctx.shared[name] = True
        return {"done": name}
    return Step(name, run=run, undo=lambda: None)

order = Workflow("order", [waits("pack"), waits("ship"), waits("tell")])
"""

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)").expect


def order():
    """A workflow that shows most of what a page can show."""

    def reserve(ctx):
        ctx.shared["seat"] = "12A"
        ctx.record_effect("seat", "12A", price=30)
        return {"reservation": 17}

    def charge(ctx):
        if ctx.run_id.endswith("7"):
            try:
                raise ConnectionError("the line is cut")
            except ConnectionError as error:
                raise ValueError("card refused") from error

    def release(ctx):
        if ctx.run_id == "order-0117":
            raise OSError("the seat map is locked")

    ship = Workflow(
        "ship",
        [Step("pack", run=lambda: None, undo=lambda: None), Step("label", run=lambda: 1, undo=lambda: None)],
    )
    tell = Parallel("tell", Step("mail", run=lambda: None), Step("sms", run=lambda: None, undo=lambda: None))
    return Workflow(
        "order", [Step("reserve", run=reserve, undo=release), ship, tell, Step("charge", run=charge)]
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = SqliteStore(tmp_path_factory.mktemp("browser") / "runs.db", durability="process")
    refund = Workflow("refund", [Step("pay", run=lambda: None, undo=lambda: None)])
    for number in range(120):
        (refund if number % 11 == 0 else order()).start(store=store, run_id=f"order-{number:04}")
    yield store
    store.close()


def address(server, **query):
    return f"http://127.0.0.1:{server.port}/run?{urlencode({'workflow': 'order'} | query)}"


def test_a_list_is_filtered_searched_and_turned_over(pages, serve, store, picture):
    """One finds a run among many by status, by workflow, by a part of its id, or by turning pages."""
    page = pages.open(serve(store).url)
    assert page.url.endswith("/")  # the token is not there any more
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    picture(page, "list-light")
    page.get_by_role("link", name="Older →").click()
    page.get_by_role("link", name="Older →").click()
    expect(rows).to_have_count(20)
    expect(page.get_by_role("link", name="order-0000")).to_be_visible()
    page.get_by_role("link", name="← Newer").click()
    expect(rows).to_have_count(50)
    page.get_by_label("Status").select_option("needs_attention")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody th")).to_have_text(["order-0117"])
    page.get_by_role("link", name="All runs").click()
    page.get_by_label("Workflow").fill("refund")
    page.get_by_label("Search in ids").fill("0099")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="order-0099").click()
    expect(page.get_by_role("heading", name="order-0099")).to_be_visible()


def test_a_run_of_another_process_moves(pages, serve, tmp_path, picture):
    """The timeline goes on by itself; what was opened stays open, and what has focus keeps it."""
    (tmp_path / "saga.py").write_text(SAGA)
    store = SqliteStore(tmp_path / "runs.db")
    command = [
        sys.executable,
        "-m",
        "automa",
        "run",
        "saga.py",
        "--store",
        "sqlite:///runs.db",
        "--run-id",
        "one",
        "-q",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    page = pages.open(serve(store).url)
    page.get_by_role("link", name="one").click()  # it comes by itself, too
    page.evaluate("window.isSamePage = true")
    page.get_by_text("run pack ▶ at work").wait_for()
    (tmp_path / "pack").touch()
    page.get_by_text("run ship ▶ at work").wait_for()
    result = page.locator("details[id^=line-1-]")
    result.locator("summary").focus()
    page.keyboard.press("Enter")
    picture(page, "moving")
    (tmp_path / "ship").touch()
    page.get_by_text("run tell ▶ at work").wait_for()
    assert result.get_attribute("open") is not None
    page.locator("#all-records summary").focus()
    (tmp_path / "tell").touch()
    page.locator(".standing .s-succeeded").wait_for()
    page.locator(".timeline").get_by_text("ended succeeded").wait_for()
    assert page.title().startswith("one succeeded")
    assert '"tell": true' in page.locator("#state pre").inner_text()
    assert page.evaluate("window.isSamePage")
    page.locator("#live", has_text="live").wait_for(state="detached")
    assert process.wait(timeout=60) == 0
    store.close()


def test_a_list_moves(pages, serve, tmp_path):
    """A run that begins comes into the list by itself; what is being typed into the form stays."""
    store = SqliteStore(tmp_path / "runs.db")
    page = pages.open(serve(store).url)
    page.get_by_label("Search in ids").fill("half a wo")
    order().start(store=store, run_id="new")
    page.get_by_role("link", name="new").wait_for()
    assert page.get_by_label("Search in ids").input_value() == "half a wo"
    store.close()


def test_a_run_is_rolled_back_by_keyboard_alone(pages, serve, picture):
    """Tab, Enter and letters are enough; it asks who and why before anything is done, and tells what became of it."""
    store = MemoryStore()
    order().start(store=store, run_id="order-0001")
    page = pages.open(serve(store, order()).url)

    def go_to(name):
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText || ''").strip() == name:
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return page.keyboard.press("Enter")
        raise AssertionError(f"no way to {name!r}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    go_to("order-0001")
    page.wait_for_url("**/run?**")
    go_to("Roll back…")
    page.wait_for_url("**/ask?**")
    picture(page, "ask")
    assert [run.status for run in store.runs()] == ["succeeded"]
    assert page.evaluate("document.activeElement.id") == "why"
    page.keyboard.type("ordered twice")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("Ann")
    go_to("Roll back")
    page.get_by_text("asked by Ann (ordered twice)").wait_for()
    page.locator(".standing .s-undone").wait_for()
    page.locator(".timeline .operator", has_text="Ann: ordered twice").wait_for()
    picture(page, "rolled-back")
    assert [run.status for run in store.runs()] == ["undone"]


def test_asking_without_a_reason_does_nothing(pages, serve):
    """The browser itself holds the form back."""
    store = MemoryStore()
    order().start(store=store, run_id="order-0001")
    server = serve(store, order())
    page = pages.open(server.url)
    page.goto(address(server, run="order-0001"))
    page.get_by_role("link", name="Roll back…").click()
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#why:invalid")).to_have_count(1)
    page.get_by_role("link", name="Do nothing").click()
    assert [run.status for run in store.runs()] == ["succeeded"]


def test_all_works_without_javascript(pages, serve):
    """Lists, pages, forms and actions need no script; only moving does."""
    store = MemoryStore()
    order().start(store=store, run_id="order-0001")
    page = pages.open(serve(store, order()).url, java_script_enabled=False)
    page.get_by_label("Search in ids").fill("0001")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="order-0001").click()
    page.get_by_role("link", name="Roll back…").click()
    page.get_by_label("Why").fill("ordered twice")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("ordered twice").first).to_be_visible()


@pytest.mark.parametrize("text", XSS, ids=range(len(XSS)))
def test_nothing_that_a_run_holds_runs(pages, serve, text):
    """Whatever stands in ids, state, results, errors and notes: no dialog, no error, no request elsewhere."""
    workflow, store = hostile(text)
    server = serve(store, workflow)
    page = pages.open(server.url)
    page.wait_for_timeout(100)
    page.get_by_role("link", name="run", exact=True).click()
    page.locator("h1", has_text="run").wait_for()
    page.get_by_role("link", name="Mark done…").first.click()
    page.get_by_label("Who").fill(text.replace("\ud800", "").replace("\0", "")[:100])
    page.get_by_label("What was done").fill(text.replace("\ud800", "").replace("\0", ""))
    page.get_by_role("button", name="Mark done").click()
    page.locator(".standing .s-undone").wait_for()
    page.wait_for_timeout(600)  # what comes by the stream is put in, too
    assert (
        page.evaluate("document.querySelectorAll('script, img, svg, iframe, [onclick], [onerror]').length")
        == 1
    )
    assert server.site.streams.open <= 1


PAGES = {
    "list": "/",
    "run": f"/run?{urlencode({'workflow': 'order', 'run': 'order-0117'})}",
    "ask": f"/ask?{urlencode({'workflow': 'order', 'run': 'order-0117', 'kind': 'retry_undo', 'step': 'reserve'})}",
    "message": "/nowhere",
}

CONTRAST = """() => {
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest(".skip, .hidden, option, datalist")) continue;
    const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    const ratio = (pair[0] + .05) / (pair[1] + .05);
    if (ratio < 4.5) poor.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)} ${element.textContent.trim().slice(0, 20)}`);
  }
  return poor;
}"""

NAMES = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a, section, nav, form[role]")]
  .filter((each) => !((each.labels && each.labels.length) || each.getAttribute("aria-label")
    || each.getAttribute("aria-labelledby") || each.textContent.trim())).map((each) => each.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_pages_are_readable(pages, serve, store, picture, scheme, width):
    """In light and dark, wide and at the width of a phone: enough contrast, nothing beside the edge, all named."""
    server = serve(store, order())
    page = pages.open(server.url, scheme=scheme, width=width)
    for name, path in PAGES.items():
        page.goto(f"http://127.0.0.1:{server.port}{path}")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(NAMES) == []
        assert page.locator("main h1").count() == 1
        assert page.evaluate("document.documentElement.lang") == "en"
        picture(page, f"{name}-{scheme}-{width}")
    pages.problems = [each for each in pages.problems if "404" not in each]  # the page that is nowhere


def test_long_words_do_not_widen_a_phone(pages, serve, picture):
    """Ids, errors and states without a space in them are broken, not cut off."""
    store = MemoryStore()

    def fail(ctx):
        ctx.shared["x" * 200] = "y" * 500
        raise ValueError("z" * 500)

    Workflow("w" * 200, [Workflow("n" * 150, [Step("s" * 150, run=fail)])]).start(
        store=store, run_id="r" * 128
    )
    server = serve(store)
    page = pages.open(server.url, width=375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.locator("tbody a").click()
    page.locator("h1", has_text="rrr").wait_for()
    page.wait_for_load_state()  # with its style
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    picture(page, "long-375")


def test_a_page_of_another_site_cannot_do_anything(pages, serve, tmp_path):
    """A form of another site, posted with the user's own browser, is refused: its session does not go along."""
    store = MemoryStore()
    order().start(store=store, run_id="order-0001")
    server = serve(store, order())
    page = pages.open(server.url)
    target = f"http://127.0.0.1:{server.port}/act?workflow=order&run=order-0001&kind=rollback"
    evil = tmp_path / "evil.html"
    evil.write_text(
        f'<form method="post" action="{target}"><input name="who" value="x"><input name="why" value="y"></form>'
    )
    page.goto(evil.as_uri())
    page.evaluate("document.forms[0].submit()")
    page.locator("h1").wait_for()
    assert page.locator("h1").inner_text() in {"The token is missing", "This is not allowed"}
    assert [run.status for run in store.runs()] == ["succeeded"]
    pages.problems = [each for each in pages.problems if "evil.html" not in each and "40" not in each]


def test_a_server_that_is_gone_is_told(pages, serve, tmp_path):
    """Where the server does not answer any more, the page says that it may be out of date."""
    (tmp_path / "saga.py").write_text(SAGA)
    command = [
        sys.executable,
        "-m",
        "automa",
        "run",
        "saga.py",
        "--store",
        "sqlite:///runs.db",
        "--run-id",
        "one",
        "-q",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    ui = subprocess.Popen(
        [sys.executable, "-m", "automa", "ui", "--store", f"sqlite:///{tmp_path / 'runs.db'}", "--port", "0"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    ) if _appears(tmp_path / "runs.db") else None  # fmt: skip
    page = pages.open(ui.stdout.readline().strip())
    page.locator("#live", has_text="live").wait_for()
    ui.send_signal(signal.SIGTERM)
    page.locator("#live", has_text="no connection").wait_for()
    ui.communicate(timeout=30)
    process.kill()
    process.wait()
    pages.problems = [each for each in pages.problems if "ERR_" not in each]


def _appears(path):
    from tests.web.serving import until

    return until(path.exists)
