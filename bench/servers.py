"""The servers that are measured with, those that the tests start: on free ports, in folders that go away."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from typing import TYPE_CHECKING

from measuring import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.postgres_server import PostgresServer
    from tests.engines.restate_server import RestateServer

sys.path.insert(0, str(ROOT))
# What is below it is imported where a server is asked for: it needs the packages of engines.


@contextlib.contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Have a Postgres."""
    from tests.engines.postgres_server import PostgresServer  # noqa: PLC0415

    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


@contextlib.contextmanager
def restate() -> Iterator[RestateServer]:
    """Have a Restate.

    Raises:
        RuntimeError: It is not here, with what is to be done.
    """
    from tests.engines.restate_server import RestateServer, binary  # noqa: PLC0415

    program, why = binary()
    if program is None:
        raise RuntimeError(why)
    with tempfile.TemporaryDirectory() as folder:
        server = RestateServer(program, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
