"""What the page of a run shows: its timeline, its steps, what is left, what operators have said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.definition import id_of
from automa._core.records import (
    Answered,
    AttemptFailed,
    Begun,
    Effect,
    Ended,
    Late,
    Request,
    Requested,
    Resumed,
    Started,
    Suspended,
)
from automa._core.runs import StepState
from automa._core.status import Action, Status
from automa.errors import encode_error
from automa.journal.journal import RUNNING
from automa.journal.telling import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from automa._core.records import Record
    from automa._core.reports import StepReport
    from automa.errors import EncodedError
    from automa.web.source import Seen

MOST_LINES = 300
"""How many lines of a timeline, or records, a page has unless all are asked for."""
_MOST_CAUSES = 20
_MOST_TEXT = 100_000


class Error(NamedTuple):
    """An error as a page shows it.

    Attributes:
        type: The name of its class.
        message: What it says.
        notes: What was added to it.
        members: The errors in it, where it is a group.
    """

    type: str
    message: str
    notes: tuple[str, ...]
    members: tuple[str, ...]


class Line(NamedTuple):
    """A line of a timeline.

    Attributes:
        number: Its place, from 0; it stays as the run goes on.
        at: When it began.
        what: A ``call`` of a step, an ``effect`` outside, what an ``operator`` asked for, or an ``event``.
        text: What happened; the path of the step, where one was called.
        action: What a step was asked to do.
        status: How that ended; None while the step is at work, and where no step was called.
        took: How long that took.
        remark: Why it did not simply succeed.
        errors: Why it failed: the error, then what it came from.
        is_lost: Whether it was at work when its process died, so that nobody knows what it has done.
        more: What else is known, as JSON, by name.
    """

    number: int
    at: datetime | None
    what: str
    text: str
    action: Action | None = None
    status: Status | None = None
    took: timedelta | None = None
    remark: str = ""
    errors: tuple[Error, ...] = ()
    is_lost: bool = False
    more: tuple[tuple[str, str], ...] = ()

    @property
    def is_back(self) -> bool:
        """Whether it is of the way back."""
        return self.action is Action.ROLLBACK


class Node(NamedTuple):
    """A step in the tree of steps.

    Attributes:
        path: Its path.
        name: Its id.
        run: How it was run, in a word.
        undo: How it was undone, in a word; empty where it was not asked to.
        inside: The steps in it.
    """

    path: str
    name: str
    run: str
    undo: str
    inside: list[Node]


class Page(NamedTuple):
    """What the page of a run shows beside its head.

    Attributes:
        lines: The timeline.
        hidden_lines: How many earlier lines are left out.
        tree: The steps.
        errors: The error of the run, then what it came from.
        undo_errors: The errors of undos, each with what it came from.
        state: The shared state, as JSON.
        records: When each record was made, and what it tells.
        hidden_records: How many earlier records are left out.
    """

    lines: list[Line]
    hidden_lines: int
    tree: list[Node]
    errors: tuple[Error, ...]
    undo_errors: list[tuple[Error, ...]]
    state: str
    records: list[tuple[datetime | None, str]]
    hidden_records: int


def page_of(seen: Seen, *, shows_all: bool) -> Page:
    """Return what the page of a run shows.

    Args:
        seen: The run.
        shows_all: Whether nothing is left out.
    """
    most = None if shows_all else MOST_LINES
    lines = _timeline(seen.history, seen.reading.workflows, has_stopped=not seen.info.is_owned)
    shown = lines if most is None else lines[-most:]
    records = seen.history if most is None else seen.history[-most:]
    report = seen.reading.report
    is_going = seen.info.status == RUNNING  # then it has no error of its own but that it has not ended
    return Page(
        shown,
        len(lines) - len(shown),
        _tree(seen),
        errors_of(None if is_going and report.error is report.own_error else report.error),
        [errors_of(error) for error in report.rollback_errors],
        as_json(seen.reading.shared),
        [told(record) for record in records],
        len(seen.history) - len(records),
    )


def errors_of(error: BaseException | None) -> tuple[Error, ...]:
    """Return an error, and what it came from."""
    if error is None:
        return ()
    return tuple(_error(link) for link in encode_error(error).shortened(_MOST_CAUSES).chain())


def _error(link: EncodedError) -> Error:
    members = tuple(f"{_name(each)}: {each.message}" for each in link.exceptions or ())
    return Error(_name(link), link.message, link.notes, members)


def _name(link: EncodedError) -> str:
    return link.type.removeprefix("builtins.").removeprefix("automa.errors.")


def as_json(value: Any) -> str:
    """Return a value as JSON for people, cut off where it is very long."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=repr)
    cut = len(text) - _MOST_TEXT
    return text if cut <= 0 else f"{text[:_MOST_TEXT]}\n… and {cut} characters more"


