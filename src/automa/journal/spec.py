"""Entries to the specification's journal, and back.

To write one, the entries are folded: the document is what they come to. What it has no place for
(results, errors as data, attempts, what operators did) stays in it as the entries themselves, under
one key of ours, beside a digest of the rest. Where another implementation has written the document since,
the entries do not fit it any more, and are made anew from the document: that of a run of
which less is known.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from automa._core.definition import part_of
from automa._core.records import Answered, Begun, Ended, Record, Started, Topology
from automa._core.reports import StepReport, WorkflowReport
from automa._core.status import Action, ExecutionMode, Outcome, RollbackMode, Status
from automa.errors import JournalError, RemoteError
from automa.journal.entries import Entry, EntryDecoder, EntryEncoder
from automa.wire import v1
from automa.wire.journal_v1 import EXTENSION, VERSION, journal_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from automa._core.state import Changes

Document = dict[str, Any]


class Fold:
    """What the entries of a run come to, as the specification's document.

    Attributes:
        document: The document, without our own key.
    """

    def __init__(self) -> None:
        self.document: Document = {}
        self._entries: list[str] = []
        self._decoder = EntryDecoder()
        self._local: dict[str, dict[str, Any]] = {}
        self._before: dict[str, list[Changes]] = {}
        self._nested: dict[str, tuple[Topology, ...]] = {}
        self._places: dict[str, tuple[Document, int, Document]] = {}
        self._is_before_steps = False
        self._texts: dict[int, str] = {}  # of the outermost steps, as they were last written

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries behind those that are there.

        Raises:
            JournalError: Where one is unknown or broken.
        """
        added = list(entries)
        for record in self._decoder.decode(added):
            self._add(record)
        self._entries += map(_to_text, added)

    def to_json(self) -> str:
        """Return the document as JSON, with the entries under our own key."""
        for step in self.document["steps"]:
            if id(step) not in self._texts:
                self._texts[id(step)] = journal_to_json(step)
        head = journal_to_json({key: self.document[key] for key in self.document if key != "steps"})
        steps = ",".join([self._texts[id(step)] for step in self.document["steps"]])
        own = f'{{"entries":[{",".join(self._entries)}],"of":"{digest_of(self.document)}"}}'
        return f'{head[:-1]},"steps":[{steps}],"{EXTENSION}":{own}}}'

    def _add(self, record: Record) -> None:
        match record:
            case Begun():
                self.document = _new_document(record)
                self._nested = dict(_nested_in(record.steps, ""))
                self._place(self.document, "")
                self._is_before_steps = record.prepares
            case Started(path, action):
                self._start(path, action)
            case Answered():
                self._answer(record)
            case Ended():
                self.document["cursor"] = {"phase": "done", "index": self.document["cursor"]["index"]}

    def _touched(self, path: str) -> tuple[Document, int, Document]:
        """Return the workflow of a step, its place in it, and the step itself, which is about to change.

        Raises:
            JournalError: Where there is no such step.
        """
        try:
            outermost = self._places[path.partition("/")[0]]
            self._texts.pop(id(outermost[2]), None)
            return self._places[path]
        except KeyError:
            raise JournalError(
                f"the journal cannot be read: it tells of a step {path} that it has not"
            ) from None

    def _start(self, path: str, action: Action) -> None:
        if self._is_before_steps:  # the prepare of the workflow itself
            return
        owner, index, step = self._touched(path)
        if action is Action.ROLLBACK:
            owner["cursor"] = {"phase": "compensating", "index": index}
            return
        owner["cursor"] = {"phase": "forward", "index": index}
        step["state"] = "started"
        nested = self._nested.get(path)
        if nested is not None and "steps" not in step:
            step["cursor"] = {"phase": "forward", "index": 0}
            step["shared"] = {"local": {}, "global": _copy(owner["shared"]["global"])}
            step["steps"] = [_new_step(child) for child in nested]
            self._place(step, f"{path}/")

    def _answer(self, record: Answered) -> None:
        if self._is_before_steps:
            self._is_before_steps = False
            _change(self.document["shared"]["global"], record.shared)
            return
        owner, index, step = self._touched(record.path)
        if record.report.action is Action.ROLLBACK:
            self._undo(owner, index, step, record)
            return
        is_nested = "cursor" in step  # its own prepare changes its own state
        shared = (step if is_nested else owner)["shared"]["global"]
        local = self._local.setdefault(record.path, {})
        before = {key: _to_text(shared[key]) if key in shared else None for key in record.shared or {}}
        self._before.setdefault(record.path, []).append(before)
        _change(shared, record.shared)
        _change(local, record.local)
        if record.report.action is Action.PREPARE and record.report.status is Status.SUCCESS:
            return
        if "steps" not in step:
            step["snapshot"] = {"local": _copy(local), "global": _copy(shared)}
        else:
            step["cursor"] = {"phase": "done", "index": step["cursor"]["index"]}
        step["report"] = self._report(record, step)
        if record.report.status is not Status.FAILED:
            step["state"] = "completed"
        elif record.report.action is Action.RUN:  # else it failed before its execute: it stays started
            step["state"] = "failed"
        if record.goes_back:
            owner["cursor"] = {"phase": "compensating", "index": index}
            if "steps" in step and not _has_left_over(step):
                step["state"] = "compensated"  # it has undone itself

    def _undo(self, owner: Document, index: int, step: Document, record: Answered) -> None:
        for before in reversed(self._before.pop(record.path, [])):
            _change((step if "cursor" in step else owner)["shared"]["global"], before)
        if record.report.status is not Status.FAILED:
            step["state"] = "compensated"
        step["report"]["rollback"] = self._report(record, step, is_rollback=True)
        owner["cursor"] = {"phase": "compensating", "index": max(index - 1, 0)}
        if "steps" in step:
            step["cursor"] = {"phase": "done", "index": step["cursor"]["index"]}

    def _report(self, record: Answered, step: Document, *, is_rollback: bool = False) -> Document:
        record.report.step_id = step["id"]
        node = v1.step_report_to_dict(record.report)
        if "steps" in step:
            node["isWorkflow"] = True
            children = [child["report"] for child in step["steps"] if child.get("report") is not None]
            if is_rollback:
                children = [child["rollback"] for child in children if child.get("rollback") is not None]
            if children:
                node["steps"] = [_copy(child) for child in children]
        return node

    def _place(self, owner: Document, prefix: str) -> None:
        """Note where the steps of a workflow are: the workflow, the place in it, and the step itself."""
        for index, step in enumerate(owner["steps"]):
            self._places[prefix + part_of(step["id"])] = (owner, index, step)


