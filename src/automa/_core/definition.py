"""What a workflow is, checked when it is built: its steps, their order, its modes."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from automa._core.functions import SagaPrepare, StepFunction, has_async_controller, step_function
from automa._core.protocols import AtomicStep, Composite
from automa._core.status import ExecutionMode, RollbackMode
from automa._core.steps import Step, check_id
from automa.errors import WorkflowDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import StrEnum

    Mode = TypeVar("Mode", bound=StrEnum)

    RollbackOn = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]


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

    Raises:
        WorkflowDefinitionError: Where an id is empty or twice there, where something is not a
            step, or a mode is unknown.
    """

    def __init__(  # noqa: PLR0913  # what the options of a workflow come down to
        self,
        id: str,
        steps: Iterable[AtomicStep | Composite],
        *,
        mode: ExecutionMode | str = ExecutionMode.ROLLBACK,
        rollback_mode: RollbackMode | str = RollbackMode.CONTINUE,
        rollback_on: RollbackOn = Exception,
        prepare: SagaPrepare | None = None,
        snapshots: bool = True,
    ) -> None:
        check_id(id, "a workflow")
        self.id = id
        self.steps: tuple[AtomicStep | Composite, ...] = tuple(steps)
        self.mode: ExecutionMode = _mode(ExecutionMode, mode, id)
        self.rollback_mode: RollbackMode = _mode(RollbackMode, rollback_mode, id)
        for position, step in enumerate(self.steps, start=1):
            _check_step(step, f"step {position} of workflow {id!r}")
        self.step_ids: list[str] = [step.id for step in self.steps]
        self.nested: set[int] = {
            index for index, step in enumerate(self.steps) if isinstance(step, Composite)
        }
        self._check_unique()
        self.snapshots: bool = snapshots
        self.rollback_on: RollbackOn = _checked_rollback_on(rollback_on, self)
        self.prepare: StepFunction | None = (
            None if prepare is None else step_function(prepare, self, "prepare")
        )

    def __repr__(self) -> str:
        return f"workflow {self.id!r}"

    def compensates(self, error: BaseException) -> bool:
        """Return whether an error is one that sends the run back."""
        if isinstance(self.rollback_on, tuple | type):
            return isinstance(error, self.rollback_on)
        return bool(self.rollback_on(error))

    def _check_unique(self) -> None:
        positions: dict[str, int] = {}
        for position, step_id in enumerate(self.step_ids, start=1):
            first = positions.setdefault(step_id, position)
            if first != position:
                raise WorkflowDefinitionError(
                    f"workflow {self.id!r} has the step id {step_id!r} twice, at {first} and {position}"
                )

    def async_steps(self) -> list[str]:
        """Return the paths of the steps that need an event loop, as far as can be told without a call."""
        paths = [] if self.prepare is None or not self.prepare.is_async else ["prepare"]
        for index, step in enumerate(self.steps):
            if index in self.nested:
                assert isinstance(step, Composite)  # noqa: S101  # that is what `nested` says
                paths += [f"{step.id}/{path}" for path in step.definition.async_steps()]
            elif step.is_async if isinstance(step, Step) else has_async_controller(type(step)):
                paths.append(step.id)
        return paths


def _check_step(step: Any, what: str) -> None:
    """Check that something can stand in a workflow.

    Raises:
        WorkflowDefinitionError: Where it cannot; the message says what to do.
    """
    if isinstance(step, type):
        raise WorkflowDefinitionError(f"{what} is the class {step.__name__}: make an instance of it")
    if isinstance(step, FunctionType | BuiltinFunctionType | MethodType):
        raise WorkflowDefinitionError(f"{what} is the function {step.__qualname__}: decorate it with @step")
    if isinstance(step, Step | Composite):
        check_id(step.id, what)
        return
    missing = [name for name in ("id", "run", "rollback", "next", "prev") if not hasattr(step, name)]
    if missing:
        raise WorkflowDefinitionError(
            f"{what} is {step!r}, which is no step: it lacks {', '.join(missing)} (see automa.abc.AtomicStep)"
        )
    check_id(step.id, what)


def _checked_rollback_on(rollback_on: RollbackOn, owner: Definition) -> RollbackOn:
    classes = rollback_on if isinstance(rollback_on, tuple) else (rollback_on,)
    if all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        return rollback_on
    if isinstance(rollback_on, tuple | type) or not callable(rollback_on):
        raise WorkflowDefinitionError(
            f"{owner!r}: rollback_on takes classes of exceptions or a function, not {rollback_on!r}"
        )
    return rollback_on


def _mode(modes: type[Mode], value: Mode | str, workflow_id: str) -> Mode:
    try:
        return modes(value)
    except ValueError:
        known = ", ".join(repr(mode.value) for mode in modes)
        raise WorkflowDefinitionError(
            f"workflow {workflow_id!r}: {value!r} is no {modes.__name__} (there are: {known})"
        ) from None
