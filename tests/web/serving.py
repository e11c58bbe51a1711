"""A real server for tests, and who asks it as a browser does."""

from __future__ import annotations

import contextlib
import html
import re
import time
from urllib.parse import urlencode

import httpx

from automa.web.server import Access, WebServer


class Browser:
    """Keeps cookies, and sends what a browser sends."""

    def __init__(self, server, *, enters=True):
        self.server = server
        self.base = f"http://127.0.0.1:{server.port}"
        self.client = httpx.Client(base_url=self.base, timeout=30, trust_env=False)
        if enters:
            self.client.get(server.url.removeprefix(self.base), follow_redirects=True).raise_for_status()

    def get(self, path, **options):
        return self.client.get(path, **options)

    def run(self, run_id, workflow_id="order"):
        return self.get(f"/run?{urlencode({'workflow': workflow_id, 'run': run_id})}")

    def form(self, kind, run_id, step="", workflow_id="order", **fields):
        """Return the fields of the form that asks, as the page has them; then those that are given."""
        query = urlencode({"workflow": workflow_id, "run": run_id, "kind": kind, "step": step})
        page = self.get(f"/ask?{query}")
        assert page.status_code == 200, page.text
        action = re.search(r'<form class="ask" method="post" action="([^"]*)">', page.text)
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
        assert action is not None, page.text
        form = {name: html.unescape(value) for name, value in hidden}
        return form | {"action": html.unescape(action[1]), "who": "Ann", "why": "to try"} | fields

    def post(self, form, **headers):
        path = form.get("action", "/act")
        fields = {name: value for name, value in form.items() if name != "action"}
        return self.client.post(path, data=fields, headers={"origin": self.base} | headers)

    def act(self, kind, run_id, step="", **fields):
        return self.post(self.form(kind, run_id, step, **fields))

    def close(self):
        self.client.close()


@contextlib.contextmanager
def serving(place, *workflows, resources=None, **access):
    """Serve, and yield a browser that has come by the address with the token."""
    server = WebServer(place, Access(**access), workflows, resources)
    with server.in_background():
        browser = Browser(server)
        try:
            yield browser
        finally:
            browser.close()


def text_of(response):
    """Return what a page says, without its marks."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", response.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def until(condition, seconds=30):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it has taken too long"
        time.sleep(0.02)
    return found
