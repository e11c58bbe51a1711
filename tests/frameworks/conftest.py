"""What the tests of the examples share: processes that are really killed, and the shop's folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from automa.stores import open_store

EXAMPLES = Path(__file__).parents[2] / "examples" / "frameworks"


class Shop:
    """The shop of an example: its folder, and the processes that work for it."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def start(self, module, *arguments, seconds=0.0):
        """Start a module of Python in the folder of the examples, in a process group of its own."""
        log = (self.folder.parent / f"{module}-{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=EXAMPLES, env=self.environment(seconds), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        process.log = Path(log.name)
        log.close()
        self.processes.append(process)
        return process

    def environment(self, seconds=0.0):
        return os.environ | {"SHOP_FOLDER": str(self.folder), "SHOP_SECONDS": str(seconds)}

    def kill(self, process):
        """Kill a process, and those that it has started, at once."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def books(self):
        path = self.folder / "books.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def booked(self, order_id):
        """Return what was done for an order, in order."""
        return [line["what"] for line in self.books() if line["order"] == order_id]

    def until(self, is_so, what):
        """Wait until something is so; a process that has ended, or a minute, ends that."""
        until = time.monotonic() + 60
        while not is_so():
            logs = "\n".join(process.log.read_text() for process in self.processes)
            assert time.monotonic() < until, f"never {what}:\n{logs}"
            assert self.processes[-1].poll() is None, f"ended before {what}:\n{logs}"
            time.sleep(0.02)

    def until_booked(self, order_id, what):
        self.until(lambda: what in self.booked(order_id), what)

    def calls(self, order_id):
        """Return how often each step of an order was called, by its journal."""
        entries = open_store(f"sqlite:///{self.folder}/runs.db").load("order", order_id)
        return Counter(
            f"{entry.get('action', 'run')} {entry['started']}" for entry in entries if "started" in entry
        )


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path / "shop")
    yield shop
    for process in shop.processes:
        if process.poll() is None:
            shop.kill(process)


ALL_DONE = ["goods reserved", "card charged", "carrier called", "parcel fetched", "customer told"]
"""What is done for an order that goes well: each once."""
