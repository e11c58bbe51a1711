"""Sagas for Python: steps that run, and that undo themselves in reverse when one fails."""

from automa._core.context import Context
from automa._core.events import Failure, Handoff, Success
from automa._core.functions import SagaPrepare, SagaRun, SagaUndo
from automa._core.records import Answered, Ended, Record, Started
from automa._core.reports import Remaining, StepIDs, StepReport, WorkflowReport
from automa._core.state import PrecisionWarning, State
from automa._core.status import Action, ExecutionMode, Outcome, RollbackMode, Status
from automa._core.steps import Step, step
from automa.errors import (
    AsyncStepError,
    AutomaError,
    IllegalHandoff,
    RemoteError,
    RunIdError,
    Skip,
    StateError,
    UnknownStepError,
    WireError,
    WorkflowDefinitionError,
    WorkflowFailed,
)
from automa.registry import StepRegistry
from automa.runtime import clock as _clock  # noqa: F401  # gives the core its clock
from automa.workflow import Workflow

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Answered",
    "AsyncStepError",
    "AutomaError",
    "Context",
    "Ended",
    "ExecutionMode",
    "Failure",
    "Handoff",
    "IllegalHandoff",
    "Outcome",
    "PrecisionWarning",
    "Record",
    "Remaining",
    "RemoteError",
    "RollbackMode",
    "RunIdError",
    "SagaPrepare",
    "SagaRun",
    "SagaUndo",
    "Skip",
    "Started",
    "State",
    "StateError",
    "Status",
    "Step",
    "StepIDs",
    "StepRegistry",
    "StepReport",
    "Success",
    "UnknownStepError",
    "WireError",
    "Workflow",
    "WorkflowDefinitionError",
    "WorkflowFailed",
    "WorkflowReport",
    "__version__",
    "step",
]
