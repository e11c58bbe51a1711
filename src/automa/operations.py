"""Operating many runs: carry on what was left, look whether that can be done, delete and export.

Example:
    >>> from automa import Step, Workflow
    >>> from automa.operations import resume_all
    >>> from automa.stores import MemoryStore
    >>> resume_all(MemoryStore(), Workflow("greet", [Step("hello")]))
    []
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core import clock
from automa._core.standing import STANDING
from automa._core.status import Outcome
from automa.durable import load_history, open_store
from automa.errors import (
    AutomaError,
    JournalError,
    RunNotFoundError,
    RunOwnedError,
    RunRequestError,
    WorkflowDefinitionError,
    text_of,
)
from automa.journal.fit import differences, missing_undos
from automa.journal.journal import RUNNING
from automa.journal.reading import read
from automa.journal.spec import Fold
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta

    from automa._core.protocols import RunInfo, Store
    from automa._core.reports import WorkflowReport
    from automa.journal.reading import Reading

    Workflows = Workflow | Iterable[Workflow]

__all__ = [
    "Check",
    "Continued",
    "check_runs",
    "export_run",
    "prune",
    "resume_all",
    "resume_all_async",
]

UNREADABLE = "unreadable"
"""The status under which a store lists a run whose journal it cannot read."""

DONE: tuple[str, ...] = (Outcome.SUCCEEDED, Outcome.UNDONE, Outcome.FAILED)
"""The statuses of runs that have ended with nothing left to do."""

IN_FLIGHT: tuple[str, ...] = (RUNNING, Outcome.SUSPENDED, Outcome.INFRASTRUCTURE_ERROR)
"""The statuses of runs that have not ended."""

STATUSES: tuple[str, ...] = (*IN_FLIGHT, *DONE, Outcome.NEEDS_ATTENTION)
"""The statuses that a run can have."""


class Continued(NamedTuple):
    """What came of carrying on a run.

    Attributes:
        workflow_id: The id of the workflow; empty where the journal cannot be read.
        run_id: The id of the run.
        report: The report of the whole run; None where it could not be carried on.
        problem: Why it could not be carried on; None where it was.
    """

    workflow_id: str
    run_id: str
    report: WorkflowReport | None
    problem: str | None


class Check(NamedTuple):
    """Whether a run could be carried on with a workflow.

    Attributes:
        run: The run.
        problems: What stands in the way, a line each; empty where it could be.
    """

    run: RunInfo
    problems: tuple[str, ...]


def resume_all(
    store: str | Store, workflows: Workflows, *, resources: Mapping[str, Any] | None = None
) -> list[Continued]:
    """Carry on every run in a store that has not ended, one after the other, the oldest first.

    What cannot be carried on is told, and does not hold up the others: a run that somebody who is alive
    carries on, one whose workflow was not given or is another now, one that cannot be read.

    Args:
        store: The store, or its URL.
        workflows: The workflow, or workflows, whose runs are carried on.
        resources: Live objects for the steps.

    Raises:
        WorkflowDefinitionError: Where two workflows have the same id; nothing was started.
        StoreError: Where the store cannot be read; nothing was started.
        BaseException: What interrupted a run (Ctrl-C, say); that run is suspended, the rest as it was.
    """
    opened, by_id = open_store(store), _by_id(workflows)
    outcomes = []
    for info in _in_flight(opened):
        try:
            workflow = _workflow_of(info, by_id)
            report = workflow.resume(info.run_id, opened, resources=resources, missing="error")
        except Exception as error:  # noqa: BLE001  # one run must not hold up the others
            outcomes.append(_not_continued(info, error))
        else:
            outcomes.append(Continued(info.workflow_id, info.run_id, report, None))
    return outcomes


async def resume_all_async(
    store: str | Store,
    workflows: Workflows,
    *,
    resources: Mapping[str, Any] | None = None,
    on_outcome: Callable[[Continued], object] | None = None,
) -> list[Continued]:
    """Carry on every run on the running event loop; see `resume_all`.

    Args:
        store: As in `resume_all`.
        workflows: As in `resume_all`.
        resources: As in `resume_all`.
        on_outcome: Called with each outcome as soon as it is there.

    Raises:
        AutomaError: As in `resume_all`; nothing was started.
        BaseException: What interrupted a run (a cancellation, say), as in `resume_all`.
    """
    opened, by_id = open_store(store), _by_id(workflows)
    outcomes = []
    for info in _in_flight(opened):
        try:
            workflow = _workflow_of(info, by_id)
            report = await workflow.resume_async(info.run_id, opened, resources=resources, missing="error")
        except Exception as error:  # noqa: BLE001  # one run must not hold up the others
            outcome = _not_continued(info, error)
        else:
            outcome = Continued(info.workflow_id, info.run_id, report, None)
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)
    return outcomes


def _by_id(workflows: Workflows) -> dict[str, Workflow]:
    given = [workflows] if isinstance(workflows, Workflow) else list(workflows)
    by_id: dict[str, Workflow] = {}
    for workflow in given:
        if by_id.setdefault(workflow.id, workflow) is not workflow:
            raise WorkflowDefinitionError(
                f"two workflows have the id {workflow.id!r}: give the one with which the runs were begun"
            )
    return by_id


def _in_flight(store: Store) -> list[RunInfo]:
    """Return the runs that have not ended, and those that cannot be read; the oldest first."""
    return [info for info in store.runs() if info.status in {*IN_FLIGHT, UNREADABLE}][::-1]


def _workflow_of(info: RunInfo, by_id: Mapping[str, Workflow]) -> Workflow:
    """Return the workflow that can carry on a run.

    Raises:
        AutomaError: Where there is none.
    """
    if info.status == UNREADABLE:
        raise JournalError("its journal cannot be read")
    if info.is_owned:
        raise RunOwnedError("it is being carried on by somebody else, who is alive")
    if info.workflow_id not in by_id:
        given = ", ".join(map(repr, by_id)) or "none"
        raise RunNotFoundError(f"it is of the workflow {info.workflow_id!r}, and given was {given}")
    return by_id[info.workflow_id]


def _not_continued(info: RunInfo, error: Exception) -> Continued:
    name = "" if isinstance(error, AutomaError) else f"{type(error).__name__}: "
    return Continued(info.workflow_id, info.run_id, None, name + text_of(error))


def prune(  # noqa: PLR0913  # what it may be given are keyword arguments
    store: str | Store,
    *,
    older_than: timedelta,
    statuses: Iterable[str],
    workflow_id: str | None = None,
    now: datetime | None = None,
    dry_run: bool = False,
) -> list[RunInfo]:
    """Delete runs by age and status; a run that somebody who is alive carries on is never deleted.

    Args:
        store: The store, or its URL.
        older_than: How long ago a run must have been written last.
        statuses: How the runs must stand; ``done`` means ``succeeded``, ``undone`` and ``failed``. Runs that
            are not done, and may have left something that only their journal knows, must be named.
        workflow_id: Runs of this workflow only.
        now: The time from which the age counts; by default the present.
        dry_run: Delete nothing, only tell what would be deleted.

    Returns:
        The runs that were deleted.

    Raises:
        RunRequestError: Where a status is unknown, or the age negative; nothing was deleted.
        StoreError: Where the store cannot be used.
    """
    wanted = _wanted(statuses)
    if older_than.total_seconds() < 0:
        raise RunRequestError(f"older_than is an age, and {older_than} is negative")
    until = (clock.now() if now is None else now) - older_than

    def is_wanted(info: RunInfo) -> bool:
        return info.status in wanted and info.updated <= until

    opened = open_store(store)
    found = [info for info in opened.runs(workflow_id=workflow_id) if is_wanted(info) and not info.is_owned]
    return found if dry_run else [info for info in found if _delete(opened, info, is_wanted)]


def _wanted(statuses: Iterable[str]) -> set[str]:
    """Return the statuses that are meant.

    Raises:
        RunRequestError: Where one is unknown.
    """
    wanted: set[str] = set()
    for status in [statuses] if isinstance(statuses, str) else statuses:
        if status != "done" and status not in STATUSES:
            raise RunRequestError(f"{status!r} is no status (there are: done, {', '.join(STATUSES)})")
        wanted.update(DONE if status == "done" else [str(status)])
    return wanted


def _delete(store: Store, info: RunInfo, is_wanted: Callable[[RunInfo], bool]) -> bool:
    """Delete a run, if it still stands as it was listed; return whether it was deleted."""
    try:
        lease = store.take(info.workflow_id, info.run_id)
    except (RunOwnedError, RunNotFoundError):  # somebody was quicker
        return False
    try:
        present = store.runs(workflow_id=info.workflow_id, run_id=info.run_id)
        if not any(is_wanted(each) for each in present):
            return False
        lease.delete()
    finally:
        lease.release()
    return True


def check_runs(store: str | Store, workflow: Workflow) -> list[Check]:
    """Tell for each run of a workflow that has not ended whether this definition could carry it on.

    Args:
        store: The store, or its URL.
        workflow: The workflow as it is now.

    Raises:
        StoreError: Where the store cannot be read.
    """
    opened = open_store(store)
    return [Check(info, _problems(opened, info, workflow)) for info in _runs_of(opened, workflow.id)]


def _runs_of(store: Store, workflow_id: str) -> list[RunInfo]:
    """Return the runs of a workflow in flight; one that cannot be read is known by its file's name."""
    return [
        info
        for info in _in_flight(store)
        if info.workflow_id == workflow_id
        or (info.status == UNREADABLE and info.run_id.startswith(f"{workflow_id}-"))
    ]


