"""The words in which a run is told: statuses, actions, modes, outcomes."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """How an action, or a whole workflow, ended (seed: Status)."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    UNDEFINED = "UNDEFINED"
    """Not ended yet."""


class Action(StrEnum):
    """What a step was asked to do (seed: StepActionType; ``prepare`` is the specification's)."""

    PREPARE = "prepare"
    RUN = "run"
    ROLLBACK = "rollback"


class ExecutionMode(StrEnum):
    """What a failed step means for the steps around it (spec: execution mode)."""

    STOP = "stop"
    """Halt; nothing is undone."""
    CONTINUE = "continue"
    """Go on with the next step; the workflow has failed in the end."""
    ROLLBACK = "rollback"
    """Undo the failed step and all before it, in reverse. The default."""


class RollbackMode(StrEnum):
    """What a failed undo means for the undos that remain (spec: rollback mode)."""

    CONTINUE = "continue"
    """Undo the steps before it all the same. The default."""
    STOP = "stop"
    """Halt; the steps before it stay as they are."""


class Outcome(StrEnum):
    """How a run ended, in the terms of whoever has to act on it."""

    SUCCEEDED = "succeeded"
    UNDONE = "undone"
    """A step failed, and all that was done has been undone."""
    FAILED = "failed"
    """A step failed, and by the workflow's mode nothing was undone."""
    NEEDS_ATTENTION = "needs_attention"
    """An undo failed: something is left that a person must look at."""
    SUSPENDED = "suspended"
    """The run was stopped on its way; it can be resumed, or rolled back."""
    INFRASTRUCTURE_ERROR = "infrastructure_error"
    """The journal could not be written; the run has stopped where it was, and can be resumed."""


# Members under plain names, for the code that handles every step: looking one up on its class
# takes longer than calling an empty function (Python 3.11).
SUCCESS, FAILED, SKIPPED, UNDEFINED = Status
PREPARE, RUN, ROLLBACK = Action
