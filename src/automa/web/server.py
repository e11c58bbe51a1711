"""Serving the pages, until a signal comes."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import uvicorn

from automa.web.acting import Crew
from automa.web.app import Site
from automa.web.guard import Policy, hosts_of
from automa.web.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType

    from automa._core.protocols import Store
    from automa.engines.engine import EngineBase
    from automa.workflow import Workflow

_MOST_CONNECTIONS = 256
_GRACE = 5  # seconds for answers on their way, once the server stops


class Access(NamedTuple):
    """Who may come, and what he may do.

    Attributes:
        host: The address to listen at.
        port: The port; 0 for one that is free.
        allowed: Further names under which the server may be asked.
        has_token: Whether whoever comes must know a token.
        is_read_only: Whether nothing may be changed.
    """

    host: str = "127.0.0.1"
    port: int = 0
    allowed: tuple[str, ...] = ()
    has_token: bool = True
    is_read_only: bool = False


class WebServer:
    """Serves the pages about the runs of a store, or of an engine.

    Args:
        place: The store or the engine.
        access: Who may come, and what he may do.
        workflows: Those whose runs in a store can be carried on from the page.
        resources: Live objects for their steps.

    Raises:
        OSError: Where the address cannot be listened at.
    """

    def __init__(
        self,
        place: Store | EngineBase,
        access: Access,
        workflows: Iterable[Workflow] = (),
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        self._socket = _listening(access.host, access.port)
        self.port: int = self._socket.getsockname()[1]
        self._host = access.host
        self.token: str | None = secrets.token_urlsafe(32) if access.has_token else None
        source = Source(place)
        self.crew: Crew = Crew(source, workflows, resources)
        policy = Policy(
            hosts_of(access.host, self.port, access.allowed),
            self.token,
            access.is_read_only,
            cookie=f"automa_session_{self.port}",
            key=secrets.token_bytes(32),
        )
        self.site: Site = Site(source, self.crew, policy)
        self._server = _Server(
            uvicorn.Config(
                self.site.app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,  # it would have the token in it
                server_header=False,
                proxy_headers=False,  # nobody's word is taken for where a request comes from
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_GRACE,
            ),
            self._stopped,
        )

    @property
    def url(self) -> str:
        """The address for a browser; with the token in it, where there is one."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        path = "" if self.token is None else f"?token={self.token}"
        return f"http://{host}:{self.port}/{path}"

    def run(self) -> None:
        """Serve until `stop` is called; runs that go on here stop after the step at work then."""
        try:
            self._server.run([self._socket])
        finally:
            self._socket.close()
            self.crew.stop()
            self.crew.join()

    def stop(self) -> None:
        """Have `run` come to its end; from any thread, and from the handler of a signal."""
        self._server.should_exit = True

    def _stopped(self) -> None:
        self.site.streams.stop()

    @contextlib.contextmanager
    def in_background(self) -> Iterator[None]:
        """Serve in a thread, as long as the block lasts."""
        thread = threading.Thread(target=self.run, name="automa ui", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()

    def run_until_signal(self, say: Callable[[str], object]) -> None:
        """Serve until Ctrl-C or SIGTERM comes; the second one ends the process at once.

        Args:
            say: Tells the user that there is something to wait for.
        """

        def handle(number: int, _frame: FrameType | None) -> None:
            if self._server.should_exit:
                os._exit(128 + number)
            self.stop()
            going = self.crew.stop()
            if going:
                say(f"automa: steps at work, and ways back, come to their end first (runs: {going})")

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)
        self.run()


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        OSError: Where that cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio has answers sent at once (TCP_NODELAY) where the protocol is named: else each takes 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


class _Server(uvicorn.Server):
    """Leaves signals to us, and tells when it stops, so that streams end."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Have streams end, then wait for answers on their way."""
        self._on_stop()
        await super().shutdown(sockets)
