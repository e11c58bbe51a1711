"""Runs that survive their process: what a workflow needs to begin one, and to go on with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from automa._core import clock
from automa._core.records import Begun, Ended, Record, Request, Requested, Resumed, Suspended
from automa._core.runs import StepState
from automa._core.status import Outcome
from automa.errors import RunNotFoundError, RunRequestError
from automa.journal.entries import EntryEncoder, decode_entries
from automa.journal.fit import check_fit, topology_of, without_undo
from automa.journal.journal import RETENTIONS, RUNNING, Journal
from automa.journal.reading import Reading, read
from automa.stores.urls import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from automa._core.definition import Definition
    from automa._core.protocols import Engine, Lease, Store
    from automa._core.state import State

__all__ = [
    "Journal",
    "Taken",
    "begun",
    "check_request",
    "deadline_of",
    "find_run",
    "is_done",
    "journal_of",
    "load_history",
    "open_store",
    "take",
    "take_for_request",
]


class Taken(NamedTuple):
    """A run that was taken up.

    Attributes:
        history: Its records.
        lease: The right to carry it on; None where there is nothing to carry on.
    """

    history: list[Record]
    lease: Lease | None


def begun(
    definition: Definition, run_id: str, state: State, target: str | None, deadline: datetime | None
) -> Begun:
    """Return the first record of a new run."""
    return Begun(
        definition.id,
        run_id,
        clock.now(),
        definition.mode,
        definition.rollback_mode,
        definition.snapshots,
        topology_of(definition),
        state.clone(),
        target,
        prepares=definition.prepare is not None,
        without_undo=without_undo(definition),
        deadline=deadline,
        version=definition.version,
    )


def deadline_of(history: list[Record]) -> datetime | None:
    """Return until when the way forward of a run may take."""
    first = history[0]
    assert isinstance(first, Begun)  # noqa: S101  # decode_entries has checked it
    extended = [each.deadline for each in history if isinstance(each, Resumed) and each.deadline is not None]
    return extended[-1] if extended else first.deadline


def take(store: Store, definition: Definition, run_id: str, retention: str) -> Taken:
    """Take up a run, after its journal has been read and compared with the definition.

    One that has ended is not taken; it is deleted where its process has died before it could be.

    Raises:
        AutomaError: Where that cannot be; nothing was changed.
    """
    history = _load(store, definition, run_id)
    if is_done(history):
        outcomes = RETENTIONS[retention]
        if outcomes and read(history).report.outcome in outcomes:  # reading takes as long as resuming
            store.take(definition.id, run_id).delete()
        return Taken(history, None)
    lease = store.take(definition.id, run_id)
    try:
        return Taken(_load(store, definition, run_id), lease)  # again: its owner may have gone on before
    except BaseException:
        lease.release()
        raise


def is_done(history: list[Record]) -> bool:
    """Whether a run has ended, with nothing asked of it since."""
    last = next(each for each in reversed(history) if not isinstance(each, Resumed | Suspended))
    return isinstance(last, Ended)


def _load(store: Store, definition: Definition, run_id: str) -> list[Record]:
    history = decode_entries(store.load(definition.id, run_id))
    first = history[0]
    assert isinstance(first, Begun)  # noqa: S101  # decode_entries has checked it
    check_fit(first, definition)
    return history


def take_for_request(  # noqa: PLR0913, PLR0917  # a request
    store: Store,
    definition: Definition,
    run_id: str,
    request: Request,
    step: str | None,
    note: str,
    replay_dry: Callable[[list[Record]], None],
) -> Taken:
    """Take up a run and record what an operator asks of it.

    Raises:
        RunRequestError: Where that does not fit where the run stands; nothing was changed.
        AutomaError: Where the run cannot be taken up; nothing was changed.
    """
    _load(store, definition, run_id)
    lease = store.take(definition.id, run_id)
    try:
        history = _load(store, definition, run_id)
        check_request(read(history), request, step)
        replay_dry(history)  # what does not fit is refused before the request is recorded
        requested = Requested(clock.now(), request, step, note)
        lease.append(EntryEncoder().encode([requested]), RUNNING)
    except BaseException:
        lease.release()
        raise
    return Taken([*history, requested], lease)


def check_request(reading: Reading, request: Request, step: str | None) -> None:
    """Check that a request fits where a run stands.

    Raises:
        RunRequestError: Where it does not.
    """
    problem = _why_not(reading, request, step)
    if problem is not None:
        raise RunRequestError(f"run {reading.begun.run_id!r}: {problem}")


def _why_not(  # noqa: PLR0911  # a reason a line
    reading: Reading, request: Request, step: str | None
) -> str | None:
    """Return why a request does not fit where a run stands, or None."""
    if request is Request.ROLLBACK:
        if reading.is_past_pivot:
            return "it is past its pivot, the point of no return: resume it"
        if reading.is_done and reading.report.outcome is Outcome.UNDONE:
            return "it is undone already"
        return None
    if not reading.is_done:
        return "it has not ended: resume it first"
    failed = [path for path, state in reading.states.items() if state is StepState.COMPENSATION_FAILED]
    if step in failed and step not in reading.workflows:
        return None
    if step not in reading.states:
        return f"it has no step {step!r} (there are: {', '.join(reading.states)})"
    told = [path for path in failed if path not in reading.workflows]
    return f"the undo of step {step!r} has not failed (those that have: {', '.join(told) or 'none'})"


def journal_of(
    lease: Lease | None, history: list[Record], retention: str, deadline: datetime | None, note: str = ""
) -> Journal | None:
    """Return the journal of a run that is carried on; None where it has ended."""
    if lease is None:
        return None
    first = [] if isinstance(history[-1], Requested) else [Resumed(clock.now(), deadline, note)]
    return Journal(lease, first=first, retention=retention)


def load_history(store: Store, workflow_id: str, run_id: str) -> list[Record]:
    """Return the records of a run.

    Raises:
        AutomaError: Where there is none, or it cannot be read.
    """
    return decode_entries(store.load(workflow_id, run_id))


def find_run(store: Store | Engine, run_id: str, workflow_id: str | None = None) -> str:
    """Return the id of the workflow whose run has this id.

    Raises:
        RunNotFoundError: Where there is no such run, or there are several.
    """
    found = [info.workflow_id for info in store.runs(workflow_id=workflow_id, run_id=run_id)]
    if not found:
        where = "on the engine" if hasattr(store, "submit") else "in the store"
        raise RunNotFoundError(f"there is no run {run_id!r} {where}")
    if len(found) > 1:
        raise RunNotFoundError(
            f"there are runs {run_id!r} of several workflows: name one of {', '.join(found)}"
        )
    return found[0]
