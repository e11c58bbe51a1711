"""Goods are taken from the stock in one transaction with the row that says so, then an invoice is written."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

STATE = {"order": "A-17", "sku": "bolt", "quantity": 30}

SCHEMA = """
CREATE TABLE stock (sku TEXT PRIMARY KEY, quantity INTEGER CHECK (quantity >= 0));
CREATE TABLE reservations (order_id TEXT PRIMARY KEY, sku TEXT, quantity INTEGER);
CREATE TABLE invoices (order_id TEXT PRIMARY KEY, lines INTEGER);
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
            new = db.execute("INSERT OR IGNORE INTO reservations VALUES (?, ?, ?)", (order, sku, quantity))
            if new.rowcount:
                db.execute("UPDATE stock SET quantity = quantity - ? WHERE sku = ?", (quantity, sku))

    @reserve.undo
    def release(ctx):
        order, sku, quantity = (ctx.shared[name] for name in ("order", "sku", "quantity"))
        with transaction() as db:
            gone = db.execute("DELETE FROM reservations WHERE order_id = ?", (order,))
            if gone.rowcount:
                db.execute("UPDATE stock SET quantity = quantity + ? WHERE sku = ?", (quantity, sku))

    @step
    def invoice(ctx):
        with transaction() as db:
            db.execute("INSERT OR REPLACE INTO invoices VALUES (?, 1)", (ctx.shared["order"],))

    @invoice.undo
    def cancel_invoice(ctx):
        with transaction() as db:
            db.execute("DELETE FROM invoices WHERE order_id = ?", (ctx.shared["order"],))

    return Workflow("fulfil", [reserve, invoice])
