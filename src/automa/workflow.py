"""A workflow as its users have it: built once, started as often as they like."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from automa._core.definition import Definition
from automa._core.relay import relay
from automa._core.runs import Modes, Run, WorkflowRun
from automa._core.state import State
from automa._core.status import ExecutionMode, RollbackMode
from automa.errors import AsyncStepError, RunIdError, StateError
from automa.runtime.listeners import Listeners, StepLogger, package_logger
from automa.runtime.sync_driver import drive

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable
    from types import TracebackType

    from automa._core.definition import RollbackOn
    from automa._core.functions import SagaPrepare
    from automa._core.protocols import AtomicStep, Composite, Observer
    from automa._core.reports import WorkflowReport

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Workflow:
    """A saga: steps that run in order, and are undone in reverse when one fails (seed: Workflow).

    A workflow may be started any number of times, at once as well: each run works on its own
    copies of the steps. A workflow can stand among the steps of another.

    Args:
        id: The id of the workflow.
        steps: The steps in order; each id once.
        mode: What a failed step means for the others: ``rollback``, ``stop`` or ``continue``.
        rollback_mode: What a failed undo means for the others: ``continue`` or ``stop``.
        rollback_on: Which errors send the run back: a class of exceptions, a tuple of them, or a
            function of the error. Other errors halt it with nothing undone. By default all do.
        prepare: Comes before the first step: what it sets in ``ctx.shared``, or returns as a dict, is
            seen by all steps. Where it fails no step is run. It may be called again by a resume.
        snapshots: Whether an undo gets the shared state as its own step left it; without, it gets
            the state as it is then.
        logger: Where runs are logged; by default the logger ``automa``, silent until configured.
        observers: Those who hear of each record of a run.

    Raises:
        WorkflowDefinitionError: Where it could not be run as it is written.

    Example:
        >>> from automa import Step, Workflow
        >>> report = Workflow("greet", [Step("hello", run=lambda: "hi")]).start()
        >>> report.results
        {'hello': 'hi'}
    """

    def __init__(  # noqa: PLR0913  # keyword arguments are the seed's options
        self,
        id: str,
        steps: Iterable[AtomicStep | Composite] = (),
        *,
        mode: ExecutionMode | str = ExecutionMode.ROLLBACK,
        rollback_mode: RollbackMode | str = RollbackMode.CONTINUE,
        rollback_on: RollbackOn = Exception,
        prepare: SagaPrepare | None = None,
        snapshots: bool = True,
        logger: logging.Logger | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self._definition = Definition(
            id,
            steps,
            mode=mode,
            rollback_mode=rollback_mode,
            rollback_on=rollback_on,
            prepare=prepare,
            snapshots=snapshots,
        )
        self._logger = logger or package_logger
        self._observers = tuple(observers)

    @property
    def id(self) -> str:
        """The id of the workflow."""
        return self._definition.id

    @property
    def definition(self) -> Definition:
        """Its steps and modes, as the relay sees them."""
        return self._definition

    @property
    def steps(self) -> tuple[AtomicStep | Composite, ...]:
        """The steps as they were given; runs work on copies of them."""
        return self._definition.steps

    def start(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Run the workflow in this thread and return what happened, failure or not (seed: Start).

        Args:
            state: The first values of the shared state: JSON values, copied.
            run_id: The id of the run: a letter or digit, then up to 127 letters, digits, ``._-``;
                one is made where none is given.
            resources: Live objects for the steps, in ``ctx.resources``; they are never written down.
            observers: Further observers, for this run alone.

        Raises:
            AsyncStepError: Where a step is async; nothing was started.
            StateError: Where the state is not JSON; nothing was started.
            RunIdError: Where the run id is not of that form; nothing was started.
            BaseException: What interrupted the run (``KeyboardInterrupt``, say), once it is closed.
        """
        async_steps = self._definition.async_steps
        if async_steps:
            raise AsyncStepError(
                f"workflow {self.id!r} has the async step {async_steps[0]!r}: start it with start_async"
            )
        workflow_run, listeners = self._new_run(state, run_id, resources, observers)
        return drive(relay(workflow_run), workflow_run.run, listeners)

    async def start_async(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Run the workflow on the running event loop; steps that are not async work in threads.

        Args:
            state: As in `start`.
            run_id: As in `start`.
            resources: As in `start`.
            observers: As in `start`.

        Raises:
            StateError: Where the state is not JSON; nothing was started.
            RunIdError: Where the run id is not of the form told in `start`; nothing was started.
            BaseException: What interrupted the run (a cancellation, say), once it is closed.
        """
        from automa.runtime.async_driver import drive_async  # noqa: PLC0415  # asyncio takes long to import

        workflow_run, listeners = self._new_run(state, run_id, resources, observers)
        return await drive_async(relay(workflow_run), workflow_run.run, listeners)

    def end(self) -> None:
        """Clean up when no more runs are to come (seed: End); a subclass may add to it.

        It ends the nested workflows too. A workflow is a context manager that calls it.
        """
        for step in self.steps:
            if isinstance(step, Workflow):
                step.end()

    def _new_run(
        self,
        state: Mapping[str, Any] | None,
        run_id: str | None,
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
    ) -> tuple[WorkflowRun, Listeners]:
        """Return a run that has not begun, after all that could be wrong with it has been checked."""
        run_id = os.urandom(16).hex() if run_id is None else _checked_run_id(run_id)
        if state is not None and not isinstance(state, Mapping):
            raise StateError(f"the state must be a mapping, not {type(state).__name__}")
        listeners = Listeners((*self._observers, *observers), self._logger, run_id)
        run = Run(
            self.id,
            run_id,
            resources=resources,
            logger_for=functools.partial(StepLogger, self._logger),
            is_heard=listeners.hears_steps,
            snapshots=self._definition.snapshots,
            compensates=self._definition.compensates,
        )
        modes = Modes(self._definition.mode, self._definition.rollback_mode)
        return WorkflowRun(run, self._definition, State("shared", state), modes), listeners

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<Workflow {self.id}, {len(self.steps)} steps>"


def _checked_run_id(run_id: str) -> str:
    """Check a run id, which may become the name of a file.

    Raises:
        RunIdError: Where it is not of the form told in `Workflow.start`.
    """
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise RunIdError(
            f"{run_id!r} is no run id: a letter or digit, then at most 127 letters, digits, '.', '_', '-'"
        )
    return run_id
