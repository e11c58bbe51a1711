"""A worker: carries on the runs of the workflows it has, for an engine on DBOS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dbos import DBOS, DBOSPortableJSONSerializer
from sqlalchemy.exc import DBAPIError

from automa.engines.dbos.carrier import Carrier, serve_with
from automa.engines.dbos.keeper import Keeper
from automa.engines.dbos.names import (
    APPLICATION,
    APPLICATION_VERSION,
    TURN,
    branches_of,
    queue_of,
    version_in,
)
from automa.engines.dbos.notices import Notices
from automa.engines.engine import WorkerBase
from automa.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dbos import DBOSClient

    from automa._core.protocols import Observer
    from automa.engines.dbos.database import Database
    from automa.workflow import Workflow

_log = logging.getLogger("automa.engines")

_TURNS_POLLED, _BRANCHES_POLLED = 0.1, 0.5  # seconds between two looks into a queue

_one = threading.Lock()


class DbosWorker(WorkerBase):
    """Carries on runs of an engine on DBOS. DBOS is there once in a process: so one worker serves at a time.

    A worker that stops lets the steps at work end, and leaves its runs to the others. One that dies has them
    taken over, once its lease has run out.

    Args:
        database: The Postgres of the engine.
        workflows: Those whose runs it carries on.
        resources: Live objects for the steps.
        observers: Those who hear of the records of each run.
        lease: Seconds after which a worker that does not beat is taken for dead.
        grace: Seconds to wait for steps at work when it stops.
        runs_at_once: How many runs it carries on at most, of each workflow and version.
    """

    def __init__(  # noqa: PLR0913  # what an engine has been told
        self,
        database: Database,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
        lease: float,
        grace: float,
        runs_at_once: int,
    ) -> None:
        super().__init__(workflows, resources=resources, observers=observers)
        self._database = database
        self._lease = lease
        self._grace = grace
        self._runs_at_once = runs_at_once
        self._is_stopped = threading.Event()
        self._wake: Callable[[], object] | None = None

    def stop(self) -> None:
        """Have `serve` come to its end; it may be called from any thread, and by the handler of a signal."""
        self._is_stopped.set()
        if self._wake is not None:
            self._wake()

    async def serve(self) -> None:
        """Carry on runs on the running event loop, until `stop` is called; steps at work then end first.

        Raises:
            EngineError: Where the database cannot be used, or another worker serves in this process.
        """
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            if not self._is_stopped.is_set():
                with _the_only_one():
                    await self._served(stopped)
        finally:
            self._wake = None

    async def _served(self, stopped: asyncio.Event) -> None:
        queues = [queue_of(*each) for each in self.host.workflows]
        await asyncio.to_thread(self._register, queues)
        executor = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        notices = Notices(self._database)
        keeper = Keeper(self._database, executor, self._lease)
        carrier = Carrier(self.host, notices, keeper)
        await keeper.begin()
        beside = [
            asyncio.ensure_future(each)
            for each in (stopped.wait(), keeper.keep(carrier.let_go), notices.look())
        ]
        try:
            serve_with(carrier)
            self._launch(executor, queues)
            _log.info("worker %s carries on runs at %s", executor, self._database.place)
            await asyncio.wait(beside, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await carrier.close(self._grace)
            serve_with(None)
            await _in_thread(DBOS.destroy)
            # DBOS has put its own there, and has ended it.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
            ended = [each for each in beside if each.done()]
            for each in beside:
                each.cancel()
            await asyncio.wait(beside)
        try:
            await keeper.end()
        except EngineError as error:
            _log.warning("the runs of this worker wait until its lease has run out: %s", error)
        for each in ended:
            each.result()  # raises what has ended it, but for a stop

    def _register(self, queues: list[str]) -> None:
        """Make the queues of the workflows known, and tell of runs that other workers have to carry on."""

        def call(client: DBOSClient) -> None:
            for queue in queues:
                client.register_queue(
                    queue, worker_concurrency=self._runs_at_once, polling_interval_sec=_TURNS_POLLED
                )
                # No limit here: a run waits for its branches.
                client.register_queue(branches_of(queue), polling_interval_sec=_BRANCHES_POLLED)
            waiting = client.list_workflows(
                name=TURN, status=["ENQUEUED", "PENDING"], load_input=False, load_output=False
            )
            self._tell_of({each.queue_name for each in waiting if each.queue_name}, waiting)

        self._database.ask(call)

    def _tell_of(self, queues: set[str], waiting: list[Any]) -> None:
        for queue in sorted(queues):
            workflow_id, version = version_in(queue)
            known = {version for each, version in self.host.workflows if each == workflow_id}
            if known and version not in known:
                count = sum(each.queue_name == queue for each in waiting)
                _log.warning(
                    "%d runs of workflow %s go on with version %s, which this worker does not have "
                    "(it has %s): they are left to workers that do",
                    count, workflow_id, version, ", ".join(sorted(known)),
                )  # fmt: skip

    def _launch(self, executor: str, queues: list[str]) -> None:
        logger = logging.getLogger("dbos")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else DBOS adds one that prints
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._database.url,
                "application_version": APPLICATION_VERSION,
                "executor_id": executor,
                "serializer": DBOSPortableJSONSerializer(),
                "sys_db_idle_transaction_timeout_sec": self._lease,
                "enable_otlp": False,
                "log_level": "ERROR",  # what befalls the database the keeper tells
            }
        )
        if DBOS.executor_id != executor:
            raise EngineError("DBOS is in use in this process already: a worker needs a process of its own")
        DBOS.listen_queues([name for queue in queues for name in (queue, branches_of(queue))])
        try:
            DBOS.launch()  # on this thread: so it has its workflows run on this event loop
        except DBAPIError as error:
            raise EngineError(self._database.told(error.orig)) from error.orig


@contextlib.contextmanager
def _the_only_one() -> Iterator[None]:
    if not _one.acquire(blocking=False):
        raise EngineError(
            "a worker serves in this process already, and DBOS is there once in a process: start another "
            "process, or give one worker all workflows"
        )
    try:
        yield
    finally:
        _one.release()


async def _in_thread(call: Callable[[], object]) -> None:
    """Call in a thread of its own: the pool of the event loop is one that DBOS shuts down."""
    done = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def work() -> None:
        try:
            call()
        finally:
            loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=work, name="automa stops DBOS").start()
    await done
