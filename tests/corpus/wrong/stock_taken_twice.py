"""A reservation is entered once, but the stock beside it is lowered at each call, whether or not the row is new."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

BUG = ("reserve", "idempotent_run")
STATE = {"order": "A-17", "sku": "bolt", "quantity": 30}

SCHEMA = """
CREATE TABLE stock (sku TEXT PRIMARY KEY, quantity INTEGER);
CREATE TABLE reservations (order_id TEXT PRIMARY KEY, sku TEXT, quantity INTEGER);
CREATE TABLE pick_lists (order_id TEXT PRIMARY KEY);
INSERT INTO stock VALUES ('bolt', 100), ('nut', 90);
"""


def make_world():
    return SqliteWorld(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            yield db

    @step
    def reserve(ctx):
        order, sku, quantity = (ctx.shared[name] for name in ("order", "sku", "quantity"))
        with transaction() as db:
            db.execute("INSERT OR REPLACE INTO reservations VALUES (?, ?, ?)", (order, sku, quantity))
            db.execute("UPDATE stock SET quantity = quantity - ? WHERE sku = ?", (quantity, sku))

    @reserve.undo
    def release(ctx):
        order, sku, quantity = (ctx.shared[name] for name in ("order", "sku", "quantity"))
        with transaction() as db:
            gone = db.execute("DELETE FROM reservations WHERE order_id = ?", (order,))
            if gone.rowcount:
                db.execute("UPDATE stock SET quantity = quantity + ? WHERE sku = ?", (quantity, sku))

    @step
    def pick_list(ctx):
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO pick_lists VALUES (?)", (ctx.shared["order"],))

    @pick_list.undo
    def drop_pick_list(ctx):
        with transaction() as db:
            db.execute("DELETE FROM pick_lists WHERE order_id = ?", (ctx.shared["order"],))

    return Workflow("fulfil", [reserve, pick_list])
