"""A run, or a branch of one, on its way through an engine, and what its worker asks of the engine for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from automa.engines.segments import Branching, Segment, Signals
from automa.engines.session import Session
from automa.errors import JournalError, WorkflowDefinitionError
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from automa._core.protocols import Observer
    from automa.engines.segments import Entry

log: logging.Logger = logging.getLogger("automa.engines")
"""Where workers tell what they do."""


class Host:
    """What a worker has for all of its runs.

    Args:
        workflows: The workflows whose runs it carries on.
        resources: Live objects for the steps.
        observers: Those who hear of the records of each run.
        writes_ahead: Whether it is to be durable that a step is called before it is; else only where the step
            has a ``verify``, which is asked then.
        keeps_misfits: Whether a run whose history does not fit is waited with, until another worker has it;
            else that is raised, since as long as this one has it no other one can take it.

    Attributes:
        workflows: The workflows, by id and version.

    Raises:
        WorkflowDefinitionError: Where two have the same.
        StateError: Where one could not go on with these resources.
    """

    def __init__(
        self,
        workflows: Workflow | Iterable[Workflow],
        *,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
        writes_ahead: bool = False,
        keeps_misfits: bool = True,
    ) -> None:
        self.workflows: dict[tuple[str, str], Workflow] = {}
        for workflow in [workflows] if isinstance(workflows, Workflow) else workflows:
            known = self.workflows.setdefault((workflow.id, workflow.version), workflow)
            if known is not workflow:
                raise WorkflowDefinitionError(
                    f"two workflows have the id {workflow.id!r} and the version {workflow.version!r}: "
                    "give one of them another version"
                )
            workflow.check_resources(resources or {})
        self.resources: dict[str, Any] = dict(resources or {})
        self.observers: tuple[Observer, ...] = tuple(observers)
        self.writes_ahead: bool = writes_ahead
        self.keeps_misfits: bool = keeps_misfits
        self._at_work: set[asyncio.Future[None]] = set()
        self._is_closing: bool = False

    async def working(self) -> asyncio.Future[None]:
        """Note that a step is about to be called; return what is to be settled once it has ended.

        A host that closes lets no step begin any more: whoever asks is not answered.
        """
        future = asyncio.get_running_loop().create_future()
        if self._is_closing:
            await future
        self._at_work.add(future)
        future.add_done_callback(self._at_work.discard)
        return future

    async def close(self, grace: float) -> None:
        """Let no step begin any more, and wait for those at work.

        Args:
            grace: Seconds to wait at most; what is at work then is called again by another worker.
        """
        self._is_closing = True
        if self._at_work:
            await asyncio.wait(list(self._at_work), timeout=grace)


class Part:
    """A run, or a branch of one, on its way: what is recorded of it, and the session that lives it.

    Args:
        host: What the worker has for all of its runs.
        workflow: The workflow.
        entries: The history of the run so far.
        path: The path of the branch; None for the run itself.
        signals: What the run is told from outside.

    Attributes:
        entries: The history so far.
        added: What was added to it since the part began.
        end: How it has ended, or None.
        turned: Set once it is given up, and by whoever else wants a wait of it to end.
    """

    def __init__(
        self,
        host: Host,
        workflow: Workflow,
        entries: Sequence[Entry],
        path: str | None = None,
        signals: Signals | None = None,
    ) -> None:
        self._host = host
        self._workflow = workflow
        self._session: Session | None = None
        self._ends: dict[str, str] = {}
        self._given_up: str | None = None
        self._branches: list[Part] = []
        self._branching: Branching | None = None
        self._late: dict[str, Future[object]] = {}
        self._in_doubt: bool = True  # until it has lived a step itself
        self._has_begun: bool = False
        self.path: str | None = path
        self.signals: Signals = signals or Signals()
        self.entries: list[Entry] = list(entries)
        self.added: list[Entry] = []
        self.end: str | None = None
        self.turned: asyncio.Event = asyncio.Event()

    def begin(self) -> None:
        """Begin to be carried: where it is given up by then, no worker has ever called a step of it."""
        if not self._has_begun and self._given_up is not None:
            self._in_doubt = False
        self._has_begun = True

    async def advance(self) -> dict[str, Any]:
        """Go on to the next answer of a step: what the engine runs as one durable step.

        Where the workflow of this worker does not fit the history it waits, and says so: another worker may
        have the one that does.

        Raises:
            JournalError: There, where the host does not keep such a run.
        """
        session = self._session
        wait = _FIRST_WAIT
        while session is None:
            try:
                session = self._session = self._new_session()
            except JournalError as error:
                if not self._host.keeps_misfits:
                    raise
                log.error("run %s is left to another worker: %s", self.run_id, error)  # noqa: TRY400
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
        at_work = await self._host.working()
        try:
            segment = await session.advance()
        finally:
            at_work.set_result(None)
        return segment.to_dict()

    @property
    def run_id(self) -> str:
        """The id of the run."""
        run_id: str = self.entries[0]["run"]
        return run_id

    def add(self, found: Mapping[str, Any]) -> Segment:
        """Take over what a durable step has returned, in this process or in another."""
        segment = Segment.from_dict(found)
        self._branching = segment.branching
        self._add(segment.entries)
        session = self._session
        if session is not None:
            self._in_doubt = False
        if session is not None and (session.is_spent or segment.end is not None):
            session.publish()
            self._session = None
        self.end = segment.end
        return segment

    def _add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.entries.append(entry)
            self.added.append(entry)

    def branch(self, path: str) -> Part:
        """Return a branch that begins now."""
        part = Part(self._host, self._workflow, self.entries, path, self.signals)
        part._late, part._given_up, part._in_doubt = self._late, self._given_up, self._in_doubt
        if self._branching is not None and self._branching.given_up is not None:
            part.give_up(self._branching.given_up)
        self._branches.append(part)
        return part

    def give_up(self, reason: str) -> None:
        """Give up this branch: another one has failed."""
        if self._given_up is None:
            self._given_up = reason
            self.turned.set()
            if self._session is not None:
                self._session.give_up(reason)
            for branch in self._branches:
                branch.give_up(reason)

    @property
    def is_given_up(self) -> bool:
        """Whether it is given up: another branch has failed."""
        return self._given_up is not None

    def join(self, ends: Iterable[tuple[str, Iterable[Entry], str]]) -> None:
        """Take over what has come of branches: of each its path, what it has added, and how it has ended."""
        for path, entries, end in ends:
            self._add(entries)
            self._ends[path] = end
        self._session = None
        self._branches.clear()

    def _new_session(self) -> Session:
        return Session(
            self._workflow,
            self.entries,
            path=self.path,
            signals=self.signals,
            ends=self._ends,
            given_up=self._given_up,
            writes_ahead=self._host.writes_ahead,
            in_doubt=self._in_doubt,
            late=self._late,
            resources=self._host.resources,
            observers=self._host.observers,
        )


_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds


class Step(NamedTuple):
    """Carry on a part, in one durable step of the engine; what that has returned is sent back.

    Attributes:
        part: The part.
        name: The name of the durable step.
    """

    part: Part
    name: str


class Wait(NamedTuple):
    """Wait, by a timer of the engine; what turns the part back ends it early.

    Attributes:
        seconds: How long.
        part: Whose wait it is.
        is_protected: Whether it is to last, even where the run is cancelled: the delay of an undo.
    """

    seconds: float
    part: Part
    is_protected: bool


class Branches(NamedTuple):
    """Carry on branches side by side; of each how it ended is sent back, as `Part.join` takes it.

    Attributes:
        part: The part whose branches they are.
        branching: Which.
    """

    part: Part
    branching: Branching


def carry(part: Part) -> Generator[Step | Wait | Branches, Any, str]:
    """Carry a part from one durable step to the next, to its end.

    All that it decides by is what the durable steps have returned, so that an engine may call it again with
    those, in another process, and it asks for the same.

    Returns:
        How the part has ended.
    """
    part.begin()
    name = "begin"
    while True:
        segment = part.add((yield Step(part, name)))
        if segment.end is not None:
            return segment.end
        if segment.sleep is not None:
            yield Wait(segment.sleep, part, segment.is_protected)
        if segment.branching is not None:
            part.join((yield Branches(part, segment.branching)))
        name = segment.next
