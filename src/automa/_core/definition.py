"""What a workflow is, checked when it is built: its steps, their order, its modes."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from automa._core.functions import (
    SagaPrepare,
    StepFunction,
    check_controller,
    has_async_controller,
    step_function,
)
from automa._core.selection import ErrorSelection, check_selection, selects
from automa._core.status import ExecutionMode, RollbackMode
from automa._core.steps import Step, check_id
from automa.errors import WorkflowDefinitionError, repr_of, text_of

if TYPE_CHECKING:
    from datetime import timedelta
    from enum import StrEnum

    from automa._core.protocols import AtomicStep, Composite

    Mode = TypeVar("Mode", bound=StrEnum)


_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Definition:
    """A workflow as the relay sees it; it does not change.

    Args:
        id: The id of the workflow.
        steps: Its steps in order; a workflow among them is nested.
        mode: What a failed step means for the others.
        rollback_mode: What a failed undo means for the others.
        rollback_on: Which errors send it back: classes, or a function that tells; by default all.
        prepare: What comes before its first step.
        snapshots: Whether an undo gets the state as its own step left it.
        deadline: How long the way forward may take; None where it may take as long as it likes.
        late_grace: Seconds to wait for a step that took too long in a thread, before it is undone.
        version: Names what its steps do; None where they alone tell.

    Attributes:
        traits: What else about it, as a step, decides how a run goes.
        has_pivot: Whether a point of no return is in it, at any depth.
        is_sequence: Whether its steps are known, and follow one another, at any depth.

    Raises:
        WorkflowDefinitionError: Where an id is empty or twice there, where something is not a
            step, or a mode is unknown.
    """

    traits: tuple[str, ...] = ()

    def __init__(  # noqa: PLR0913  # what the options of a workflow come down to
        self,
        id: str,
        steps: Iterable[AtomicStep | Composite],
        *,
        mode: ExecutionMode | str = ExecutionMode.ROLLBACK,
        rollback_mode: RollbackMode | str = RollbackMode.CONTINUE,
        rollback_on: ErrorSelection = Exception,
        prepare: SagaPrepare | None = None,
        snapshots: bool = True,
        deadline: timedelta | None = None,
        late_grace: float = 30.0,
        version: str | None = None,
    ) -> None:
        check_id(id, "a workflow")
        self.id = id
        if isinstance(steps, str) or not isinstance(steps, Iterable):
            raise WorkflowDefinitionError(f"workflow {id!r}: steps must be a list of steps, not {steps!r}")
        self.steps: tuple[AtomicStep | Composite, ...] = tuple(steps)
        self.mode: ExecutionMode = _mode(ExecutionMode, mode, id)
        self.rollback_mode: RollbackMode = _mode(RollbackMode, rollback_mode, id)
        self.entries: list[Entry] = [
            _entry(step, f"step {position} of workflow {id!r}")
            for position, step in enumerate(self.steps, start=1)
        ]
        self.step_ids: list[str] = [entry.id for entry in self.entries]
        self.depth: int = 1 + max((entry.nested.depth for entry in self.entries if entry.nested), default=0)
        if self.depth > MAX_DEPTH:
            raise WorkflowDefinitionError(f"workflow {id!r} nests deeper than {MAX_DEPTH} levels")
        self._check_unique()
        nested = [entry.nested for entry in self.entries if entry.nested is not None]
        self.has_pivot: bool = any(each.has_pivot for each in nested) or any(
            "pivot" in entry.traits for entry in self.entries
        )
        traits = {trait for entry in self.entries for trait in entry.traits}
        self.is_sequence: bool = all(each.is_sequence for each in nested) and not traits & {
            "parallel",
            "expand",
        }
        if self.has_pivot and self.mode is not ExecutionMode.ROLLBACK:
            raise WorkflowDefinitionError(
                f"workflow {id!r} has a pivot, and the mode {self.mode.value!r}, in which nothing is undone"
            )
        self.deadline: timedelta | None = deadline
        self.late_grace: float = late_grace
        if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
            raise WorkflowDefinitionError(
                f"workflow {id!r}: {version!r} is no version: a letter or digit, then at most 63 "
                "letters, digits, '.', '_', '-'"
            )
        self.version: str | None = version
        self.snapshots: bool = snapshots
        check_selection(rollback_on, f"{self!r}: rollback_on")
        self.rollback_on: ErrorSelection = rollback_on
        self.prepare: StepFunction | None = (
            None if prepare is None else step_function(prepare, self, "prepare")
        )

    def __repr__(self) -> str:
        return f"workflow {self.id!r}"

    def compensates(self, error: BaseException) -> bool:
        """Return whether an error is one that sends the run back."""
        return selects(self.rollback_on, error)

    def _check_unique(self) -> None:
        positions: dict[str, int] = {}
        for position, step_id in enumerate(self.step_ids, start=1):
            first = positions.setdefault(step_id, position)
            if first != position:
                raise WorkflowDefinitionError(
                    f"workflow {self.id!r} has the step id {step_id!r} twice, at {first} and {position}"
                )

    @functools.cached_property
    def async_steps(self) -> list[str]:
        """The paths of the steps that need an event loop, as far as can be told without a call."""
        paths = [] if self.prepare is None or not self.prepare.is_async else ["prepare"]
        for step, step_id, _, nested in self.entries:
            if nested is not None:
                paths += [f"{step_id}/{path}" for path in nested.async_steps]
            elif step.is_async if isinstance(step, Step) else has_async_controller(step):
                paths.append(step_id)
        return paths


class Entry(NamedTuple):
    """A step of a workflow, and what its runs need to know of it at once.

    Attributes:
        step: The step as it was given.
        id: Its id.
        part: Its part of a path.
        nested: Its definition, where it is a workflow.
    """

    step: Any
    id: str
    part: str
    nested: Definition | None

    @property
    def traits(self) -> tuple[str, ...]:
        """What else about the step decides how a run goes."""
        if self.nested is not None:
            return self.nested.traits
        if not isinstance(self.step, Step):
            return ()
        traits = [name for name in ("pivot", "irreversible") if getattr(self.step, name)]
        return (*traits, "expand") if hasattr(self.step, "build_function") else tuple(traits)


def _entry(step: Any, what: str) -> Entry:
    nested = None if isinstance(step, Step) else getattr(step, "definition", None)
    if not isinstance(nested, Definition):
        nested = None
        _check_step(step, what)
    check_id(step.id, what)
    return Entry(step, step.id, part_of(step.id), nested)


def _check_step(step: Any, what: str) -> None:
    """Check that something can stand in a workflow.

    Raises:
        WorkflowDefinitionError: Where it cannot; the message says what to do.
    """
    if isinstance(step, type):
        raise WorkflowDefinitionError(f"{what} is the class {step.__name__}: make an instance of it")
    if isinstance(step, FunctionType | BuiltinFunctionType | MethodType):
        raise WorkflowDefinitionError(f"{what} is the function {step.__qualname__}: decorate it with @step")
    if isinstance(step, Step):
        if not step.is_initialised():
            raise WorkflowDefinitionError(
                f"{what}: the __init__ of its class {type(step).__name__} does not call super().__init__()"
            )
        if type(step).run is Step.run and type(step).rollback is Step.rollback:
            return
    missing = [name for name in ("id", "run", "rollback", "next", "prev") if not hasattr(step, name)]
    if missing:
        raise WorkflowDefinitionError(
            f"{what} is {repr_of(step)}, which is no step: it lacks {', '.join(missing)} "
            "(see automa.abc.AtomicStep)"
        )
    for name in ("run", "rollback"):
        check_controller(getattr(step, name), f"{what}: its {name}")
    _check_copy(step, what)


def _check_copy(step: Any, what: str) -> None:
    """Check that a run can make its own copy of a step and link it.

    Raises:
        WorkflowDefinitionError: Where it cannot.
    """
    try:
        copied = copy.copy(step)
        copied.next, copied.prev = copied.next, copied.prev
    except Exception as error:
        raise WorkflowDefinitionError(
            f"{what} cannot be copied and linked, as each run does: {type(error).__name__}: {text_of(error)}"
        ) from error


MAX_DEPTH = 100
"""How deeply workflows may nest: each level takes some of Python's stack."""


def part_of(step_id: str) -> str:
    """Return a step's part of a path: its id, with what separates parts escaped (RFC 3986)."""
    return step_id.replace("%", "%25").replace("/", "%2F") if "/" in step_id or "%" in step_id else step_id


def id_of(path: str) -> str:
    """Return the id of the step at a path: the other way round of `part_of`."""
    return path.rpartition("/")[2].replace("%2F", "/").replace("%25", "%")


def _mode(modes: type[Mode], value: Mode | str, workflow_id: str) -> Mode:
    try:
        return modes(value)
    except ValueError:
        known = ", ".join(repr(mode.value) for mode in modes)
        raise WorkflowDefinitionError(
            f"workflow {workflow_id!r}: {value!r} is no {modes.__name__} (there are: {known})"
        ) from None
