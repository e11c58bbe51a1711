"""What a journal tells of its run, without the workflow: its report, and where each step stands.

The walk is made again, over steps that have no functions, answered from the records alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.commands import Halt
from automa._core.definition import Definition, part_of
from automa._core.expand import Expand
from automa._core.parallel import Parallel
from automa._core.records import (
    Answered,
    AttemptFailed,
    Begun,
    Expanded,
    Record,
    Started,
    Suspended,
)
from automa._core.relay import relay
from automa._core.replay import replay, replay_dry
from automa._core.retry import Retry
from automa._core.runs import Modes, Run, StepState, WorkflowRun
from automa._core.secrets import Redactor
from automa._core.state import State
from automa._core.status import Action, Outcome
from automa._core.steps import Step
from automa.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from automa._core.records import Topology
    from automa._core.reports import WorkflowReport


class Reading(NamedTuple):
    """What a journal tells.

    Attributes:
        begun: Its first record.
        report: The report of the run as far as it goes.
        is_done: Whether the run has ended.
        states: Where each step stands, by path, in order; those of nested workflows after theirs.
        workflows: The paths that are nested workflows.
        at_work: The steps that were at work last, by path what they were to do: one, or one a branch.
        shared: The shared state as it is now.
        is_past_pivot: Whether a point of no return lies behind.
    """

    begun: Begun
    report: WorkflowReport
    is_done: bool
    states: dict[str, StepState]
    workflows: frozenset[str]
    at_work: dict[str, Action]
    shared: dict[str, Any]
    is_past_pivot: bool


class _Nested:
    """Stands for a nested workflow."""

    def __init__(self, definition: Definition) -> None:
        self.id = definition.id
        self.definition = definition


def read(history: Sequence[Record]) -> Reading:
    """Return what a history tells.

    Args:
        history: The records of a run, as `decode_entries` returns them.

    Raises:
        JournalError: Where they contradict one another.
    """
    begun = history[0]
    assert isinstance(begun, Begun)  # noqa: S101  # whoever decodes a journal checks that
    workflow_run = _walked_again(begun, history)
    walk = replay(relay(workflow_run), workflow_run, history)
    stopped = next((each.error for each in reversed(history) if isinstance(each, Suspended)), None)
    is_interrupted = stopped is not None and not isinstance(stopped, Exception)
    is_held = _is_held(history) and not is_interrupted
    outcome = Outcome.NEEDS_ATTENTION if is_held else Outcome.SUSPENDED
    halt = Halt(stopped or StoreError("it goes on, or its process has died"), outcome)
    replay_dry(walk, halt)
    report = workflow_run.report
    steps = _expanded(begun.steps, "", _Seen.of(history))
    states = dict(_states(workflow_run, steps, ""))
    workflows = _workflows(steps, "")
    return Reading(
        begun, report, not report.is_stopped, states, workflows, _at_work(history, workflows),
        workflow_run.shared.clone(), workflow_run.run.is_past_pivot,
    )  # fmt: skip


def _is_held(history: Sequence[Record]) -> bool:
    """Whether a step has failed past the pivot, and was not called again; branches beside it may go on."""
    held: set[str] = set()
    for record in history:
        if isinstance(record, AttemptFailed) and record.delay is None:
            held.add(record.path)
        elif isinstance(record, Started | Answered | AttemptFailed):
            held.discard(record.path)
    return bool(held)


def _walked_again(begun: Begun, history: Sequence[Record]) -> WorkflowRun:
    prepare = _nothing if begun.prepares else None
    definition = _skeleton(begun.workflow_id, begun.steps, "", _Seen.of(history), prepare)
    run = Run(
        begun.workflow_id,
        begun.run_id,
        resources=None,
        logger_for=lambda *_: logging.getLogger("automa"),
        is_heard=True,
        snapshots=begun.snapshots,
        compensates=bool,
        redactor=Redactor(),
        begun=begun,
    )
    modes = Modes(begun.execution_mode, begun.rollback_mode)
    return WorkflowRun(run, definition, State("shared", begun.state, warn=False), modes)


class _Seen(NamedTuple):
    """What steps must have had, by what their records tell.

    Attributes:
        prepared: The paths of those that had a prepare.
        tried: The paths of those that were more than called once: tried again, or cut off.
        decided: The paths of those that had a condition, which was false or failed.
        expanded: What was built, by path.
        refused: The paths of those whose prepare has ended, maybe without having been called.
    """

    prepared: set[str]
    tried: set[str]
    decided: set[str]
    expanded: dict[str, Expanded]
    refused: set[str]

    @classmethod
    def of(cls, history: Sequence[Record]) -> _Seen:
        """Return what a history tells."""
        seen = cls(set(), set(), set(), {}, set())
        started: set[str] = set()
        for record in history:
            if isinstance(record, Started):
                started.add(record.path)
                if record.action is Action.PREPARE:
                    seen.prepared.add(record.path)
            elif isinstance(record, AttemptFailed) or (isinstance(record, Answered) and record.is_at_work):
                seen.tried.add(record.path)
            elif isinstance(record, Expanded):
                seen.expanded[record.path] = record
            if isinstance(record, Answered | AttemptFailed) and record.path not in started:
                seen.decided.add(record.path)
            if isinstance(record, Answered) and record.report.action is Action.PREPARE:
                seen.refused.add(record.path)
        return seen


def _expanded(steps: Sequence[Topology], prefix: str, seen: _Seen) -> tuple[Topology, ...]:
    """Return steps with what those have built that were built."""
    every = []
    for step in steps:
        path = prefix + part_of(step.id)
        built = seen.expanded.get(path)
        inside = step.steps if built is None else built.steps
        every.append(step._replace(steps=None if inside is None else _expanded(inside, f"{path}/", seen)))
    return tuple(every)


def _skeleton(
    workflow_id: str, steps: Sequence[Topology], prefix: str, seen: _Seen, prepare: Any
) -> Definition:
    """Return a workflow whose steps do nothing, and have what the records tell that they had."""
    made: list[Any] = []
    for step in steps:
        path = prefix + part_of(step.id)
        function = _nothing if path in seen.prepared else None
        if path in seen.expanded:
            expanded = seen.expanded[path]
            name = expanded.workflow_id or step.id
            inside = _skeleton(name, expanded.steps, f"{path}/", seen, function)
            built = Parallel(name, *inside.steps) if expanded.is_parallel else _Nested(inside)
            made.append(Expand(step.id, lambda built=built: built))
        elif "expand" in step.traits:  # it was not reached, or could not build anything
            made.append(Expand(step.id, list))
        elif "parallel" in step.traits:
            branches = _skeleton(step.id, step.steps or (), f"{path}/", seen, None).steps
            made.append(Parallel(step.id, *branches))
        elif step.steps is not None:
            function = _nothing if path in seen.refused else function
            made.append(_Nested(_skeleton(step.id, step.steps, f"{path}/", seen, function)))
        else:
            made.append(
                Step(
                    step.id,
                    prepare=function,
                    when=_nothing if path in seen.decided else None,
                    retry=Retry() if path in seen.tried else None,
                    pivot="pivot" in step.traits,
                    irreversible="irreversible" in step.traits,
                )
            )
    return Definition(workflow_id, made, prepare=prepare)


def _nothing() -> None:
    """Stand for a prepare, which the journal answers."""


def _states(
    workflow_run: WorkflowRun | None, steps: Sequence[Topology], prefix: str
) -> Iterator[tuple[str, StepState]]:
    reached = [] if workflow_run is None else workflow_run.steps
    for index, step in enumerate(steps):
        path = prefix + part_of(step.id)
        step_run = reached[index] if index < len(reached) else None
        yield path, StepState.PENDING if step_run is None else step_run.state
        if step.steps is not None:
            yield from _states(None if step_run is None else step_run.nested, step.steps, f"{path}/")


def _workflows(steps: Sequence[Topology], prefix: str) -> frozenset[str]:
    found: set[str] = set()
    for step in steps:
        if step.steps is not None:
            path = prefix + part_of(step.id)
            found |= {path, *_workflows(step.steps, f"{path}/")}
    return frozenset(found)


def _at_work(history: Sequence[Record], workflows: frozenset[str]) -> dict[str, Action]:
    """Return the calls of steps that were recorded as begun, and not as ended."""
    calls: dict[str, Action] = {}
    for record in history:
        if isinstance(record, Started) and record.path not in workflows:
            calls[record.path] = record.action
        elif isinstance(record, Answered | AttemptFailed):
            calls.pop(record.path, None)
    return calls
