"""A ledger books a charge and, to undo it, an entry against it, with no look whether that is booked already."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

BUG = ("charge", "idempotent_undo")
STATE = {"order": 5, "account": "ada", "amount": 40}

SCHEMA = """
CREATE TABLE entries (id INTEGER PRIMARY KEY, order_id INTEGER, account TEXT, amount INTEGER, kind TEXT);
CREATE TABLE tickets (order_id INTEGER PRIMARY KEY);
INSERT INTO entries (order_id, account, amount, kind) VALUES (1, 'ada', 100, 'deposit');
"""


class Ledger(SqliteWorld):
    """A ledger: what counts are the balances, since no entry is ever deleted."""

    def snapshot(self):
        with contextlib.closing(self.connect()) as db:
            balances = db.execute(
                "SELECT account, SUM(amount) FROM entries GROUP BY account ORDER BY account"
            )
            tickets = db.execute("SELECT order_id FROM tickets ORDER BY order_id")
            return {"balances": dict(balances.fetchall()), "tickets": [row[0] for row in tickets]}


def make_world():
    return Ledger(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            yield db

    def is_booked(db, ctx, kind):
        row = db.execute("SELECT 1 FROM entries WHERE order_id = ? AND kind = ?", (ctx.shared["order"], kind))
        return row.fetchone() is not None

    def book(db, ctx, kind, amount):
        entry = (ctx.shared["order"], ctx.shared["account"], amount, kind)
        db.execute("INSERT INTO entries (order_id, account, amount, kind) VALUES (?, ?, ?, ?)", entry)

    @step
    def charge(ctx):
        with transaction() as db:
            if not is_booked(db, ctx, "charge"):
                book(db, ctx, "charge", -ctx.shared["amount"])

    @charge.undo
    def refund(ctx):
        with transaction() as db:
            if is_booked(db, ctx, "charge"):
                book(db, ctx, "refund", ctx.shared["amount"])

    @step
    def ticket(ctx):
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO tickets VALUES (?)", (ctx.shared["order"],))

    @ticket.undo
    def void(ctx):
        with transaction() as db:
            db.execute("DELETE FROM tickets WHERE order_id = ?", (ctx.shared["order"],))

    return Workflow("buy-ticket", [charge, ticket])
