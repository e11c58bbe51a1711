"""Each check of a pitfall passes for automa, and fails for the saga that has fallen into it."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.naive import (
    callbacks,
    cancellation,
    checks,
    journals,
    parallel,
    retries,
    signals,
    threads,
    undo_errors,
    unknown,
)
from tests.naive.engines import Automa, Engine

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "pitfalls.md"


class Pitfall(NamedTuple):
    """A check, a saga that fails it, how, and what automa lacks for it."""

    check: Callable[[Engine], Any]
    naive: Any
    failure: type[Exception] = AssertionError
    says: str | None = None
    missing: str = ""


PITFALLS = [
    Pitfall(checks.check_a_cancelled_run_is_undone, cancellation.CatchesExceptions()),
    Pitfall(checks.check_a_cancel_in_an_undo_lets_the_next_begin, cancellation.ShieldsEachUndo()),
    Pitfall(checks.check_a_second_cancel_leaves_the_undo_whole, cancellation.UndoesInExcept()),
    Pitfall(checks.check_a_cancel_at_every_checkpoint_leaves_the_undos_whole, cancellation.ShieldsOnce()),
    Pitfall(checks.check_sigterm_undoes, signals.UndoesInFinally()),
    Pitfall(checks.check_a_time_out_leaves_no_late_effect, threads.UndoesAtOnce(), missing="Step(timeout=…)"),
    Pitfall(checks.check_an_undo_does_not_come_before_its_action, threads.UndoesAtOnce()),
    Pitfall(
        checks.check_a_branch_that_is_cut_off_is_undone,
        parallel.UndoesWhatHasEnded(),
        missing='Parallel(on_failure="cancel")',
    ),
    Pitfall(checks.check_a_step_that_fails_half_way_is_undone, unknown.RegistersAfterwards()),
    Pitfall(checks.check_a_failed_undo_is_not_told_as_undone, undo_errors.Swallows()),
    Pitfall(checks.check_a_failed_undo_keeps_the_first_error, undo_errors.Halts()),
    Pitfall(checks.check_a_failing_undo_is_given_up, undo_errors.NeverGivesUp()),
    Pitfall(
        checks.check_retries_of_a_step_are_not_those_of_its_undo,
        retries.RetriesBoth(),
        missing="Step(retry=…)",
    ),
    Pitfall(checks.check_the_end_is_told_once, callbacks.TellsTwice()),
    Pitfall(
        checks.check_a_mended_step_is_resumed, journals.HashesTheCode(), RuntimeError, "the code has changed"
    ),
    Pitfall(checks.check_a_journal_needs_no_classes, journals.Pickles(), AttributeError, "attribute 'Seat'"),
]


def named(pitfall):
    return pitfall.check.__name__.removeprefix("check_")


def run(check, engine):
    answer = check(engine)
    if inspect.iscoroutine(answer):
        asyncio.run(answer)


@pytest.mark.parametrize("pitfall", PITFALLS, ids=named)
def test_automa_has_not_fallen_into_it(pitfall):
    """automa passes the check."""
    if pitfall.missing:
        pytest.skip(f"automa has no {pitfall.missing} yet")
    run(pitfall.check, Automa())


@pytest.mark.parametrize("pitfall", PITFALLS, ids=named)
def test_the_naive_saga_has(pitfall):
    """The saga that has fallen into the pitfall fails the check: so the check can fail."""
    with pytest.raises(pitfall.failure, match=pitfall.says):
        run(pitfall.check, pitfall.naive)


def test_each_pitfall_of_the_page_has_its_check():
    """The page names each check, in the order of the list, and no other."""
    told = re.findall(r"`(check_\w+)`", PAGE.read_text())
    assert told == [pitfall.check.__name__ for pitfall in PITFALLS]
    assert set(told) == {name for name in vars(checks) if name.startswith("check_")}
