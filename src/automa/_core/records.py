"""What one handoff adds to the history of a run: the unit of durability."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from automa._core.reports import StepReport, WorkflowReport
    from automa._core.status import Action


class Started(NamedTuple):
    """A step is about to be called (spec: the write-ahead, F1).

    Attributes:
        path: The path of the step from the root.
        action: What it is asked to do.
    """

    path: str
    action: Action


class Answered(NamedTuple):
    """A step has answered (spec: F4 forward, C3 backward).

    Attributes:
        path: The path of the step from the root.
        report: What it did.
    """

    path: str
    report: StepReport


class Ended(NamedTuple):
    """The run has ended (spec: D1).

    Attributes:
        report: What the whole run did.
    """

    report: WorkflowReport


Record = Started | Answered | Ended
