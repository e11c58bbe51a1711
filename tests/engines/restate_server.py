"""A Restate server of the tests' own: found or installed, on free ports, killed and started again."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx

_PACKAGE = "@restatedev/restate-server"
_VERSION = "1.7.12"
_START = 60.0  # seconds until it must be there


def binary():
    """Return the server's program, or why there is none."""
    named = os.environ.get("AUTOMA_RESTATE_SERVER")
    if named:
        return Path(named), ""
    found = shutil.which("restate-server")
    if found:
        return Path(found), ""
    if not shutil.which("npm"):
        return None, "no restate-server: set AUTOMA_RESTATE_SERVER, or have npm for it to be installed"
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        / "automa-tests"
        / f"restate-{_VERSION}"
    )
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower())
    program = f"{_PACKAGE}-{platform.system().lower()}-{machine}/bin/restate-server"
    path = cache / "node_modules" / program
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(cache),
            f"{_PACKAGE}@{_VERSION}",
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode or not path.exists():
            return None, f"no restate-server: {' '.join(command)} has failed: {done.stderr.strip()[-300:]}"
    return path, ""


def free_ports(count):
    """Return ports that are free."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class RestateServer:
    """A server, or a node of a cluster.

    Args:
        program: Its program.
        folder: Where it keeps what it has.
        node: Its name.
        settings: More settings, as variables of its environment without ``RESTATE_``.
    """

    def __init__(self, program, folder, *, node="node1", **settings):
        self.program, self.folder, self.node = program, Path(folder), node
        self.ingress, self.admin, self.fabric = free_ports(3)
        self.settings = settings
        self.process = None

    @property
    def url(self):
        """What `RestateEngine` is given."""
        return f"restate://127.0.0.1:{self.ingress}?admin={self.admin}"

    def start(self, *, waits=True):
        """Start it, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {
            "BASE_DIR": self.folder / "data",
            "NODE_NAME": self.node,
            "LISTEN_MODE": "tcp",
            "BIND_ADDRESS": f"127.0.0.1:{self.fabric}",
            "ADVERTISED_ADDRESS": f"http://127.0.0.1:{self.fabric}",
            "INGRESS__BIND_ADDRESS": f"127.0.0.1:{self.ingress}",
            "ADMIN__BIND_ADDRESS": f"127.0.0.1:{self.admin}",
            "ADMIN__DISABLE_WEB_UI": "true",
            "DISABLE_TELEMETRY": "true",
            "LOG_DISABLE_ANSI_CODES": "true",
            "LOG_FILTER": "warn",
            "ROCKSDB_TOTAL_MEMORY_SIZE": "512MiB",
            # A process that is frozen does not answer these.
            "WORKER__INVOKER__HTTP2_KEEP_ALIVE_INTERVAL": "1s",
            "WORKER__INVOKER__HTTP2_KEEP_ALIVE_TIMEOUT": "2s",
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
        environment = clean | {f"RESTATE_{name}": str(value) for name, value in (own | self.settings).items()}
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--no-logo"], env=environment, stdout=log, stderr=log, cwd=self.folder
            )
        if waits:
            self.wait()

    def wait(self):
        """Wait until it answers."""
        until = time.monotonic() + _START
        looks = [f"http://127.0.0.1:{self.admin}/health", f"http://127.0.0.1:{self.ingress}/restate/health"]
        while looks:
            try:
                if httpx.get(looks[0], timeout=5).status_code == 200:
                    looks.pop(0)
                    continue
            except httpx.HTTPError:
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                log = (self.folder / "log.txt").read_text(errors="replace")
                raise RuntimeError(f"the Restate server does not start: {log[-2000:]}")
            time.sleep(0.05)

    def kill(self):
        """Kill it, as a machine that fails does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        """End it, and wipe out what it has kept."""
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