def _new_document(begun: Begun) -> Document:
    return {
        "version": VERSION,
        "workflow_id": begun.workflow_id,
        "execution_mode": begun.execution_mode.value,
        "rollback_mode": begun.rollback_mode.value,
        "cursor": {"phase": "forward", "index": 0},
        "shared": {"local": {}, "global": _copy(begun.state)},
        "steps": [_new_step(step) for step in begun.steps],
    }


def _nested_in(steps: Iterable[Topology], prefix: str) -> Iterator[tuple[str, tuple[Topology, ...]]]:
    """Yield the nested workflows, at any depth, by path."""
    for step in steps:
        if step.steps is not None:
            path = prefix + part_of(step.id)
            yield path, step.steps
            yield from _nested_in(step.steps, f"{path}/")


def _new_step(step: Topology) -> Document:
    """Return the entry of a step; a workflow looks like a leaf before it is reached."""
    return {"id": step.id, "state": "pending"}


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


_to_text = json.JSONEncoder(separators=(",", ":")).encode


def _change(bag: dict[str, Any], changes: Changes | None) -> None:
    for key, text in (changes or {}).items():
        if text is None:
            bag.pop(key, None)
        else:
            bag[key] = json.loads(text)


def _has_left_over(step: Document) -> bool:
    """Whether a nested workflow that went back has not gone back all the way."""
    return any(child["state"] in {"completed", "failed", "started"} for child in step["steps"])


