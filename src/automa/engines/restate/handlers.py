"""What a worker does when the server calls it: it carries a turn of a run to its end."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import restate
from restate.serde import Serde

from automa.engines.parts import Branches, Host, Part, Step, Wait, carry, log
from automa.engines.restate.names import service_of
from automa.engines.segments import BAD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from automa.engines.segments import Branching
    from automa.workflow import Workflow


class _Json(Serde[Any]):
    """Values as JSON, without a look at their types."""

    def serialize(self, obj: Any) -> bytes:
        return json.dumps(obj, separators=(",", ":")).encode()

    def deserialize(self, buf: bytes) -> Any:
        return json.loads(buf) if buf else None


JSON = _Json()

CANCEL = "cancel"
"""The promise that is kept when somebody asks for the way back."""


class Keeping(NamedTuple):
    """What a worker keeps to, and keeps, for all of its calls.

    Attributes:
        unrecorded: What has ended, and is not confirmed by the server yet.
        steady: Awaited before a step begins: it holds up a worker that was frozen.
        inactivity_timeout: Seconds, as `RestateWorker` has them.
        abort_timeout: Likewise.
    """

    unrecorded: set[object]
    steady: Callable[[], Awaitable[None]]
    inactivity_timeout: float
    abort_timeout: float


class _Lane:
    """A part on its way.

    Args:
        part: The part.
        fork: The fork of which it is a branch, or None.

    Attributes:
        walk: What it asks for.
        end: How it has ended, or None.
        timer: What it waits for, where that may end early.
    """

    def __init__(self, part: Part, fork: _Fork | None) -> None:
        self.part = part
        self.fork = fork
        self.walk: Generator[Step | Wait | Branches, Any, str] = carry(part)
        self.end: str | None = None
        self.timer: restate.RestateDurableFuture[Any] | None = None


class _Fork:
    """Branches that are carried on side by side.

    Args:
        lane: The lane whose branches they are.
        branching: Which.
    """

    def __init__(self, lane: _Lane, branching: Branching) -> None:
        self.lane = lane
        self.cancels = branching.cancels
        self.lanes = [_Lane(lane.part.branch(path), self) for path in branching.paths]
        self.waiting = list(self.lanes)  # those that have not begun
        self.limit = branching.limit or len(self.lanes)


class Carrier:
    """Carries a turn of a run, and its branches side by side, in one handler.

    What comes next is decided by what the server has recorded alone, in the order in which it has: so that
    another worker that is called with the same records decides the same.

    Args:
        context: What the SDK gives to the handler.
        part: The run.
        keeping: What the worker has for all of its calls.
    """

    def __init__(self, context: restate.WorkflowContext, part: Part, keeping: Keeping) -> None:
        self._context = context
        self._signals = part.signals
        self._unrecorded = keeping.unrecorded
        self._steady = keeping.steady
        self._pending: dict[restate.RestateDurableFuture[Any], _Lane | None] = {}
        self._root = _Lane(part, None)

    async def carry(self) -> str:
        """Carry the turn to its end; return how it has ended."""
        try:
            return await self._carried()
        finally:
            self._unrecorded.difference_update(self._pending.values())

    async def _carried(self) -> str:
        cancelled = self._context.promise(CANCEL, JSON).value()
        self._pending[cancelled] = None
        self._send(self._root, None)
        while self._root.end is None:
            try:
                completed, _ = await restate.wait_completed(*self._pending)
            except restate.TerminalError as error:  # somebody has cancelled the run at the server itself
                self._cancel(f"cancelled at the Restate server: {error.message}")
                continue
            future = completed[0]
            lane = self._pending.pop(future)
            answer = await future
            if lane is None:
                self._cancel(answer)
            else:
                self._unrecorded.discard(lane)
                lane.timer = None
                self._send(lane, answer)
        return self._root.end

    def _cancel(self, note: str) -> None:
        self._signals.cancel(note)
        for lane in list(self._pending.values()):
            if lane is not None:
                self._wake(lane)

    def _wake(self, lane: _Lane) -> None:
        """End the wait of a lane early, where it is in one that may."""
        if lane.timer is not None:
            del self._pending[lane.timer]
            lane.timer = None
            self._send(lane, None)

    def _send(self, lane: _Lane, answer: Any) -> None:
        """Let a lane go on, and begin what it asks for."""
        while True:
            try:
                command = lane.walk.send(answer)
            except StopIteration as stop:
                self._ended(lane, stop.value)
                return
            if isinstance(command, Step):
                action = self._living(lane)
                self._pending[self._context.run_typed(command.name, action, _OPTIONS)] = lane
                return
            if isinstance(command, Branches):
                self._begin_some(_Fork(lane, command.branching))
                return
            if command.is_protected or not self._is_hurried(lane):
                timer = self._context.sleep(timedelta(seconds=command.seconds))
                self._pending[timer] = lane
                lane.timer = None if command.is_protected else timer
                return
            answer = None

    def _is_hurried(self, lane: _Lane) -> bool:
        return self._signals.cancelled is not None or lane.part.is_given_up

    def _living(self, lane: _Lane) -> Callable[[], Coroutine[Any, Any, dict[str, Any]]]:
        """Return what the SDK calls as one durable step: to go on with a lane."""

        async def advance() -> dict[str, Any]:
            await self._steady()
            try:
                found = await lane.part.advance()
            except Exception:
                log.exception("run %s: a step could not be carried out, and is tried again", lane.part.run_id)
                raise
            self._unrecorded.add(lane)
            return found

        return advance

    def _begin_some(self, fork: _Fork) -> None:
        """Begin as many branches as may go on at once, in their order."""
        at_work = sum(lane.end is None for lane in fork.lanes) - len(fork.waiting)
        while fork.waiting and at_work < fork.limit:
            at_work += 1
            self._send(fork.waiting.pop(0), None)

    def _ended(self, lane: _Lane, end: str) -> None:
        lane.end = end
        fork = lane.fork
        if fork is None:
            return
        if end == BAD and fork.cancels:
            for other in fork.lanes:
                if other.end is None:
                    other.part.give_up(f"given up, since {lane.part.path} has failed")
                    self._wake(other)
        if all(other.end is not None for other in fork.lanes):
            self._send(fork.lane, [(each.part.path, each.part.added, each.end) for each in fork.lanes])
        else:
            self._begin_some(fork)


_OPTIONS: restate.RunOptions[Any] = restate.RunOptions(serde=JSON)


def service(host: Host, workflow: Workflow, keeping: Keeping) -> restate.Workflow:
    """Return the service of a workflow: ``run`` carries a turn, ``cancel`` asks for the way back.

    Args:
        host: What the worker has for all of its runs.
        workflow: The workflow.
        keeping: What else it has.
    """
    made = restate.Workflow(
        service_of(workflow.id, workflow.version),
        inactivity_timeout=timedelta(seconds=keeping.inactivity_timeout),
        abort_timeout=timedelta(seconds=keeping.abort_timeout),
        journal_retention=_RETENTION,
        invocation_retry_policy=_RETRIES,
    )

    async def run(context: restate.WorkflowContext, turn: dict[str, Any]) -> dict[str, Any]:
        end = await Carrier(context, Part(host, workflow, turn["entries"]), keeping).carry()
        context.set("status", end, JSON)  # what a list of runs tells
        return {"end": end}

    async def cancel(context: restate.WorkflowSharedContext, note: str) -> None:
        promise = context.promise(CANCEL, JSON)
        if await promise.peek() is None:
            await promise.resolve(note)

    made.main("run", input_serde=JSON, output_serde=JSON, workflow_retention=_RETENTION)(run)
    made.handler("cancel", input_serde=JSON, output_serde=JSON)(cancel)
    return made


_RETENTION = timedelta(days=30)
_RETRIES = restate.InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=250),
    exponentiation_factor=2,
    max_interval=timedelta(seconds=10),
    max_attempts=2**31,  # a fleet may be down for a night: by default a run is paused after an hour of it
)
