"""Every protocol that somebody outside may implement, in one place."""

from automa._core.protocols import (
    AtomicStep,
    AtomicStepRegistry,
    AtomicWorkflow,
    Backward,
    Cancellable,
    Choreographer,
    Composite,
    Engine,
    Forward,
    Lease,
    Observer,
    RunInfo,
    RunOnEngine,
    Store,
    Worker,
)

__all__ = [
    "AtomicStep",
    "AtomicStepRegistry",
    "AtomicWorkflow",
    "Backward",
    "Cancellable",
    "Choreographer",
    "Composite",
    "Engine",
    "Forward",
    "Lease",
    "Observer",
    "RunInfo",
    "RunOnEngine",
    "Store",
    "Worker",
]
