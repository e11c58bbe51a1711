"""Telling what an exploration has found: verdicts, and violations with the shortest story of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from automa.testing.cases import story_of
from automa.testing.exploration import Property, Verdict, Violation

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from automa.testing.cases import Case, Played
    from automa.testing.judging import Blame
    from automa.testing.worlds import Difference


class Found(NamedTuple):
    """What went wrong in a case."""

    case: Case
    blame: Blame
    differences: list[Difference]


def tests_of(played: Played) -> Iterator[tuple[str, Property]]:
    """Yield the properties of steps that a case has put to the test."""
    seen: set[tuple[str, str]] = set()
    ran = played.traits()
    for call in played.calls:
        is_again = call.action in seen
        seen.add(call.action)
        if call.role == "verify":
            yield call.path, Property.VERIFY_IS_RIGHT
        elif call.role == "undo":
            if "undo" not in call.traits:
                continue
            if is_again:
                yield call.path, Property.IDEMPOTENT_UNDO
            elif call.path in ran:
                yield call.path, Property.UNDO_RESTORES
            else:
                yield call.path, Property.UNDO_TOLERATES_NOTHING
        elif is_again and call.role == "run":
            yield call.path, Property.IDEMPOTENT_RUN
        if call.sitting and not is_again and call.role != "verify":
            yield call.path, Property.STATE_SURVIVES


def verdicts_of(
    reference: Played,
    tested: Counter[tuple[str, Property]],
    violations: dict[tuple[str, Property], Violation],
) -> Iterator[Verdict]:
    """Yield what was found of each property of each step, in the order in which they were run."""
    steps = dict.fromkeys([*reference.traits(), *(path for path, _ in violations)])
    for step in steps:
        for each in Property:
            yield Verdict(step, each, tested[step, each], violations.get((step, each)))


_PRECEDENCE = (
    Property.UNDO_TOLERATES_NOTHING,
    Property.UNDO_RESTORES,
    Property.STATE_SURVIVES,
    Property.VERIFY_IS_RIGHT,
    Property.IDEMPOTENT_UNDO,
    Property.IDEMPOTENT_RUN,
)


def violations_of(
    findings: list[Found], reproduce: Callable[[str], str]
) -> dict[tuple[str, Property], Violation]:
    """Return the violations, each with the shortest case that shows it."""
    grouped: dict[tuple[str, Property], list[Found]] = {}
    for found in findings:
        grouped.setdefault((found.blame.path, found.blame.property), []).append(found)
    violations = {}
    for (path, broken), group in sorted(grouped.items(), key=lambda each: _PRECEDENCE.index(each[0][1])):
        if _is_explained(path, broken, group, grouped):
            continue
        violations[path, broken] = violation_of(min(group, key=_length), reproduce, len(group))
    return violations


def violation_of(found: Found, reproduce: Callable[[str], str], cases: int = 1) -> Violation:
    """Return what went wrong in a case as a violation, with its story."""
    case = found.case.id
    return Violation(
        found.blame.path,
        found.blame.property,
        ": ".join(filter(None, (story_of(found.case), found.blame.what))),
        tuple(found.differences),
        case,
        reproduce(case),
        cases,
    )


def _length(found: Found) -> tuple[int, bool]:
    """Return how much happens to the run in a case: that which is told first has the least."""
    is_disturbed = found.case.kind not in {"success", "rollback"}
    return len(found.case.crashes) + is_disturbed, is_disturbed


def _is_explained(
    path: str, broken: Property, group: list[Found], grouped: dict[tuple[str, Property], list[Found]]
) -> bool:
    """Whether another violation of the same function explains this one: it shows without a repetition."""
    roles = {found.blame.role for found in group}
    if broken is Property.UNDO_RESTORES and all(found.case.kind == "abandon" for found in group):
        return (path, Property.STATE_SURVIVES) in grouped  # what it has noted died with the process
    stronger = {
        Property.IDEMPOTENT_RUN: (Property.STATE_SURVIVES, Property.UNDO_RESTORES),
        Property.IDEMPOTENT_UNDO: (Property.STATE_SURVIVES,),
        Property.STATE_SURVIVES: (Property.UNDO_RESTORES,),
    }.get(broken, ())
    return any(
        roles <= {found.blame.role for found in grouped.get((path, each), ()) if found.case.kind != "abandon"}
        for each in stronger
    )
