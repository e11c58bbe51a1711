"""The cases of an exploration: what is done to a run, and what has come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """What is done to a run.

    Attributes:
        kind: What happens to it: nothing (``success``), it is undone when it has succeeded (``rollback``), or
            the fault that befalls the step.
        path: The path of the step that the fault befalls.
        crashes: The points at which one process after another dies.
    """

    kind: str
    path: str = ""
    crashes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The case in one word, by which it can be played again: see `Case.parse`."""
        scenario = f"{self.kind}:{self.path}" if self.path else self.kind
        return "+".join([scenario, *(f"crash-{point}" for point in self.crashes)])

    @property
    def what(self) -> str:
        """What happens to the run, without the moment at which it does."""
        return self.kind.rpartition("-")[0] or self.kind

    @classmethod
    def parse(cls, text: str) -> Case:
        """Return the case of an id."""
        scenario, *crashes = text.split("+crash-")
        kind, _, path = scenario.partition(":")
        return cls(kind, path, tuple(crashes))

    @property
    def scenario(self) -> Case:
        """The same without a crash."""
        return Case(self.kind, self.path)


@dataclass(frozen=True)
class Called:
    """A call of a function of a step.

    Attributes:
        sitting: In which sitting it was, from 0: what is kept on objects does not outlive one.
        path: The path of the step.
        role: ``run``, ``undo``, ``prepare`` or ``verify``.
        traits: What else there is to the step.
        error: What it raised, or None.
        before: The world before it, where it was looked at.
        after: The world after it.
        said: What a verify has answered.
    """

    sitting: int
    path: str
    role: str
    traits: tuple[str, ...]
    error: str | None
    before: Any = None
    after: Any = None
    said: bool | None = None

    @property
    def action(self) -> tuple[str, str]:
        """Which function it was."""
        return self.path, self.role


@dataclass
class Played:
    """What has come of a case.

    Attributes:
        world: The world at the end.
        outcome: How the run has ended.
        errors: Why it has failed, and which undos have.
        calls: The calls, in order.
        points: The crash points that the last process has passed.
        is_complete: Whether all the processes have died that were to.
    """

    world: Any = None
    outcome: str = ""
    errors: list[str] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    is_complete: bool = True

    def last(self) -> dict[tuple[str, str], Called]:
        """Return the last call of each function."""
        return {call.action: call for call in self.calls}

    def traits(self) -> dict[str, tuple[str, ...]]:
        """Return what there is to each step, in the order in which they were run first."""
        return {call.path: call.traits for call in self.calls if call.role == "run"}


_STORIES = {
    "success": "",
    "abandon": "",
    "rollback": "a run that has succeeded is undone",
    "fail-before": "{} fails before its effect",
    "fail-after": "{} fails after its effect",
    "cancel-before": "the run is interrupted, to be undone, before {}",
    "cancel-after": "the run is interrupted, to be undone, within {}, after its effect",
    "cancel-done": "the run is interrupted, to be undone, when {} has completed",
    "suspend-before": "the run is interrupted before {}, and resumed",
    "suspend-after": "the run is interrupted within {}, after its effect, and resumed",
    "retry-after": "{} fails once after its effect, and is tried again",
    "timeout-before": "{} takes too long, and has no effect",
    "timeout-after": "{} takes too long, and has its effect",
    "timeout-late": "{} takes too long, and comes to its end when the run has given it up",
    "undo-fails-after": "the undo of {} fails once after its effect, and is called again",
}


def story_of(case: Case) -> str:
    """Return what is done to a run in words."""
    told = [_STORIES[case.kind].format(case.path)] if _STORIES.get(case.kind) else []
    for point in case.crashes:
        moment, _, path = point.partition("#")[0].partition(":")
        when, _, role = moment.partition("-")
        told.append(
            {
                "before": f"crash before the {role} of {path}",
                "after": f"crash after the effect of the {role} of {path}, before its record",
                "noted": f"crash within the {role} of {path}, after an effect that it has recorded",
                "recorded": f"crash after the record of the {role} of {path}" if role else "crash",
                "ended": "crash at the end",
            }[when]
        )
    if case.crashes:
        told.append("rolled back" if case.kind == "abandon" else "resumed")
    return "; ".join(told)
