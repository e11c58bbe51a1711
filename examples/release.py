"""A release of a small web site, on this machine: a good one, then one that must be taken back.

Run it as a script to see both::

    python examples/release.py

or release by hand, any number of times, into a folder of your choice::

    automa run examples/release.py --set root=/tmp/site --set version=1.0.0
    automa run examples/release.py --set root=/tmp/site --set version=2.0.0
    python examples/release.py --stop /tmp/site
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from automa import Context, Step, Workflow, step

SITES = {
    "1.0.0": {"index.html": "<h1>Welcome to 1.0.0</h1>", "health": "ok"},
    "2.0.0": {"index.html": "<h1>Welcome to 2.0.0</h1>"},  # somebody forgot its health page
}


def root_of(ctx: Context) -> Path:
    """Return the folder into which is released."""
    return Path(ctx.shared.get_str("root", str(Path(tempfile.gettempdir(), "automa-release")))).resolve()


def release_of(ctx: Context) -> Path:
    """Return the folder of the version."""
    return root_of(ctx) / "releases" / ctx.shared.get_str("version", "1.0.0")


@step
def unpack(ctx: Context) -> str:
    """Unpack the version's archive into ``releases/<version>``."""
    version = ctx.shared.get_str("version", "1.0.0")
    release = release_of(ctx)
    release.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive_of(version))) as archive:
        archive.extractall(release, filter="data")
    ctx.shared["release"] = str(release)
    return f"{len(list(release.iterdir()))} files"


@unpack.prepare
def look_for_release(ctx: Context) -> dict[str, bool]:
    """Look whether it is there: what a prepare notes is written down before anything is done."""
    return {"created": not release_of(ctx).exists()}


@unpack.undo
def remove_release(ctx: Context) -> None:
    """Remove what was unpacked, unless it was there before."""
    if ctx.local["created"]:
        shutil.rmtree(release_of(ctx), ignore_errors=True)
        with contextlib.suppress(OSError):  # other releases are in it, or it is not there
            release_of(ctx).parent.rmdir()


@step
def configure(ctx: Context) -> None:
    """Write the configuration of the release."""
    file = Path(ctx.shared["release"], "config.json")
    config = {"version": ctx.shared.get_str("version", "1.0.0")}
    file.write_text(json.dumps(config), encoding="utf-8")


@configure.prepare
def note_configuration(ctx: Context) -> dict[str, str | None]:
    """Note the configuration that is there."""
    file = Path(ctx.shared["release"], "config.json")
    return {"before": file.read_text(encoding="utf-8") if file.exists() else None}


@configure.undo
def restore_configuration(ctx: Context) -> None:
    """Put the configuration back that was there before, or remove it where there was none."""
    file = Path(ctx.shared["release"], "config.json")
    if ctx.local["before"] is None:
        file.unlink(missing_ok=True)
    else:
        file.write_text(ctx.local["before"], encoding="utf-8")


@step
def link(ctx: Context) -> None:
    """Point ``current`` at the release, in one move."""
    point(root_of(ctx) / "current", ctx.shared["release"])


@link.prepare
def note_link(ctx: Context) -> dict[str, str | None]:
    """Note the release at which it points."""
    current = root_of(ctx) / "current"
    return {"previous": str(current.readlink()) if current.is_symlink() else None}


@link.undo
def link_back(ctx: Context) -> None:
    """Point ``current`` at the release before, or remove it where there was none."""
    current = root_of(ctx) / "current"
    if ctx.local["previous"] is None:
        current.unlink(missing_ok=True)
    else:
        point(current, ctx.local["previous"])


class Restart(Step):
    """Restart the server on the release; taken back, the release before is served again."""

    def saga_prepare(self, ctx: Context) -> dict[str, str | None]:
        """Note the release that is served."""
        return {"before": Server(root_of(ctx)).serving()}

    def saga_run(self, ctx: Context) -> dict[str, Any]:
        """Stop the server, if there is one, and start it on the new release."""
        return Server(root_of(ctx)).restart(Path(ctx.shared["release"]))

    def saga_undo(self, ctx: Context) -> None:
        """Start the server on the release before, or leave it stopped where there was none."""
        server = Server(root_of(ctx))
        before = ctx.local["before"]
        if before is None:
            server.stop()
        else:
            server.restart(Path(before))


@step
def probe(ctx: Context) -> str:
    """Ask the server for its health over HTTP."""
    return Server(root_of(ctx)).get("/health")


