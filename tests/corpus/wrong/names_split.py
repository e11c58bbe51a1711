"""A migration splits names into two columns; its undo joins them with a space, also where there was one name only."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

BUG = ("split", "undo_restores")

SCHEMA = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE migrations (number INTEGER PRIMARY KEY);
INSERT INTO people (name) VALUES ('Ada Lovelace'), ('Colette'), ('Grace Hopper');
INSERT INTO migrations VALUES (1);
"""


def make_world():
    return SqliteWorld(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            db.execute("BEGIN")
            yield db

    def columns(db):
        return [row[1] for row in db.execute("PRAGMA table_info(people)")]

    @step
    def split():
        with transaction() as db:
            if "first" in columns(db):
                return
            db.execute("ALTER TABLE people ADD COLUMN first TEXT")
            db.execute("ALTER TABLE people ADD COLUMN last TEXT")
            for number, name in db.execute("SELECT id, name FROM people").fetchall():
                first, _, last = name.partition(" ")
                db.execute("UPDATE people SET first = ?, last = ? WHERE id = ?", (first, last, number))
            db.execute("ALTER TABLE people DROP COLUMN name")

    @split.undo
    def join():
        with transaction() as db:
            if "first" not in columns(db):
                return
            db.execute("ALTER TABLE people ADD COLUMN name TEXT")
            db.execute("UPDATE people SET name = first || ' ' || last")
            db.execute("ALTER TABLE people DROP COLUMN first")
            db.execute("ALTER TABLE people DROP COLUMN last")

    @step
    def enter():
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO migrations VALUES (2)")

    @enter.undo
    def strike_out():
        with transaction() as db:
            db.execute("DELETE FROM migrations WHERE number = 2")

    return Workflow("migration-2", [split, enter])
