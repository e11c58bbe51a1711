"""What runs are told from outside: rows of which each worker knows, since Postgres notifies it of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import psycopg

from automa.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from automa.engines.dbos.database import Database

_log = logging.getLogger("automa.engines")

POST = """
WITH changed AS (
    INSERT INTO automa.notices (target, note) VALUES (%s, %s) ON CONFLICT (target) DO NOTHING RETURNING target
)
SELECT pg_notify('automa_notices', target) FROM changed"""
"""Tells a target something; told again it changes nothing."""

_REMOVE = """
WITH changed AS (DELETE FROM automa.notices WHERE target = %s RETURNING target)
SELECT pg_notify('automa_notices', target) FROM changed"""
_LISTEN = b"LISTEN automa_notices"
_ALL = b"SELECT target, note FROM automa.notices"
_THESE = b"SELECT target, note FROM automa.notices WHERE target = ANY(%s)"
_EVERY = 1.0  # seconds between two looks at least: what stands between may swallow notifications
_PAUSE = 0.5  # seconds before a database that is away is asked again


class Notices:
    """Knows the notices to all runs, so that to take one up asks nothing of the database.

    A run that is taken up in the very moment in which it is told something may begin a step before it hears.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heard_by: dict[str, list[Callable[[str], object]]] = {}
        self._known: dict[str, str] = {}
        self._is_current = asyncio.Event()

    async def current(self) -> None:
        """Return once the notices are known: at once, but where the database is or was away."""
        await self._is_current.wait()

    @contextlib.contextmanager
    def heard(self, targets: Mapping[str, Callable[[str], object]]) -> Iterator[None]:
        """Have functions called with the notices to targets, those of before included."""
        for target, hear in targets.items():
            self._heard_by.setdefault(target, []).append(hear)
            if target in self._known:
                hear(self._known[target])
        try:
            yield
        finally:
            for target, hear in targets.items():
                self._heard_by[target].remove(hear)
                if not self._heard_by[target]:
                    del self._heard_by[target]

    async def post(self, target: str, note: str) -> None:
        """Tell a target something, durably; a database that is away is waited for."""
        for hear in tuple(self._heard_by.get(target, ())):
            hear(note)
        await self._execute(POST, target, note)

    async def remove(self, target: str) -> None:
        """Forget what a target was told: nobody will ask any more."""
        await self._execute(_REMOVE, target)

    async def _execute(self, query: str, *parameters: str) -> None:
        while True:
            try:
                await asyncio.to_thread(self._database.execute, query, *parameters)
            except EngineError as error:
                _log.warning("%s", error)
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def look(self) -> None:
        """Learn of notices, until cancelled."""
        while True:
            try:
                async with await self._database.connection() as connection:
                    await self._listen(connection)
            except psycopg.Error as error:
                said = str(error).partition("\n")[0]
                _log.warning("notices at %s cannot be used: %s", self._database.place, said)
            finally:
                self._is_current.clear()
            await asyncio.sleep(_PAUSE)

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.execute(_LISTEN)  # before they are read: so none is missed
        found = await (await connection.execute(_ALL)).fetchall()
        self._learn({*self._known, *self._heard_by}, found)
        self._is_current.set()
        while True:
            changed = {each.payload async for each in connection.notifies(timeout=_EVERY, stop_after=1)}
            targets = changed or set(self._heard_by)
            if targets:
                found = await (await connection.execute(_THESE, [list(targets)])).fetchall()
                self._learn(targets, found)

    def _learn(self, targets: Collection[str], found: list[tuple[str, str]]) -> None:
        """Take what was found of targets for what there is."""
        told = dict(found)
        for target in targets:
            if target not in told:
                self._known.pop(target, None)
        self._known |= told
        for target, note in told.items():
            for hear in tuple(self._heard_by.get(target, ())):
                hear(note)
