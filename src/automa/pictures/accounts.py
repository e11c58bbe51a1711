"""What there is to tell of a run beside its actions: its state, its effects, and what was asked of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from automa._core.records import (
    Answered,
    Begun,
    Cancelled,
    Expanded,
    Late,
    Requested,
    Resumed,
    Suspended,
)
from automa._core.status import Action
from automa.pictures.markup import Markup, joined, tag
from automa.pictures.page import code, folded, listed, moment, named, section, table
from automa.pictures.words import counted, error_text, json_text, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from automa._core.records import Effect, Record
    from automa._core.reports import WorkflowReport
    from automa.pictures.rows import Journaled

_MOST_LINES = 300


def _rest(count: int, what: str) -> Iterator[Markup]:
    if count > _MOST_LINES:
        yield tag("p", f"{counted(count - _MOST_LINES, what)} more, left out.", class_="dim")


# The state.


def state_section(journaled: Journaled | None) -> Iterator[Markup]:
    """Yield the state at the start against that of now, and what each step set."""
    begun = None if journaled is None or not journaled.history else journaled.history[0]
    if journaled is None or not isinstance(begun, Begun):
        return
    steps = list(_settings(journaled.history))
    parts = [*_differences(begun.state, journaled.shared)]
    if steps:
        shown = table("What each step set", ("step", "action", "key", "set to"), steps[:_MOST_LINES])
        parts.append(folded("What each step set", shown, *_rest(len(steps), "change"), is_open=True))
    yield section("state", "State", *parts)


def _differences(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[Markup]:
    changed: list[str] = []
    same: list[str] = []
    for key in dict.fromkeys((*before, *now)):
        (same if _text(before, key) == _text(now, key) else changed).append(key)
    if changed:
        rows = (
            (named(key), _value(before, key), _value(now, key), _change(before, now, key))
            for key in changed[:_MOST_LINES]
        )
        yield table("What has changed", ("key", "at the start", "now", "change"), rows)
    else:
        yield tag("p", "The shared state is as it was at the start." if same else "There is no shared state.")
    yield from _rest(len(changed), "changed key")
    if same:
        told = f"{counted(len(same), 'key')} as at the start"
        shown = table(told, ("key", "value"), ((named(key), _value(now, key)) for key in same[:_MOST_LINES]))
        yield folded(told, shown, *_rest(len(same), "key"))


def _text(state: Mapping[str, object], key: str) -> str | None:
    """Return a value as what tells it from others: in Python 1, 1.0 and True are equal."""
    return json.dumps(state[key], sort_keys=True) if key in state else None


def _value(state: Mapping[str, object], key: str) -> Markup:
    return code(json_text(state[key])) if key in state else tag("span", "absent", class_="dim")


def _change(before: Mapping[str, object], now: Mapping[str, object], key: str) -> str:
    if key not in now:
        return "- removed"
    return "~ changed" if key in before else "+ added"


def _settings(history: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    for record in history:
        if not isinstance(record, Answered):
            continue
        for key, text in (record.shared or {}).items():
            now = {} if text is None else {key: json.loads(text)}
            yield named(record.path), _way(record.report.action), named(key), _value(now, key)


def _way(action: Action) -> str:
    return "undo" if action is Action.ROLLBACK else action.value


# Effects.


def effects_section(report: WorkflowReport) -> Iterator[Markup]:
    """Yield what the run has really done outside, and whether that stands."""
    effects = sorted(_effects(report), key=lambda effect: effect.at)
    if not effects:
        return
    standing = {id(effect) for effect in report.effects}
    rows = (_effect(effect, standing) for effect in effects[:_MOST_LINES])
    shown = table("Effects", ("kind", "ref", "more", "step", "action", "at", "stands"), rows)
    yield section("effects", "Done outside", shown, *_rest(len(effects), "effect"))


def _effect(effect: Effect, standing: set[int]) -> tuple[str, ...]:
    stands = "stands" if id(effect) in standing else "its step went back"
    return (
        named(effect.kind),
        named(effect.ref),
        code(json_text(effect.data)) if effect.data else "",
        named(effect.path),
        _way(effect.action),
        moment(effect.at),
        "" if effect.action is Action.ROLLBACK else stands,
    )


def _effects(report: WorkflowReport) -> Iterator[Effect]:
    for step in report.step_reports:
        yield from step.effects
        if step.workflow is not None:
            yield from _effects(step.workflow)


# What was asked, and what came about.


def asked_section(journaled: Journaled | None) -> Iterator[Markup]:
    """Yield what operators asked of the run, and where it stopped and went on."""
    rows = [] if journaled is None else [row for record in journaled.history for row in _asked(record)]
    if rows:
        shown = table("What else came about", ("what", "step", "at", "why"), rows[:_MOST_LINES])
        yield section("asked", "What else came about", shown, *_rest(len(rows), "line"))


def _asked(record: Record) -> Iterator[tuple[str, ...]]:
    match record:
        case Requested(at, request, path, note):
            asked = f"an operator asked for: {request.value.replace('_', ' ')}"
            yield asked, "" if path is None else named(path), moment(at), shortened(note)
        case Suspended(at, error):
            yield "stopped", "", moment(at), shortened(error_text(error))
        case Resumed(at, deadline):
            why = "" if deadline is None else joined("deadline ", moment(deadline))
            yield "taken up again", "", moment(at), why
        case Cancelled(path, error):
            yield "turned back after", named(path), "", shortened(error_text(error))
        case Late(path, at, is_back, error):
            came = "came to its end, too late" if is_back else "was still at work"
            yield came, named(path), moment(at), "" if error is None else shortened(error_text(error))
        case Expanded(path, steps):
            yield "built its steps", named(path), "", listed([step.id for step in steps]) or "none"
