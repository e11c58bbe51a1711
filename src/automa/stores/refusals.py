"""Why a store refuses a run, in words that say what to do next."""

from __future__ import annotations

from automa.errors import OwnershipLost, RunExistsError, RunNotFoundError, RunOwnedError


def run_exists(workflow_id: str, run_id: str) -> RunExistsError:
    """Return the error for a run that was started before."""
    return RunExistsError(
        f"run {run_id!r} of workflow {workflow_id!r} was started before: resume it, or take another run id"
    )


def run_owned(workflow_id: str, run_id: str) -> RunOwnedError:
    """Return the error for a run that somebody carries on."""
    return RunOwnedError(
        f"run {run_id!r} of workflow {workflow_id!r} is being carried on by somebody else, who is alive: "
        "wait for its end, or end that process"
    )


def run_not_found(workflow_id: str, run_id: str) -> RunNotFoundError:
    """Return the error for a run that is not there."""
    return RunNotFoundError(f"there is no run {run_id!r} of workflow {workflow_id!r}")


def ownership_lost(workflow_id: str, run_id: str) -> OwnershipLost:
    """Return the error for a run that was taken over."""
    return OwnershipLost(f"run {run_id!r} of workflow {workflow_id!r} was taken over by somebody else")