def _problems(store: Store, info: RunInfo, workflow: Workflow) -> tuple[str, ...]:
    if info.status == UNREADABLE:
        return ("its journal cannot be read",)
    try:
        reading = read(load_history(store, info.workflow_id, info.run_id))
    except RunNotFoundError:  # it has ended meanwhile, and was deleted
        return ()
    except JournalError as error:
        return (text_of(error),)
    found = differences(reading.begun, workflow.definition)
    missing = missing_undos(reading.begun, workflow.definition, _executed(reading))
    return (*found, *(f"step {path} was run with an undo, and has none any more" for path in missing))


def _executed(reading: Reading) -> list[str]:
    """Return the steps that a way back would undo."""
    stands = {path for path, state in reading.states.items() if state in STANDING}
    return [path for path in reading.states if path in stands or path in reading.at_work]


def export_run(store: str | Store, workflow_id: str, run_id: str) -> dict[str, Any]:
    """Return the journal of a run as automa-spec's document, which `automa.stores.FileStore` keeps too.

    Args:
        store: The store, or its URL.
        workflow_id: The id of the workflow.
        run_id: The id of the run.

    Raises:
        RunNotFoundError: Where there is no such run.
        JournalError: Where its journal cannot be read.
        StoreError: Where the store cannot be used.
    """
    fold = Fold()
    fold.add(open_store(store).load(workflow_id, run_id))
    document: dict[str, Any] = json.loads(fold.to_json())
    return document
