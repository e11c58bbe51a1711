"""How records are told in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from automa import (
    Action,
    Answered,
    AttemptFailed,
    Begun,
    Cancelled,
    Effect,
    Ended,
    ExecutionMode,
    Expanded,
    Late,
    Outcome,
    Request,
    Requested,
    Resumed,
    RollbackMode,
    Started,
    Status,
    StepReport,
    Suspended,
    WorkflowReport,
)
from automa._core.records import Topology
from automa.abc import RunInfo
from automa.journal.telling import age_of, plain, shown_status, told

AT = datetime(2027, 1, 31, 12, tzinfo=UTC)


def report(error=None, detail=None):
    made = StepReport("a", Action.RUN)
    made.status, made.error, made.detail = Status.SUCCESS if error is None else Status.FAILED, error, detail
    return made


def ended():
    made = WorkflowReport("w", ["a"])
    made.outcome = Outcome.UNDONE
    return made


def begun(target):
    return Begun("w", "r", AT, ExecutionMode.ROLLBACK, RollbackMode.CONTINUE, True, (), {}, target)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (begun(None), "begun"),
        (begun("x.py:w"), "begun by x.py:w"),
        (Started("a", Action.RUN, AT), "run a"),
        (Answered("a", report()), "run a SUCCESS"),
        (Answered("a", report(detail="why")), "run a SUCCESS  why"),
        (Answered("a", report(ValueError("no"))), "run a FAILED  ValueError: no"),
        (AttemptFailed("a", report(ValueError("no")), 0.5), "run a FAILED  ValueError: no; tried again after 0.5 s"),
        (AttemptFailed("a", report(ValueError("no")), None), "run a FAILED  ValueError: no; tried again when it is resumed"),
        (Expanded("a", (Topology("x"), Topology("y"))), "built by a: x, y"),
        (Expanded("a", ()), "built by a: nothing"),
        (Effect("a", Action.RUN, AT, "seat", "12A", {}), "done outside by a: seat 12A"),
        (Late("a", AT, is_back=True), "a came to its end, too late  "),
        (Late("a", AT, is_back=False, error=OSError("x")), "a is still at work  OSError: x"),
        (Cancelled("a", KeyboardInterrupt()), "turned back after a: KeyboardInterrupt: "),
        (Ended(ended()), "ended undone"),
        (Suspended(AT, OSError("x")), "suspended: OSError: x"),
        (Resumed(AT), "resumed"),
        (Resumed(AT, AT, "Ann: why"), "resumed, deadline 2027-01-31T12:00:00Z, 'Ann: why'"),
        (Requested(AT, Request.ROLLBACK), "asked for: rollback"),
        (Requested(AT, Request.RETRY_UNDO, "a", "why"), "asked for: retry_undo a, 'why'"),
    ],
)  # fmt: skip
def test_each_record_is_told(record, text):
    """A record is told in a line: what happened, of which step, and why."""
    assert told(record)[1] == text


def test_a_run_that_nobody_carries_on_is_interrupted():
    """Running is what somebody who is alive carries on."""
    info = RunInfo("w", "r", "running", AT, AT, is_owned=True)
    assert shown_status(info) == "running"
    assert shown_status(info._replace(is_owned=False)) == "interrupted"
    assert shown_status(info._replace(status="undone")) == "undone"


def test_ages_are_told_in_their_largest_unit():
    """An age has one number and one letter; one that is not there yet is none."""
    spans = [timedelta(seconds=-1), timedelta(seconds=59), timedelta(minutes=61), timedelta(days=3, hours=5)]
    assert [age_of(span) for span in spans] == ["0s", "59s", "1h", "3d"]


def test_what_steers_a_terminal_is_spelt_out():
    """Control characters, and those that turn the direction of a text, are shown as escapes."""
    assert plain("a\nb\x1b[31m\u202e\x00é") == "a\nb\\x1b[31m\\u202e\\x00é"
