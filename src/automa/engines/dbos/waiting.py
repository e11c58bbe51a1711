"""Waiting for the end of turns: one look at the database serves all threads that wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbos import DBOSClient

    from automa.engines.dbos.database import Database

GOING_ON = ("ENQUEUED", "PENDING", "DELAYED")
"""The states in DBOS of a turn that has not ended."""

_FIRST_GLANCE, _LAST_GLANCE = 0.02, 0.5  # seconds between two looks


class Waiting:
    """Who waits for which turns.

    Args:
        database: Where the turns are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ended: dict[str, list[threading.Event]] = {}
        self._changing = threading.Lock()
        self._looking = threading.Lock()
        self._looked = 0.0

    def wait(self, turn: str, timeout: float | None) -> bool:
        """Wait until a turn has ended, or is not there; return whether that is so.

        Raises:
            EngineError: Where the database is away for too long.
        """
        begun, ended = time.monotonic(), threading.Event()
        with self._changing:
            self._ended.setdefault(turn, []).append(ended)
        try:
            while True:
                now = time.monotonic()
                pause = min(max(_FIRST_GLANCE, (now - begun) / 10), _LAST_GLANCE)  # a tenth late at most
                if now - self._looked >= pause and self._looking.acquire(blocking=False):
                    try:
                        self._look()
                    finally:
                        self._looking.release()
                left = pause if timeout is None else min(pause, begun + timeout - time.monotonic())
                if ended.wait(max(0.0, left)):
                    return True
                if timeout is not None and time.monotonic() - begun >= timeout:
                    return False
        finally:
            with self._changing:
                self._ended[turn].remove(ended)
                if not self._ended[turn]:
                    del self._ended[turn]

    def _look(self) -> None:
        """Wake those whose turns have ended."""
        with self._changing:
            turns = list(self._ended)

        def call(client: DBOSClient) -> set[str]:
            found = client.list_workflows(workflow_ids=turns, load_input=False, load_output=False)
            return set(turns).difference(each.workflow_id for each in found if each.status in GOING_ON)

        ended = self._database.ask(call)
        self._looked = time.monotonic()
        with self._changing:
            for turn in ended:
                for event in self._ended.get(turn, ()):
                    event.set()
