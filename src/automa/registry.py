"""Steps by id, and workflows built of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from automa.errors import UnknownStepError, WorkflowDefinitionError, repr_of
from automa.workflow import Workflow

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping

    from automa._core.protocols import AtomicStep, Composite


class StepRegistry:
    """Steps under the ids by which they are looked up; safe to use from several threads (seed: StepRegistry).

    Args:
        logger: The logger that its workflows get.
        strict: Refuse an id that is there already; a batch is then added whole or not at all (spec).

    Example:
        >>> from automa import Step, StepRegistry
        >>> registry = StepRegistry().register(Step("a"), Step("b"))
        >>> registry.build_workflow("ab", ["a", "b"]).start().status
        <Status.SUCCESS: 'SUCCESS'>
    """

    def __init__(self, logger: logging.Logger | None = None, *, strict: bool = False) -> None:
        self._logger = logger
        self._strict = strict
        self._steps: dict[str, AtomicStep | Composite] = {}
        self._lock = threading.Lock()

    def register_steps(self, steps: Mapping[str, AtomicStep | Composite | None]) -> Self:
        """Add steps under the keys of a mapping; those that are None are left out (seed: RegisterSteps).

        Args:
            steps: The steps by the ids under which they are looked up.

        Raises:
            WorkflowDefinitionError: Where the registry is strict and has one of the ids; none is added.
        """
        return self._add([(key, step) for key, step in steps.items() if step is not None])

    def register(self, *steps: AtomicStep | Composite) -> Self:
        """Add steps under their own ids.

        Raises:
            WorkflowDefinitionError: Where the registry is strict and an id is there twice; none is added.
        """
        for step in steps:
            if not hasattr(step, "id"):
                raise WorkflowDefinitionError(f"{repr_of(step)} is no step: it has no id")
        return self._add([(step.id, step) for step in steps])

    def _add(self, items: list[tuple[str, AtomicStep | Composite]]) -> Self:
        with self._lock:
            steps = dict(self._steps)
            for key, step in items:
                if self._strict and key in steps:
                    raise WorkflowDefinitionError(f"the registry has a step {key!r} already; none was added")
                steps[key] = step
            self._steps = steps
        return self

    def get_step(self, step_id: str) -> AtomicStep | Composite | None:
        """Return the step under an id, or None (seed: GetStep)."""
        return self._steps.get(step_id)

    def build_workflow(self, workflow_id: str, step_ids: Iterable[str]) -> Workflow:
        """Build a workflow of registered steps (seed: BuildWorkflow).

        Args:
            workflow_id: The id of the workflow.
            step_ids: The ids of its steps, in order.

        Raises:
            UnknownStepError: Where an id is not in the registry; the message names the near misses.
            WorkflowDefinitionError: Where the workflow could not be run.
        """
        known = self._steps
        steps = []
        for step_id in step_ids:
            if step_id not in known:
                raise UnknownStepError(
                    f"workflow {workflow_id!r}: no step {step_id!r} is registered{_hint(step_id, known)}"
                )
            steps.append(known[step_id])
        return Workflow(workflow_id, steps, logger=self._logger)


def _hint(step_id: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  # for this message alone

    near = difflib.get_close_matches(str(step_id), map(str, known))
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    return f" (there are: {', '.join(map(repr, known)) or 'none'})"
