"""The steps of a run as a tree: what each did, forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from automa._core.definition import part_of
from automa._core.status import Action
from automa.pictures.words import NOT_RUN, Said, known, said_at_work, said_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from automa._core.reports import StepReport, WorkflowReport
    from automa.pictures.rows import Journaled


class Node(NamedTuple):
    """A step of a run.

    Attributes:
        id: Its id.
        path: The ids from the outermost step down.
        actions: What it did, in order.
        at_work: What it is at work on, by the journal.
        steps: The steps in it.
        is_parallel: Whether these are known to go on side by side.
    """

    id: str
    path: str
    actions: tuple[StepReport, ...]
    at_work: Action | None
    steps: tuple[Node, ...]
    is_parallel: bool

    @property
    def forward(self) -> StepReport | None:
        """What it did last on the way forward."""
        return next((each for each in reversed(self.actions) if each.action is not Action.ROLLBACK), None)

    @property
    def back(self) -> StepReport | None:
        """What it did last on the way back."""
        return next((each for each in reversed(self.actions) if each.action is Action.ROLLBACK), None)

    @property
    def was_begun(self) -> bool:
        """Whether the way forward has reached it."""
        return self.forward is not None or self.at_work is not None

    def said(self) -> list[Said]:
        """Return what became of it: forward, then back."""
        told = [said_of(each.action, each.status) for each in (self.forward, self.back) if each is not None]
        if self.at_work is not None:
            told.append(said_at_work(self.at_work))
        return told or [NOT_RUN]

    @property
    def look(self) -> str:
        """The colour of what is to be known of it first: that something failed, or what it did last."""
        looks = [said.look for said in self.said()]
        return "bad" if "bad" in looks else looks[-1]


def tree_of(report: WorkflowReport, journaled: Journaled | None = None) -> tuple[Node, ...]:
    """Return the steps of a run, those that it did not reach too."""
    at_work = {} if journaled is None else journaled.at_work

    def nodes(sequence: Iterable[str], reports: Iterable[StepReport], prefix: str) -> tuple[Node, ...]:
        actions: dict[str, list[StepReport]] = {step_id: [] for step_id in sequence}
        for each in reports:
            actions.setdefault(each.step_id, []).append(each)
        return tuple(node(step_id, done, prefix + part_of(step_id)) for step_id, done in actions.items())

    def node(step_id: str, actions: list[StepReport], path: str) -> Node:
        inside = [each.workflow for each in actions if each.workflow is not None]
        sequence = (each for workflow in inside for each in workflow.step_sequence)
        reports = (each for workflow in inside for each in workflow.step_reports)
        steps = nodes(sequence, reports, f"{path}/")
        is_parallel = any(workflow.is_parallel for workflow in inside) or _overlap(steps)
        return Node(step_id, path, tuple(actions), at_work.get(path), steps, is_parallel)

    return nodes(report.step_sequence, report.step_reports, "")


def every(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield steps at any depth, each before those in it."""
    for node in nodes:
        yield node
        yield from every(node.steps)


def _overlap(nodes: Sequence[Node]) -> bool:
    """Whether steps were at work at the same time: that tells branches where a format did not keep it."""
    latest = None
    for report in (node.forward for node in nodes):
        begun = None if report is None else known(report.start_time)
        ended = None if report is None else known(report.end_time)
        if begun is not None and latest is not None and begun < latest:
            return True
        latest = ended if latest is None or (ended is not None and ended > latest) else latest
    return False
