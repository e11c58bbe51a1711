"""The actions of a run in the order of time, and where they are drawn."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from automa._core.definition import part_of
from automa._core.records import Answered, AttemptFailed, Started
from automa._core.status import Action, Status
from automa.pictures.words import Said, known, remarks_of, said_at_work, said_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from automa._core.records import Record
    from automa._core.reports import StepReport, WorkflowReport


class Journaled(NamedTuple):
    """What a journal tells of a run beside its report.

    Attributes:
        status: How the run stands: an outcome, ``running``, ``interrupted``.
        history: Its records.
        shared: The shared state as it is now.
        at_work: The steps that were at work last, by path what they were to do.
    """

    status: str
    history: Sequence[Record]
    shared: Mapping[str, object]
    at_work: Mapping[str, Action]


class Row(NamedTuple):
    """An action in the order of time.

    Attributes:
        path: The path of the step.
        kind: ``step``, ``attempt`` for one that failed and was followed by another, or ``workflow``.
        said: What became of it.
        remark: Why, and what else is to be said.
        begun: When it began; None where nobody knows.
        ended: When it ended; None where it goes on.
        is_back: Whether it belongs to the way back.
    """

    path: str
    kind: str
    said: Said
    remark: str
    begun: datetime | None
    ended: datetime | None
    is_back: bool

    @property
    def took(self) -> timedelta | None:
        """How long it took, where that is known."""
        return None if self.begun is None or self.ended is None else self.ended - self.begun


def rows_of(report: WorkflowReport, journaled: Journaled | None = None) -> list[Row]:
    """Return the actions of a run, those of nested workflows too, in the order in which they began."""
    rows = list(_rows(report, ""))
    if journaled is not None:
        rows += _at_work(journaled)
    moments: list[datetime] = [row.begun for row in rows if row.begun is not None]
    last = min(moments, default=None)
    keyed = []
    for place, row in enumerate(rows):  # one without a time stays behind the one before it
        last = last if row.begun is None else row.begun
        keyed.append((last, place, row))
    if last is None:
        return rows
    return [row for _, _, row in sorted(keyed, key=lambda each: each[:2])]


def _rows(report: WorkflowReport, prefix: str) -> Iterator[Row]:
    reports = report.step_reports if report.prepare is None else [report.prepare, *report.step_reports]
    for step in reports:
        path = prefix + part_of(step.step_id)
        for number, attempt in enumerate(step.failed_attempts, 1):
            row = _row(attempt, path, "attempt")
            yield row._replace(said=row.said._replace(words=f"{row.said.words}, attempt {number}"))
        row = _row(step, path, "step" if step.workflow is None else "workflow")
        inside = [] if step.workflow is None else list(_rows(step.workflow, f"{path}/"))
        if step.status is Status.UNDEFINED:  # when it began, a journal does not tell, but by what is in it
            begun = [each.begun for each in inside if each.begun is not None]
            row = row._replace(begun=min(begun, default=None))
        yield row
        yield from inside


def _row(report: StepReport, path: str, kind: str) -> Row:
    begun, ended = known(report.start_time), known(report.end_time)
    if begun is not None and ended is not None:
        ended = max(begun, ended)  # the clock may have been set back
    said = said_of(report.action, report.status)
    is_back = report.action is Action.ROLLBACK
    return Row(path, kind, said, "  ".join(remarks_of(report)), begun, ended, is_back)


def _at_work(journaled: Journaled) -> Iterator[Row]:
    """Yield the steps at work, since when the records tell."""
    begun: dict[tuple[str, Action], datetime | None] = {}
    for record in journaled.history:
        if isinstance(record, Started):
            begun[record.path, record.action] = record.at
        elif isinstance(record, Answered | AttemptFailed):
            begun.pop((record.path, record.report.action), None)
    for path, action in journaled.at_work.items():
        at = known(begun.get((path, action)))
        yield Row(path, "step", said_at_work(action), "", at, None, action is Action.ROLLBACK)


# What is left out.

Item = TypeVar("Item")


def thinned(items: Sequence[Item], most: int, matters: Iterable[bool]) -> list[Item | int]:
    """Return items, or a choice of them in which a number stands for so many that are left out.

    Kept are the first of those that matter, up to half of the choice, and then as many from the beginning
    as from the end.

    Args:
        items: Items in order.
        most: How many are kept at most.
        matters: Whether each of them matters.
    """
    if len(items) <= most:
        return list(items)
    kept = set(itertools.islice((place for place, does in enumerate(matters) if does), most // 2))
    ends = (
        each for pair in zip(range(len(items)), reversed(range(len(items))), strict=True) for each in pair
    )
    for place in ends:
        if len(kept) >= most:
            break
        kept.add(place)
    chosen: list[Item | int] = []
    for is_kept, group in itertools.groupby(range(len(items)), kept.__contains__):
        places = list(group)
        chosen += [items[place] for place in places] if is_kept else [len(places)]
    return chosen


# Where they are drawn.

_IDLE = 0.1
"""How much of all work a long idle span is drawn as at most."""


class Bar(NamedTuple):
    """Where a row is drawn: parts of the whole width, from 0 to 1."""

    start: float
    end: float


class Scale:
    """Tells where moments are drawn; spans in which nothing was at work for long are drawn short.

    Args:
        rows: What is drawn.

    Attributes:
        begun: The first moment; None where no row has a time.
        ended: The last moment.
        idle: The spans that are drawn short.
        cuts: Where these are drawn.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        timed = [(row, row.begun) for row in rows if row.begun is not None]
        self.begun: datetime | None = min((begun for _, begun in timed), default=None)
        self.ended: datetime | None = max((row.ended or begun for row, begun in timed), default=None)
        self.idle: list[timedelta] = []
        self.cuts: list[float] = []
        self._moments: list[float] = [0.0]  # seconds from the beginning, and where each is drawn
        self._places: list[float] = [0.0]
        self._stretch([(begun, row.ended or begun) for row, begun in timed if row.kind != "workflow"])

    def _stretch(self, spans: list[tuple[datetime, datetime]]) -> None:
        if self.begun is None or self.ended is None:
            return
        busy = _merged(spans)
        gaps = [(end, start) for (_, end), (start, _) in itertools.pairwise(busy)]
        work = sum((end - start).total_seconds() for start, end in busy)
        long = [gap for gap in gaps if 0 < work < (gap[1] - gap[0]).total_seconds()]
        short = work * min(_IDLE, 0.5 / max(1, len(long)))
        for start, end in long:
            self._go_on(start, end, short)
            self.idle.append(end - start)
        self._go_on(self.ended, self.ended, 0.0)
        width = self._places[-1] or 1.0
        self._places = [place / width for place in self._places]
        self.cuts = [self.place(start + (end - start) / 2) for start, end in long]

    def _go_on(self, start: datetime, end: datetime, drawn: float) -> None:
        """Draw what comes up to a moment as long as it is, and from there to another as long as is said."""
        since, until = self._seconds(start), self._seconds(end)
        place = self._places[-1] + since - self._moments[-1]
        self._moments += [since, until]
        self._places += [place, place + drawn]

    def _seconds(self, moment: datetime) -> float:
        return 0.0 if self.begun is None else (moment - self.begun).total_seconds()

    def place(self, moment: datetime) -> float:
        """Return where a moment is drawn."""
        at = self._seconds(moment)
        after = min(max(1, bisect_right(self._moments, at)), len(self._moments) - 1)
        since, until = self._moments[after - 1 : after + 1] if after else (0.0, 0.0)
        left, right = self._places[after - 1 : after + 1] if after else (0.0, 0.0)
        part = 0.0 if until <= since else (at - since) / (until - since)
        return min(1.0, max(0.0, left + part * (right - left)))

    def bar(self, row: Row) -> Bar | None:
        """Return where a row is drawn; None where nobody knows when it was."""
        if row.begun is None or self.ended is None:
            return None
        return Bar(self.place(row.begun), self.place(row.ended or self.ended))

    def since(self, row: Row) -> timedelta | None:
        """Return how long after the first moment a row began."""
        return None if row.begun is None or self.begun is None else row.begun - self.begun


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return spans in order, those that touch as one."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
