"""TaskFlow, in memory and on SQLite: a linear flow on the serial engine, without a log."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import play
from taskflow import engines
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models
from taskflow.task import Task
from threads import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logging.getLogger("taskflow").setLevel(logging.ERROR)  # as its examples have it


class Pair(Task):  # type: ignore[misc]  # it has no types
    """A task that calls a function, and another one to revert it."""

    def __init__(self, name: str, run: Callable[..., None], undo: Callable[..., None]) -> None:
        super().__init__(name)
        self.run = run
        self.undo = undo

    def execute(self) -> None:
        """Call the function."""
        self.run()

    def revert(self, **_: object) -> None:
        """Call the other function, without what TaskFlow tells of the failure."""
        self.undo()


def memory(steps: list[tuple[Callable[..., None], Callable[..., None]]], back: bool) -> Callable[[], object]:  # noqa: FBT001
    """Return what runs a flow, which is made once, each time on an engine of its own."""
    flow = linear_flow.Flow("bench")
    flow.add(*(Pair(str(number), run, undo) for number, (run, undo) in enumerate(steps)))
    if not back:
        return lambda: engines.load(flow, engine="serial").run()
    flow.add(Pair("fail", play.fail, play.nothing))  # a task that fails is reverted, too

    def play_back() -> None:
        with contextlib.suppress(ValueError):
            engines.load(flow, engine="serial").run()

    return play_back


@contextlib.contextmanager
def durable(count: int, place: str) -> Iterator[Callable[[int], None]]:
    """Give what plays runs at once, each in a thread of its own and with a log book of its own."""
    folder = place.removeprefix("sqlite:")
    flow = linear_flow.Flow("bench")
    flow.add(*(Pair(str(number), play.tick, play.nothing) for number in range(count)))
    backend: Any = backends.fetch({"connection": f"sqlite:///{folder}/taskflow.db"})
    with contextlib.closing(backend):
        with contextlib.closing(backend.get_connection()) as connection:
            connection.upgrade()

        def run() -> None:
            engines.load(flow, engine="serial", backend=backend, book=models.LogBook("bench")).run()

        yield lambda runs: at_once(run, runs)
