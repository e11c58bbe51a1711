"""A machine is ordered over HTTP; the undo takes its number from the result, which a run that failed does not have."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.request

from automa import Workflow, step

BUG = ("machine", "undo_tolerates_nothing")
STATE = {"name": "web-1"}


class Cloud:
    """A provider who keeps one machine for a name, and takes a deletion of nothing for done."""

    in_memory = True

    def __init__(self):
        machines, names = self.machines, self.names = {}, {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                _, kind, key = self.path.split("/")
                if kind == "machines":
                    machines.setdefault(key, f"m-{len(machines) + 1}")
                    self.answer({"number": machines[key]})
                else:
                    names[key] = "set"
                    self.answer({})

            def do_DELETE(self):
                _, kind, key = self.path.split("/")
                if kind == "machines":
                    for name in [name for name, number in machines.items() if number == key]:
                        del machines[name]
                else:
                    names.pop(key, None)
                self.answer({})

            def answer(self, value):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(value).encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reset(self):
        self.machines.clear()
        self.names.clear()

    def snapshot(self):
        return {"machines": dict(self.machines), "names": dict(self.names)}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def make_world():
    return Cloud()


def make_workflow(world):
    def call(method, path):
        request = urllib.request.Request(world.url + path, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return json.load(answer)

    @step
    def machine(ctx):
        return call("PUT", f"/machines/{ctx.shared['name']}")

    @machine.undo
    def give_back(ctx):
        call("DELETE", f"/machines/{ctx.result['number']}")

    @step
    def name(ctx):
        call("PUT", f"/names/{ctx.shared['name']}")

    @name.undo
    def free_name(ctx):
        call("DELETE", f"/names/{ctx.shared['name']}")

    return Workflow("machine", [machine, name])
