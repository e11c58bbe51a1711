"""Worker processes, and what they have done."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from automa.engines.dbos import DbosEngine
from tests.engines.dbos.sagas import Sagas, lines, wait_for

ROOT = Path(__file__).parents[3]


class Fleet:
    """Worker processes on one database.

    Args:
        url: The URL of the engine.
        directory: Where the ledger is, and what the workers say.
        lease: The lease of the workers.
    """

    def __init__(self, url, directory, lease=2.0):
        self.url, self.directory, self.lease = url, directory, lease
        self.engine = DbosEngine(url, lease=lease)
        self.sagas = {version: Sagas(directory, version) for version in ("1", "2")}
        self.processes = []

    def start(self, *options):
        """Start a worker."""
        command = [sys.executable, "-m", "tests.engines.dbos.sagas", self.url, str(self.directory)]
        with (self.directory / "said").open("a") as said:
            process = subprocess.Popen(
                [*command, "--lease", str(self.lease), *options], stderr=said, cwd=ROOT
            )
        self.processes.append(process)
        return process

    def serving(self, *options):
        """Start a worker, and wait until it serves."""
        process = self.start(*options)
        wait_for(
            lambda: f"-{process.pid}-" in self.said() or process.poll() is not None, "that a worker serves"
        )
        assert process.poll() is None, self.said()
        return process

    def said(self):
        """Return what the workers have said."""
        said = self.directory / "said"
        return said.read_text() if said.exists() else ""

    def kill(self, process):
        """Kill a worker."""
        process.kill()
        process.wait()
        self.processes.remove(process)

    def stop(self, process):
        """Ask a worker to stop, and wait until it has."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, self.said()
        self.processes.remove(process)

    def submit(self, workflow, run_id, version="1", **state):
        """Begin a run."""
        return self.engine.submit(getattr(self.sagas[version], workflow)(), state, run_id=run_id)

    def open(self, run_id):
        """Open the gate of a run."""
        (self.directory / f"open {run_id}").touch()

    def done(self, run_id=None, word="done"):
        """Return the effects so far, in order: what they are called is their key, without the workflow."""
        found = [each[2].split("/", 1)[1] for each in lines(self.directory / "ledger") if each[1] == word]
        return [each for each in found if run_id is None or each.startswith(f"{run_id}/")]

    def begun(self, key):
        """Wait until an effect has begun."""
        wait_for(lambda: key in self.done(word="begun"), f"the beginning of {key}")

    def close(self):
        """End what goes on still."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
                process.wait()
        self.engine.close()
