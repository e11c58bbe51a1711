"""What an exploration has found: verdicts, violations, and how they are told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from automa.testing import exploration_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa.testing.worlds import Difference


class Property(StrEnum):
    """What a saga asks of each of its steps."""

    IDEMPOTENT_RUN = "idempotent_run"
    """Run again, after a crash or a lost answer, it leaves the world as once."""

    IDEMPOTENT_UNDO = "idempotent_undo"
    """Undone again, it leaves the world as undone once."""

    UNDO_RESTORES = "undo_restores"
    """After its undo the world is as before its run, whether that has come to its end or not."""

    UNDO_TOLERATES_NOTHING = "undo_tolerates_nothing"
    """Its undo does no harm, and does not fail, where its run has had no effect."""

    STATE_SURVIVES = "state_survives"
    """What it needs is in the state and the results: nothing is kept on objects that die with the process."""

    VERIFY_IS_RIGHT = "verify_is_right"
    """Its verify says what is true."""


TITLES = {
    Property.IDEMPOTENT_RUN: "idempotent run",
    Property.IDEMPOTENT_UNDO: "idempotent undo",
    Property.UNDO_RESTORES: "undo restores",
    Property.UNDO_TOLERATES_NOTHING: "undo tolerates nothing-to-undo",
    Property.STATE_SURVIVES: "state survives a resume",
    Property.VERIFY_IS_RIGHT: "verify is right",
}


HEADS = {
    Property.IDEMPOTENT_RUN: "run twice",
    Property.IDEMPOTENT_UNDO: "undo twice",
    Property.UNDO_RESTORES: "undo restores",
    Property.UNDO_TOLERATES_NOTHING: "undo nothing",
    Property.STATE_SURVIVES: "new process",
    Property.VERIFY_IS_RIGHT: "verify",
}
"""The same in a word or two, for the head of a column."""


@dataclass(frozen=True)
class Violation:
    """A step that does not do what a saga asks of it.

    Attributes:
        step: The path of the step.
        kind: What it does not do.
        story: How it came about.
        differences: Where the world is not as it should be: as it should be, and as it is.
        case: The case that shows it, the shortest of those that do.
        reproduce: The line that plays that case again.
        cases: How many cases show it.
    """

    step: str
    kind: Property
    story: str
    differences: tuple[Difference, ...]
    case: str
    reproduce: str
    cases: int = 1

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield it in lines."""
        yield f"{self.step}: {TITLES[self.kind]}: VIOLATED (in {_count(self.cases, 'case')})"
        yield f"  {self.story}"
        for difference in self.differences:
            yield f"  {difference}"
        yield f"  again: {self.reproduce}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "step": self.step,
            "kind": self.kind.value,
            "story": self.story,
            "differences": [
                {"where": each.where, "expected": repr(each.before), "found": repr(each.after)}
                for each in self.differences
            ],
            "case": self.case,
            "reproduce": self.reproduce,
            "cases": self.cases,
        }


@dataclass(frozen=True)
class Verdict:
    """What was found of one property of one step.

    Attributes:
        step: The path of the step.
        kind: The property.
        cases: How many cases have put it to the test.
        violation: What violates it; None where nothing does.
    """

    step: str
    kind: Property
    cases: int
    violation: Violation | None

    @property
    def word(self) -> str:
        """``holds``, ``VIOLATED``, or ``-`` where no case could put it to the test."""
        if self.violation is not None:
            return "VIOLATED"
        return "holds" if self.cases else "-"

    def __str__(self) -> str:
        """Return the word, and in how many cases it holds."""
        return f"holds ({self.cases})" if self.word == "holds" else self.word


@dataclass(frozen=True)
class Exploration:
    """What an exploration has found.

    Attributes:
        workflow: The id of the workflow.
        depth: How many crashes a case had at most.
        cases: The cases that were played, by id.
        verdicts: What was found of each property of each step, in their order.
        remarks: What else is to be known: what could not be explored, and why.
    """

    workflow: str
    depth: int
    cases: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    remarks: tuple[str, ...] = ()

    @property
    def violations(self) -> list[Violation]:
        """What the steps do not do."""
        return [verdict.violation for verdict in self.verdicts if verdict.violation is not None]

    @property
    def ok(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations

    def verdict(self, step: str, kind: Property | str) -> Verdict:
        """Return what was found of a property of a step.

        Args:
            step: The path of the step.
            kind: The property, or its name.

        Raises:
            KeyError: Where there is no such step.
        """
        for verdict in self.verdicts:
            if verdict.step == step and verdict.kind == kind:
                return verdict
        raise KeyError(f"{step}: {kind}")

    @property
    def by_step(self) -> dict[str, list[Verdict]]:
        """The verdicts by the path of their step."""
        found: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            found.setdefault(verdict.step, []).append(verdict)
        return found

    def raise_for_violations(self) -> None:
        """Do nothing if all is well.

        Raises:
            AssertionError: Where a step does not do what a saga asks; the message tells the whole story.
        """
        if not self.ok:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield what was found in lines: a table of the verdicts, then the violations."""
        cases, crashes = _count(len(self.cases), "case"), _count(self.depth, "crash")
        yield f"workflow {self.workflow!r}: {cases}, with up to {crashes} each: {self.headline}"
        heads = ["", *(HEADS[each] for each in Property)]
        table = [heads, *([step, *map(str, verdicts)] for step, verdicts in self.by_step.items())]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
            yield f"  {'  '.join(cells)}".rstrip()
        for remark in self.remarks:
            yield f"  note: {remark}"
        for violation in self.violations:
            yield ""
            yield from violation.lines()

    @property
    def headline(self) -> str:
        """How it has ended, in a few words."""
        found = len(self.violations)
        return "nothing is violated" if not found else f"{_count(found, 'violation')}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "workflow": self.workflow,
            "ok": self.ok,
            "depth": self.depth,
            "cases": list(self.cases),
            "verdicts": [
                {
                    "step": verdict.step,
                    "kind": verdict.kind.value,
                    "verdict": {"VIOLATED": "violated", "-": None}.get(verdict.word, verdict.word),
                    "cases": verdict.cases,
                }
                for verdict in self.verdicts
            ],
            "violations": [violation.to_dict() for violation in self.violations],
            "remarks": list(self.remarks),
        }

    def to_json(self) -> str:
        """Return it as a JSON document."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def to_html(self) -> str:
        """Return it as one page that needs nothing else: no script, no style from elsewhere."""
        heads = {kind.value: (HEADS[kind], TITLES[kind]) for kind in Property}
        return exploration_page.page(self, next(self.lines()), heads)


def _count(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what}{'es' if what.endswith(('s', 'sh')) else 's'}"
