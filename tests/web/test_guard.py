"""Who may see and do what."""

from __future__ import annotations

import re
import socket

import pytest

from automa import Step, Workflow
from automa.stores import MemoryStore
from automa.web.guard import HEADERS, MOST_BYTES, hosts_of
from tests.web.serving import Browser, serving, text_of

order = Workflow("order", [Step("reserve", run=lambda: 1, undo=lambda: None)])


@pytest.fixture
def store():
    store = MemoryStore()
    order.start(store=store, run_id="first")
    return store


@pytest.fixture
def browser(store):
    with serving(store, order) as browser:
        yield browser


@pytest.fixture
def stranger(browser):
    """A browser that does not know the token."""
    stranger = Browser(browser.server, enters=False)
    yield stranger
    stranger.close()


PAGES = ["/", "/run?workflow=order&run=first", "/ask?workflow=order&run=first&kind=rollback", "/live/runs"]


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/?token="])
def test_without_the_token_nothing_is_shown(stranger, path):
    """Whoever has no session gets a page in words, and nothing about runs."""
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "first" not in answer.text
    assert "token" in text_of(answer)


def test_a_wrong_token_is_refused(stranger):
    """A token that is not that of the server gives no session."""
    answer = stranger.get(f"/?token={'x' * 43}")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_token_becomes_a_cookie_and_leaves_the_address(stranger):
    """The address with the token leads to one without it; the cookie is for this server's own pages alone."""
    answer = stranger.get(f"/?token={stranger.server.token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert stranger.server.token not in cookie
    assert "first" in stranger.get("/").text


@pytest.mark.parametrize("path", ["/run", "/nothing"])
def test_the_token_is_taken_at_every_address(stranger, path):
    """Whatever the path, a token leads to the list: none stays in an address."""
    assert stranger.get(f"{path}?token={stranger.server.token}").headers["location"] == "/"


@pytest.mark.parametrize(
    "change",
    [lambda text: text[:-1] + "0", lambda text: text.replace(".", "x", 1), lambda _: "a.b.c", lambda _: "é"],
)
def test_a_forged_session_is_none(stranger, browser, change):
    """A cookie that this server has not signed is worth nothing."""
    name, value = next(iter(browser.client.cookies.items()))
    forged = change(value) if change(value) != value else value[:-1] + "1"
    assert stranger.get("/", headers={"cookie": f"{name}={forged}".encode()}).status_code == 401


def test_a_session_ends(browser, monkeypatch):
    """A session that is half a day old is none any more."""
    import automa.web.guard as guard

    now = guard.time.time()
    monkeypatch.setattr(guard.time, "time", lambda: now + 12 * 3600 + 1)
    assert browser.get("/").status_code == 401


@pytest.mark.parametrize(
    "host", ["attacker.example", "127.0.0.1", "127.0.0.1:1", "localhost.attacker.example:{port}", ""]
)
def test_a_host_that_is_not_ours_is_refused(browser, host):
    """A name that somebody else made to lead here shows nothing, with a session or without (DNS rebinding)."""
    answer = browser.get("/", headers={"host": host.format(port=browser.server.port)})
    assert answer.status_code == 403
    assert "first" not in answer.text


def test_two_hosts_in_one_request_are_refused(browser):
    """A request that names two hosts is not believed either of them."""
    with socket.create_connection(("127.0.0.1", browser.server.port)) as raw:
        host = f"127.0.0.1:{browser.server.port}"
        raw.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert raw.recv(100).split()[1] in {b"400", b"403"}


def test_the_names_of_this_machine_are_ours(browser):
    """On loopback, localhost and its addresses are names of the server, in capitals too."""
    for name in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]"):
        assert browser.get("/", headers={"host": f"{name}:{browser.server.port}"}).status_code == 200


def test_a_name_can_be_allowed(store):
    """A server behind a proxy is asked by the name of the proxy."""
    with serving(store, order, allowed=("Runs.Example.org",)) as browser:
        assert browser.get("/", headers={"host": "runs.example.org"}).status_code == 200
        answer = browser.post(
            browser.form("rollback", "first"), host="runs.example.org", origin="https://runs.example.org"
        )
        assert answer.status_code == 303
    assert hosts_of("192.0.2.1", 80, ()) == {"192.0.2.1:80"}
    assert "[::1]:80" in hosts_of("::1", 80, ())


