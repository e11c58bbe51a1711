"""A customer is entered, and the row itself returned, as the database driver has it: a journal cannot keep that."""

from __future__ import annotations

import contextlib
import sqlite3

from automa import Workflow, step
from automa.testing import SqliteWorld

BUG = ("customer", "state_survives")
IS_NOT_JSON = True
STATE = {"name": "Ada"}

SCHEMA = """
CREATE TABLE customers (name TEXT PRIMARY KEY, discount INTEGER DEFAULT 5);
CREATE TABLE letters (name TEXT PRIMARY KEY);
"""


def make_world():
    return SqliteWorld(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            db.row_factory = sqlite3.Row
            yield db

    @step
    def customer(ctx):
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO customers (name) VALUES (?)", (ctx.shared["name"],))
            found = db.execute("SELECT * FROM customers WHERE name = ?", (ctx.shared["name"],))
            return found.fetchone()

    @customer.undo
    def delete_customer(ctx):
        with transaction() as db:
            db.execute("DELETE FROM customers WHERE name = ?", (ctx.shared["name"],))

    @step
    def welcome(ctx):
        if ctx.results["customer"]["discount"]:
            with transaction() as db:
                db.execute("INSERT OR IGNORE INTO letters VALUES (?)", (ctx.shared["name"],))

    @welcome.undo
    def tear_up(ctx):
        with transaction() as db:
            db.execute("DELETE FROM letters WHERE name = ?", (ctx.shared["name"],))

    return Workflow("new-customer", [customer, welcome])
