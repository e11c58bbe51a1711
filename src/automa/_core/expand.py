"""A step that builds the steps it stands for when it is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from automa._core.definition import MAX_DEPTH, Definition
from automa._core.functions import StepFunction, step_function
from automa._core.records import Topology
from automa._core.steps import Step
from automa.errors import WorkflowDefinitionError, repr_of

if TYPE_CHECKING:
    from automa._core.runs import WorkflowRun

SagaBuild = Callable[..., Any]
"""Builds steps: takes the context or nothing, sync or async; returns them, or a workflow of them."""


class Expand(Step):
    """A step that builds the steps it stands for when it is reached: from the state as it is then.

    What it has built runs as a nested workflow, and is undone as one. Which steps those were is recorded: a
    resume builds them again, from the same state, and refuses to go on with others.

    Args:
        id: The id of the step.
        build: Returns the steps, or a workflow of them: takes the context or nothing, sync or async. It has
            no effect outside, and depends on nothing but what the context gives: a resume calls it again.
            ``raise Skip("why")`` says that there is nothing to do.

    Raises:
        WorkflowDefinitionError: Where the id is empty, or the function has the wrong signature.

    Example:
        >>> from automa import Expand, Step, Workflow
        >>> def build(ctx):
        ...     return [Step(name, run=lambda name=name: f"copied {name}") for name in ctx.shared["files"]]
        >>> Workflow("w", [Expand("copy", build)]).start({"files": ["a", "b"]}).results
        {'copy': {'a': 'copied a', 'b': 'copied b'}}
    """

    def __init__(self, id: str, build: SagaBuild) -> None:
        super().__init__(id)
        self.build_function: StepFunction = step_function(build, self, "build")
        self.is_async: bool = self.build_function.is_async
        self.is_plain: bool = False

    @property
    def has_undo(self) -> bool:
        """Whether anything is called to take the work back: that is up to the steps that are built."""
        return True


def definition_of(built: object, workflow_run: WorkflowRun, step: Expand) -> Definition:
    """Return what a step has built as a workflow.

    Raises:
        WorkflowDefinitionError: Where it could not be run.
    """
    definition = getattr(built, "definition", None)
    if not isinstance(definition, Definition):
        if isinstance(built, str | Step) or not isinstance(built, Iterable):
            raise WorkflowDefinitionError(
                f"step {step.id!r} has built {repr_of(built)}: build returns a list of steps, or a workflow"
            )
        definition = Definition(step.id, built)
    if len(workflow_run.ids) + 1 + definition.depth > MAX_DEPTH:
        raise WorkflowDefinitionError(f"step {step.id!r} has built what nests deeper than {MAX_DEPTH} levels")
    if definition.has_pivot:
        raise WorkflowDefinitionError(
            f"step {step.id!r} has built a pivot: put the point of no return into the workflow itself"
        )
    return definition


def topology_of(definition: Definition) -> tuple[Topology, ...]:
    """Return the steps of a workflow, with those nested in them, as a journal keeps them."""
    return tuple(
        Topology(entry.id, None if entry.nested is None else topology_of(entry.nested), entry.traits)
        for entry in definition.entries
    )
