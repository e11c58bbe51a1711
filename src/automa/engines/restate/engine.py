"""Begins runs at a Restate server, and tells of them: the server's journal of a run is the history of it."""

from __future__ import annotations

import json
import math
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.protocols import RunInfo
from automa._core.status import Outcome
from automa.engines.engine import EngineBase, Name, Turn
from automa.engines.restate.names import PREFIX, Target, name_of, prefix_of, target_of
from automa.engines.restate.server import Server, text
from automa.engines.restate.worker import ABORT_TIMEOUT, GRACE, INACTIVITY_TIMEOUT, LISTEN, RestateWorker
from automa.errors import EngineError, RunExistsError, RunNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from automa._core.protocols import Observer
    from automa.workflow import Workflow

    Entry = dict[str, Any]


class RestateEngine(EngineBase):
    """Runs on a fleet, through a Restate server.

    Args:
        url: ``restate://HOST[:PORT]``, where the server takes calls: by default port 8080. Its admin is port
            9070 of the same host, or what ``?admin=PORT`` or ``?admin=URL`` says.
        admin_url: Where its admin is, instead.

    Raises:
        EngineError: Where the URL is not of that form.

    Example::

        engine = RestateEngine("restate://127.0.0.1")
        report = engine.submit(checkout, {"order": 42}).wait()
    """

    def __init__(self, url: str, *, admin_url: str | None = None) -> None:
        self._server = Server(url, admin_url=admin_url)
        self._services: tuple[float, list[str]] = (-math.inf, [])  # when we looked, and what we saw

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def begin_turn(self, name: Name, entries: Sequence[Entry]) -> None:
        """Begin a turn of a run, durably."""
        target = target_of(name)
        registered = self._registered(target.service, prefix_of(name.workflow_id))
        if target.service not in registered:
            versions = ", ".join(sorted(repr(name_of(Target(each, "")).version) for each in registered))
            raise EngineError(
                f"no worker has registered workflow {name.workflow_id!r}, version {name.version!r}, at "
                f"{self._server.admin_url}{f' (only {versions})' if versions else ''}: start one with "
                "engine.worker(workflow).run(), or with  automa worker FILE --engine URL"
            )
        # The server refuses a key that is there already: of this version. A run of another one has it too.
        others = (Target(each, target.key) for each in registered if each != target.service)
        if any(map(self._server.is_known, others)) or not self._server.send(
            target, "run", {"entries": list(entries)}
        ):
            raise RunExistsError(
                f"run {name.run_id!r} of workflow {name.workflow_id!r} was started before: "
                "ask for its report, or take another run id"
                if name.number == 0
                else f"run {name.run_id!r} is carried on already: somebody else has asked for something"
            )

    def last_turn(self, workflow_id: str, run_id: str) -> Turn:
        """Return the last turn of a run."""
        found = self._invocations(workflow_id=workflow_id, run_id=run_id)
        if not found:
            raise RunNotFoundError(f"there is no run {run_id!r} of workflow {workflow_id!r} on the engine")
        last = max(found, key=lambda each: each.name.number)
        return Turn(last.name, self._entries(last.id), last.end)

    def signal_cancel(self, name: Name, note: str) -> None:
        """Tell a turn that its run is to be undone, durably."""
        self._server.send(target_of(name), "cancel", note)

    def wait_for_end(self, workflow_id: str, run_id: str, timeout: float | None) -> Turn:
        """Wait until the last turn of a run has ended: the server tells when."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            turn = self.last_turn(workflow_id, run_id)
            if turn.end is not None:
                return turn
            left = _LONGEST_WAIT if until is None else until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"run {run_id!r} goes on still, after {timeout:g} s")
            self._server.wait(target_of(turn.name), min(left, _LONGEST_WAIT))

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first."""
        runs: dict[tuple[str, str], list[_Invocation]] = {}
        for each in self._invocations(workflow_id=workflow_id, run_id=run_id):
            runs.setdefault((each.name.workflow_id, each.name.run_id), []).append(each)
        infos = (_info(sorted(turns, key=lambda each: each.name.number)) for turns in runs.values())
        for info in sorted(infos, key=lambda info: info.created, reverse=True):
            if info.matches(workflow_id, run_id, status):
                yield info

    def worker(  # noqa: PLR0913  # what a worker may be given are keyword arguments
        self,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
        listen: str = LISTEN,
        advertise: str | None = None,
        grace: float = GRACE,
        inactivity_timeout: float = INACTIVITY_TIMEOUT,
        abort_timeout: float = ABORT_TIMEOUT,
    ) -> RestateWorker:
        """Return a worker; see `RestateWorker` for what it may be given."""
        return RestateWorker(
            self._server,
            workflows,
            resources=resources,
            observers=observers,
            listen=listen,
            advertise=advertise,
            grace=grace,
            inactivity_timeout=inactivity_timeout,
            abort_timeout=abort_timeout,
        )

    def _registered(self, service: str, prefix: str) -> list[str]:
        """Return the services of all versions of a workflow, as we saw them last; one is looked for anew."""
        looked, services = self._services
        if service not in services or time.monotonic() > looked + _GLANCE:
            services = self._server.services()
            self._services = (time.monotonic(), services)
        return [each for each in services if each.startswith(prefix)]

    def _invocations(self, *, workflow_id: str | None, run_id: str | None) -> list[_Invocation]:
        """Return the turns of runs, as the server tells of them."""
        prefix = PREFIX if workflow_id is None else prefix_of(workflow_id)
        asked = f"starts_with(i.target_service_name, {text(prefix)}) AND i.target_handler_name = 'run'"
        if run_id is not None:
            key = "i.target_service_key"
            asked += f" AND ({key} = {text(run_id)} OR starts_with({key}, {text(run_id + '~')}))"
        rows = self._server.query(
            "SELECT i.id, i.target_service_name, i.target_service_key, i.status, i.created_at, "  # noqa: S608  # nosec B608
            "i.modified_at, s.value_utf8 AS outcome FROM sys_invocation i "
            "LEFT JOIN state s ON s.service_name = i.target_service_name "
            "AND s.service_key = i.target_service_key AND s.key = 'status' "
            f"WHERE {asked}"
        )
        return [_invocation(row) for row in rows]

    def _entries(self, invocation_id: str) -> list[Entry]:
        """Return the history of a run: what its last turn was given, and what its steps have returned."""
        rows = self._server.query(
            f"SELECT entry_json FROM sys_journal WHERE id = {text(invocation_id)} "  # noqa: S608  # nosec B608
            "AND entry_type IN ('Command: Input', 'Notification: Run') ORDER BY index"
        )
        entries: list[Entry] = []
        for row in rows:
            entry = json.loads(row["entry_json"])
            if "Command" in entry:
                payload = entry["Command"]["Input"]["payload"]
            else:
                payload = entry["Notification"]["Completion"]["Run"]["result"].get("Success")
            entries += json.loads(bytes(payload))["entries"]
        return entries


_GLANCE = 5.0  # seconds between two looks at what is registered
_LONGEST_WAIT = 60.0  # seconds for one request: what stands between may close one that is silent for longer


class _Invocation(NamedTuple):
    """A turn of a run, as the server tells of it."""

    id: str
    name: Name
    end: str | None
    is_at_work: bool
    created: datetime
    updated: datetime


def _invocation(row: Mapping[str, Any]) -> _Invocation:
    end = None if row.get("outcome") is None else json.loads(row["outcome"])
    if end is None and row["status"] == "completed":  # somebody has killed it at the server
        end = Outcome.INFRASTRUCTURE_ERROR.value
    return _Invocation(
        row["id"],
        name_of(Target(row["target_service_name"], row["target_service_key"])),
        end,
        row["status"] == "running",
        datetime.fromisoformat(row["created_at"]),
        datetime.fromisoformat(row["modified_at"]),
    )


def _info(turns: Sequence[_Invocation]) -> RunInfo:
    """Return a run as a list tells it: of its turns, in their order."""
    first, last = turns[0], turns[-1]
    status = last.end or "running"
    return RunInfo(
        last.name.workflow_id, last.name.run_id, status, first.created, last.updated, last.is_at_work
    )
