"""What one handoff adds to the history of a run: the unit of durability.

A journal is the list of the records of a run. A resume walks again, answered from that list.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from automa._core.reports import StepReport, WorkflowReport
    from automa._core.state import Changes
    from automa._core.status import Action, ExecutionMode, RollbackMode


class Topology(NamedTuple):
    """A step as a journal knows it: what must be the same when the run is resumed.

    Attributes:
        id: The id of the step.
        steps: The steps in it, where it is a workflow; None where it is none.
        traits: What else about it decides how a run goes: ``pivot irreversible parallel expand``.
    """

    id: str
    steps: tuple[Topology, ...] | None = None
    traits: tuple[str, ...] = ()


class Begun(NamedTuple):
    """A journaled run has begun: the first record, written with that of its first step.

    Attributes:
        workflow_id: The id of the workflow.
        run_id: The id of the run.
        at: When it began.
        execution_mode: The execution mode in effect.
        rollback_mode: The rollback mode in effect.
        snapshots: Whether an undo gets the state as its own step left it.
        steps: The steps, with those nested in them.
        state: The first values of the shared state.
        target: Where the workflow was found, ``FILE[:NAME]``, if it was started from the command line.
        prepares: Whether the workflow has a prepare of its own.
        without_undo: The paths of the steps that had no undo.
        is_foreign: Whether the journal was begun by another implementation, which records less.
        deadline: Until when the way forward may take; None where it may take as long as it likes.
        version: The version of the workflow, where its author gave one.
        traceparent: The span in which it began, where an observer told one (W3C Trace Context): those of a
            later process are linked to it.
    """

    workflow_id: str
    run_id: str
    at: datetime
    execution_mode: ExecutionMode
    rollback_mode: RollbackMode
    snapshots: bool
    steps: tuple[Topology, ...]
    state: dict[str, Any]
    target: str | None = None
    prepares: bool = False
    without_undo: tuple[str, ...] = ()
    is_foreign: bool = False
    deadline: datetime | None = None
    version: str | None = None
    traceparent: str | None = None


class Started(NamedTuple):
    """A step is about to be called (spec: the write-ahead, F1).

    Attributes:
        path: The path of the step from the root.
        action: What it is asked to do.
        at: When.
    """

    path: str
    action: Action
    at: datetime | None = None


class Answered(NamedTuple):
    """A step has answered (spec: F4 forward, C3 backward).

    Attributes:
        path: The path of the step from the root.
        report: What it did.
        shared: What it changed in the shared state, where the run is journaled.
        local: What it changed in its own state, where the run is journaled.
        goes_back: Whether its failure sends the run back (spec: F5); None where it did not fail.
        is_at_work: Whether it took too long, and goes on in a thread, where nobody can stop it.
    """

    path: str
    report: StepReport
    shared: Changes | None = None
    local: Changes | None = None
    goes_back: bool | None = None
    is_at_work: bool = False


class AttemptFailed(NamedTuple):
    """A step has failed, and is called again.

    Attributes:
        path: The path of the step from the root.
        report: What it did this time.
        delay: The seconds before it is called again; None where the run has stopped, past its pivot, and
            the step is called again when it is resumed.
    """

    path: str
    report: StepReport
    delay: float | None


class Expanded(NamedTuple):
    """A step has built the steps that it stands for.

    Attributes:
        path: The path of the step from the root.
        steps: What it has built.
        is_parallel: Whether those go on side by side.
        workflow_id: The id of the workflow that was built; None where it is that of the step.
    """

    path: str
    steps: tuple[Topology, ...]
    is_parallel: bool = False
    workflow_id: str | None = None


class Effect(NamedTuple):
    """Something that a step has really done outside, as `Context.record_effect` was told.

    Attributes:
        path: The path of the step from the root.
        action: During which action.
        at: When.
        kind: What it is: ``payment``, say.
        ref: By what it is found there: the number of the payment.
        data: More about it, JSON values by name.
    """

    path: str
    action: Action
    at: datetime
    kind: str
    ref: str
    data: dict[str, Any]


class Late(NamedTuple):
    """What became of a step that had taken too long, and went on in a thread.

    Attributes:
        path: The path of the step from the root.
        at: When that was found.
        is_back: Whether it has come to an end; else it was still at work when the run ended.
        error: How it failed in the end, if it did; that its process has died where nobody can tell.
        result: What it returned in the end.
    """

    path: str
    at: datetime
    is_back: bool
    error: BaseException | None = None
    result: Any = None


class Cancelled(NamedTuple):
    """The run was turned back between two steps.

    Attributes:
        path: The path of the last step that was run.
        error: What turned it back.
    """

    path: str
    error: BaseException


class Ended(NamedTuple):
    """The run has ended (spec: D1), or has stopped and can be resumed.

    Attributes:
        report: What the whole run did.
    """

    report: WorkflowReport


class Suspended(NamedTuple):
    """A journaled run has stopped before its end; it can be resumed.

    Attributes:
        at: When.
        error: Why.
    """

    at: datetime
    error: BaseException


class Resumed(NamedTuple):
    """A journaled run was taken up again.

    Attributes:
        at: When.
        deadline: Until when the way forward may take from now on; None where that has not changed.
        note: What the operator said who has asked for it.
    """

    at: datetime
    deadline: datetime | None = None
    note: str = ""


class Request(StrEnum):
    """What an operator may ask of a run."""

    ROLLBACK = "rollback"
    """Undo all that stands."""
    RETRY_UNDO = "retry_undo"
    """Call an undo that failed once more."""
    MARK_UNDONE = "mark_undone"
    """Take a step whose undo failed for undone, since a person has seen to it."""


class Requested(NamedTuple):
    """An operator has asked something of a run.

    Attributes:
        at: When.
        request: What.
        path: Of which step, where it is about one; of which branch, where one has been told on its own.
        note: What the operator said.
    """

    at: datetime
    request: Request
    path: str | None = None
    note: str = ""


Record = (
    Begun
    | Started
    | Answered
    | AttemptFailed
    | Expanded
    | Effect
    | Late
    | Cancelled
    | Ended
    | Suspended
    | Resumed
    | Requested
)
