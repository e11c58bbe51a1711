"""A migration adds a column, fills it and raises the version; each part can be told from the database itself."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO customers (name) VALUES ('Ada'), ('Grace');
PRAGMA user_version = 1;
"""


class Customers(SqliteWorld):
    """The database, looked at with its columns and its version."""

    def snapshot(self):
        with contextlib.closing(self.connect()) as db:
            columns = [row[1] for row in db.execute("PRAGMA table_info(customers)")]
            rows = [list(row) for row in db.execute("SELECT * FROM customers ORDER BY id")]
            (version,) = db.execute("PRAGMA user_version").fetchone()
        return {"columns": columns, "rows": rows, "version": version}


def make_world():
    return Customers(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def database():
        with contextlib.closing(world.connect()) as db, db:
            yield db

    def has_greeting(db):
        return "greeting" in [row[1] for row in db.execute("PRAGMA table_info(customers)")]

    @step
    def add_column(ctx):
        with database() as db:
            if not has_greeting(db):
                db.execute("ALTER TABLE customers ADD COLUMN greeting TEXT")

    @add_column.undo
    def drop_column(ctx):
        with database() as db:
            if has_greeting(db):
                db.execute("ALTER TABLE customers DROP COLUMN greeting")

    @step
    def fill(ctx):
        with database() as db:
            done = db.execute("UPDATE customers SET greeting = 'Dear ' || name WHERE greeting IS NULL")
        return {"filled": done.rowcount}

    @fill.undo
    def empty(ctx):
        with database() as db:
            if has_greeting(db):
                db.execute("UPDATE customers SET greeting = NULL")

    @step
    def raise_version(ctx):
        with database() as db:
            db.execute("PRAGMA user_version = 2")

    @raise_version.undo
    def lower_version(ctx):
        with database() as db:
            db.execute("PRAGMA user_version = 1")

    return Workflow("migrate-to-2", [add_column, fill, raise_version])
