"""DBOS, on SQLite and on Postgres: a workflow that calls steps; of the settings, only the log's is set."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import play
import postgres
from dbos import DBOS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

written = postgres.written


@DBOS.step()
def step() -> None:
    """Do what a step does."""
    play.tick()


@DBOS.workflow()
def saga(count: int) -> None:
    """Call the step so many times."""
    for _ in range(count):
        step()


@contextlib.contextmanager
def durable(count: int, place: str) -> Iterator[Callable[[int], None]]:
    """Give what plays runs at once: one is called, more are started, and DBOS has threads for them."""
    folder = place.removeprefix("sqlite:")
    url = place if postgres.is_postgres(place) else f"sqlite:///{folder}/dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()

    def play_all(runs: int) -> None:
        if runs == 1:
            saga(count)
            return
        for handle in [DBOS.start_workflow(saga, count) for _ in range(runs)]:
            handle.get_result()

    try:
        yield play_all
    finally:
        DBOS.destroy()