def _timeline(  # noqa: C901, PLR0912  # a kind of record a line
    history: Sequence[Record], workflows: frozenset[str], *, has_stopped: bool
) -> list[Line]:
    """Return what happened, a line each: a call stands where it began."""
    lines: list[Line] = []
    begun: dict[str, int] = {}  # where the call of a step that is at work stands
    for record in history:
        number = len(lines)
        match record:
            case Started(path, action, at):
                if path not in workflows:
                    if path in begun:  # it was called before, and has not answered
                        lines[begun[path]] = lines[begun[path]]._replace(is_lost=True)
                    begun[path] = number
                    lines.append(Line(number, at, "call", path, action))
            case Answered(path, report) | AttemptFailed(path, report):
                if path in workflows and _is_told_by_steps(path, report, lines):
                    continue
                where = begun.pop(path, number)
                line = _answered(where, path, report, record)
                lines[where : where + 1] = [line]
            case Begun(at=at, target=target):
                lines.append(Line(number, at, "event", "begun" if target is None else f"begun by {target}"))
            case Effect(path, _, at, kind, ref, data):
                more = (("data", as_json(data)),) if data else ()
                lines.append(Line(number, at, "effect", f"{kind} {ref}", remark=f"by {path}", more=more))
            case Requested(note=note) | Resumed(note=note) if note:
                at, text = told(record._replace(note=""))
                lines.append(Line(number, at, "operator", text, remark=note))
            case Suspended(at, error):
                lines.append(Line(number, at, "event", "suspended", errors=errors_of(error)))
            case Ended(report):
                lines.append(
                    Line(number, report.end_time, "event", f"ended {in_words(report.outcome or '')}")
                )
            case Late(path, at, _, error):
                lines.append(Line(number, at, "event", told(record)[1], errors=errors_of(error)))
            case _:
                at, text = told(record)
                lines.append(Line(number, at, "event", text))
    for where in begun.values() if has_stopped else ():
        lines[where] = lines[where]._replace(is_lost=True)
    return lines


def _is_told_by_steps(path: str, report: StepReport, lines: Sequence[Line]) -> bool:
    """Whether what became of a workflow is what one of its steps has told already."""
    errors = errors_of(report.error)
    told_in_it = (line.errors == errors and line.text.startswith(f"{path}/") for line in reversed(lines))
    return report.status is Status.SUCCESS or (bool(errors) and any(told_in_it))


def _answered(number: int, path: str, report: StepReport, record: Answered | AttemptFailed) -> Line:
    remarks = [] if report.detail is None else [report.detail]
    if report.failed_attempts:
        remarks.append(f"{report.attempts} attempts")
    if isinstance(record, AttemptFailed):
        is_held = record.delay is None
        remarks.append("tried again when resumed" if is_held else f"tried again after {record.delay:.3g} s")
    elif record.is_at_work:
        remarks.append("given up, and still at work")
    more = [] if report.result is None else [("result", as_json(report.result))]
    if report.has_metadata:
        more.append(("metadata", as_json(dict(report.metadata))))
    return Line(
        number,
        report.start_time,
        "call",
        path,
        report.action,
        report.status,
        report.duration,
        "; ".join(remarks),
        errors_of(report.error),
        more=tuple(more),
    )


_FORWARD = {
    StepState.PENDING: "not reached",
    StepState.NOT_RUN: "not run",
    StepState.COMPLETED: "done",
    StepState.FAILED: "failed",
}
_ANSWERED = {Status.SUCCESS: "done", Status.FAILED: "failed", Status.SKIPPED: "skipped"}
_UNDONE = {Status.SUCCESS: "undone", Status.FAILED: "undo failed", Status.SKIPPED: "nothing to undo"}


def _tree(seen: Seen) -> list[Node]:
    """Return the steps; `Reading.states` has those of a workflow behind it."""
    forward, back = _last_answers(seen.history)
    marked = {
        record.path
        for record in seen.history
        if isinstance(record, Requested) and record.request is Request.MARK_UNDONE
    }
    at_work_now = "at work" if seen.info.is_owned else "was at work"
    root = Node("", "", "", "", [])
    stack = [root]
    for path, state in seen.reading.states.items():
        while not path.startswith(f"{stack[-1].path}/") and len(stack) > 1:
            stack.pop()
        at_work = seen.reading.at_work.get(path)
        run = at_work_now if at_work in {Action.RUN, Action.PREPARE} else _run_word(path, state, forward)
        undo = at_work_now if at_work is Action.ROLLBACK else _undo_word(path, state, back)
        if path in marked and state is StepState.COMPENSATED:
            undo = "marked undone"
        node = Node(path, id_of(path), run, undo, [])
        stack[-1].inside.append(node)
        stack.append(node)
    return root.inside


def _run_word(path: str, state: StepState, forward: dict[str, Status]) -> str:
    if path in forward and state is not StepState.NOT_RUN:
        return _ANSWERED.get(forward[path], "at work")
    return _FORWARD.get(state, "done")


def _undo_word(path: str, state: StepState, back: dict[str, Status]) -> str:
    if state is StepState.COMPENSATION_FAILED:
        return "undo failed"
    if state is StepState.COMPENSATED and back.get(path) is not Status.SKIPPED:
        return "undone"
    return _UNDONE.get(back[path], "") if path in back else ""


def _last_answers(history: Iterable[Record]) -> tuple[dict[str, Status], dict[str, Status]]:
    """Return how each step answered last, on the way forward and on the way back."""
    forward: dict[str, Status] = {}
    back: dict[str, Status] = {}
    for record in history:
        if isinstance(record, Answered | AttemptFailed):
            answers = back if record.report.action is Action.ROLLBACK else forward
            answers[record.path] = record.report.status
    return forward, back


def to_undo(seen: Seen) -> Iterator[str]:
    """Yield the paths of the steps that a way back would undo, in its order."""
    reading = seen.reading
    for path, state in reversed(reading.states.items()):
        stands = state in {StepState.COMPLETED, StepState.FAILED} or path in reading.at_work
        if stands and path not in reading.workflows:
            yield path


def in_words(status: str) -> str:
    """Return a status as people read it."""
    return status.replace("_", " ")