release = Workflow("release", [unpack, configure, link, Restart("restart"), probe])


def archive_of(version: str) -> bytes:
    """Return the archive that a build would have made of a version."""
    if version not in SITES:
        raise LookupError(f"there is no version {version} (there are: {', '.join(SITES)})")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in SITES[version].items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


def point(link_path: Path, target: str) -> None:
    """Make a symbolic link, or move it, so that nobody ever finds it missing."""
    new = link_path.with_name(f"{link_path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link_path)


class Server:
    """The site's HTTP server: a process of its own, known by a file in the root."""

    def __init__(self, root: Path) -> None:
        self._file = root / "server.json"

    def _state(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            os.kill(state["pid"], 0)
        except (FileNotFoundError, ProcessLookupError):
            return None
        return state

    def serving(self) -> str | None:
        """Return the folder that is served, or None where no server runs."""
        state = self._state()
        return None if state is None else state["folder"]

    def stop(self) -> None:
        """Stop the server, if there is one, and wait until it is gone."""
        state = self._state()
        if state is not None:
            os.kill(state["pid"], signal.SIGTERM)
            wait_until(lambda: self._state() is None, "the server to stop")

    def restart(self, folder: Path) -> dict[str, Any]:
        """Serve a folder, on the port served before where there was one."""
        before = self._state()
        self.stop()
        port = 0 if before is None else before["port"]  # 0: the system finds a free one
        command = [
            sys.executable,
            __file__,
            "--serve",
            str(folder),
            "--port",
            str(port),
            "--file",
            str(self._file),
        ]
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(lambda: self.serving() is not None, "the server to start")
        return {"folder": str(folder)}

    def get(self, path: str) -> str:
        """Ask the server for a page."""
        state = self._state()
        if state is None:
            raise ConnectionError("no server runs")
        with urllib.request.urlopen(f"http://127.0.0.1:{state['port']}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
        return text


def wait_until(done: Any, what: str) -> None:
    """Wait for something that takes moments."""
    for _ in range(500):
        if done():
            return
        time.sleep(0.02)
    raise TimeoutError(f"waited 10 s for {what}")


def serve(folder: Path, port: int, file: Path) -> None:
    """Be the server: serve a folder until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        state = {"pid": os.getpid(), "port": server.server_address[1], "folder": str(folder)}
        new = file.with_name(f"{file.name}.new")
        new.write_text(json.dumps(state), encoding="utf-8")
        new.replace(file)
        try:
            server.serve_forever()
        finally:
            file.unlink()  # tells whoever stops the server that it has let go of its port


def show(root: Path, version: str) -> int:
    """Release a version with the command ``automa``, then ask the site which version it serves."""
    arguments = ["run", "examples/release.py", "--set", f"root={root}", "--set", f"version={version}"]
    print("\n$ .venv/bin/automa", *arguments, flush=True)
    arguments[1] = __file__
    status = subprocess.run([sys.executable, "-m", "automa", *arguments], check=False).returncode
    print(f"exit status {status}; the site says: {Server(root).get('/')}", flush=True)
    return status


def main() -> int:
    """Release a good version, then a bad one, and check what is served in the end."""
    parser = argparse.ArgumentParser(description="Release a small web site: a good version, then a bad one.")
    parser.add_argument("--keep", action="store_true", help="leave the folder and the server at the end")
    parser.add_argument("--stop", type=Path, metavar="ROOT", help="stop the server of a folder")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port, options.file)
        return 0
    if options.stop:
        Server(options.stop).stop()
        return 0
    root = Path(tempfile.mkdtemp(prefix="automa-release-"))
    print("A release of version 1.0.0, then one of version 2.0.0, whose health page is missing.")
    try:
        statuses = [show(root, "1.0.0"), show(root, "2.0.0")]
        releases = sorted(path.name for path in (root / "releases").iterdir())
        print(f"\nleft in releases/: {', '.join(releases)}")
        as_told = statuses == [0, 1] and releases == ["1.0.0"] and "1.0.0" in Server(root).get("/")
    finally:
        if options.keep:
            print(f"the site is left in {root}; to stop it: python examples/release.py --stop {root}")
        else:
            with contextlib.suppress(OSError):
                Server(root).stop()
            shutil.rmtree(root, ignore_errors=True)
    return 0 if as_told else 1


if __name__ == "__main__":
    sys.exit(main())
