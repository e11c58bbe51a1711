"""What a check runs: a few acts, by an engine; and automa as one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from automa import Ended, Outcome, Step, Workflow

if TYPE_CHECKING:
    from collections.abc import Callable


class Act(NamedTuple):
    """What to do, and how to take it back; sync or async, without arguments."""

    id: str
    run: Callable[[], Any]
    undo: Callable[[], Any]
    timeout: float | None = None
    attempts: int | None = None


class Told(NamedTuple):
    """What an engine says of a run: whether all was undone, and why."""

    is_undone: bool
    error: BaseException | None = None


class Engine(Protocol):
    """Runs acts in order; where one fails, takes them back. A naive one has only what its check calls."""

    def run(self, acts, on_end=None) -> Told:
        """Run acts; tell `on_end` once of the end."""

    async def run_async(self, acts) -> Told:
        """Run acts on the event loop."""

    async def run_parallel(self, acts) -> Told:
        """Run acts at once; the first that fails cancels the others."""

    def begin(self, acts, folder) -> Told:
        """Run acts, journaled in a folder."""

    def resume(self, acts, folder) -> Told:
        """Carry on what was begun in a folder."""

    def program(self) -> list[str]:
        """Return a command that runs two acts: the second says that it is at work, and reads a line."""


class Automa:
    """Our engine."""

    def run(self, acts, on_end=None):
        class Hears:
            def on_record(self, record):
                if isinstance(record, Ended) and on_end is not None:
                    on_end()

        return told(workflow(acts).start(observers=[Hears()]))

    async def run_async(self, acts):
        return told(await workflow(acts).start_async())

    async def run_parallel(self, acts):
        from automa import Parallel

        return told(await Workflow("w", [Parallel("p", *steps(acts), on_failure="cancel")]).start_async())

    def begin(self, acts, folder):
        return told(workflow(acts).start(run_id="r", store=f"file:{folder}"))

    def resume(self, acts, folder):
        return told(workflow(acts).resume("r", f"file:{folder}"))

    def program(self):
        return [sys.executable, "-m", "automa", "run", "tests.naive.signals:saga"]


def workflow(acts):
    return Workflow("w", steps(acts))


def steps(acts):
    return [Step(act.id, run=act.run, undo=act.undo, **options(act)) for act in acts]


def options(act):
    if act.timeout is not None:
        return {"timeout": act.timeout}
    if act.attempts is not None:
        from automa import Retry

        return {"retry": Retry(attempts=act.attempts)}
    return {}


def told(report):
    return Told(report.outcome is Outcome.UNDONE, report.error)
