"""A workflow as its users have it: built once, started as often as they like."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self

from automa._core import clock, notebooks
from automa._core.commands import Halt
from automa._core.definition import Definition
from automa._core.records import Begun, Request
from automa._core.relay import relay
from automa._core.replay import replay, replay_dry
from automa._core.runs import Modes, Run, WorkflowRun
from automa._core.secrets import Redactor
from automa._core.state import State
from automa._core.status import ExecutionMode, Outcome, RollbackMode
from automa.errors import (
    AsyncStepError,
    JournalError,
    RunIdError,
    RunNotFoundError,
    RunRequestError,
    StateError,
    StoreError,
    WorkflowDefinitionError,
)
from automa.runtime.launch import Launch
from automa.runtime.listeners import Listeners, StepLogger, package_logger, told_traceparent
from automa.runtime.sync_driver import drive

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable
    from types import TracebackType

    from automa._core.functions import SagaPrepare
    from automa._core.protocols import AtomicStep, Composite, Lease, Observer, Store
    from automa._core.records import Record
    from automa._core.reports import WorkflowReport
    from automa._core.selection import ErrorSelection
    from automa.plan.lint import Finding
    from automa.plan.plan import Plan

    StoreLike = str | Store

Missing = Literal["start", "error"]
OnCancel = Literal["suspend", "rollback"]
Deadline = float | timedelta | datetime
"""Until when: seconds or a time span from now on, or a moment with its time zone."""

_RETENTIONS = ("retain", "delete_on_success", "delete_on_done")

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
        retention: When the journal of a run is deleted: never (``retain``), once the run has succeeded
            (``delete_on_success``), or once it has ended without anything left to do (``delete_on_done``).
        deadline: How long the way forward may take, seconds or a time span from the start: then the step at
            work is cut off, and the run goes back. That of a nested workflow does not count.
        late_grace: Seconds to wait for a step that took too long in a thread, where nobody can stop it,
            before it is undone. If it is still at work when the run ends, the run needs attention.
        redact: Regular expressions: what they match is replaced in errors, reports and the log, and
            refused in the state and in results of journaled runs; a `Secret` needs none.

        version: Names what the steps do, where runs begun with what they did before are still on their way:
            a run is carried on by the version with which it began. By default it is told by the steps alone.

    Attributes:
        retention: As above.
        target: Where the workflow was found, ``FILE[:NAME]``; journals keep it. The command line sets it.

    Raises:
        WorkflowDefinitionError: Where it could not be run as it is written.

    Example:
        >>> from automa import Step, Workflow
        >>> report = Workflow("greet", [Step("hello", run=lambda: "hi")]).start()
        >>> report.results
        {'hello': 'hi'}
    """

    def __init__(  # keyword arguments are the seed's options
        self,
        id: str,
        steps: Iterable[AtomicStep | Composite] = (),
        *,
        mode: ExecutionMode | str = ExecutionMode.ROLLBACK,
        rollback_mode: RollbackMode | str = RollbackMode.CONTINUE,
        rollback_on: ErrorSelection = Exception,
        prepare: SagaPrepare | None = None,
        snapshots: bool = True,
        logger: logging.Logger | None = None,
        observers: Iterable[Observer] = (),
        retention: str = "retain",
        redact: Iterable[str | re.Pattern[str]] = (),
        deadline: float | timedelta | None = None,
        late_grace: float = 30.0,
        version: str | None = None,
    ) -> None:
        if not _is_seconds(late_grace):
            raise WorkflowDefinitionError(
                f"workflow {id!r}: late_grace is a number of seconds from 0, not {late_grace!r}"
            )
        self._definition = Definition(
            id,
            steps,
            mode=mode,
            rollback_mode=rollback_mode,
            rollback_on=rollback_on,
            prepare=prepare,
            snapshots=snapshots,
            deadline=None if deadline is None else _span(deadline, f"workflow {id!r}"),
            late_grace=late_grace,
            version=version,
        )
        self._logger = logger or package_logger
        self._observers = tuple(observers)
        if retention not in _RETENTIONS:
            known = ", ".join(map(repr, _RETENTIONS))
            raise WorkflowDefinitionError(
                f"workflow {id!r}: {retention!r} is no retention (there are: {known})"
            )
        self.retention: str = retention
        self._redactor = Redactor(redact)
        self.target: str | None = None

    @property
    def id(self) -> str:
        """The id of the workflow."""
        return self._definition.id

    @property
    def version(self) -> str:
        """What names the version of the steps: as it was given, or made of their ids, order and modes."""
        from automa.journal.fit import version_of  # noqa: PLC0415  # few need it

        return version_of(self._definition)

    @property
    def definition(self) -> Definition:
        """Its steps and modes, as the relay sees them."""
        return self._definition

    @property
    def steps(self) -> tuple[AtomicStep | Composite, ...]:
        """The steps as they were given; runs work on copies of them."""
        return self._definition.steps

    def first_state(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the first values of the state of a new run; a subclass may check and complete them.

        Args:
            given: What the run is started with.

        Raises:
            StateError: Where it may not be started with that: nothing is.
        """
        return given

    def check_resources(self, given: Mapping[str, Any]) -> None:
        """Refuse resources with which no run could go on, nor be undone; a subclass may.

        Args:
            given: What a run is started or carried on with, or a worker.

        Raises:
            StateError: Where something is missing in it: nothing is done.
        """

    def plan(self) -> Plan:
        """Return what would be undone in which order if a step failed; nothing is run."""
        from automa.plan.plan import plan_of  # noqa: PLC0415  # few need it

        return plan_of(self._definition)

    def start(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        store: StoreLike | None = None,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
        on_cancel: OnCancel | None = None,
        deadline: Deadline | None = None,
    ) -> WorkflowReport:
        """Run the workflow in this thread and return what happened, failure or not (seed: Start).

        Args:
            state: The first values of the shared state: JSON values, copied.
            run_id: The id of the run: a letter or digit, then up to 127 letters, digits, ``._-``;
                one is made where none is given.
            store: Where the run is journaled, so that it survives the death of the process: a store, or
                its URL (``sqlite:///runs.db``, ``file:DIR``). Without, it lives in memory.
            resources: Live objects for the steps, in ``ctx.resources``; they are never written down.
            observers: Further observers, for this run alone.
            on_cancel: What an interruption (Ctrl-C, say) means: ``rollback`` undoes what was done;
                ``suspend``, for journaled runs and their default, stops, to be resumed or rolled back.
            deadline: Until when the way forward may take, seconds or a time span from now on, or a moment:
                instead of the workflow's own.

        Raises:
            AsyncStepError: Where a step is async; nothing was started.
            StateError: Where the state is not JSON; nothing was started.
            RunIdError: Where the run id is not of that form; nothing was started.
            RunExistsError: Where the store has a run of that id; nothing was started.
            JournalError: Where the format of the store has no form for such a workflow; nothing was started.
            StoreError: Where the store cannot be used; nothing was started.
            BaseException: What interrupted the run (``KeyboardInterrupt``, say), once it is closed.
        """
        self._refuse_async("start it with start_async")
        return drive(self._new_launch(state, run_id, store, resources, observers, on_cancel, deadline))

    async def start_async(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        store: StoreLike | None = None,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
        on_cancel: OnCancel | None = None,
        deadline: Deadline | None = None,
    ) -> WorkflowReport:
        """Run the workflow on the running event loop; steps that are not async work in threads.

        Args:
            state: As in `start`.
            run_id: As in `start`.
            store: As in `start`.
            resources: As in `start`.
            observers: As in `start`.
            on_cancel: As in `start`; a cancellation is an interruption.
            deadline: As in `start`.

        Raises:
            StateError: Where the state is not JSON; nothing was started.
            RunIdError: Where the run id is not of the form told in `start`; nothing was started.
            RunExistsError: Where the store has a run of that id; nothing was started.
            StoreError: Where the store cannot be used; nothing was started.
            BaseException: What interrupted the run (a cancellation, say), once it is closed.
        """
        return await _drive_async(
            self._new_launch(state, run_id, store, resources, observers, on_cancel, deadline)
        )

    def resume(
        self,
        run_id: str,
        store: StoreLike,
        *,
        state: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
        missing: Missing = "start",
        on_cancel: OnCancel | None = None,
        deadline: Deadline | None = None,
        note: str = "",
    ) -> WorkflowReport:
        """Carry on a run whose process has died, or that has stopped; return the report of the whole run.

        What is recorded is not done again; a step that was at work is called again, unless its
        ``verify`` says that it was done. A run that has ended is not touched: its report comes back.

        Args:
            run_id: The id of the run.
            store: Where it is journaled.
            state: The first values of the state, should the run have to be started.
            resources: Live objects for the steps.
            observers: Further observers; one with a method ``resumed`` is given the records so far.
            missing: What is done where there is no such run: ``start`` it, as the specification has it, or
                ``error``.
            on_cancel: As in `start`.
            deadline: As in `start`; where none is given, that with which it was started still holds.
            note: A remark; it is recorded.

        Raises:
            JournalError: Where the journal cannot be read, or was begun by another definition; nothing
                was started.
            RunNotFoundError: Where there is no such run, and ``missing`` is ``error``.
            RunOwnedError: Where somebody who is alive carries it on; nothing was started.
            StoreError: Where the store cannot be used; nothing was started.
            BaseException: What interrupted the run, once it is closed.
        """
        self._refuse_async("resume it with resume_async")
        return drive(
            self._resumed(run_id, store, state, resources, observers, missing, on_cancel, deadline, note)
        )

    async def resume_async(
        self,
        run_id: str,
        store: StoreLike,
        *,
        state: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
        missing: Missing = "start",
        on_cancel: OnCancel | None = None,
        deadline: Deadline | None = None,
        note: str = "",
    ) -> WorkflowReport:
        """Carry on a run on the running event loop; see `resume`.

        Args:
            run_id: As in `resume`.
            store: As in `resume`.
            state: As in `resume`.
            resources: As in `resume`.
            observers: As in `resume`.
            missing: As in `resume`.
            on_cancel: As in `start`.
            deadline: As in `resume`.
            note: As in `resume`.

        Raises:
            AutomaError: As in `resume`; nothing was started.
            BaseException: What interrupted the run, once it is closed.
        """
        return await _drive_async(
            self._resumed(run_id, store, state, resources, observers, missing, on_cancel, deadline, note)
        )

    def rollback(
        self,
        run_id: str,
        store: StoreLike,
        *,
        note: str = "",
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Undo a run: one that has ended, or one that has stopped on its way.

        A step that was at work is undone too, since it may have had its effect. Undos that have failed
        are not called again: see `retry_undo`.

        Args:
            run_id: The id of the run.
            store: Where it is journaled.
            note: Why; it is recorded.
            resources: Live objects for the steps.
            observers: Further observers.

        Raises:
            AutomaError: As in `resume`; nothing was started.
            BaseException: What interrupted the run, once it is closed.
        """
        self._refuse_async("use rollback_async")
        return drive(self._requested(run_id, store, Request.ROLLBACK, None, note, resources, observers))

    async def rollback_async(
        self,
        run_id: str,
        store: StoreLike,
        *,
        note: str = "",
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Undo a run on the running event loop; see `rollback`.

        Args:
            run_id: As in `rollback`.
            store: As in `rollback`.
            note: As in `rollback`.
            resources: As in `rollback`.
            observers: As in `rollback`.

        Raises:
            AutomaError: As in `rollback`; nothing was started.
        """
        return await _drive_async(
            self._requested(run_id, store, Request.ROLLBACK, None, note, resources, observers)
        )

    def retry_undo(
        self,
        run_id: str,
        step: str,
        store: StoreLike,
        *,
        note: str = "",
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Call an undo that has failed once more, and undo what it had held up.

        Args:
            run_id: The id of the run.
            step: The path of the step (``outer/inner/step``).
            store: Where the run is journaled.
            note: A remark; it is recorded.
            resources: Live objects for the steps.
            observers: Further observers.

        Raises:
            RunRequestError: Where the undo of that step has not failed; nothing was changed.
            AutomaError: As in `resume`; nothing was started.
        """
        self._refuse_async("use retry_undo_async")
        return drive(self._requested(run_id, store, Request.RETRY_UNDO, step, note, resources, observers))

    async def retry_undo_async(
        self,
        run_id: str,
        step: str,
        store: StoreLike,
        *,
        note: str = "",
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Call an undo once more, on the running event loop; see `retry_undo`.

        Args:
            run_id: As in `retry_undo`.
            step: As in `retry_undo`.
            store: As in `retry_undo`.
            note: As in `retry_undo`.
            resources: As in `retry_undo`.
            observers: As in `retry_undo`.

        Raises:
            AutomaError: As in `retry_undo`; nothing was started.
        """
        return await _drive_async(
            self._requested(run_id, store, Request.RETRY_UNDO, step, note, resources, observers)
        )

    def mark_undone(
        self,
        run_id: str,
        step: str,
        store: StoreLike,
        *,
        note: str,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Take a step whose undo has failed for undone, since a person has seen to it.

        What it had held up is undone then.

        Args:
            run_id: The id of the run.
            step: The path of the step (``outer/inner/step``).
            store: Where the run is journaled.
            note: What was done; it stays in the report.
            resources: Live objects for the steps.
            observers: Further observers.

        Raises:
            RunRequestError: Where the undo of that step has not failed; nothing was changed.
            AutomaError: As in `resume`; nothing was started.
        """
        self._refuse_async("use mark_undone_async")
        return drive(self._requested(run_id, store, Request.MARK_UNDONE, step, note, resources, observers))

    async def mark_undone_async(
        self,
        run_id: str,
        step: str,
        store: StoreLike,
        *,
        note: str,
        resources: Mapping[str, Any] | None = None,
        observers: Iterable[Observer] = (),
    ) -> WorkflowReport:
        """Take a step for undone, on the running event loop; see `mark_undone`.

        Args:
            run_id: As in `mark_undone`.
            step: As in `mark_undone`.
            store: As in `mark_undone`.
            note: As in `mark_undone`.
            resources: As in `mark_undone`.
            observers: As in `mark_undone`.

        Raises:
            AutomaError: As in `mark_undone`; nothing was started.
        """
        return await _drive_async(
            self._requested(run_id, store, Request.MARK_UNDONE, step, note, resources, observers)
        )

    def lint(self, *, ignore: Mapping[str, str] | None = None) -> list[Finding]:
        """Return what is likely to go wrong in it, told by its steps and the source of their functions.

        Nothing is run. What cannot be told for sure is not told. A comment ``# automa: ignore[SAGA003] why``
        at a step's function, or where the step is made, silences a rule for it.

        Args:
            ignore: Reasons to pass over findings, by the code of the rule, or ``PATH/CODE`` for one step.

        Example:
            >>> from automa import Step, Workflow
            >>> slow = Step("slow", run=lambda: "done", timeout=90)
            >>> [finding.code for finding in Workflow("w", [slow], deadline=60).lint()]
            ['SAGA008']
        """
        from automa.plan.lint import lint  # noqa: PLC0415  # few need it

        return lint(self._definition, ignore)

    def end(self) -> None:
        """Clean up when no more runs are to come (seed: End); a subclass may add to it.

        It ends the nested workflows too. A workflow is a context manager that calls it.
        """
        for step in self.steps:
            if isinstance(step, Workflow):
                step.end()

    def _refuse_async(self, instead: str) -> None:
        async_steps = self._definition.async_steps
        if async_steps:
            raise AsyncStepError(f"workflow {self.id!r} has the async step {async_steps[0]!r}: {instead}")

    def _new_launch(  # noqa: PLR0917  # what start takes
        self,
        state: Mapping[str, Any] | None,
        run_id: str | None,
        store: StoreLike | None,
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
        on_cancel: OnCancel | None,
        deadline: Deadline | None,
    ) -> Launch:
        """Return a run that has not begun, after all that could be wrong with it has been checked."""
        run_id = _new_run_id(run_id, state)
        state = self.first_state(state or {})
        self.check_resources(resources or {})
        listeners = self._listeners(observers, run_id)
        suspends = _suspends(on_cancel, is_journaled=store is not None)
        until = self._until(deadline)
        if store is None:
            workflow_run = self._workflow_run(
                run_id, State("shared", state), resources, listeners, deadline=until
            )
            return Launch(relay(workflow_run), workflow_run.run, listeners)
        from automa import durable  # noqa: PLC0415  # it needs sqlite3, which takes long to import

        begun = self._begun(state, run_id, until)
        workflow_run = self._workflow_run(
            run_id, self._shared(begun), resources, listeners, begun, suspends=suspends, deadline=until
        )
        opened = durable.open_store(store)
        self._check_kept(opened)
        lease = opened.create(self.id, run_id)  # last: whoever owns it must drive it
        workflow_run.run.begun = begun._replace(traceparent=listeners.traceparent())
        journal = durable.Journal(lease, retention=self.retention)
        return Launch(relay(workflow_run), workflow_run.run, listeners, journal)

    def add_observer(self, observer: Observer) -> None:
        """Have an observer hear all runs that begin, or go on, from now on."""
        if observer not in self._observers:
            self._observers = (*self._observers, observer)

    def _listeners(self, observers: Iterable[Observer], run_id: str) -> Listeners:
        return Listeners((*self._observers, *observers), self._logger, run_id, self.id)

    def _begun(self, state: Mapping[str, Any] | None, run_id: str, deadline: datetime | None) -> Begun:
        """Return the first record of a new run that is written down."""
        from automa import durable  # noqa: PLC0415  # as above

        guarded = State("shared", state, guard=self._redactor.finds)
        return durable.begun(self._definition, run_id, guarded, self.target, deadline)

    def _resumed(  # noqa: PLR0917  # what resume takes
        self,
        run_id: str,
        store: StoreLike,
        state: Mapping[str, Any] | None,
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
        missing: Missing,
        on_cancel: OnCancel | None,
        deadline: Deadline | None,
        note: str,
    ) -> Launch:
        """Return a run that goes on where its journal ends."""
        from automa import durable  # noqa: PLC0415  # as above

        if missing not in {"start", "error"}:
            raise RunRequestError(f"missing is 'start' or 'error', not {missing!r}")
        self.check_resources(resources or {})
        suspends = _suspends(on_cancel, is_journaled=True)
        until = None if deadline is None else moment(deadline)  # before the run is taken: it may be refused
        opened = durable.open_store(store)
        listeners = self._listeners(observers, _checked_run_id(run_id))
        try:
            history, lease = durable.take(opened, self._definition, run_id, self.retention)
        except RunNotFoundError:
            if missing == "error":
                raise
            return self._new_launch(state, run_id, opened, resources, observers, on_cancel, deadline)
        return self._continued(
            history, lease, resources, listeners, suspends=suspends, deadline=until, note=note
        )

    def _requested(  # noqa: PLR0917  # what rollback and the like take
        self,
        run_id: str,
        store: StoreLike,
        request: Request,
        step: str | None,
        note: str,
        resources: Mapping[str, Any] | None,
        observers: Iterable[Observer],
    ) -> Launch:
        """Return a run that does what an operator asks of it, once that is recorded."""
        from automa import durable  # noqa: PLC0415  # as above

        self.check_resources(resources or {})
        opened = durable.open_store(store)
        listeners = self._listeners(observers, _checked_run_id(run_id))
        history, lease = durable.take_for_request(
            opened,
            self._definition,
            run_id,
            request,
            step,
            note,
            lambda history: self._replay_dry(history, listeners),
        )
        return self._continued(history, lease, resources, listeners, suspends=True)

    def _replay_dry(self, history: list[Record], listeners: Listeners) -> None:
        """Walk a run again as far as its records go, without any effect.

        Raises:
            JournalError: Where they do not fit this workflow.
        """
        begun = history[0]
        assert isinstance(begun, Begun)  # noqa: S101  # it was checked when the journal was read
        workflow_run = self._workflow_run(begun.run_id, self._shared(begun), None, listeners, begun)
        walk = replay(relay(workflow_run), workflow_run, history)
        replay_dry(walk, Halt(StoreError("it is only read"), Outcome.SUSPENDED))

    def _continued(
        self,
        history: list[Record],
        lease: Lease | None,
        resources: Mapping[str, Any] | None,
        listeners: Listeners,
        *,
        suspends: bool,
        deadline: datetime | None = None,
        note: str = "",
    ) -> Launch:
        from automa import durable  # noqa: PLC0415  # as above

        begun = history[0]
        assert isinstance(begun, Begun)  # noqa: S101  # it was checked when the journal was read
        try:
            workflow_run = self._workflow_run(
                begun.run_id,
                self._shared(begun),
                resources,
                listeners,
                begun,
                suspends=suspends,
                deadline=deadline or durable.deadline_of(history),
            )
            listeners.resumed(history)
        except BaseException:  # whoever owns a run must drive it, or give it back
            if lease is not None:
                lease.release()
            raise
        journal = durable.journal_of(lease, history, self.retention, deadline, note)
        walk = replay(relay(workflow_run), workflow_run, history)
        return Launch(walk, workflow_run.run, listeners, journal)

    def _until(self, deadline: Deadline | None) -> datetime | None:
        """Return until when the way forward of a new run may take."""
        if deadline is not None:
            return moment(deadline)
        span = self._definition.deadline
        return None if span is None else moment(span)

    def _check_kept(self, store: Store) -> None:
        """Check that a store can keep the journals of this workflow.

        Raises:
            JournalError: Where it cannot.
        """
        if getattr(store, "keeps_only_sequences", False) and not self._definition.is_sequence:
            raise JournalError(
                f"workflow {self.id!r} has a Parallel or an Expand in it, for which the specification's "
                "journal (file:DIR) has no form: use sqlite:///PATH"
            )

    def _shared(self, begun: Begun) -> State:
        return State("shared", begun.state, warn=False)

    def _workflow_run(  # what a run is made of
        self,
        run_id: str,
        state: State,
        resources: Mapping[str, Any] | None,
        listeners: Listeners,
        begun: Begun | None = None,
        *,
        suspends: bool = False,
        deadline: datetime | None = None,
    ) -> WorkflowRun:
        run = Run(
            self.id,
            run_id,
            resources=resources,
            logger_for=functools.partial(StepLogger, self._logger, self._redactor),
            redactor=self._redactor,
            is_heard=listeners.hears_steps or begun is not None,
            snapshots=self._definition.snapshots,
            compensates=self._definition.compensates,
            begun=begun,
            suspends=suspends,
            deadline=deadline,
            late_grace=self._definition.late_grace,
        )
        state.guard = run.guard
        modes = Modes(self._definition.mode, self._definition.rollback_mode)
        return WorkflowRun(run, self._definition, state, modes)

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

    def _repr_html_(self) -> str:
        """Show the workflow in a notebook: its plan."""
        from automa.plan.page import part  # noqa: PLC0415  # few need it

        return part(self.plan())

    def __repr__(self) -> str:
        return f"<Workflow {self.id}, {len(self.steps)} steps>"


def _shown(report: WorkflowReport) -> str:
    """Return what a notebook shows of a report."""
    from automa.pictures import report_to_fragment  # noqa: PLC0415  # few need it

    return report_to_fragment(report)


notebooks.html_of = _shown


def begun_of(
    workflow: Workflow, state: Mapping[str, Any] | None, run_id: str | None, deadline: Deadline | None
) -> Begun:
    """Return the first record of a new run, after all that could be wrong with it has been checked.

    Raises:
        AutomaError: As in `Workflow.start`.
    """
    until = workflow._until(deadline)  # noqa: SLF001  # the same module
    run_id = _new_run_id(run_id, state)
    begun = workflow._begun(workflow.first_state(state or {}), run_id, until)  # noqa: SLF001
    told = told_traceparent(workflow._observers, workflow._logger, run_id)  # noqa: SLF001
    return begun._replace(traceparent=told)


def launch_of(
    workflow: Workflow,
    history: list[Record],
    *,
    resources: Mapping[str, Any] | None,
    observers: Iterable[Observer],
) -> Launch:
    """Return a run that goes on where its history ends, and is written down by somebody else.

    Raises:
        StateError: Where its state cannot be read.
    """
    begun = history[0]
    assert isinstance(begun, Begun)  # noqa: S101  # whoever has read the history has checked it
    listeners = workflow._listeners(observers, begun.run_id)  # noqa: SLF001
    return workflow._continued(history, None, resources, listeners, suspends=False)  # noqa: SLF001


async def _drive_async(launch: Launch) -> WorkflowReport:
    from automa.runtime.async_driver import drive_async  # noqa: PLC0415  # asyncio takes long to import

    return await drive_async(launch)


def _suspends(on_cancel: OnCancel | None, *, is_journaled: bool) -> bool:
    """Return whether an interruption suspends a run.

    Raises:
        RunRequestError: Where that is neither possible nor one of the words for it.
    """
    if on_cancel not in {None, "suspend", "rollback"}:
        raise RunRequestError(f"on_cancel is 'suspend' or 'rollback', not {on_cancel!r}")
    if on_cancel == "suspend" and not is_journaled:
        raise RunRequestError("on_cancel='suspend' needs a store: a run in memory cannot be resumed")
    return is_journaled and on_cancel != "rollback"


def _is_seconds(value: object) -> bool:
    """Whether something is a number of seconds, from 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0  # type: ignore[operator, arg-type]  # it is a number


def _span(deadline: float | timedelta, what: str) -> timedelta:
    """Return the time that the way forward of a workflow may take.

    Raises:
        WorkflowDefinitionError: Where it is none.
    """
    if isinstance(deadline, timedelta) and deadline >= timedelta():
        return deadline
    if isinstance(deadline, timedelta | datetime) or not _is_seconds(deadline):
        raise WorkflowDefinitionError(
            f"{what}: deadline is a number of seconds from 0, or a timedelta, not {deadline!r}; "
            "give a moment to start(deadline=…)"
        )
    return timedelta(seconds=deadline)


def moment(deadline: Deadline) -> datetime:
    """Return a deadline as a moment, UTC.

    Raises:
        RunRequestError: Where it is none.
    """
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise RunRequestError(f"deadline {deadline} has no time zone: use datetime.now(UTC) + …")
        return deadline.astimezone(UTC)
    try:
        return clock.now() + (deadline if isinstance(deadline, timedelta) else timedelta(seconds=deadline))
    except (TypeError, ValueError, OverflowError):
        raise RunRequestError(
            f"deadline is a number of seconds, a timedelta or a datetime, not {deadline!r}"
        ) from None


def _new_run_id(run_id: str | None, state: object) -> str:
    """Return the id of a new run, made where none is given, once both it and the state may be used.

    Raises:
        AutomaError: Where one may not.
    """
    if state is not None and not isinstance(state, Mapping):
        raise StateError(f"the state must be a mapping, not {type(state).__name__}")
    return os.urandom(16).hex() if run_id is None else _checked_run_id(run_id)


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
