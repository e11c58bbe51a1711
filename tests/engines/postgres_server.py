"""A Postgres of one's own: in a directory that goes away, on a free port, to be stopped hard and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

HOW = "install PostgreSQL 13 or newer, or name the directory of its initdb in AUTOMA_POSTGRES_BIN"


def binaries():
    """Return the directory with the programs of PostgreSQL, or None."""
    found = shutil.which("initdb")
    candidates = [os.environ.get("AUTOMA_POSTGRES_BIN"), found and Path(found).parent]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((Path(each) for each in candidates if each and (Path(each) / "initdb").exists()), None)


class PostgresServer:
    """A cluster of its own; as root it belongs to the user postgres, since Postgres refuses root."""

    def __init__(self):
        self.bin = binaries()
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] * (os.getuid() == 0)
        self.directory = Path(tempfile.mkdtemp(prefix="automa-postgres-"))
        if self.user:
            shutil.chown(self.directory, "postgres", "postgres")
        self.data = self.directory / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._run(
            "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        self.start()

    def _run(self, program, *arguments):
        command = [*self.user, self.bin / program, *map(str, arguments)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def start(self):
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.directory} -c max_connections=300"
        self._run("pg_ctl", "-D", self.data, "-l", self.directory / "log", "-w", "-o", options, "start")

    def is_own(self):
        """Whether the server at this address is the one that was started here."""
        with psycopg.connect(self.url) as connection:
            return connection.execute("SHOW data_directory").fetchone() == (str(self.data),)

    def stop_immediately(self):
        """Stop it as a loss of power would: nothing is finished."""
        assert self.is_own()
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def database(self, name):
        """Make a database; return the URL of an engine on it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"dbos+postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def remove(self):
        """Stop it, where it runs, and remove all of it."""
        with contextlib.suppress(AssertionError):
            self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.directory)


def own_server():
    """Yield a server; skip, and say why, where there is no Postgres."""
    if binaries() is None:
        pytest.skip(f"no PostgreSQL on this machine: {HOW}")
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()
