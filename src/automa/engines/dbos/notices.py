"""What runs are told from outside: rows that each worker looks up for all that it carries, in one query."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from automa.engines.dbos.database import Database

_log = logging.getLogger("automa.engines")

POST = "INSERT INTO automa.notices (target, note) VALUES (%s, %s) ON CONFLICT (target) DO NOTHING"
"""Tells a target something; told again it changes nothing."""

_REMOVE = b"DELETE FROM automa.notices WHERE target = %s"
_READ = b"SELECT target, note FROM automa.notices WHERE target = ANY(%s)"
_EVERY = 0.2  # seconds between two looks
_APART = 0.03  # seconds between two looks at least: runs that are taken together share one
_PAUSE = 0.5  # seconds before a database that is away is asked again


class Notices:
    """Looks up the notices to the runs that a worker carries.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heard_by: dict[str, list[Callable[[str], object]]] = {}
        self._unread: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._connection: psycopg.AsyncConnection[Any] | None = None

    @contextlib.contextmanager
    def heard(self, targets: Mapping[str, Callable[[str], object]]) -> Iterator[asyncio.Future[None]]:
        """Have functions called with the notices to targets; give what is done once a first look is over."""
        for target, hear in targets.items():
            self._heard_by.setdefault(target, []).append(hear)
        read = asyncio.get_running_loop().create_future()
        self._unread.append(read)
        self._wake.set()
        try:
            yield read
        finally:
            for target, hear in targets.items():
                self._heard_by[target].remove(hear)
                if not self._heard_by[target]:
                    del self._heard_by[target]

    async def post(self, target: str, note: str) -> None:
        """Tell a target something, durably; a database that is away is waited for."""
        for hear in tuple(self._heard_by.get(target, ())):
            hear(note)
        await self._execute(POST.encode(), [target, note])

    async def remove(self, target: str) -> None:
        """Forget what a target was told: nobody will ask any more."""
        await self._execute(_REMOVE, [target])

    async def _execute(self, query: bytes, parameters: list[str]) -> None:
        while True:
            try:
                await (await self._connected()).execute(query, parameters)
            except psycopg.Error as error:
                await self._lost(error)
            else:
                return

    async def look(self) -> None:
        """Look notices up, again and again, until cancelled."""
        try:
            while True:
                if self._heard_by:
                    await self._read()
                await asyncio.sleep(_APART)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _EVERY)
                self._wake.clear()
        finally:
            if self._connection is not None:
                await self._connection.close()

    async def _read(self) -> None:
        unread, self._unread = self._unread, []
        try:
            cursor = await (await self._connected()).execute(_READ, [list(self._heard_by)])
            found = await cursor.fetchall()
        except psycopg.Error as error:
            self._unread += unread
            await self._lost(error)
            return
        for target, note in found:
            for hear in tuple(self._heard_by.get(target, ())):
                hear(note)
        for each in unread:
            if not each.done():
                each.set_result(None)

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._database.connection()
        return self._connection

    async def _lost(self, error: psycopg.Error) -> None:
        _log.warning("notices at %s cannot be used: %s", self._database.place, str(error).partition("\n")[0])
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        await asyncio.sleep(_PAUSE)