@pytest.mark.parametrize(
    "origin", ["http://attacker.example", "null", "", "http://127.0.0.1:1", "ftp://127.0.0.1:{port}"]
)
def test_a_form_from_elsewhere_is_refused(browser, store, origin):
    """A form with a session and its proof is still refused where its page is not of this server."""
    form = browser.form("rollback", "first")
    answer = browser.post(form, origin=origin.format(port=browser.server.port))
    assert answer.status_code == 403
    assert [run.status for run in store.runs()] == ["succeeded"]


def test_a_form_without_an_origin_is_refused(browser):
    """Every browser tells from where a form was sent: what does not is none."""
    form = browser.form("rollback", "first")
    assert browser.client.post(form["action"], data=form).status_code == 403


@pytest.mark.parametrize("csrf", [None, "", "0" * 64, "é"])
def test_a_form_without_the_proof_is_refused(browser, store, csrf):
    """A form must carry what its own page of this session had in it."""
    form = browser.form("rollback", "first")
    form = {name: value for name, value in form.items() if name != "csrf"} | (
        {} if csrf is None else {"csrf": csrf}
    )
    assert browser.post(form).status_code == 403
    assert [run.status for run in store.runs()] == ["succeeded"]


def test_the_proof_of_another_session_is_refused(browser):
    """What a form of another session carries is of no use in this one."""
    other = Browser(browser.server)
    form = other.form("rollback", "first")
    other.close()
    assert browser.post(form).status_code == 403


def test_what_is_no_form_is_refused(browser):
    """JSON, a form with files and a form that is no text are refused; so is one that is too large."""
    form = browser.form("rollback", "first")
    origin = {"origin": browser.base}
    assert browser.client.post("/act", json={"csrf": form["csrf"]}, headers=origin).status_code == 415
    urlencoded = origin | {"content-type": "application/x-www-form-urlencoded"}
    assert browser.client.post("/act", content=b"\xff\xfe", headers=urlencoded).status_code == 400
    assert (
        browser.client.post(
            "/act", content="&".join("a=1" for _ in range(50)), headers=urlencoded
        ).status_code
        == 400
    )
    large = browser.post(form | {"why": "x" * MOST_BYTES})
    assert large.status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(browser, method):
    """Nothing but GET, HEAD and POST is answered."""
    answer = browser.client.request(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


def test_reading_only(store):
    """A server that is read-only shows all, asks nothing, and takes no form."""
    with serving(store, is_read_only=True) as browser:
        page = browser.run("first")
        assert "read-only" in text_of(page)
        assert "Roll back" not in page.text
        assert browser.get("/ask?workflow=order&run=first&kind=rollback").status_code == 403
        answer = browser.post({"kind": "rollback"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert [run.status for run in store.runs()] == ["succeeded"]


def test_without_a_token_forms_are_still_guarded(store):
    """With --no-token everybody is let in, and a form must come from a page of ours all the same."""
    with serving(store, order, has_token=False) as browser:
        assert browser.server.token is None
        form = browser.form("rollback", "first")
        assert browser.post(form, origin="http://attacker.example").status_code == 403
        assert browser.post(form | {"csrf": "0"}).status_code == 403
        assert browser.post(form).status_code == 303


@pytest.mark.parametrize(
    "path", [*PAGES[:3], "/nothing", "/static/automa.css", "/static/automa.js", "/static/nothing"]
)
def test_every_answer_says_what_it_may_do(browser, stranger, path):
    """Each response, refusals too, has the headers that bind a browser, each once."""
    for who in (browser, stranger):
        answer = who.get(path)
        for name, value in HEADERS:
            assert answer.headers.get_list(name.decode()) == [value.decode()], (path, name)
        assert "server" not in answer.headers


def test_no_page_has_script_or_style_in_it(browser):
    """The policy would not let them run: all is in files of the server."""
    for path in PAGES[:3]:
        page = browser.get(path).text
        assert page.count("<script") == page.count('<script src="/static/automa.js" defer></script>') == 1
        assert "<style" not in page
        assert " style=" not in page
        assert not re.search(r"<[^>]*\son\w+=", page)
