"""A directory service gets a new account and its group over HTTP: PUT may be repeated, DELETE may find nothing."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request

from automa import Workflow, step

STATE = {"login": "ada", "group": "research"}


class Directory:
    """The directory service: a server that keeps what is put into it."""

    in_memory = True

    def __init__(self):
        entries = self.entries = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                entries[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.answer(204)

            def do_DELETE(self):
                self.answer(404 if entries.pop(self.path, None) is None else 204)

            def answer(self, status):
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reset(self):
        self.entries.clear()

    def snapshot(self):
        return dict(sorted(self.entries.items()))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def make_world():
    return Directory()


def make_workflow(world):
    def call(method, path, body=None):
        request = urllib.request.Request(world.url + path, method=method, data=body)  # noqa: S310
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310
            pass

    def delete(path):
        try:
            call("DELETE", path)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != http.HTTPStatus.NOT_FOUND:
                raise

    @step
    def account(ctx):
        call("PUT", f"/accounts/{ctx.shared['login']}", b"active")

    @account.undo
    def remove_account(ctx):
        delete(f"/accounts/{ctx.shared['login']}")

    @step
    def membership(ctx):
        call("PUT", f"/groups/{ctx.shared['group']}/{ctx.shared['login']}", b"member")

    @membership.undo
    def remove_membership(ctx):
        delete(f"/groups/{ctx.shared['group']}/{ctx.shared['login']}")

    return Workflow("onboard", [account, membership])
