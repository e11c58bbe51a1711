"""Records to entries, the JSON objects that a store keeps, and back.

An entry is short, since each step writes one or two: what goes without saying is left out, and
times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from automa._core.definition import id_of
from automa._core.records import (
    Answered,
    AttemptFailed,
    Begun,
    Cancelled,
    Effect,
    Ended,
    Expanded,
    Late,
    Record,
    Request,
    Requested,
    Resumed,
    Started,
    Suspended,
    Topology,
)
from automa._core.reports import StepReport, WorkflowReport
from automa._core.status import Action, ExecutionMode, Outcome, RollbackMode, Status
from automa.errors import EncodedError, JournalError, WireError, decode_error, encode_error
from automa.wire import documents
from automa.wire.documents import expect, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from automa._core.state import Changes

Entry = dict[str, Any]

VERSION = 1
"""The version of the entries; a journal of another is refused."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """Return the time that an entry tells in microseconds.

    Raises:
        OverflowError: Where there is no such time.
    """
    return _EPOCH + micros * _MICROSECOND


def time_of_entry(entry: Mapping[str, Any]) -> int:
    """Return the latest time that an entry tells, in microseconds, or 0."""
    times = (entry.get(key) for key in ("to", "at", "suspended", "resumed"))
    return max((time for time in times if type(time) is int), default=0)


class EntryEncoder:
    """Turns the records of one run into entries, in order."""

    def __init__(self) -> None:
        self._started: dict[tuple[str, Action], datetime | None] = {}
        self._effects: list[Effect] = []  # those of steps at work that are written already

    def encode(self, records: Iterable[Record]) -> list[Entry]:
        """Return the entries of records; the end of a run that has only stopped has none of its own."""
        return [
            self._entry(record)
            for record in records
            if not (isinstance(record, Ended) and record.report.is_stopped)
        ]

    def _entry(self, record: Record) -> Entry:  # noqa: C901, PLR0911  # one for each kind of record
        match record:
            case Started(path, action, at):
                self._started[path, action] = at
                if action is Action.RUN:  # most are
                    return {"started": path, "at": _time(at)}
                return {"started": path, "action": action.value, "at": _time(at)}
            case Answered():
                return self._answered(record)
            case AttemptFailed(path, report, delay):
                return self._report("failed", path, report) | ({} if delay is None else {"delay": delay})
            case Expanded(path, steps, is_parallel, workflow_id):
                entry: Entry = {"expanded": path, "steps": topology_to_json(steps)}
                entry |= {} if workflow_id is None else {"as": workflow_id}
                return entry | ({"parallel": True} if is_parallel else {})
            case Effect():
                self._effects.append(record)
                return _effect(record)
            case Late():
                return _late(record)
            case Begun():
                return _begun(record)
            case Cancelled(path, error):
                return {"cancelled": path, "error": _error(error)}
            case Ended(report):
                outcome = None if report.outcome is None else report.outcome.value
                return {"ended": outcome, "at": _time(report.end_time)}
            case Suspended(at, error):
                return {"suspended": _time(at), "error": _error(error)}
            case Resumed(at, deadline, note):
                until = {} if deadline is None else {"deadline": _time(deadline)}
                return {"resumed": _time(at)} | until | ({"note": note} if note else {})
        entry = {"requested": record.request.value, "at": _time(record.at)}
        return entry | {key: value for key, value in (("path", record.path), ("note", record.note)) if value}

    def _answered(self, record: Answered) -> Entry:
        entry = self._report("answered", record.path, record.report)
        if record.shared:
            _put_changes(entry, "shared", record.shared)
        if record.local:
            _put_changes(entry, "local", record.local)
        if record.goes_back is not None:
            entry["back"] = record.goes_back
        if record.is_at_work:
            entry["at_work"] = True
        return entry

    def _report(self, kind: str, path: str, report: StepReport) -> Entry:
        entry: Entry = {kind: path}
        if report.action is not Action.RUN:
            entry["action"] = report.action.value
        if report.status is not Status.SUCCESS:
            entry["status"] = report.status.value
        if report.start_time != self._started.pop((path, report.action), None):
            entry["from"] = _time(report.start_time)
        entry["to"] = _time(report.end_time)
        if report.detail is not None:
            entry["detail"] = report.detail
        if report.error is not None:
            entry["error"] = _error(report.error)
        if report.result is not None and report.workflow is None:
            entry["result"] = report.result
        if report.has_metadata:
            entry["metadata"] = {name: _metadata(value) for name, value in report.metadata.items()}
        if report.own_effects:
            new = [each for each in report.own_effects if not any(each is known for known in self._effects)]
            if new:
                self._effects += new
                entry["effects"] = [_effect(each, with_place=False) for each in new]
        return entry


def _effect(effect: Effect, *, with_place: bool = True) -> Entry:
    entry: Entry = {"effect": effect.kind, "ref": effect.ref, "at": _time(effect.at)}
    if with_place:
        entry["path"] = effect.path
        if effect.action is not Action.RUN:
            entry["action"] = effect.action.value
    if effect.data:
        entry["data"] = effect.data
    return entry


def _late(record: Late) -> Entry:
    entry: Entry = {"late": record.path, "at": _time(record.at), "back": record.is_back}
    if record.error is not None:
        entry["error"] = _error(record.error)
    if record.result is not None:
        entry["result"] = record.result
    return entry


def _error(error: BaseException) -> dict[str, Any]:
    return encode_error(error).shortened(_MOST_CAUSES).to_dict()


_MOST_CAUSES = 100  # each nests a level deeper, and what is too deep cannot be written


def to_micros(at: datetime) -> int:
    """Return a time as an entry tells it, in microseconds."""
    return (at - _EPOCH) // _MICROSECOND


def _time(at: datetime | None) -> int | None:
    return None if at is None else to_micros(at)


def _metadata(value: str | bytes) -> Any:
    return value if isinstance(value, str) else {"bytes": base64.b64encode(value).decode("ascii")}


def _put_changes(entry: Entry, name: str, changes: Changes) -> None:
    values = {key: json.loads(text) for key, text in changes.items() if text is not None}
    gone = [key for key, text in changes.items() if text is None]
    if values:
        entry[name] = values
    if gone:
        entry[f"{name}_gone"] = gone


def _begun(record: Begun) -> Entry:
    entry: Entry = {
        "begun": VERSION,
        "workflow": record.workflow_id,
        "run": record.run_id,
        "at": _time(record.at),
        "modes": [record.execution_mode.value, record.rollback_mode.value],
        "steps": topology_to_json(record.steps),
        "state": record.state,
    }
    if not record.snapshots:
        entry["snapshots"] = False
    if record.target is not None:
        entry["target"] = record.target
    if record.prepares:
        entry["prepares"] = True
    if record.without_undo:
        entry["no_undo"] = list(record.without_undo)
    if record.deadline is not None:
        entry["deadline"] = _time(record.deadline)
    if record.is_foreign:
        entry["foreign"] = True
    if record.version is not None:
        entry["version"] = record.version
    if record.traceparent is not None:
        entry["traceparent"] = record.traceparent
    return entry


def topology_to_json(steps: Iterable[Topology]) -> list[Any]:
    """Return steps as JSON: an id, or a list of an id, of the steps in it or null, and of its traits."""
    written: list[Any] = []
    for step in steps:
        if step.steps is None and not step.traits:
            written.append(step.id)
            continue
        nested = None if step.steps is None else topology_to_json(step.steps)
        written.append([step.id, nested, list(step.traits)] if step.traits else [step.id, nested])
    return written


class EntryDecoder:
    """Turns the entries of one run into records, in order."""

    def __init__(self) -> None:
        self._count = 0
        self._started: dict[tuple[str, Action], datetime | None] = {}

    def decode(self, entries: Iterable[Entry]) -> Iterator[Record]:
        """Yield the records that entries stand for.

        Raises:
            JournalError: Where an entry is unknown or broken; the message names it.
        """
        for entry in entries:
            self._count += 1
            place = f"entry {self._count}"
            try:
                record = _record(expect(entry, dict, place), self._started, place)
            except (WireError, ValueError, TypeError, KeyError) as error:
                if isinstance(error, JournalError):
                    raise
                raise JournalError(f"the journal cannot be read: {error}") from None
            if isinstance(record, Started):
                self._started[record.path, record.action] = record.at
            yield record


def decode_entries(entries: Iterable[Entry]) -> list[Record]:
    """Return the records that the entries of a whole run stand for.

    Raises:
        JournalError: Where an entry is unknown or broken; the message names it.
    """
    records = list(EntryDecoder().decode(entries))
    if not records or not isinstance(records[0], Begun):
        raise JournalError("the journal cannot be read: its beginning is missing")
    return records


def _record(entry: Entry, started: dict[tuple[str, Action], datetime | None], place: str) -> Record:
    if "answered" in entry:  # most are
        return _read_answered(entry, started, place)
    for kind, read in _READERS.items():
        if kind in entry:
            return read(entry, place)
    if "failed" in entry:
        path = field(entry, "failed", str, place)
        delay = expect(entry.get("delay"), (int, float, type(None)), f"{place}.delay")
        return AttemptFailed(path, _read_report(entry, path, started, place), delay)
    raise JournalError(f"{place} is of no known kind: it has {', '.join(map(repr, entry)) or 'nothing'}")


def _read_begun(entry: Entry, place: str) -> Begun:
    if entry["begun"] != VERSION:
        raise JournalError(
            f"its version is {entry['begun']!r}, and this automa reads version {VERSION}: "
            "use the automa that has written it"
        )
    modes = field(entry, "modes", list, place)
    execution, rollback = (*modes, None, None)[:2]
    return Begun(
        field(entry, "workflow", str, place),
        field(entry, "run", str, place),
        _read_time(entry, "at", place) or _EPOCH,
        documents.word(ExecutionMode, execution, f"{place}.modes[0]"),
        documents.word(RollbackMode, rollback, f"{place}.modes[1]"),
        expect(entry.get("snapshots", True), bool, f"{place}.snapshots"),
        _read_topology(field(entry, "steps", list, place), f"{place}.steps"),
        field(entry, "state", dict, place),
        expect(entry.get("target"), (str, type(None)), f"{place}.target"),
        expect(entry.get("prepares", False), bool, f"{place}.prepares"),
        tuple(map(str, expect(entry.get("no_undo", []), list, f"{place}.no_undo"))),
        expect(entry.get("foreign", False), bool, f"{place}.foreign"),
        _read_time(entry, "deadline", place),
        expect(entry.get("version"), (str, type(None)), f"{place}.version"),
        expect(entry.get("traceparent"), (str, type(None)), f"{place}.traceparent"),
    )


def _read_topology(steps: list[Any], place: str) -> tuple[Topology, ...]:
    read = []
    for index, step in enumerate(steps):
        here = f"{place}[{index}]"
        if isinstance(step, list):
            step_id, children, traits = (*step, None, None, None)[:3]
            nested = None if children is None else _read_topology(expect(children, list, here), here)
            told = tuple(expect(trait, str, here) for trait in expect(traits or [], list, here))
            read.append(Topology(expect(step_id, str, here), nested, told))
        else:
            read.append(Topology(expect(step, str, here)))
    return tuple(read)


def _read_started(entry: Entry, place: str) -> Started:
    path = field(entry, "started", str, place)
    return Started(path, _read_action(entry, place), _read_time(entry, "at", place))


def _read_answered(
    entry: Entry, started: Mapping[tuple[str, Action], datetime | None], place: str
) -> Answered:
    path = field(entry, "answered", str, place)
    report = _read_report(entry, path, started, place)
    goes_back = expect(entry["back"], bool, f"{place}.back") if "back" in entry else None
    shared, local = _read_changes(entry, "shared", place), _read_changes(entry, "local", place)
    is_at_work = expect(entry.get("at_work", False), bool, f"{place}.at_work")
    return Answered(path, report, shared, local, goes_back, is_at_work)


def _read_report(
    entry: Entry, path: str, started: Mapping[tuple[str, Action], datetime | None], place: str
) -> StepReport:
    action = _read_action(entry, place)
    report = StepReport(id_of(path), action)
    report.status = Status.SUCCESS
    if "status" in entry:
        report.status = documents.word(Status, entry["status"], f"{place}.status")
    began = started.get((path, action))
    report.start_time = _read_time(entry, "from", place) if "from" in entry else began
    report.end_time = _read_time(entry, "to", place)
    if "detail" in entry:
        report.detail = expect(entry["detail"], str, f"{place}.detail")
    if "error" in entry:
        report.error = _read_error(entry, place)
    report.result = entry.get("result")
    if "metadata" in entry:
        for name, value in expect(entry["metadata"], dict, f"{place}.metadata").items():
            report.metadata[name] = value if isinstance(value, str) else base64.b64decode(value["bytes"])
    for index, effect in enumerate(expect(entry.get("effects", []), list, f"{place}.effects")):
        here = f"{place}.effects[{index}]"
        report.more.add_effects([_effect_of(expect(effect, dict, here), path, action, here)])
    return report


def _effect_of(entry: Entry, path: str, action: Action, place: str) -> Effect:
    return Effect(
        path,
        action,
        _read_time(entry, "at", place) or _EPOCH,
        field(entry, "effect", str, place),
        field(entry, "ref", str, place),
        expect(entry.get("data", {}), dict, f"{place}.data"),
    )


def _read_effect(entry: Entry, place: str) -> Effect:
    return _effect_of(entry, field(entry, "path", str, place), _read_action(entry, place), place)


def _read_expanded(entry: Entry, place: str) -> Expanded:
    steps = _read_topology(field(entry, "steps", list, place), f"{place}.steps")
    is_parallel = expect(entry.get("parallel", False), bool, f"{place}.parallel")
    workflow_id = expect(entry.get("as"), (str, type(None)), f"{place}.as")
    return Expanded(field(entry, "expanded", str, place), steps, is_parallel, workflow_id)


def _read_late(entry: Entry, place: str) -> Late:
    return Late(
        field(entry, "late", str, place),
        _read_time(entry, "at", place) or _EPOCH,
        field(entry, "back", bool, place),
        _read_error(entry, place) if "error" in entry else None,
        entry.get("result"),
    )


def _read_action(entry: Entry, place: str) -> Action:
    if "action" not in entry:
        return Action.RUN
    return documents.word(Action, entry["action"], f"{place}.action")


def _read_time(entry: Entry, key: str, place: str) -> datetime | None:
    micros: int | None = expect(entry.get(key), (int, type(None)), f"{place}.{key}")
    try:
        return None if micros is None else to_datetime(micros)
    except OverflowError:
        raise WireError(f"{place}.{key}: {micros} is no time") from None


def _read_error(entry: Entry, place: str) -> BaseException:
    return decode_error(EncodedError.from_dict(field(entry, "error", dict, place)))


def _read_changes(entry: Entry, name: str, place: str) -> Changes | None:
    if name not in entry and f"{name}_gone" not in entry:
        return None
    values = expect(entry.get(name, {}), dict, f"{place}.{name}")
    gone = expect(entry.get(f"{name}_gone", []), list, f"{place}.{name}_gone")
    changes: Changes = {key: json.dumps(value, separators=(",", ":")) for key, value in values.items()}
    changes |= dict.fromkeys(gone)
    return changes


def _read_cancelled(entry: Entry, place: str) -> Cancelled:
    return Cancelled(field(entry, "cancelled", str, place), _read_error(entry, place))


def _read_ended(entry: Entry, place: str) -> Ended:
    report = WorkflowReport("", ())
    report.outcome = documents.word(Outcome, entry["ended"], f"{place}.ended")
    report.end_time = _read_time(entry, "at", place)
    return Ended(report)


def _read_suspended(entry: Entry, place: str) -> Suspended:
    return Suspended(_read_time(entry, "suspended", place) or _EPOCH, _read_error(entry, place))


def _read_resumed(entry: Entry, place: str) -> Resumed:
    return Resumed(
        _read_time(entry, "resumed", place) or _EPOCH,
        _read_time(entry, "deadline", place),
        expect(entry.get("note", ""), str, f"{place}.note"),
    )


def _read_requested(entry: Entry, place: str) -> Requested:
    return Requested(
        _read_time(entry, "at", place) or _EPOCH,
        documents.word(Request, entry["requested"], f"{place}.requested"),
        expect(entry.get("path"), (str, type(None)), f"{place}.path"),
        expect(entry.get("note", ""), str, f"{place}.note"),
    )


_READERS: dict[str, Callable[[Entry, str], Record]] = {
    "started": _read_started,
    "begun": _read_begun,
    "effect": _read_effect,
    "expanded": _read_expanded,
    "late": _read_late,
    "cancelled": _read_cancelled,
    "ended": _read_ended,
    "suspended": _read_suspended,
    "resumed": _read_resumed,
    "requested": _read_requested,
}
