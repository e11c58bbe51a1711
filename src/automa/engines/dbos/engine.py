"""The engine on DBOS, as whoever begins runs and asks about them sees it."""

from __future__ import annotations

import functools
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dbos import DBOSClient, error

from automa._core.protocols import RunInfo
from automa._core.status import Outcome
from automa.engines.dbos.database import Database
from automa.engines.dbos.names import (
    APPLICATION_VERSION,
    BRANCH,
    TURN,
    queue_of,
    turn_id,
    turn_name,
    version_in,
)
from automa.engines.dbos.notices import POST
from automa.engines.dbos.waiting import GOING_ON, Waiting
from automa.engines.dbos.worker import DbosWorker
from automa.engines.engine import EngineBase, Name, Turn
from automa.errors import RunExistsError, RunNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbos import WorkflowStatus

    from automa._core.protocols import Observer
    from automa.engines.engine import Entry
    from automa.workflow import Workflow

_PAGE = 500  # how many runs are listed at once
_TURNS = 8  # how many turns of a run are asked for at once


class DbosEngine(EngineBase):
    """Runs on a fleet of workers, through DBOS on Postgres.

    Args:
        url: ``dbos+postgresql://user@host:port/database``; what DBOS needs is made there.
        lease: Seconds after which a worker that does not beat is taken for dead, and its runs are carried on
            by others. A worker that stands still for longer, and then goes on, is not harmed.
        grace: Seconds that a worker which stops waits for the steps at work.
        runs_at_once: How many runs a worker carries on at most, of each workflow and version; one that waits
            before another attempt counts.
        patience: Seconds for which a database that is away is asked again, before that is an error.

    Raises:
        EngineError: Where the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        lease: float = 15.0,
        grace: float = 30.0,
        runs_at_once: int = 250,
        patience: float = 30.0,
    ) -> None:
        self._database = Database(url, lease, patience)
        self._waiting = Waiting(self._database)
        self._lease = lease
        self._grace = grace
        self._runs_at_once = runs_at_once

    def begin_turn(self, name: Name, entries: Sequence[Entry]) -> None:
        """Begin a turn of a run, durably.

        Raises:
            RunExistsError: Where there is one of that name.
            EngineError: Where the engine cannot be used.
        """
        queue = queue_of(name.workflow_id, name.version)
        turn = turn_id(name.workflow_id, name.run_id, name.number)
        given = (name.version, json.dumps(list(entries)))

        def call(client: DBOSClient) -> None:
            try:
                client.enqueue(
                    {
                        "workflow_name": TURN,
                        "workflow_id": turn,
                        "workflow_id_reuse_policy": "reject",
                        "queue_name": queue,
                        "app_version": APPLICATION_VERSION,
                        "attributes": {"queue": queue, "run": name.run_id},
                    },
                    *given,
                )
            except error.DBOSWorkflowIDInUseError:
                # It may be this very call that has begun it, where the connection was lost before its answer.
                (found,) = client.list_workflows(workflow_ids=[turn], load_output=False)
                if _given(found) != given:
                    raise RunExistsError(_exists(name)) from None

        self._database.ask(call)

    def last_turn(self, workflow_id: str, run_id: str) -> Turn:
        """Return the last turn of a run.

        Raises:
            RunNotFoundError: Where there is no such run.
            EngineError: Where the engine cannot be used.
        """

        def call(client: DBOSClient) -> Turn:
            # Before its steps: so those of one that has ended are all.
            turn = _last(client, workflow_id, run_id)
            version, text = _given(turn)
            entries = [*json.loads(text), *_added(client, turn.workflow_id)]
            return Turn(turn_name(turn.workflow_id, version), entries, _end_of(turn))

        return self._database.ask(call)

    def wait_for_end(self, workflow_id: str, run_id: str, timeout: float | None) -> Turn:
        """Wait until the last turn of a run has ended.

        Raises:
            TimeoutError: Where it takes longer.
            RunNotFoundError: Where there is no such run.
            EngineError: Where the engine cannot be used.
        """
        until = None if timeout is None else time.monotonic() + timeout
        number = 0
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not self._waiting.wait(turn_id(workflow_id, run_id, number), left):
                raise TimeoutError(f"run {run_id!r} goes on still, after {timeout:g} s")
            last = self.last_turn(workflow_id, run_id)
            if last.end is not None:
                return last
            number = last.name.number  # the run was carried on meanwhile

    def signal_cancel(self, name: Name, note: str) -> None:
        """Tell a turn that its run is to be undone, durably.

        Raises:
            EngineError: Where the engine cannot be used.
        """
        self._database.execute(POST, turn_id(name.workflow_id, name.run_id, name.number), note)

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first; see `automa.abc.Engine.runs`.

        Later turns of a run are newer than its first: so they are met before it.
        """
        later: dict[str, WorkflowStatus] = {}
        for turn in self._turns(workflow_id, run_id):
            first = turn.workflow_id.partition("~")[0]
            if turn.workflow_id != first:
                later.setdefault(first, turn)
                continue
            info = _info(turn, later.pop(first, turn))
            if info.matches(workflow_id, run_id, status):
                yield info

    def worker(
        self,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> DbosWorker:
        """Return a worker; see `automa.abc.Engine.worker`."""
        return DbosWorker(
            self._database,
            workflows,
            resources=resources,
            observers=observers,
            lease=self._lease,
            grace=self._grace,
            runs_at_once=self._runs_at_once,
        )

    def close(self) -> None:
        """Give back the connections; it may be called more than once."""
        self._database.close()

    def _turns(self, workflow_id: str | None, run_id: str | None) -> Iterator[WorkflowStatus]:
        """Yield turns, the newest first, a page at a time; what begins meanwhile moves none out of sight."""
        prefix = None if workflow_id is None else turn_id(workflow_id, "", 0)
        attributes = None if run_id is None else {"run": run_id}
        seen: set[str] = set()
        offset = 0
        while True:
            listed = functools.partial(
                DBOSClient.list_workflows, name=TURN, workflow_id_prefix=prefix, attributes=attributes,
                limit=_PAGE, offset=offset, sort_desc=True, load_input=False,
            )  # fmt: skip
            page = self._database.ask(listed)
            for each in page:
                if each.workflow_id not in seen:
                    seen.add(each.workflow_id)
                    yield each
            if len(page) < _PAGE:
                return
            offset += len(page)


def _exists(name: Name) -> str:
    if name.number:
        return f"somebody else was quicker to have run {name.run_id!r} go on: look at its report first"
    return (
        f"run {name.run_id!r} of workflow {name.workflow_id!r} was started before: ask for its report, or "
        "take another run id"
    )


def _last(client: DBOSClient, workflow_id: str, run_id: str) -> WorkflowStatus:
    """Return the last turn of a run."""
    last: WorkflowStatus | None = None
    number = 0
    while True:
        ids = [turn_id(workflow_id, run_id, each) for each in range(number, number + _TURNS)]
        listed = client.list_workflows(workflow_ids=ids)
        found = {each.workflow_id: each for each in listed}
        for each in ids:
            last = found.get(each, last)
        if ids[-1] not in found:
            break
        number += _TURNS
    if last is None:
        raise RunNotFoundError(f"there is no run {run_id!r} of workflow {workflow_id!r} on the engine")
    return last


def _given(turn: WorkflowStatus) -> tuple[str, str]:
    """Return what a turn was given: the version of the workflow, and the history as JSON."""
    assert turn.input is not None  # noqa: S101  # it was asked for
    version, entries = turn.input["args"]
    return version, entries


def _end_of(turn: WorkflowStatus) -> str | None:
    """Return how a turn has ended, or None; where DBOS has stopped one, another turn can go on."""
    if turn.status in GOING_ON:
        return None
    return turn.output if turn.status == "SUCCESS" else Outcome.INFRASTRUCTURE_ERROR.value


def _added(client: DBOSClient, workflow: str) -> list[Entry]:
    """Return what a turn or a branch has added so far; of its branches what they have, where they go on."""
    steps = client.list_workflow_steps(workflow)
    joined = {each["child_workflow_id"] for each in steps if each["function_name"] != BRANCH}
    found: list[Entry] = []
    for step in steps:
        child = step["child_workflow_id"]
        text = step["output"] or ""
        if child is None:
            found += json.loads(text)["entries"]
        elif step["function_name"] != BRANCH:
            found += json.loads(text)[0]
        elif child not in joined:
            found += _added(client, child)
    return found


def _info(first: WorkflowStatus, last: WorkflowStatus) -> RunInfo:
    queue = (first.attributes or {})["queue"]
    name = turn_name(first.workflow_id, version_in(queue)[1])
    return RunInfo(
        name.workflow_id,
        name.run_id,
        _end_of(last) or "running",
        _moment(first.created_at),
        _moment(last.updated_at),
        is_owned=last.status == "PENDING",
    )


def _moment(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)
