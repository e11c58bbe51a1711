"""A charge is never deleted: its undo books an entry against it, once, and the balances are as before."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

STATE = {"order": 5, "account": "ada", "amount": 40}

SCHEMA = """
CREATE TABLE entries (order_id INTEGER, kind TEXT, account TEXT, amount INTEGER, UNIQUE (order_id, kind));
CREATE TABLE shipments (order_id INTEGER PRIMARY KEY);
INSERT INTO entries VALUES (1, 'deposit', 'ada', 100);
"""


class Ledger(SqliteWorld):
    """A ledger: what counts are the balances."""

    def snapshot(self):
        with contextlib.closing(self.connect()) as db:
            balances = db.execute("SELECT account, SUM(amount) FROM entries GROUP BY account").fetchall()
            shipments = db.execute("SELECT order_id FROM shipments").fetchall()
        return {"balances": dict(balances), "shipments": sorted(row[0] for row in shipments)}


def make_world():
    return Ledger(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            yield db

    @step
    def charge(ctx):
        entry = (ctx.shared["order"], ctx.shared["account"], -ctx.shared["amount"])
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO entries VALUES (?, 'charge', ?, ?)", entry)

    @charge.undo
    def reverse(ctx):
        with transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO entries"
                " SELECT order_id, 'reversal', account, -amount FROM entries WHERE order_id = ? AND kind = 'charge'",
                (ctx.shared["order"],),
            )

    @step
    def ship(ctx):
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO shipments VALUES (?)", (ctx.shared["order"],))

    @ship.undo
    def call_back(ctx):
        with transaction() as db:
            db.execute("DELETE FROM shipments WHERE order_id = ?", (ctx.shared["order"],))

    return Workflow("sell", [charge, ship])
