"""Where the runs are that the pages show: in a store, or on an engine."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.protocols import Cancellable, RunFilter, RunInfo, Searchable
from automa.engines.engine import EngineBase
from automa.engines.local import LocalEngine
from automa.errors import JournalError, RunNotFoundError
from automa.journal.entries import decode_entries, to_datetime, to_micros
from automa.journal.journal import RUNNING
from automa.journal.reading import Reading, read
from automa.journal.telling import INTERRUPTED
from automa.operations import DONE, UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa._core.protocols import Store
    from automa._core.records import Record

PAGE = 50
"""How many runs a page lists."""


class Slice(NamedTuple):
    """A page of a list of runs.

    Attributes:
        runs: The runs, the newest first.
        has_newer: Whether there are some in front of them.
        has_older: Whether some follow.
    """

    runs: list[RunInfo]
    has_newer: bool
    has_older: bool


class Seen(NamedTuple):
    """A run as it stands.

    Attributes:
        info: The run in the list of runs.
        history: Its records.
        reading: What they tell.
        has_stopped: Whether nobody carries it on, and nobody is to do so by himself.
    """

    info: RunInfo
    history: list[Record]
    reading: Reading
    has_stopped: bool


class Source:
    """The runs of a store, or of an engine.

    Args:
        place: The store or the engine.

    Attributes:
        engine: The engine, if it is one.
        store: The store, if it is one.
        is_far: Whether a server is asked, which a look costs more than a store.
    """

    def __init__(self, place: Store | EngineBase) -> None:
        self.engine: EngineBase | None = place if isinstance(place, EngineBase) else None
        self.store: Store | None = None if isinstance(place, EngineBase) else place
        self._place = place
        self._searched = place.store if isinstance(place, LocalEngine) else place
        self.is_far: bool = isinstance(place, EngineBase) and not isinstance(place, LocalEngine)

    def page(self, wanted: RunFilter, before: RunInfo | None, after: RunInfo | None) -> Slice:
        """Return a page of the runs that are wanted.

        Args:
            wanted: Which runs.
            before: The run behind which the page begins.
            after: The run in front of which it ends.

        Raises:
            AutomaError: Where they cannot be read.
        """
        found = self._find(wanted, before, after, PAGE + 1)
        if after is None:
            return Slice(found[:PAGE], before is not None, len(found) > PAGE)
        if len(found) < PAGE:  # the first page, as whoever begins there sees it
            return self.page(wanted, None, None)
        return Slice(found[-PAGE:], len(found) > PAGE, has_older=True)

    def _find(
        self, wanted: RunFilter, before: RunInfo | None, after: RunInfo | None, limit: int
    ) -> list[RunInfo]:
        if isinstance(self._searched, Searchable):
            return self._searched.find_runs(wanted, before=before, after=after, limit=limit)
        status = wanted.statuses[0] if wanted.statuses is not None and len(wanted.statuses) == 1 else None
        every = self._place.runs(workflow_id=wanted.workflow_id, status=status)
        return find_among(every, wanted, before=before, after=after, limit=limit)

    def info(self, workflow_id: str, run_id: str) -> RunInfo:
        """Return how a run stands in the list of runs.

        Raises:
            RunNotFoundError: Where there is no such run.
            AutomaError: Where that cannot be read.
        """
        for info in self._place.runs(workflow_id=workflow_id, run_id=run_id):
            return info
        raise RunNotFoundError(f"there is no run {run_id!r} of workflow {workflow_id!r}")

    def glance(self, workflow_id: str, run_id: str) -> tuple[RunInfo, int]:
        """Return how a run stands, and something that is another number where it has gone on since.

        Raises:
            RunNotFoundError: Where there is no such run.
            AutomaError: Where that cannot be read.
        """
        info = self.info(workflow_id, run_id)  # of a store it tells of each write
        return info, len(self._entries(workflow_id, run_id)) if self.is_far else 0

    def see(self, workflow_id: str, run_id: str) -> Seen:
        """Return a run as it stands.

        Raises:
            RunNotFoundError: Where there is no such run.
            AutomaError: Where it cannot be read.
        """
        info = self.info(workflow_id, run_id)
        if info.status == UNREADABLE:
            raise JournalError(f"{run_id} is no journal, or a broken one: `automa show` tells why")
        history = decode_entries(self._entries(workflow_id, run_id))
        has_stopped = not info.is_owned if self.engine is None else info.status != RUNNING
        return Seen(info, history, read(history), has_stopped)

    def _entries(self, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
        if self.engine is not None:
            return self.engine.last_turn(workflow_id, run_id).entries
        assert self.store is not None  # noqa: S101  # it is one of the two
        return self.store.load(workflow_id, run_id)

    def asked_cancel(self, workflow_id: str, run_id: str) -> str | None:
        """Return why a run is to be undone, where that was noted and nobody has heard it yet."""
        store = self._searched
        asked = store.asked_cancels() if isinstance(store, Cancellable) else {}
        return asked.get((workflow_id, run_id))


def find_among(
    runs: Iterator[RunInfo],
    wanted: RunFilter,
    *,
    before: RunInfo | None = None,
    after: RunInfo | None = None,
    limit: int,
) -> list[RunInfo]:
    """Find runs in a list of all, as `automa.abc.Searchable.find_runs` does it.

    Args:
        runs: All runs, the newest first.
        wanted: As there.
        before: As there.
        after: As there.
        limit: As there.
    """
    found: deque[RunInfo] = deque(maxlen=None if after is None else limit)
    is_behind = before is None
    for info in runs:
        if after is not None and (_is_same(info, after) or info.created < after.created):
            break
        if not is_behind and before is not None:
            is_behind = _is_same(info, before)
            if is_behind or info.created >= before.created:
                continue
            is_behind = True
        if wanted.matches(info):
            found.append(info)
            if after is None and len(found) == limit:
                break
    return list(found)


def _is_same(info: RunInfo, other: RunInfo) -> bool:
    return (info.workflow_id, info.run_id) == (other.workflow_id, other.run_id)


_STATUSES = {INTERRUPTED: RunFilter(statuses=(RUNNING,), is_owned=False), "done": RunFilter(statuses=DONE)}


def filter_of(status: str, workflow_id: str, text: str) -> RunFilter:
    """Return which runs are wanted, by what the form of the list says.

    Args:
        status: A status as it is shown, ``done``, or nothing for all.
        workflow_id: The id of a workflow, or nothing for all.
        text: What the ids are to contain.
    """
    wanted = RunFilter(statuses=(status,)) if status else RunFilter()
    if status == RUNNING:
        wanted = wanted._replace(is_owned=True)
    return _STATUSES.get(status, wanted)._replace(workflow_id=workflow_id or None, text=text)


def cursor_of(info: RunInfo) -> str:
    """Return what names a place in the list, for a URL."""
    return json.dumps([to_micros(info.created), info.workflow_id, info.run_id])


def at_cursor(text: str) -> RunInfo:
    """Return the run at whose place a cursor points; of it no more is known than that.

    Raises:
        ValueError: Where it is no cursor.
    """
    match json.loads(text):
        case [int(micros), str(workflow_id), str(run_id)]:
            try:
                at = to_datetime(micros)
            except OverflowError:
                raise ValueError(text) from None
            return RunInfo(workflow_id, run_id, "", at, at, is_owned=False)
    raise ValueError(text)
