"""Turns and branches on their way through DBOS: what `carry` asks for, as workflows and steps of DBOS.

DBOS numbers the steps of a workflow in the order of their calls. So whatever goes on side by side is a
workflow of its own, and a turn waits for its branches in the order in which they were begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dbos import DBOS, SetWorkflowAttributes, SetWorkflowID

from automa.engines.dbos.names import BRANCH, TURN, branches_of, queue_of, turn_name
from automa.engines.parts import Branches, Part, Step, Wait, carry
from automa.engines.segments import BAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbos import WorkflowHandleAsync

    from automa.engines.dbos.keeper import Keeper
    from automa.engines.dbos.notices import Notices
    from automa.engines.parts import Host
    from automa.engines.segments import Branching, Entry

_POLLED = 0.25  # seconds between two looks for the end of a branch that another worker carries


class _Way(NamedTuple):
    """A part on its way through DBOS.

    Attributes:
        part: The part.
        own: The id of its workflow in DBOS.
        turn: That of the turn to which it belongs.
        version: The version of the workflow.
        forks: Those in which it is, as they are called in notices, the innermost last.
        turned: Set once it is to turn back.
    """

    part: Part
    own: str
    turn: str
    version: str
    forks: tuple[str, ...]
    turned: asyncio.Event


class Carrier:
    """Carries turns and branches for a worker.

    Args:
        host: What the worker has for all of its runs.
        notices: Where it hears what runs are told.
        keeper: Whoever knows whether steps may begin.
    """

    def __init__(self, host: Host, notices: Notices, keeper: Keeper) -> None:
        self._host = host
        self._notices = notices
        self._keeper = keeper
        self._tasks: set[asyncio.Task[Any]] = set()
        self._parts: dict[str, Part] = {}
        self._unrecorded: set[asyncio.Future[None]] = set()
        self._is_closed: bool = False

    async def carry_turn(self, version: str, entries: str) -> str:
        """Carry the turn whose workflow this is; return how the run has ended."""
        own = _own_id()
        part = await self._new_part(own, version, json.loads(entries), None)
        way = _Way(part, own, own, version, (), asyncio.Event())
        with self._carrying(way):
            with self._notices.heard({own: part.signals.cancel}):
                end = await self._carried(way)
            if part.signals.cancelled is not None:
                await self._notices.remove(own)
        return end

    async def carry_branch(  # noqa: PLR0913  # what a worker is told that has not begun it
        self, version: str, path: str, entries: str, *, turn: str, forks: list[str], cancels: bool
    ) -> str:
        """Carry the branch whose workflow this is; return what it has added, and its end, as JSON.

        It is given up where another branch of its fork has failed, or one of those in which it is nested.
        """
        own, fork = _own_id(), forks[-1]
        parent = self._parts.get(fork.rpartition("#")[0])
        part = parent.branch(path) if parent else await self._new_part(turn, version, [], path)
        part.entries = json.loads(entries)
        way = _Way(part, own, turn, version, tuple(forks), asyncio.Event())

        def give_up(note: str) -> None:
            part.give_up(note)
            way.turned.set()

        with self._carrying(way):
            told = {turn: part.signals.cancel, **dict.fromkeys(forks, give_up)}
            with self._notices.heard(told):
                end = await self._carried(way)
            if cancels and end == BAD:
                await self._notices.post(fork, f"given up, since {path} has failed")
        return json.dumps([part.added, end])

    async def let_go(self) -> None:
        """End all that is carried here: nothing of it is recorded any more, and others may go on with it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def close(self, grace: float) -> None:
        """Let steps at work end and be recorded, and let go of everything."""
        await self._host.close(grace)
        self._is_closed = True
        if self._unrecorded:
            await asyncio.wait(list(self._unrecorded), timeout=grace)
        await self.let_go()

    async def _new_part(self, turn: str, version: str, entries: list[Entry], path: str | None) -> Part:
        workflow_id = turn_name(turn, version).workflow_id
        workflow = self._host.workflows.get((workflow_id, version))
        if workflow is None:  # somebody has had DBOS itself resume it: then it forgets the queue
            queue = queue_of(workflow_id, version)
            await self._keeper.put_back(_own_id(), queue if path is None else branches_of(queue))
            raise asyncio.CancelledError  # which DBOS does not record
        return Part(self._host, workflow, entries, path)

    @contextlib.contextmanager
    def _carrying(self, way: _Way) -> Iterator[None]:
        """Note that a part is carried here."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # workflows are tasks
        if self._is_closed:
            raise asyncio.CancelledError  # which DBOS does not record
        self._tasks.add(task)
        self._parts[way.own] = way.part
        unlisten = way.part.signals.listen(way.turned.set)
        try:
            yield
        finally:
            unlisten()
            self._tasks.discard(task)
            if self._parts.get(way.own) is way.part:  # one that was let go may have been taken again
                del self._parts[way.own]

    async def _carried(self, way: _Way) -> str:
        walk = carry(way.part)
        forks = itertools.count()
        answer: Any = None
        until = 0.0
        while True:
            try:
                command = walk.send(answer)
            except StopIteration as stop:
                end: str = stop.value
                return end
            if isinstance(command, Step):
                answer = json.loads(await self._recorded(command))
                until = answer.get("until", until)
            elif isinstance(command, Wait):
                await self._waited(way, until, command)
                answer = None
            else:
                answer = await self._branched(way, command, f"{way.own}#{next(forks)}")

    async def _recorded(self, step: Step) -> str:
        """Have one step of DBOS carry on a part; return once that is recorded."""
        recorded = asyncio.get_running_loop().create_future()
        try:
            return await DBOS.run_step_async({"name": step.name}, self._lived, step.part, recorded)
        finally:
            recorded.set_result(None)

    async def _lived(self, part: Part, recorded: asyncio.Future[None]) -> str:
        """Carry on a part: what one step of DBOS does.

        Its answer is text, and ASCII: so there is nothing in it that Postgres would refuse. A wait has its
        end recorded with it, so that it does not begin anew with each worker that takes it.
        """
        await self._notices.current()
        await self._keeper.permit()
        found = await part.advance()
        self._unrecorded.add(recorded)
        recorded.add_done_callback(self._unrecorded.discard)
        if "sleep" in found:
            found["until"] = time.time() + found["sleep"]
        return json.dumps(found)

    @staticmethod
    async def _waited(way: _Way, until: float, wait: Wait) -> None:
        left = until - time.time()
        if wait.is_protected:
            await asyncio.sleep(left)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(way.turned.wait(), left)

    async def _branched(self, way: _Way, command: Branches, fork: str) -> list[tuple[str, list[Entry], str]]:
        """Carry branches, and wait for them in the order in which they were begun: the same each time."""
        branching = command.branching
        handles: list[WorkflowHandleAsync[str]] = []
        found: list[tuple[str, list[Entry], str]] = []

        async def join() -> None:
            text = await handles[len(found)].get_result(polling_interval_sec=_POLLED)
            found.append((branching.paths[len(found)], *json.loads(text)))

        for path in branching.paths:
            if branching.limit is not None and len(handles) - len(found) >= branching.limit:
                await join()
            handles.append(await self._begun(way, path, fork, branching))
        while len(found) < len(handles):
            await join()
        if branching.cancels and any(end == BAD for _, _, end in found):
            await self._notices.remove(fork)
        return found

    @staticmethod
    async def _begun(way: _Way, path: str, fork: str, branching: Branching) -> WorkflowHandleAsync[str]:
        entries = json.dumps(way.part.entries)
        queue = queue_of(turn_name(way.turn, way.version).workflow_id, way.version)
        # A path may be carried again after another fork: so the fork is part of the name, but for the first.
        parent, _, number = fork.rpartition("#")
        own = f"{parent}{'' if number == '0' else f'#{number}'}/{path}"
        with SetWorkflowID(own), SetWorkflowAttributes({"queue": queue}):
            return await DBOS.start_workflow_async(
                branch, way.version, path, entries,
                turn=way.turn, forks=[*way.forks, fork], cancels=branching.cancels,
            )  # fmt: skip


def _own_id() -> str:
    own = DBOS.workflow_id
    assert own is not None  # noqa: S101  # this is a workflow
    return own


# DBOS has one registry and one instance a process: so there is one carrier.
_serving: list[Carrier] = []


def serve_with(carrier: Carrier | None) -> None:
    """Have the workflows of DBOS in this process carried by a carrier, or by none any more."""
    _serving[:] = [] if carrier is None else [carrier]


def _carrier() -> Carrier:
    if not _serving:
        raise asyncio.CancelledError  # the worker has stopped: DBOS does not record that
    return _serving[0]


@DBOS.workflow(name=TURN, max_recovery_attempts=None)
async def turn(version: str, entries: str) -> str:
    """A turn of a run; see `Carrier.carry_turn`."""
    return await _carrier().carry_turn(version, entries)


@DBOS.workflow(name=BRANCH, max_recovery_attempts=None)
async def branch(  # noqa: PLR0913  # likewise
    version: str, path: str, entries: str, *, turn: str, forks: list[str], cancels: bool
) -> str:
    """A branch of a run; see `Carrier.carry_branch`."""
    return await _carrier().carry_branch(version, path, entries, turn=turn, forks=forks, cancels=cancels)
