"""An auditor gets an account and a role; nobody thought of taking the role away again."""

from __future__ import annotations

import contextlib

from automa import Workflow, step
from automa.testing import SqliteWorld

BUG = ("grant", "SAGA003")
STATE = {"login": "ada", "role": "auditor"}

SCHEMA = """
CREATE TABLE accounts (login TEXT PRIMARY KEY);
CREATE TABLE roles (login TEXT, role TEXT, UNIQUE (login, role));
CREATE TABLE desks (login TEXT PRIMARY KEY);
INSERT INTO accounts VALUES ('grace');
INSERT INTO roles VALUES ('grace', 'auditor');
"""


def make_world():
    return SqliteWorld(SCHEMA)


def make_workflow(world):
    def execute(statement, *values):
        with contextlib.closing(world.connect()) as db, db:
            db.execute(statement, values)

    @step
    def account(ctx):
        execute("INSERT OR IGNORE INTO accounts VALUES (?)", ctx.shared["login"])

    @account.undo
    def delete_account(ctx):
        execute("DELETE FROM accounts WHERE login = ?", ctx.shared["login"])

    @step
    def grant(ctx):
        execute("INSERT OR IGNORE INTO roles VALUES (?, ?)", ctx.shared["login"], ctx.shared["role"])

    @step
    def desk(ctx):
        execute("INSERT OR IGNORE INTO desks VALUES (?)", ctx.shared["login"])

    @desk.undo
    def free_desk(ctx):
        execute("DELETE FROM desks WHERE login = ?", ctx.shared["login"])

    return Workflow("auditor", [account, grant, desk])
