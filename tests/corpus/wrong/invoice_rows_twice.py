"""Back-office closes a month: its invoice is inserted with no key of its own, so a second call writes a second one."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

BUG = ("invoice", "idempotent_run")
STATE = {"customer": 7, "month": "2026-10"}

SCHEMA = """
CREATE TABLE hours (customer INTEGER, month TEXT, hours INTEGER, is_closed INTEGER DEFAULT 0);
CREATE TABLE invoices (id INTEGER PRIMARY KEY, customer INTEGER, month TEXT, total INTEGER);
INSERT INTO hours (customer, month, hours) VALUES (7, '2026-10', 12), (8, '2026-10', 3);
"""


def make_world():
    return SqliteWorld(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            yield db

    def of(ctx):
        return ctx.shared["customer"], ctx.shared["month"]

    @step
    def close_month(ctx):
        with transaction() as db:
            db.execute("UPDATE hours SET is_closed = 1 WHERE customer = ? AND month = ?", of(ctx))

    @close_month.undo
    def open_month(ctx):
        with transaction() as db:
            db.execute("UPDATE hours SET is_closed = 0 WHERE customer = ? AND month = ?", of(ctx))

    @step
    def invoice(ctx):
        with transaction() as db:
            db.execute(
                "INSERT INTO invoices (customer, month, total)"
                " SELECT customer, month, hours * 90 FROM hours WHERE customer = ? AND month = ?",
                of(ctx),
            )

    @invoice.undo
    def cancel(ctx):
        with transaction() as db:
            db.execute("DELETE FROM invoices WHERE customer = ? AND month = ?", of(ctx))

    return Workflow("close-month", [close_month, invoice])
