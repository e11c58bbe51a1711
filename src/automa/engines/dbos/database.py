"""The Postgres that holds everything: the tables of DBOS, and two small ones of ours.

``automa.leases`` tells which workers are alive, ``automa.notices`` what runs are told from outside. What is
asked here survives a restart of Postgres: it is asked again, for a while.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from automa.engines.dbos.names import APPLICATION
from automa.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    _Result = TypeVar("_Result")

SCHEME = "dbos+"

_LIBPQ = {  # a server that is cut off is noticed within seconds, not hours
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

_IS_THERE = "SELECT to_regclass('automa.notices') IS NOT NULL"  # then the right to make it is not needed
_TABLES = """
SELECT pg_advisory_xact_lock(hashtext('automa.tables'));
CREATE SCHEMA IF NOT EXISTS automa;
CREATE TABLE IF NOT EXISTS automa.leases (
    executor text PRIMARY KEY, beaten timestamptz NOT NULL, seconds double precision NOT NULL,
    taken boolean NOT NULL DEFAULT false
);
CREATE TABLE IF NOT EXISTS automa.notices (
    target text PRIMARY KEY, note text NOT NULL, written timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


class Database:
    """The Postgres of an engine.

    Args:
        url: ``dbos+postgresql://user@host:port/database``.
        lease: Seconds after which a transaction that stands still is ended, since its worker is frozen.
        patience: Seconds for which a database that is away is asked again.

    Attributes:
        url: What DBOS and psycopg connect to.
        place: Where that is, in words: without the password.

    Raises:
        EngineError: Where the URL is none.
    """

    def __init__(self, url: str, lease: float, patience: float) -> None:
        parts = urlsplit(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else None
        if parts is None or parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
            raise EngineError(
                "the URL of an engine on DBOS is dbos+postgresql://user@host:port/database, a # in it %23; "
                f"this one begins with {url.partition('/')[0]!r} or names no database"
            )
        query = {**_LIBPQ, **dict(parse_qsl(parts.query))}
        self.url: str = parts._replace(scheme="postgresql", query=urlencode(query)).geturl()
        self.place: str = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._lease = lease
        self._patience = patience
        self._lock = threading.Lock()
        self._client: DBOSClient | None = None
        self._is_prepared: bool = False

    def ask(self, call: Callable[[DBOSClient], _Result]) -> _Result:
        """Ask DBOS; what is asked may be asked several times.

        Raises:
            EngineError: Where the database is away for too long, or refuses.
        """
        return self._patiently(lambda: call(self._connected()))

    def execute(self, query: str, *parameters: Any) -> None:
        """Execute one statement of ours, which may be executed several times.

        Raises:
            EngineError: Where the database is away for too long, or refuses.
        """

        def call() -> None:
            self._prepare()
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(query.encode(), parameters)

        self._patiently(call)

    async def connection(self) -> psycopg.AsyncConnection[Any]:
        """Return a connection of one's own, on which each statement is a transaction."""
        found = await psycopg.AsyncConnection.connect(self.url, autocommit=True)
        await found.execute(f"SET idle_in_transaction_session_timeout = {int(1000 * self._lease)}".encode())
        return found

    def close(self) -> None:
        """Give back the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.destroy()

    def _connected(self) -> DBOSClient:
        self._prepare()
        with self._lock:
            if self._client is None:
                self._client = DBOSClient(
                    system_database_url=self.url,
                    serializer=DBOSPortableJSONSerializer(),
                    application_name=APPLICATION,
                    lazy=True,
                    retry_connection_errors=False,  # one that is away for long is told of
                    sys_db_idle_transaction_timeout_sec=self._lease,
                )
            return self._client

    def _prepare(self) -> None:
        """Make the tables where they are not there: whoever comes first does."""
        with self._lock:
            if self._is_prepared:
                return
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError as error:
                if "does not exist" not in str(error):  # DBOS makes a database that is missing
                    raise
            DBOS.migrate(self.url)
            with psycopg.connect(self.url) as connection:
                if connection.execute(_IS_THERE).fetchone() != (True,):
                    connection.execute(_TABLES)
            self._is_prepared = True

    def _patiently(self, call: Callable[[], _Result]) -> _Result:
        until = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                return call()
            except (DBAPIError, psycopg.Error) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                if not is_away(cause) or time.monotonic() > until:
                    raise EngineError(self.told(cause)) from cause  # not from that which shows its values
            time.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    def told(self, cause: BaseException | None) -> str:
        """Say what was wrong, where, and what to do; a statement's values are not told."""
        said = str(cause).strip().partition("\n")[0]
        if is_away(cause):
            return (
                f"Postgres at {self.place} could not be used for {self._patience:g} s ({said}): see that it "
                "runs and can be reached, then try again; what was recorded is safe"
            )
        return f"Postgres at {self.place} refuses ({said}): check the URL, and the rights of its user"


_FIRST_PAUSE, _LAST_PAUSE = 0.1, 2.0  # seconds between two attempts


def is_away(error: BaseException | None) -> bool:
    """Whether an error says that the database cannot be reached just now, or has ended the connection."""
    if isinstance(error, errors.InsufficientPrivilege | errors.InvalidAuthorizationSpecification):
        return False
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return not any(
            each in str(error) for each in ("authentication failed", "no password", "does not exist")
        )
    return False
