"""The explorer: every crash point of a saga visited, every step failed, cancelled, repeated and undone."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from automa._core.status import ExecutionMode
from automa.testing.cases import Case
from automa.testing.exploration import Exploration, Property
from automa.testing.judging import Blame, blame, lie, residue, unlike
from automa.testing.playing import ExplorationError, Player
from automa.testing.telling import Found, tests_of, verdicts_of, violations_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from automa._core.definition import Definition
    from automa.testing.cases import Played
    from automa.testing.worlds import Difference, World
    from automa.workflow import Workflow

_UNDONE_AT_ONCE = ("fail-before", "fail-after", "cancel-after", "timeout-before", "timeout-after")
"""What sends a run back at the step on which it falls."""


class Explorer:
    """Explores one workflow in one world.

    Args:
        make_workflow: As in `explore`.
        world: As in `explore`.
        state: As in `explore`.
        resources: As in `explore`.
        depth: As in `explore`.
        process: As in `explore`.

    Raises:
        ExplorationError: As in `explore`.
    """

    def __init__(  # noqa: PLR0913  # what an exploration is made of
        self,
        make_workflow: Callable[..., Workflow],
        world: World,
        *,
        state: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
        depth: int = 1,
        process: bool = False,
    ) -> None:
        if type(depth) is not int or depth < 0:
            raise ExplorationError(f"depth is the number of crashes in a case, from 0, not {depth!r}")
        if process and getattr(world, "in_memory", False):
            raise ExplorationError(
                f"a {type(world).__name__} lives in the memory of one process: explore it without "
                "process=True, or use a world outside, a DirectoryWorld or SqliteWorld say"
            )
        if process and not hasattr(os, "fork"):
            raise ExplorationError("process=True needs os.fork, which this system does not have")
        self._player = Player(make_workflow, world, state, resources, real=process)
        self._depth = depth
        self._uncrashed: dict[Case, Played] = {}
        world.reset()
        self._initial = world.snapshot()
        workflow = self._player.make_workflow()
        self.workflow_id: str = workflow.id
        self._goes_back = _goes_back(workflow.definition)
        self._has_deadline = workflow.definition.deadline is not None
        self._player.is_async = bool(workflow.definition.async_steps)
        self.reference: Played = self._play_reference()
        self._order = list(self.reference.traits())
        self._residue: dict[str, list[Difference]] = {
            path: residue([call for call in self.reference.calls if call.path == path])
            for path in self._order
        }

    def _play_reference(self) -> Played:
        """Play the run in which nothing happens."""
        played = self._player.play(Case("success"), traced=True)
        if played.outcome != "succeeded" and any("AsyncStepError" in error for error in played.errors):
            self._player.is_async = True  # it could not be told without a call
            played = self._player.play(Case("success"), traced=True)
        if played.outcome != "succeeded":
            if self.unclean(played) is not None:
                return played
            raise ExplorationError(
                f"workflow {self.workflow_id!r} does not succeed where nothing happens to it: it ended "
                f"{played.outcome}: {'; '.join(played.errors)}"
            )
        again = self._player.play(Case("success"), traced=True)
        unsteady = unlike(played.world, again.world)
        if unsteady or again.outcome != "succeeded":
            raise ExplorationError(
                f"workflow {self.workflow_id!r} does not leave the same world twice: "
                f"{'; '.join(map(str, unsteady)) or again.errors}. Leave what may differ (times, random ids) "
                "out of the snapshot; reset everything that the steps touch; make what they keep in "
                "make_workflow"
            )
        return played

    def unclean(self, played: Played) -> Found | None:
        """Return what is wrong where a step leaves what is not JSON in the state or as its result."""
        if not any(error.startswith(("StateError", "ResultError")) for error in played.errors):
            return None
        called = (call.path for call in reversed(played.calls) if call.role in {"run", "prepare"})
        path = next(called, "") or self.workflow_id
        return Found(Case("success"), Blame(path, "run", Property.STATE_SURVIVES, played.errors[0]), [])

    @property
    def is_untouched(self) -> bool:
        """Whether an undisturbed run leaves the world as it was: then nothing much is proved."""
        return not unlike(self._initial, self.reference.world)

    def cases(self) -> Iterator[Case]:
        """Yield the cases, those with fewer crashes first."""
        if self.reference.outcome != "succeeded":
            return
        yield Case("success")
        back = self._way_back()
        if back.kind == "rollback":
            yield back
        for path, traits in self.reference.traits().items():
            yield from self._faults_of(path, traits)
        if not self._depth:
            return
        bases = (Case("success"), back)
        level = [Case(base.kind, base.path, (point,)) for base in bases for point in self._points(base)]
        yield from level
        if back.kind == "rollback":
            abandoned = [Case("abandon", "", (point,)) for point in self.reference.points]
            yield from abandoned
            level += abandoned
        for path, traits in self.reference.traits().items():
            yield from self._crashes_of_faults(path, traits)
        for _ in range(self._depth - 1):
            deeper = []
            for case in level:
                for point in self._player.play(case).points:
                    deeper.append(Case(case.kind, case.path, (*case.crashes, point)))
                    yield deeper[-1]
            level = deeper

    def case(self, text: str) -> Case:
        """Return the case of an id.

        Raises:
            ExplorationError: Where there is none: nothing would happen to the run, and it would be judged
                as if it had.
        """
        case = Case.parse(text)
        known = {Case("success")}
        if self._way_back().kind == "rollback":
            known |= {Case("rollback"), *([Case("abandon")] if case.crashes else [])}
        for path, traits in self.reference.traits().items():
            known.update(self._faults_of(path, traits))
        if case.scenario not in known:
            raise ExplorationError(f"there is no case {text!r} of workflow {self.workflow_id!r}")
        return case

    def _crashes_of_faults(self, path: str, traits: tuple[str, ...]) -> Iterator[Case]:
        """Yield crashes while a step on which a fault has fallen is undone."""
        for case in self._faults_of(path, traits) if "undo" in traits else ():
            if case == self._way_back() or case.kind not in _UNDONE_AT_ONCE:
                continue
            for point in self._points(case):
                if point.endswith((f"-undo:{path}", f"-run:{path}")):
                    yield Case(case.kind, case.path, (point,))

    def _way_back(self) -> Case:
        """Return the case in which the most is undone."""
        for path, traits in self.reference.traits().items():
            if "pivot" in traits:
                return Case("fail-before", path)
        return Case("rollback")

    def _faults_of(self, path: str, traits: tuple[str, ...]) -> Iterator[Case]:
        kinds = ["fail-before", "fail-after", "cancel-before", "cancel-after", "cancel-done"]
        kinds += ["suspend-before", "suspend-after"]
        if "retry" in traits:
            kinds.append("retry-after")
        if "timeout" in traits or self._has_deadline:
            kinds += ["timeout-before", "timeout-after", "timeout-late"]
        if "undo" in traits and self._way_back().kind == "rollback":
            kinds.append("undo-fails-after")
        for kind in kinds:
            yield Case(kind, path)

    def _is_past_pivot(self, path: str) -> bool:
        traits = self.reference.traits()
        pivots = [self._order.index(each) for each in self._order if "pivot" in traits[each]]
        return bool(pivots) and path in self._order and self._order.index(path) > pivots[0]

    def _points(self, case: Case) -> list[str]:
        return self._without_crash(case).points

    def _without_crash(self, case: Case) -> Played:
        scenario = case.scenario
        if scenario.kind in {"success", "abandon"}:
            return self.reference
        if scenario not in self._uncrashed:
            self._uncrashed[scenario] = self._player.play(scenario, traced=True)
        return self._uncrashed[scenario]

    def check(self, case: Case) -> tuple[Played, Found | None]:
        """Play a case; return what came of it, and what is wrong with that, if anything is."""
        if self.reference.outcome != "succeeded":
            return self.reference, self.unclean(self.reference)
        played = self._player.play(case) if case.crashes else self._without_crash(case)
        if not played.is_complete:
            return played, None
        if not self._is_wrong(case, played):
            lying = lie(played, self.reference)
            return played, None if lying is None else Found(case, lying, [])
        if case.crashes:
            before = self._without_crash(case)
            if (
                before.outcome == played.outcome
                and before.world == played.world
                and self._is_wrong(case, before)
            ):
                return played, None  # that is no matter of the crash
            traced = self._player.play(case, traced=True)
            played = traced if self._is_wrong(case, traced) else played
        wrong = unlike(self._expected(case, played), played.world, self._left(played))
        blamed = blame(case, played, self._undisturbed(case, played))
        if not blamed.path:  # what is done outside of the steps is the workflow's
            blamed = blamed._replace(path=self.workflow_id)
        return played, Found(case, blamed, wrong)

    def _undisturbed(self, case: Case, played: Played) -> Played:
        """Return the run with which a case is compared, call by call."""
        if self._wanted(case, played) == "succeeded":
            return self.reference
        if case.what in {"undo-fails", "abandon"}:
            return self._without_crash(self._way_back())
        return self._without_crash(case)

    def _is_wrong(self, case: Case, played: Played) -> bool:
        wanted = self._wanted(case, played)
        if wanted is None:
            usual = self._without_crash(case)
            return (usual.outcome, usual.world) != (played.outcome, played.world)
        if played.outcome != wanted:
            return True
        return bool(unlike(self._expected(case, played), played.world, self._left(played)))

    def _wanted(self, case: Case, played: Played) -> str | None:
        """Return how a run is to end; None where only its crashes are not to make a difference."""
        kind = case.what
        if kind in {"success", "retry", "suspend"}:
            is_unknown = any(call.role == "verify" for call in played.calls)
            return "undone" if is_unknown and played.outcome == "undone" else "succeeded"
        if kind in {"rollback", "undo-fails", "abandon"}:
            return "undone"
        if self._is_past_pivot(case.path) or (
            case.kind == "cancel-done" and "pivot" in self.reference.traits()[case.path]
        ):
            return "succeeded"
        if case.crashes and played.outcome == "succeeded":
            is_verified = any(call.role == "verify" for call in played.calls)
            if kind == "cancel" or is_verified:  # it died before it had written down what had befallen it
                return "succeeded"
        if not self._goes_back or self._without_crash(case).outcome == "failed":
            return None
        return "undone"

    def _expected(self, case: Case, played: Played) -> Any:
        wanted = self._wanted(case, played)
        if wanted is None:
            return self._without_crash(case).world
        return self.reference.world if wanted == "succeeded" else self._initial

    def _left(self, played: Played) -> list[Difference]:
        """Return how the world may stay changed: by steps that cannot be undone by their nature."""
        if played.outcome == "succeeded":
            return []
        ran = {call.path for call in played.calls}
        return [each for path, left in self._residue.items() if path in ran for each in left]


def explore(  # noqa: PLR0913  # as above
    make_workflow: Callable[..., Workflow],
    world: World,
    *,
    state: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
    depth: int = 1,
    process: bool = False,
    only: str | Iterable[str] | None = None,
    reproduce: Callable[[str], str] | None = None,
) -> Exploration:
    """Crash, resume, fail, cancel, repeat and undo a saga in all ways, and tell what its steps do not stand.

    Each case plays the workflow in a world that is reset before, and compares what is left: with the world
    after an undisturbed run where the run has succeeded, with the world before it where it was undone. No
    case waits for anything: retries follow one another at once.

    Args:
        make_workflow: Returns the workflow, made anew each time: what a process does at its start. It may
            take the world.
        world: What the steps touch: `reset()` and `snapshot()`.
        state: The state with which the workflow is started.
        resources: The live objects for its steps; or a function that returns them, which may take the
            world.
        depth: How many crashes there are in a case at most: 1 visits every crash point, 2 every pair.
        process: Whether each process is a real one, which a SIGKILL ends, with a journal on disk. The world
            must be outside of it. It takes about a hundred times as long.
        only: The ids of the cases that are played alone; by default all are.
        reproduce: Returns the line that plays the case of an id again; by default a call of this function.

    Returns:
        A verdict on each step and property, and the violations.

    Raises:
        ExplorationError: Where the workflow cannot be explored: it does not succeed where nothing happens
            to it, or does not leave the same world twice.

    Example:
        >>> from automa import Step, Workflow
        >>> from automa.testing import DictWorld, explore
        >>> world = DictWorld({"payments": 0})
        >>> def pay():
        ...     world.data["payments"] += 1
        >>> def pay_back():
        ...     world.data["payments"] -= 1
        >>> found = explore(lambda: Workflow("order", [Step("pay", run=pay, undo=pay_back)]), world)
        >>> [violation.kind.value for violation in found.violations]
        ['idempotent_run', 'idempotent_undo', 'undo_tolerates_nothing']
    """
    explorer = Explorer(make_workflow, world, state=state, resources=resources, depth=depth, process=process)
    wanted = (
        None
        if only is None
        else [explorer.case(each) for each in ([only] if isinstance(only, str) else only)]
    )
    findings, tested, played_cases = [], Counter[tuple[str, Property]](), []
    for case in explorer.cases() if wanted is None else wanted:
        played, found = explorer.check(case)
        if not played.is_complete:
            if wanted is not None:
                raise ExplorationError(f"there is no case {case.id!r}: the run does not come to its crash")
            continue
        played_cases.append(case.id)
        tested.update(tests_of(played))
        if found is not None:
            findings.append(found)
    unclean = explorer.unclean(explorer.reference)
    remarks: tuple[str, ...] = ()
    if unclean is not None:
        findings.append(unclean)
        played_cases.append("success")
        remarks = ("nothing else was explored: the run does not succeed undisturbed",)
    elif explorer.is_untouched:
        remarks = ("a run leaves this world as it was: if its steps do anything, it is elsewhere",)
    given = "" if state is None else f"state={dict(state)!r}, "
    given += "" if resources is None else f"resources={_name_of(resources, 'resources')}, "
    given += "process=True, " if process else ""
    call = f"explore({_name_of(make_workflow, 'make_workflow')}, world, {given}only="
    violations = violations_of(findings, reproduce or (lambda case: f"{call}{case!r})"))
    return Exploration(
        explorer.workflow_id,
        depth,
        tuple(played_cases),
        tuple(verdicts_of(explorer.reference, tested, violations)),
        remarks,
    )


def _name_of(value: object, otherwise: str) -> str:
    """Return the name of a function, or another one for what has none that could be typed."""
    name: str = getattr(value, "__name__", otherwise)
    return name if name.isidentifier() else otherwise


def _goes_back(definition: Definition) -> bool:
    """Whether a failed step sends a run back, at whatever depth it is."""
    nested = [entry.nested for entry in definition.entries if entry.nested is not None]
    return definition.mode is ExecutionMode.ROLLBACK and all(_goes_back(each) for each in nested)
