"""Sees that runs whose worker has died go on: DBOS by itself leaves them to a worker of the same name.

Each worker *beats*: it renews a row of its own, a lease. A worker whose lease has run out is dead, or frozen;
the first who sees it has its runs carried on by others. What a frozen one records afterwards, DBOS refuses:
each time a run is taken it gets a new owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg

from automa.engines.dbos.names import BRANCH, TURN, branches_of
from automa.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from dbos import DBOSClient

    from automa.engines.dbos.database import Database

_log = logging.getLogger("automa.engines")

_BEGIN = """
INSERT INTO automa.leases (executor, beaten, seconds) VALUES (%s, clock_timestamp(), %s)
ON CONFLICT (executor) DO UPDATE SET beaten = clock_timestamp(), taken = false"""
_BEAT = b"UPDATE automa.leases SET beaten = clock_timestamp() WHERE executor = %s AND NOT taken"
_EXPIRED = b"""
SELECT executor FROM automa.leases
WHERE executor <> %s AND beaten + make_interval(secs => seconds) < clock_timestamp()
FOR UPDATE SKIP LOCKED"""
_TAKE = b"UPDATE automa.leases SET taken = true WHERE executor = ANY(%s)"
_FORGET = b"""
DELETE FROM automa.leases WHERE executor = ANY(%s) AND beaten < clock_timestamp() - interval '1 day'"""
_END = "DELETE FROM automa.leases WHERE executor = %s"


class Keeper:
    """Keeps the lease of a worker, and takes over the runs of those whose lease has run out.

    A worker that could not beat for a whole lease begins no step until it has beaten again: others may have
    its runs. If they have, it lets go of all of them first.

    Args:
        database: Where the leases are.
        executor: What the worker is called.
        lease: Seconds for which a beat is good.
    """

    def __init__(self, database: Database, executor: str, lease: float) -> None:
        self._database = database
        self._executor = executor
        self._lease = lease
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._beaten = float("-inf")  # since it begins no step before its first beat
        self._good_since: float | None = None
        self._has_beaten = asyncio.Event()

    async def permit(self) -> None:
        """Return once a step may begin: the last beat is still good."""
        while time.monotonic() - self._beaten > self._lease:
            self._has_beaten.clear()
            await self._has_beaten.wait()

    async def begin(self) -> None:
        """Beat for the first time: before any run is taken.

        Raises:
            EngineError: Where the database cannot be used.
        """
        beaten = time.monotonic()
        await asyncio.to_thread(self._database.execute, _BEGIN, self._executor, self._lease)
        self._note(beaten)

    async def put_back(self, workflow: str, queue: str) -> None:
        """Put a turn or a branch into the queue to which it belongs, where DBOS gave it to this worker."""
        await asyncio.to_thread(
            self._database.ask, lambda client: client.resume_workflow(workflow, queue_name=queue)
        )

    async def keep(self, let_go: Callable[[], Awaitable[None]]) -> None:
        """Beat, and take over what is left behind, until cancelled.

        Args:
            let_go: Ends all that the worker carries; called when others have taken its runs.
        """
        try:
            while True:
                try:
                    async with asyncio.timeout(self._lease / 2):
                        await self._beat(let_go)
                    if self._is_steady():
                        await self._take()
                except (psycopg.Error, EngineError, TimeoutError) as error:
                    self._good_since = None
                    _log.warning("no beat at %s: %s", self._database.place, str(error).partition("\n")[0])
                    await self._disconnect()
                await asyncio.sleep(self._lease / _BEATS)
        finally:
            await self._disconnect()

    async def end(self) -> None:
        """Leave what the worker has carried to the others, at once, once it carries nothing any more.

        Raises:
            EngineError: Where the database is away for too long: they take it once the lease has run out.
        """
        await self._release([self._executor])
        await asyncio.to_thread(self._database.execute, _END, self._executor)

    async def _beat(self, let_go: Callable[[], Awaitable[None]]) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = await self._database.connection()
        beaten = time.monotonic()
        cursor = await self._connection.execute(_BEAT, [self._executor])
        if cursor.rowcount == 0:
            _log.warning("the runs of this worker (%s) were taken over: it lets go of them", self._executor)
            await let_go()
            await self._release([self._executor])  # what it took after that
            self._good_since = None
            beaten = time.monotonic()
            await self._connection.execute(_BEGIN.encode(), [self._executor, self._lease])
        self._note(beaten)

    def _note(self, beaten: float) -> None:
        """Note a good beat; it counts from before it was sent."""
        if self._good_since is None or beaten - self._beaten > self._lease / 2:
            self._good_since = beaten
        self._beaten = beaten
        self._has_beaten.set()

    def _is_steady(self) -> bool:
        """Whether it has beaten for a whole lease: others could have too, had only the database been away."""
        return self._good_since is not None and time.monotonic() - self._good_since >= self._lease

    async def _take(self) -> None:
        """Have the runs of dead workers carried on.

        The rows stay locked meanwhile: one worker does it, and one that awakens waits until it is done.
        A dead worker is looked at for a day: it may have awoken, and taken a run, before it died at last.
        """
        assert self._connection is not None  # noqa: S101  # it has just beaten
        async with self._connection.transaction():
            cursor = await self._connection.execute(_EXPIRED, [self._executor])
            dead = [executor for (executor,) in await cursor.fetchall()]
            if dead:
                await self._release(dead)
                await self._connection.execute(_TAKE, [dead])
                await self._connection.execute(_FORGET, [dead])

    async def _release(self, executors: Sequence[str]) -> None:
        """Put back into their queues the turns and branches that workers have carried."""

        def call(client: DBOSClient) -> int:
            seen = time.monotonic()
            found = client.list_workflows(
                status="PENDING", executor_id=list(executors), name=[TURN, BRANCH],
                load_input=False, load_output=False,
            )  # fmt: skip
            queues: dict[str, list[str]] = {}
            for each in found:
                queue = (each.attributes or {})["queue"]
                ids = queues.setdefault(queue if each.name == TURN else branches_of(queue), [])
                ids.append(each.workflow_id)
            for queue, ids in queues.items():
                if time.monotonic() - seen > self._lease:
                    raise EngineError(
                        "this worker stood still meanwhile: what it has seen may be out of date"
                    )
                client.resume_workflows(ids, queue_name=queue)
            return len(found)

        count = await asyncio.to_thread(self._database.ask, call)
        if count:
            _log.warning("%d runs and branches of %s go back into their queues", count, ", ".join(executors))

    async def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                await self._connection.close()
            self._connection = None


_BEATS = 6  # in a lease