def digest_of(document: Mapping[str, Any]) -> str:
    """Return what tells whether somebody else has carried on a run since: where it and its steps stand."""
    return hashlib.sha256("\n".join(_standing(document)).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _standing(owner: Mapping[str, Any]) -> Iterator[str]:
    cursor = owner["cursor"]
    yield f"{cursor['phase']} {cursor['index']}"
    for step in owner["steps"]:
        yield f"{step['state']} {step['id']}"
        if "steps" in step:
            yield from _standing(step)
            yield "."


def entries_of(
    document: Document, run_id: str, at: datetime, nested: Sequence[Topology] | None = None
) -> list[Entry]:
    """Return the entries of a journal document: its own, or such as another implementation would have left.

    Args:
        document: A checked document.
        run_id: The id of the run.
        at: When the run may have begun, where the document does not tell.
        nested: The steps of the workflow, where it is known which are workflows: before such a step is
            reached the document does not tell.
    """
    own = {key: value for key, value in document.items() if key != EXTENSION}
    extension = document.get(EXTENSION, {})
    if extension.get("of") == digest_of(own):
        entries: list[Entry] = extension["entries"]
        return entries
    return EntryEncoder().encode(_Unfolding(own, run_id, at, nested).records())


class _Unfolding:
    """Makes records of a document that another implementation has written."""

    def __init__(
        self, document: Document, run_id: str, at: datetime, steps: Sequence[Topology] | None
    ) -> None:
        self._document = document
        self._run_id = run_id
        self._at = at
        self._steps = tuple(steps) if steps is not None else _topology_of(document["steps"])

    def records(self) -> Iterator[Record]:
        document = self._document
        yield Begun(
            document["workflow_id"],
            self._run_id,
            self._at,
            ExecutionMode(document["execution_mode"]),
            RollbackMode(document["rollback_mode"]),
            snapshots=True,
            steps=self._steps,
            state=_first_state(document),
            is_foreign=True,
        )
        yield from self._forward(document, "", by_itself=True)
        if _went_back(document):
            yield from self._backward(document, "", by_itself=True)
        if document["cursor"]["phase"] == "done":
            report = WorkflowReport(document["workflow_id"], ())
            report.close(Status.SUCCESS, _outcome_of(document))
            report.end_time = self._at
            yield Ended(report)

    def _forward(self, owner: Document, prefix: str, *, by_itself: bool) -> Iterator[Record]:
        """Yield what was run; ``by_itself``: whether a way back was by the workflow's own failure."""
        shared = _first_state(owner)
        last = _last_reached(owner)
        for index, step in enumerate(owner["steps"][: last + 1]):
            path = prefix + part_of(step["id"])
            yield Started(path, Action.RUN, self._at)
            has_failed = _has_failed(owner, index, by_itself=by_itself)
            if "steps" in step:
                is_own = has_failed or step["state"] == "started"
                yield from self._forward(step, f"{path}/", by_itself=is_own)
                if _went_back(step) and is_own:
                    yield from self._backward(step, f"{path}/", by_itself=True)
            if step["state"] == "started":
                return
            snapshot = step.get("snapshot") or {}
            after = snapshot.get("global", shared)
            report = self._report(step.get("report"), step["id"], Action.RUN, has_failed=has_failed)
            is_undecided = not has_failed or (owner["cursor"]["phase"] == "forward" and not _went_back(owner))
            goes_back = None if is_undecided else _went_back(owner)
            local: Changes = {key: _to_text(value) for key, value in snapshot.get("local", {}).items()}
            yield Answered(path, report, _difference(shared, after), local or None, goes_back)
            shared = after

    def _backward(self, owner: Document, prefix: str, *, by_itself: bool) -> Iterator[Record]:
        cursor = owner["cursor"]
        for index in reversed(range(_last_reached(owner) + 1)):
            step = owner["steps"][index]
            path = prefix + part_of(step["id"])
            is_undone = step["state"] == "compensated"
            is_own = "steps" in step and _has_failed(
                owner, index, by_itself=by_itself
            )  # it went back by itself
            if not is_undone and cursor["phase"] == "compensating" and index <= cursor["index"]:
                if "steps" in step and not is_own and _went_back(step):  # it is on its way back
                    yield Started(path, Action.ROLLBACK, self._at)
                    yield from self._backward(step, f"{path}/", by_itself=False)
                return
            rollback = (step.get("report") or {}).get("rollback")
            if is_own or (not is_undone and rollback is None and cursor["phase"] == "done"):
                continue
            yield Started(path, Action.ROLLBACK, self._at)
            if "steps" in step:
                yield from self._backward(step, f"{path}/", by_itself=False)
            report = self._report(rollback, step["id"], Action.ROLLBACK, has_failed=not is_undone)
            yield Answered(path, report)

    def _report(self, node: Document | None, step_id: str, action: Action, *, has_failed: bool) -> StepReport:
        report = StepReport(step_id, action)
        report.start_time = report.end_time = self._at
        report.status = Status.FAILED if has_failed else Status.SUCCESS
        if node is not None:
            read = v1.report_from_dict({"id": step_id, **node})
            report.start_time, report.end_time = read.start_time, read.end_time
            report.detail, report.error = read.detail, read.own_error
            report.metadata.update(read.metadata)
            if read.status is Status.SKIPPED and not has_failed:
                report.status = Status.SKIPPED
        if has_failed and report.error is None:
            report.error = RemoteError(f"the journal tells that {action} failed, and not why")
        return report


def _topology_of(steps: Iterable[Document]) -> tuple[Topology, ...]:
    return tuple(
        Topology(step["id"], _topology_of(step["steps"]) if "steps" in step else None) for step in steps
    )


def _first_state(owner: Document) -> dict[str, Any]:
    """Return the earliest shared state that a document tells of."""
    for step in owner["steps"]:
        if step.get("snapshot") is not None:
            return _copy(step["snapshot"].get("global", {}))  # type: ignore[no-any-return]  # it is an object
    return _copy(owner["shared"].get("global", {}))  # type: ignore[no-any-return]  # likewise


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes | None:
    changes: Changes = {
        key: _to_text(value) for key, value in after.items() if key not in before or before[key] != value
    }
    changes |= {key: None for key in before if key not in after}
    return changes or None


def _last_reached(owner: Document) -> int:
    return max((i for i, step in enumerate(owner["steps"]) if step["state"] != "pending"), default=-1)


def _went_back(owner: Document) -> bool:
    """Whether a workflow is, or was, on the way back."""
    return owner["cursor"]["phase"] == "compensating" or any(
        step["state"] == "compensated" for step in owner["steps"]
    )


def _has_failed(owner: Document, index: int, *, by_itself: bool = True) -> bool:
    """Whether a step has failed in its run; once it is compensated only its report, or its place, tells."""
    step = owner["steps"][index]
    if step["state"] == "failed":
        return True
    report = step.get("report")
    if report is not None:
        return report["status"] == "failed"  # type: ignore[no-any-return]  # a text
    return (
        by_itself
        and step["state"] == "compensated"
        and _went_back(owner)
        and index == _last_reached(owner)
        and not any(each["state"] == "failed" for each in owner["steps"])
    )


def _outcome_of(document: Document) -> Outcome:
    if not any(_has_failed(document, index) for index in range(len(document["steps"]))):
        return Outcome.SUCCEEDED
    if not _went_back(document):
        return Outcome.FAILED
    stands = any(step["state"] in {"completed", "failed"} for step in document["steps"])
    return Outcome.NEEDS_ATTENTION if stands else Outcome.UNDONE
