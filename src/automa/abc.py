"""Every protocol that somebody outside may implement, in one place."""

from automa._core.protocols import (
    AtomicStep,
    AtomicStepRegistry,
    AtomicWorkflow,
    Backward,
    Choreographer,
    Composite,
    Forward,
    Lease,
    Observer,
    RunInfo,
    Store,
)

__all__ = [
    "AtomicStep",
    "AtomicStepRegistry",
    "AtomicWorkflow",
    "Backward",
    "Choreographer",
    "Composite",
    "Forward",
    "Lease",
    "Observer",
    "RunInfo",
    "Store",
]
