"""What a step's functions get: the context of one action in one run."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from automa._core import clock
from automa._core.definition import part_of
from automa._core.records import Effect
from automa._core.reports import StepReport
from automa._core.state import State, check_effect
from automa._core.status import Action
from automa.errors import StateError

if TYPE_CHECKING:
    import logging
    from collections.abc import MutableMapping
    from datetime import datetime

    from automa._core.runs import StepRun, WorkflowRun

T = TypeVar("T")


class Context:
    """What one action of a step is given, and what it may leave.

    Attributes:
        action: What the step is asked to do.
        attempt: The number of this attempt, from 1.
        report: The report of this action, begun and not yet closed: for a step that overrides
            ``run`` or ``rollback`` to fill and hand over.
    """

    __slots__ = ("_step_run", "_workflow_run", "action", "attempt", "report")

    def __init__(self, workflow_run: WorkflowRun, step_run: StepRun, action: Action) -> None:
        self._workflow_run = workflow_run
        self._step_run = step_run
        self.action: Action = action
        self.attempt: int = 1
        self.report: StepReport = StepReport(step_run.id, action)

    @property
    def workflow_id(self) -> str:
        """The id of the workflow that was started: the root, where workflows are nested."""
        return self._workflow_run.run.workflow_id

    @property
    def run_id(self) -> str:
        """The id of this run."""
        return self._workflow_run.run.run_id

    @property
    def step_id(self) -> str:
        """The id of the step at work."""
        return self._step_run.id

    @property
    def step(self) -> Any:
        """The step at work: the copy of it that this run has."""
        return self._step_run.step

    @property
    def path(self) -> str:
        """The ids from the root's step down to this one, joined by ``/``."""
        return self._step_run.path

    @property
    def shared(self) -> State:
        """The state that all steps of the workflow see."""
        return self._workflow_run.shared

    @property
    def local(self) -> State:
        """The state of this step alone, seen by its run and its undo."""
        step_run = self._step_run
        if step_run.local is None:
            step_run.local = State("local", step=step_run.id, guard=self._workflow_run.run.guard)
        return step_run.local

    @property
    def result(self) -> Any:
        """What the step's run returned: for its undo."""
        return self._workflow_run.run.results.get(self.path)

    @property
    def results(self) -> Results:
        """What the steps before returned, by the id of a sibling or by path."""
        return Results(self._workflow_run)

    @property
    def metadata(self) -> MutableMapping[str, str | bytes]:
        """Texts or bytes, by name, that go into the report of this action."""
        return self.report.metadata

    @property
    def resources(self) -> Mapping[str, Any]:
        """The live objects given to ``start(resources=…)``; they are never written down."""
        return self._workflow_run.run.resources

    @property
    def idempotency_key(self) -> str:
        """A text that is the same whenever this action of this run is tried again, and no other's.

        Workflow, run, path and action, each percent-encoded (RFC 3986), joined by ``/``.
        """
        from urllib.parse import quote  # noqa: PLC0415  # few runs need it, and its import takes 3 ms

        run = self._workflow_run.run
        way = "undo" if self.action is Action.ROLLBACK else self.action.value
        ids = self._workflow_run.ids_of(self._step_run)
        parts = (run.workflow_id, run.run_id, *ids, way)
        return "/".join(quote(part, safe="") for part in parts)

    @property
    def deadline(self) -> datetime | None:
        """When this action is cut off, UTC: by the step's time-out, or the deadline of the run; or None."""
        is_forward = self.action is not Action.ROLLBACK
        step, began = self._step_run.step, self.report.start_time
        seconds = getattr(step, "timeout" if is_forward else "undo_timeout", None)
        limits = [self._workflow_run.run.deadline] if is_forward else []
        if seconds is not None and began is not None and self.action is not Action.PREPARE:
            limits.append(began + timedelta(seconds=seconds))
        return min((limit for limit in limits if limit is not None), default=None)

    def record_effect(self, kind: str, ref: str, *, defer: bool = False, **data: Any) -> None:
        """Keep in the report, and the journal, what was really done outside.

        The report of the run lists those that were not undone (``report.effects``). Told of again, by another
        attempt say, an effect of the same kind and ref is the same one.

        Args:
            kind: What it is: ``payment``, say.
            ref: By what it is found there: the number of the payment.
            defer: Whether it is written with the step's answer. Otherwise it is durable, where the run is
                journaled, when this returns.
            data: More about it: JSON values.

        Raises:
            StateError: Where ``kind`` or ``ref`` is no text, a value is not JSON, or a secret is in it.
            StoreError: Where it could not be written; the run stops after this step.
        """
        run = self._workflow_run.run
        check_effect(kind, ref, data)
        if run.redactor and run.redactor.finds(json.dumps([kind, ref, data])):
            raise StateError(f"effect {kind!r}: there is a secret in it; secrets go into resources")
        effect = Effect(self.path, self.action, clock.now(), kind, ref, copy.deepcopy(data))
        if not defer:
            run.record_at_once(effect)
        self.report.more.add_effects([effect])

    def set_apart(self) -> None:
        """Let a step for which nobody waits any more keep the state that it has: the run takes another."""
        self._workflow_run = copy.copy(self._workflow_run)
        self._step_run = copy.copy(self._step_run)

    @property
    def log(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        """The workflow's logger, each line with run and step."""
        run = self._workflow_run.run
        return run.logger_for(run.run_id, self.path)

    def __repr__(self) -> str:
        return f"<Context {self.action} {self.path} of run {self.run_id}>"


class Results(Mapping[str, Any]):
    """What the steps that ran returned, by path from the root; a sibling is found by its id as well."""

    __slots__ = ("_prefix", "_results", "_siblings")

    def __init__(self, workflow_run: WorkflowRun) -> None:
        self._results = workflow_run.run.results
        self._prefix = workflow_run.prefix
        self._siblings = workflow_run.definition.step_ids

    def __getitem__(self, key: str) -> Any:
        is_sibling = key in self._siblings
        for path in (self._prefix + part_of(key),) if is_sibling else (self._prefix + key, key):
            if path in self._results:
                return self._results[path]
        known = ", ".join(map(repr, self._results)) or "none"
        raise KeyError(f"no step {key!r} has a result (those that have: {known})")

    def typed(self, step: str, model: type[T]) -> T:
        """Return what a step returned as an instance of a class, also where it comes from a journal.

        A journal keeps results as JSON values: this is the way back. What is an instance already, as in a run
        that is not journaled, is returned as it is.

        Args:
            step: The id of a sibling, or a path.
            model: A dataclass, an enumeration, a pydantic model, a JSON type, or ``list[…]``, ``tuple[…]``,
                ``dict[str, …]`` and unions of such, to any depth.

        Raises:
            KeyError: Where the step has no result.
            ResultError: Where the result does not fit; the message names the step and the place in it.

        Example:
            >>> def ship(ctx):
            ...     order = ctx.results.typed("order", Order)
        """
        from automa._core.typed import as_typed  # noqa: PLC0415  # few runs need it, and it takes long to import

        return as_typed(self[step], model, step)

    def __iter__(self) -> Iterator[str]:
        for path in self._results:
            if path.startswith(self._prefix):
                yield path.removeprefix(self._prefix)
            elif path not in self._siblings:  # by that name the sibling is found
                yield path

    def __len__(self) -> int:
        return sum(1 for _ in self)
