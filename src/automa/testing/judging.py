"""Judging a case that went wrong: which step is to blame, and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from automa.testing.exploration import Property
from automa.testing.worlds import Difference, differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from automa.testing.cases import Called, Case, Played

    Keys = tuple[str, ...]


class Blame(NamedTuple):
    """Who is to blame, for what, and what happened.

    Attributes:
        path: The path of the step.
        role: Which of its functions did it.
        property: What the step does not do.
        what: What happened, in words.
    """

    path: str
    role: str
    property: Property
    what: str


def residue(calls: list[Called]) -> list[Difference]:
    """Return how steps that cannot be undone by their nature have changed the world."""
    return [
        difference
        for call in calls
        if "irreversible" in call.traits and call.role in {"run", "prepare"}
        for difference in differences(call.before, call.after)
    ]


def unlike(expected: Any, found: Any, left: Iterable[Difference] = ()) -> list[Difference]:
    """Return where a world is not as it should be, but for what may be left there."""
    kept = list(left)
    return [each for each in differences(expected, found) if not _is_left(each, kept)]


def _is_left(difference: Difference, left: list[Difference]) -> bool:
    """Whether a difference is what irreversible steps have left: of a list, what they added and took away."""
    lists = [
        each
        for each in left
        if each.keys == difference.keys
        and all(isinstance(value, list) for value in (*each[1:], *difference[1:]))
    ]
    if not lists:
        return _touches(difference.keys, [each.keys for each in left])
    added = [value for each in lists for value in _without(each.after, each.before)]
    taken = [value for each in lists for value in _without(each.before, each.after)]
    rest, before = _without(difference.after, added), _without(difference.before, taken)
    return sorted(rest, key=repr) == sorted(before, key=repr)


def _without(values: list[Any], gone: list[Any]) -> list[Any]:
    """Return the values that are left when each of the others is taken out once, if it is there."""
    rest = list(values)
    for value in gone:
        if value in rest:
            rest.remove(value)
    return rest


def changed(call: Called) -> list[Keys]:
    """Return where a call has changed the world."""
    return [each.keys for each in differences(call.before, call.after)]


def _touches(keys: Keys, others: Iterable[Keys]) -> bool:
    """Whether one of the places lies in the other, or is the same."""
    return any(keys[: len(other)] == other or other[: len(keys)] == keys for other in others)


def blame(case: Case, played: Played, undisturbed: Played) -> Blame:
    """Find the step that is to blame for the end of a case that is not as it should be.

    Args:
        case: What was done to the run.
        played: What came of it, each call traced.
        undisturbed: What comes of it without crashes (a fault that befalls it once is left out too), traced.
    """
    return (
        _abandoned_badly(case, played)
        or _first_to_differ(played, undisturbed)
        or _verified_wrongly(played, undisturbed)
        or next(_not_restored(case, played), None)
        or _undone_again(played)
        or _unclear()
    )


def _abandoned_badly(case: Case, played: Played) -> Blame | None:
    """Return the step that was at work when the process died, where its undo does not stand that."""
    moment, _, path = case.crashes[0].partition("#")[0].partition(":") if case.crashes else ("", "", "")
    undo = played.last().get((path, "undo"))
    if case.kind != "abandon" or undo is None or moment not in {"before-run", "after-run", "noted-run"}:
        return None
    has_run = moment != "before-run"
    runs = [call for call in played.calls if call.path == path and call.role in {"run", "prepare"}]
    places = [keys for call in (*runs, undo) for keys in changed(call)]  # branches beside it change others
    wrong = unlike(runs[0].before, undo.after, residue(played.calls)) if has_run else []
    is_restored = not any(_touches(each.keys, places) for each in wrong) if has_run else not changed(undo)
    if is_restored and undo.error is None:
        return None
    broken = {
        "before-run": Property.UNDO_TOLERATES_NOTHING,
        "noted-run": Property.UNDO_RESTORES,
        "after-run": Property.STATE_SURVIVES,
    }[moment]
    return Blame(path, "undo", broken, _what_of_undo(path, undo, undo.error, has_run=has_run))


def _first_to_differ(played: Played, undisturbed: Played) -> Blame | None:
    """Return the first call that leaves the world otherwise than undisturbed, or fails where it did not."""
    usual = undisturbed.last()
    seen: set[tuple[str, str]] = set()
    repeated: set[tuple[str, str]] = set()
    for call in played.calls:
        is_again = call.action in seen
        (repeated if is_again else seen).add(call.action)
        if call.role == "verify" or call.action not in usual:
            continue
        reference = usual[call.action]
        if (call.error is None) == (reference.error is None) and not _leaves_otherwise(call, reference):
            continue
        if not is_again and call.sitting == 0:
            continue  # the fault itself
        what = f"{call.role} of {call.path} " + (
            f"failed: {call.error}" if call.error and not reference.error else "left another world"
        )
        return Blame(call.path, call.role, _property_of(call, seen, repeated, is_again=is_again), what)
    return None


def _leaves_otherwise(call: Called, reference: Called) -> bool:
    """Whether a call leaves otherwise what it changes, or changes undisturbed."""
    places = [*changed(call), *changed(reference)]
    return any(_touches(each.keys, places) for each in differences(reference.after, call.after))


def _property_of(
    call: Called, seen: set[tuple[str, str]], repeated: set[tuple[str, str]], *, is_again: bool
) -> Property:
    """Return what a call violates that differs: it was made again, or for the first time in a new process."""
    if call.role == "undo" and is_again:
        return Property.IDEMPOTENT_UNDO
    if not is_again:
        was_run_again = call.role == "undo" and (call.path, "run") in repeated
        return Property.IDEMPOTENT_RUN if was_run_again else Property.STATE_SURVIVES
    if "verify" in call.traits and (call.path, "verify") in seen:
        return Property.VERIFY_IS_RIGHT
    return Property.IDEMPOTENT_RUN


def _verified_wrongly(played: Played, undisturbed: Played) -> Blame | None:
    """Return the step that was taken for done by its verify, and was not."""
    called = {call.action for call in played.calls}
    for path, role in undisturbed.last():
        if role == "run" and (path, role) not in called and (path, "verify") in called:
            what = f"verify of {path} said that it was done, and it was not"
            return Blame(path, "verify", Property.VERIFY_IS_RIGHT, what)
    return None


def lie(played: Played, undisturbed: Played) -> Blame | None:
    """Return the step whose verify has said what is not true, even where no harm has come of it."""
    usual = undisturbed.last()
    for place, call in enumerate(played.calls):
        run = usual.get((call.path, "run"))
        if call.role == "verify" and call.error is not None:
            return Blame(
                call.path, "verify", Property.VERIFY_IS_RIGHT, f"verify of {call.path} failed: {call.error}"
            )
        if call.role != "verify" or call.said is None or run is None or not changed(run):
            continue
        before = [each for each in played.calls[:place] if each.action == (call.path, "run")]
        if (call.said and not before) or (not call.said and any(each.error is None for each in before)):
            what = (
                f"verify of {call.path} said that it was {'' if call.said else 'not '}done, which is not true"
            )
            return Blame(call.path, "verify", Property.VERIFY_IS_RIGHT, what)
    return None


def _not_restored(case: Case, played: Played) -> Iterator[Blame]:
    """Yield the steps whose undo does not leave the world as it was before their run."""
    if played.outcome == "succeeded":
        return
    undone = played.last()
    kept = residue(played.calls)
    last = undone.get((case.path, "undo"))
    if case.path not in played.traits() and last is not None and (last.error is not None or changed(last)):
        what = _what_of_undo(case.path, last, last.error, has_run=False)
        yield Blame(case.path, "undo", Property.UNDO_TOLERATES_NOTHING, what)
    for path in reversed(
        dict.fromkeys(call.path for call in played.calls if call.role in {"run", "prepare"})
    ):
        runs = [call for call in played.calls if call.path == path and call.role in {"run", "prepare"}]
        undos = [call for call in played.calls if call.action == (path, "undo")]
        places = [keys for call in (*runs, *undos) for keys in changed(call)]
        last = undone.get((path, "undo"))
        after = played.world if last is None else last.after
        left = [
            each
            for each in unlike(runs[0].before, after, kept)
            if _touches(each.keys, places) and not _is_changed_later(each.keys, path, played)
        ]
        failed = None if last is None else last.error
        if not left and failed is None:
            continue
        was_run_again = sum(call.role == "run" for call in runs) > 1  # it has forgotten what its undo needs
        broken = Property.IDEMPOTENT_RUN if was_run_again else Property.UNDO_RESTORES
        if last is not None and last.sitting != runs[-1].sitting and not was_run_again:
            broken = (
                Property.STATE_SURVIVES
            )  # unless the undo does not restore the world in one sitting either
        if last is None and any("undo" in call.traits for call in runs):
            what = (
                f"{path} had changed the world before its run, and was not undone: let its prepare only look"
            )
        else:
            what = _what_of_undo(path, last, failed)
        yield Blame(path, "undo", broken, what)


def _undone_again(played: Played) -> Blame | None:
    """Return the step whose undo, called again after those before it, has changed what they left."""
    seen: set[tuple[str, str]] = set()
    for call in played.calls:
        if call.role == "undo" and call.action in seen and changed(call):
            what = f"undo of {call.path}, called again after the others, changed what they had left"
            return Blame(call.path, "undo", Property.IDEMPOTENT_UNDO, what)
        seen.add(call.action)
    return None


def _is_changed_later(keys: Keys, path: str, played: Played) -> bool:
    """Whether another step that was run later, and is undone later, changes the same place: branches do."""
    order = list(played.traits())
    undone = [call.path for call in played.calls if call.role == "undo"]
    if path not in undone:
        return False
    return any(
        call.role == "run"
        and order.index(call.path) > order.index(path)
        and call.path in undone
        and undone.index(call.path) > undone.index(path)
        and _touches(keys, changed(call))
        for call in played.calls
    )


def _what_of_undo(path: str, undo: Called | None, failed: str | None, *, has_run: bool = True) -> str:
    if failed is not None:
        return f"undo of {path} failed: {failed}"
    if undo is None or "undo" not in undo.traits:
        return f"{path} has no undo, and is not declared irreversible"
    if not has_run:
        return f"undo of {path} changed the world, though its run had done nothing"
    return f"undo of {path} left what its run had done"


def _unclear() -> Blame:
    """Blame the workflow itself, where no call of a step tells."""
    what = "no call of a step tells why: look at what is done elsewhere, where the workflow is made say"
    return Blame("", "run", Property.IDEMPOTENT_RUN, what)
