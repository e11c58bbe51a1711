"""A member is entered with the moment of it, and gets a card; moments differ, and do not count for the comparison."""

from __future__ import annotations

import contextlib
import datetime

from automa import Workflow, step
from automa.testing import SqliteWorld

STATE = {"member": "ada"}

SCHEMA = """
CREATE TABLE members (name TEXT PRIMARY KEY, since TEXT);
CREATE TABLE cards (name TEXT PRIMARY KEY, issued TEXT, level TEXT);
INSERT INTO members VALUES ('grace', '1991-01-01');
"""


class Club(SqliteWorld):
    """The club's database without its moments."""

    def snapshot(self):
        with contextlib.closing(self.connect()) as db:
            members = [row[0] for row in db.execute("SELECT name FROM members ORDER BY name")]
            cards = [list(row) for row in db.execute("SELECT name, level FROM cards ORDER BY name")]
        return {"members": members, "cards": cards}


def make_world():
    return Club(SCHEMA)


def make_workflow(world):
    @contextlib.contextmanager
    def transaction():
        with contextlib.closing(world.connect()) as db, db:
            yield db

    def now():
        return datetime.datetime.now(datetime.UTC).isoformat()

    @step
    def join(ctx):
        with transaction() as db:
            db.execute("INSERT OR IGNORE INTO members VALUES (?, ?)", (ctx.shared["member"], now()))

    @join.undo
    def leave(ctx):
        with transaction() as db:
            db.execute("DELETE FROM members WHERE name = ?", (ctx.shared["member"],))

    @step
    def issue_card(ctx):
        with transaction() as db:
            db.execute("INSERT OR REPLACE INTO cards VALUES (?, ?, 'blue')", (ctx.shared["member"], now()))

    @issue_card.undo
    def void_card(ctx):
        with transaction() as db:
            db.execute("DELETE FROM cards WHERE name = ?", (ctx.shared["member"],))

    return Workflow("join", [join, issue_card])
