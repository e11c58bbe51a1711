"""A process that a Restate server calls to carry on runs."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config
from restate.server import install_shutdown_hook

from automa.engines.engine import WorkerBase
from automa.engines.parts import log
from automa.engines.restate.handlers import Keeping, service
from automa.engines.restate.names import Target, name_of, prefix_of, service_of
from automa.engines.restate.server import Server, text
from automa.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from automa._core.protocols import Observer
    from automa.workflow import Workflow

LISTEN = "127.0.0.1:9080"
GRACE = 30.0  # seconds
INACTIVITY_TIMEOUT = 10.0
ABORT_TIMEOUT = 24 * 3600.0


class Pulse:
    """Tells whether this process was frozen a moment ago: then others have what it had at work.

    Whoever awakes finds in its sockets what came before it was given up, and after that the word that it was.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._steady_from = self._last

    async def beat(self) -> None:
        """Note the time, again and again."""
        while True:
            self._look()
            await asyncio.sleep(_GAP / 4)

    async def steady(self) -> None:
        """Wait, where we have been frozen, until we have heard of what was given up meanwhile."""
        self._look()
        while (left := self._steady_from - time.monotonic()) > 0:
            await asyncio.sleep(left)
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._last > _GAP:
            log.warning("this worker stood still for %.1f s", now - self._last)
            self._steady_from = now + _GAP
        self._last = now


