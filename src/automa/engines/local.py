"""The engine that needs no server: the workers of one machine take the runs that wait in a store."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any, TypeVar

from automa._core.protocols import Cancellable
from automa._core.status import Outcome
from automa.engines.engine import EngineBase, Name, Turn, WorkerBase, version_of_entries
from automa.engines.parts import Branches, Part, Wait, carry, log
from automa.engines.segments import BAD, Signals
from automa.errors import (
    AutomaError,
    EngineError,
    RunNotFoundError,
    RunOwnedError,
    RunRequestError,
    StoreError,
)
from automa.journal.journal import RUNNING
from automa.runtime.async_driver import uncancelled, writers
from automa.stores.urls import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from automa._core.protocols import Lease, Observer, RunInfo, Store
    from automa.engines.segments import Entry
    from automa.workflow import Workflow

Value = TypeVar("Value")

GOING_ON: tuple[str, ...] = (RUNNING, Outcome.SUSPENDED, Outcome.INFRASTRUCTURE_ERROR)
"""The statuses of runs that a worker carries on."""


class LocalEngine(EngineBase):
    """Runs in a store: begun by whoever submits them, and carried on by the workers of this machine.

    Each run is journaled as if it had been started with that store, so that all that reads stores reads it.
    A run whose worker has died is taken by another one at once.

    Args:
        store: The store, or its URL: ``sqlite:///runs.db``, say.

    Raises:
        StoreError: Where the store cannot be used.
        EngineError: Where runs in it cannot be cancelled by others than their workers.

    Example:
        >>> from automa import Step, Workflow
        >>> from automa.engines import LocalEngine
        >>> greet = Workflow("greet", [Step("hello", run=lambda: "hi")])
        >>> engine = LocalEngine("memory:")
        >>> handle = engine.submit(greet)
        >>> with engine.worker(greet).in_background():
        ...     handle.wait(timeout=10).results
        {'hello': 'hi'}
    """

    def __init__(self, store: str | Store) -> None:
        opened = open_store(store)
        if not isinstance(opened, Cancellable):
            raise EngineError(
                f"{opened!r} does not pass on cancellations: it needs what automa.abc.Cancellable has"
            )
        self.store: Cancellable = opened

    def begin_turn(self, name: Name, entries: Sequence[Entry]) -> None:
        """Begin a run, or add what an operator has asked of it."""
        if name.number == 0:
            lease = self.store.create(name.workflow_id, name.run_id)
            new = entries
        else:
            lease, new = self._take(name, entries)
        try:
            if (name.workflow_id, name.run_id) in self.store.asked_cancels():  # it was meant for what is over
                self.store.forget_cancel(name.workflow_id, name.run_id)
            lease.append(new, RUNNING)
        finally:
            lease.release()

    def _take(self, name: Name, entries: Sequence[Entry]) -> tuple[Lease, Sequence[Entry]]:
        """Take a run that has stopped; return with it what is new in its history.

        Raises:
            RunRequestError: Where somebody else was quicker.
        """
        until = time.monotonic() + _LETS_GO
        while True:
            known = self.store.load(name.workflow_id, name.run_id)
            if len(known) != name.number or time.monotonic() > until:
                raise RunRequestError(
                    f"run {name.run_id!r}: somebody else was quicker; look how it stands now"
                )
            try:
                lease = self.store.take(name.workflow_id, name.run_id)
            except RunOwnedError:  # its worker has written that it has stopped, and is about to let it go
                time.sleep(_SHORTEST_PAUSE)
                continue
            if len(self.store.load(name.workflow_id, name.run_id)) == len(known):
                return lease, entries[len(known) :]
            lease.release()

    def last_turn(self, workflow_id: str, run_id: str) -> Turn:
        """Return how a run stands; the number of its turn is that of its entries."""
        info = next(iter(self.store.runs(workflow_id=workflow_id, run_id=run_id)), None)
        if info is None:
            raise RunNotFoundError(f"there is no run {run_id!r} of workflow {workflow_id!r} in the store")
        entries = self.store.load(workflow_id, run_id)
        version = version_of_entries(entries)
        end = None if info.status in GOING_ON else info.status
        return Turn(Name(workflow_id, version, run_id, len(entries) - 1), entries, end)

    def signal_cancel(self, name: Name, note: str) -> None:
        """Tell the worker of a run, or the one that will take it, that it is to be undone."""
        self.store.ask_cancel(name.workflow_id, name.run_id, note)

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first."""
        return self.store.runs(workflow_id=workflow_id, run_id=run_id, status=status)

    def worker(
        self,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> LocalWorker:
        """Return a worker that takes runs of these workflows."""
        return LocalWorker(self.store, workflows, resources=resources, observers=observers)


class LocalWorker(WorkerBase):
    """Takes runs that wait in a store, or whose worker has died; see `LocalEngine.worker`."""

    def __init__(
        self,
        store: Cancellable,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
    ) -> None:
        super().__init__(
            workflows, resources=resources, observers=observers, writes_ahead=True, keeps_misfits=False
        )
        self._store = store
        self._carried: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._signals: dict[tuple[str, str], Signals] = {}
        self._left: dict[tuple[str, str], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def serve(self) -> None:
        """Carry on runs on the running event loop, until `stop` is called; steps at work then end first."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._looked_around()
        finally:  # also where this task is cancelled
            await self.host.close(_GRACE)
            tasks = list(self._carried.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _looked_around(self) -> None:
        """Take runs that wait for a worker, until `stop` is called."""
        pause = _SHORTEST_PAUSE
        while not self._stopped.is_set():
            try:
                has_begun = self._begin(*await _in_thread(self._looks))
            except StoreError as error:
                log.error("the store cannot be read, and is tried again: %s", error)
                has_begun = False
            pause = _SHORTEST_PAUSE if has_begun else min(1.5 * pause, _LONGEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), pause)

    def stop(self) -> None:
        """Have `serve` come to its end."""
        if self._loop is None:
            self._stopped.set()
        else:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._stopped.set)

    def _looks(self) -> tuple[dict[tuple[str, str], str], list[RunInfo]]:
        """Return which runs are to be cancelled, and those that wait for a worker, the oldest first."""
        asked = self._store.asked_cancels()
        ids = {workflow_id for workflow_id, _ in self.host.workflows}
        found = [info for status in GOING_ON for info in self._store.runs(status=status)]
        free = [info for info in found if not info.is_owned and info.workflow_id in ids]
        return asked, sorted(free, key=lambda info: info.created)

    def _begin(self, asked: Mapping[tuple[str, str], str], free: Iterable[RunInfo]) -> bool:
        """Pass on cancellations; carry on runs that wait, each in a task; return whether there were any."""
        for key in asked.keys() & self._signals.keys():
            self._signals[key].cancel(asked[key])
        now = asyncio.get_running_loop().time()
        keys = [(info.workflow_id, info.run_id) for info in free]
        new = [key for key in keys if key not in self._carried and self._left.get(key, 0.0) <= now]
        new = new[: max(0, _MOST_RUNS - len(self._carried))]
        for key in new:
            task = self._carried[key] = asyncio.ensure_future(self._taken(*key))
            task.add_done_callback(functools.partial(self._let_go, key))
        return bool(new)

    def _let_go(self, key: tuple[str, str], _task: asyncio.Task[None]) -> None:
        del self._carried[key]

    async def _taken(self, workflow_id: str, run_id: str) -> None:
        """Take a run and carry it to its end; what goes wrong is told, and tried again later."""
        key = (workflow_id, run_id)
        try:
            lease = await _in_thread(self._store.take, workflow_id, run_id)
        except (RunOwnedError, RunNotFoundError):  # another worker was quicker
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, others may fare better
            self._leave(key, error)
            return
        signals = self._signals[key] = Signals()
        try:
            entries = await _in_thread(self._store.load, workflow_id, run_id)
            version = version_of_entries(entries)
            workflow = self.host.workflows.get((workflow_id, version))
            if workflow is None:
                self._leave(key, f"it is of version {version}, which this worker does not have")
                return
            await self._carried_to_end(_Journal(lease), Part(self.host, workflow, entries, signals=signals))
            await _in_thread(self._store.forget_cancel, workflow_id, run_id)
        except Exception as error:  # noqa: BLE001  # as above
            self._leave(key, error)
        finally:
            del self._signals[key]
            lease.release()

    def _leave(self, key: tuple[str, str], reason: object) -> None:
        """Leave a run to others for a while, and say so once."""
        if key not in self._left:
            said = reason if isinstance(reason, AutomaError | str) else repr(reason)
            log.warning("run %s of workflow %s is left to others: %s", key[1], key[0], said)
        self._left[key] = asyncio.get_running_loop().time() + _REST

    async def _carried_to_end(self, journal: _Journal, part: Part) -> None:
        """Carry a run, or a branch of one, to its end; each durable step is a write of the store."""
        walk = carry(part)
        answer: Any = None
        while True:
            try:
                command = walk.send(answer)
            except StopIteration:
                return
            if isinstance(command, Wait):
                await self._waited(command)
                answer = None
            elif isinstance(command, Branches):
                answer = await self._branched(journal, command)
            else:
                answer = await part.advance()
                status = answer.get("end", RUNNING) if part.path is None else RUNNING
                if answer["entries"]:
                    await journal.append(answer["entries"], status)

    @staticmethod
    async def _waited(wait: Wait) -> None:
        """Wait between two attempts; what turns the part back ends that, unless it is protected."""
        if wait.is_protected:
            await asyncio.sleep(wait.seconds)
            return
        unlisten = wait.part.signals.listen(wait.part.turned.set)
        try:
            if wait.part.signals.cancelled is None:
                await asyncio.wait_for(wait.part.turned.wait(), wait.seconds)
        except TimeoutError:
            pass
        finally:
            unlisten()

    async def _branched(
        self, journal: _Journal, branches: Branches
    ) -> list[tuple[str, list[Entry], str | None]]:
        """Carry branches on side by side, begun in their order; return how they have ended."""
        paths, limit, cancels, _ = branches.branching
        parts = [branches.part.branch(path) for path in paths]
        gate = asyncio.Semaphore(limit or len(parts))

        async def carried(part: Part) -> None:
            async with gate:
                await self._carried_to_end(journal, part)
                if part.end == BAD and cancels:
                    for other in parts:
                        if other.end is None:
                            other.give_up(f"given up, since {part.path} has failed")

        tasks = [asyncio.ensure_future(carried(part)) for part in parts]
        try:
            await asyncio.wait(tasks)  # even where one cannot be recorded: others have steps at work
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        for task in tasks:
            task.result()
        return [(part.path or "", part.added, part.end) for part in parts]


class _Journal:
    """Writes what the branches of a run have done: of one after that of another.

    Args:
        lease: The right to carry on the run.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._lock = asyncio.Lock()

    async def append(self, entries: Sequence[Entry], status: str) -> None:
        """Write entries; when it returns they are durable."""
        async with self._lock:
            await _in_thread(self._lease.append, entries, status)


async def _in_thread(function: Callable[..., Value], *args: Any) -> Value:
    """Have a thread ask the store; a cancellation of the task waits for that: what is written counts."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # a coroutine is carried on by one
    future = asyncio.get_running_loop().run_in_executor(writers(), functools.partial(function, *args))
    answer, cancellation = await uncancelled(future)
    if cancellation is not None:
        task.cancel()  # where it waits next
    return answer


_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25  # seconds between two looks at the store
_REST = 30.0  # seconds for which a run is left to others that cannot be carried on
_GRACE = 30.0  # seconds in which steps at work may end
_LETS_GO = 5.0  # seconds within which a worker lets go of a run that has stopped
_MOST_RUNS = 200
