"""Sagas for Python: steps that run, and that undo themselves in reverse when one fails."""

from automa._core.context import Context
from automa._core.events import Failure, Handoff, Success
from automa._core.functions import SagaPrepare, SagaRun, SagaUndo, SagaVerify
from automa._core.records import (
    Answered,
    Begun,
    Cancelled,
    Ended,
    Record,
    Request,
    Requested,
    Resumed,
    Started,
    Suspended,
)
from automa._core.reports import Remaining, StepIDs, StepReport, WorkflowReport
from automa._core.secrets import Secret
from automa._core.state import PrecisionWarning, State
from automa._core.status import Action, ExecutionMode, Outcome, RollbackMode, Status
from automa._core.steps import Step, step
from automa.errors import (
    AsyncStepError,
    AutomaError,
    IllegalHandoff,
    JournalError,
    OwnershipLost,
    RemoteError,
    ResultError,
    RollbackRequested,
    RunExistsError,
    RunIdError,
    RunNotFoundError,
    RunOwnedError,
    RunRequestError,
    Skip,
    StateError,
    StoreError,
    UnknownOutcomeError,
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
    "Begun",
    "Cancelled",
    "Context",
    "Ended",
    "ExecutionMode",
    "Failure",
    "Handoff",
    "IllegalHandoff",
    "JournalError",
    "Outcome",
    "OwnershipLost",
    "PrecisionWarning",
    "Record",
    "Remaining",
    "RemoteError",
    "Request",
    "Requested",
    "ResultError",
    "Resumed",
    "RollbackMode",
    "RollbackRequested",
    "RunExistsError",
    "RunIdError",
    "RunNotFoundError",
    "RunOwnedError",
    "RunRequestError",
    "SagaPrepare",
    "SagaRun",
    "SagaUndo",
    "SagaVerify",
    "Secret",
    "Skip",
    "Started",
    "State",
    "StateError",
    "Status",
    "Step",
    "StepIDs",
    "StepRegistry",
    "StepReport",
    "StoreError",
    "Success",
    "Suspended",
    "UnknownOutcomeError",
    "UnknownStepError",
    "WireError",
    "Workflow",
    "WorkflowDefinitionError",
    "WorkflowFailed",
    "WorkflowReport",
    "__version__",
    "step",
]