class RestateWorker(WorkerBase):
    """Carries on runs that a Restate server hands to it.

    Workers that have the same workflows share an address: on one machine they listen on the same port, on
    several they stand behind a balancer that knows HTTP/2. Those with other versions have another address.

    Args:
        server: The server.
        workflows: Those whose runs it carries on.
        resources: Live objects for the steps.
        observers: Those who hear of the records of each run.
        listen: Where it listens, ``HOST:PORT``; with port 0 at one that is free.
        advertise: The URL by which the server reaches it, or its balancer; by default ``http://LISTEN``.
        grace: Seconds that steps at work have to end, once it is to stop; then others call them again.
        inactivity_timeout: Seconds after which a run that only waits gives its place to another one.
        abort_timeout: Seconds, after those, in which a step must have ended: **one that takes longer is
            called again elsewhere, beside itself**. A process that has died is noticed at once, and one that
            is frozen by the server's own pings (``worker.invoker.http2-keep-alive-interval`` and
            ``-timeout``, a minute by default): this need not be short for either.

    Raises:
        WorkflowDefinitionError: Where two workflows have the same id and version.
    """

    def __init__(  # noqa: PLR0913  # what a worker may be given are keyword arguments
        self,
        server: Server,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
        listen: str = LISTEN,
        advertise: str | None = None,
        grace: float = GRACE,
        inactivity_timeout: float = INACTIVITY_TIMEOUT,
        abort_timeout: float = ABORT_TIMEOUT,
    ) -> None:
        super().__init__(workflows, resources=resources, observers=observers)
        self._server = server
        self._listen = listen
        self._advertise = advertise
        self._grace = grace
        self._unrecorded: set[object] = set()
        self._pulse = Pulse()
        keeping = Keeping(self._unrecorded, self._pulse.steady, inactivity_timeout, abort_timeout)
        services = [service(self.host, workflow, keeping) for workflow in self.host.workflows.values()]
        self._answer: Any = restate.app(services)
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_stopped: bool = False
        self._is_leaving: bool = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event = asyncio.Event()

    async def serve(self) -> None:
        """Carry on runs on the running event loop, until `stop` is called; steps at work then end first.

        Raises:
            EngineError: Where it cannot listen there.
        """
        loop = self._loop = asyncio.get_running_loop()
        if self._is_stopped:
            self._stop.set()
        self._keep_sigterm(loop)
        bound = _bound(self._listen)
        leave = asyncio.Event()
        serving = asyncio.create_task(_serve(self._app, bound, leave))
        registering = asyncio.create_task(self._register(self._advertise or _url_of(bound)))
        stopping = asyncio.create_task(self._stop.wait())
        beating = asyncio.create_task(self._pulse.beat())
        try:
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await self._wind_up()
        finally:
            self._loop = None
            registering.cancel()
            stopping.cancel()
            beating.cancel()
            await self._hang_up()
            leave.set()
            await serving

    def stop(self) -> None:
        """Have `serve` come to its end; it may be called from any thread, and by the handler of a signal."""
        self._is_stopped = True
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._stop.set)

    def _keep_sigterm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep SIGTERM from the SDK, which closes calls that are at work; stop by it, or let the owner."""
        before = signal.getsignal(signal.SIGTERM)
        try:
            install_shutdown_hook(loop, lambda: None)  # it takes the signal once for a loop: now it has
        except (NotImplementedError, RuntimeError, ValueError):  # not the main thread
            return
        if before is signal.SIG_DFL:
            loop.add_signal_handler(signal.SIGTERM, self.stop)
        else:
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)

    async def _wind_up(self) -> None:
        """Let steps at work end, and the server record that."""
        await self.host.close(self._grace)
        until = time.monotonic() + self._grace
        while self._unrecorded and time.monotonic() < until:  # noqa: ASYNC110  # calls note it in many places
            await asyncio.sleep(_LOOK)

    async def _hang_up(self) -> None:
        """End the calls that are open: other workers go on with them."""
        self._is_leaving = True
        while self._calls:  # the SDK takes a first cancellation for the end of its handler, and waits then
            for call in tuple(self._calls):
                call.cancel()
            await asyncio.sleep(_LOOK)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one call of the server."""
        if self._is_leaving:
            return
        call = asyncio.current_task()
        assert call is not None  # noqa: S101  # it runs in one
        self._calls.add(call)
        try:
            await self._answer(scope, receive, send)
        finally:
            self._calls.discard(call)

    async def _register(self, uri: str) -> None:
        """Tell the server of this worker, as soon as it is there."""
        wait = _FIRST_WAIT
        while True:
            try:
                await asyncio.to_thread(self._server.register, uri)
                log.info("a worker at %s carries on %s", uri, ", ".join(map(_told, self.host.workflows)))
                await asyncio.to_thread(self._tell_of_others)
            except EngineError as error:
                log.warning("the worker at %s is not registered yet: %s", uri, error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                return

    def _tell_of_others(self) -> None:
        """Log which runs wait for versions of its workflows that this worker does not have."""
        own = ", ".join(text(service_of(*key)) for key in self.host.workflows)
        prefixes = {prefix_of(workflow_id) for workflow_id, _ in self.host.workflows}
        ours = " OR ".join(f"starts_with(target_service_name, {text(each)})" for each in sorted(prefixes))
        rows = self._server.query(
            "SELECT target_service_name AS service, count(*) AS runs FROM sys_invocation "  # noqa: S608  # nosec B608
            f"WHERE ({ours}) AND target_service_name NOT IN ({own}) AND target_handler_name = 'run' "
            "AND status != 'completed' GROUP BY target_service_name"
        )
        for row in rows:
            name = name_of(Target(row["service"], ""))
            told = _told((name.workflow_id, name.version))
            log.warning("%s runs go on with %s, which this worker does not have", row["runs"], told)


_GAP = 1.0  # seconds without a beat, after which others may have what we had
_CALLS = 8  # for one connection of the server: it opens others for more, which other workers here may get
_LOOK = 0.02  # seconds between two looks at what is open still
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0  # seconds
_LEAVING = 0.5  # seconds; what is open then are calls that another worker takes over
_BACKLOG = 128


def _told(workflow: tuple[str, str]) -> str:
    workflow_id, version = workflow
    return f"workflow {workflow_id!r}, version {version!r}"


def _bound(listen: str) -> socket.socket:
    """Return a socket that listens; other workers may listen there as well."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        raise EngineError(f"a worker cannot listen at {listen!r}, HOST:PORT: {error}") from error
    bound.setblocking(False)  # noqa: FBT003  # its parameter has no name
    bound.set_inheritable(True)
    return bound


def _url_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(app: Any, bound: socket.socket, leave: asyncio.Event) -> None:
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = _LEAVING
    config.keep_alive_max_requests = 2**31  # a connection is for all runs, and for as long as it holds
    config.backlog = _BACKLOG
    config.h2_max_concurrent_streams = _CALLS
    await serve(app, config, shutdown_trigger=leave.wait)
