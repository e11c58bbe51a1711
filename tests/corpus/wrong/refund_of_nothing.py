"""A fee is booked; the undo books it back, once, without a look whether it was ever booked."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

BUG = ("charge", "undo_tolerates_nothing")
STATE = {"permit": "p-4", "account": "ada", "fee": 25}

SCHEMA = """
CREATE TABLE entries (permit TEXT, kind TEXT, account TEXT, amount INTEGER, UNIQUE (permit, kind));
CREATE TABLE permits (number TEXT PRIMARY KEY, holder TEXT);
INSERT INTO entries VALUES ('p-1', 'deposit', 'ada', 80);
"""


class Registry(SqliteWorld):
    """The registry of permits; of the entries the balances count."""

    def snapshot(self):
        with contextlib.closing(self.connect()) as db:
            balances = db.execute("SELECT account, SUM(amount) FROM entries GROUP BY account").fetchall()
            permits = db.execute("SELECT number, holder FROM permits ORDER BY number").fetchall()
        return {"balances": dict(balances), "permits": dict(permits)}


def make_world():
    return Registry(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            yield db

    def book(ctx, kind, amount):
        entry = (ctx.shared["permit"], kind, ctx.shared["account"], amount)
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?)", entry)

    @step
    def charge(ctx):
        book(ctx, "fee", -ctx.shared["fee"])

    @charge.undo
    def refund(ctx):
        book(ctx, "refund", ctx.shared["fee"])

    @step
    def issue(ctx):
        permit = (ctx.shared["permit"], ctx.shared["account"])
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO permits VALUES (?, ?)", permit)

    @issue.undo
    def withdraw(ctx):
        with transaction() as db:
            db.execute("DELETE FROM permits WHERE number = ?", (ctx.shared["permit"],))

    return Workflow("permit", [charge, issue])
