"""A deposit is paid over HTTP under an idempotency key and found again by its order; then the booking is confirmed."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.request

from automa import Retry, Workflow, step

STATE = {"order": "o-9", "amount": 50}


class Provider:
    """A payment provider, and the bookings of a hotel."""

    in_memory = True

    def __init__(self):
        payments = self.payments = {}
        self.bookings = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                payment = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                payments.setdefault(self.headers["Idempotency-Key"], payment)
                self.answer(201)

            def do_DELETE(self):
                order = self.path.rpartition("/")[2]
                for key in [key for key, payment in payments.items() if payment["order"] == order]:
                    del payments[key]
                self.answer(204)

            def answer(self, status):
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reset(self):
        self.payments.clear()
        self.bookings.clear()

    def snapshot(self):
        paid = sorted([payment["order"], payment["amount"]] for payment in self.payments.values())
        return {"paid": paid, "bookings": dict(self.bookings)}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def make_world():
    return Provider()


def make_workflow(world):
    def call(request):
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310
            pass

    @step(retry=Retry(attempts=3, initial=0.001, on=OSError), undo_retry=Retry(attempts=5, initial=0.001))
    def pay(ctx):
        body = json.dumps({"order": ctx.shared["order"], "amount": ctx.shared["amount"]}).encode()
        headers = {"Idempotency-Key": ctx.idempotency_key}
        call(urllib.request.Request(f"{world.url}/payments", data=body, headers=headers))  # noqa: S310
        ctx.record_effect("payment", ctx.shared["order"], amount=ctx.shared["amount"])

    @pay.undo
    def pay_back(ctx):
        url = f"{world.url}/payments/{ctx.shared['order']}"
        call(urllib.request.Request(url, method="DELETE"))  # noqa: S310

    @step
    def confirm(ctx):
        world.bookings[ctx.shared["order"]] = "confirmed"

    @confirm.undo
    def withdraw(ctx):
        world.bookings.pop(ctx.shared["order"], None)

    return Workflow("booking", [pay, confirm])
