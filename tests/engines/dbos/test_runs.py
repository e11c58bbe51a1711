"""Runs on DBOS whose workers are other processes; and what an operator asks of them."""

from __future__ import annotations

import psycopg
import pytest

from automa.engines.dbos import DbosEngine
from automa.errors import EngineError, RunExistsError, RunNotFoundError, RunRequestError
from tests.engines.dbos.sagas import lines, wait_for


def test_a_run_succeeds_or_is_undone(fleet):
    """A run that goes well has each effect once; one whose last step refuses is undone in reverse."""
    fleet.serving()
    assert fleet.submit("order", "well").wait(30).outcome == "succeeded"
    report = fleet.submit("order", "badly", fails="send").wait(30)
    assert report.outcome == "undone"
    assert fleet.done("well") == [f"well/{each}/run" for each in ("reserve", "charge", "send")]
    ways = [("reserve", "run"), ("charge", "run"), ("send", "run")]
    ways += [("send", "rollback"), ("charge", "rollback"), ("reserve", "rollback")]
    assert [each.replace("undo", "rollback") for each in fleet.done("badly")] == [
        f"badly/{step}/{way}" for step, way in ways
    ]


def test_branches_go_on_side_by_side(fleet):
    """A branch that waits on the event loop does not hold up the others, nor do they lose what they did."""
    fleet.serving()
    handle = fleet.submit("ship", "r1")
    fleet.begun("r1/both/call/run")
    wait_for(lambda: {"r1/both/left/load/run", "r1/both/label/run"} <= set(fleet.done("r1")), "the others")
    assert handle.report().outcome == "suspended"
    fleet.open("r1")
    assert handle.wait(30).outcome == "succeeded"
    assert len(fleet.done("r1")) == len(set(fleet.done("r1"))) == 6


def test_a_branch_that_fails_has_the_others_given_up(fleet):
    """A branch that waits is cancelled once another one has failed, and the run is undone."""
    fleet.serving()
    report = fleet.submit("ship", "r1", fails="both/left/load").wait(30)
    assert report.outcome == "undone"
    assert "given up, since both/left has failed" in str(report)
    assert "r1/both/left/pack/undo" in fleet.done("r1")


def test_a_delay_is_waited_out(fleet):
    """A retry comes after its delay, not before."""
    fleet.serving()
    handle = fleet.submit("retried", "r1")
    fleet.open("r1")
    assert handle.wait(30).outcome == "succeeded"
    first, second = (float(each[3]) for each in lines(fleet.directory / "ledger") if "soon" in each[2])
    assert second - first >= 1.5


def test_a_cancel_ends_a_delay(fleet):
    """A run that waits for an hour before its next attempt is undone at once when it is cancelled."""
    fleet.serving()
    handle = fleet.submit("retried", "r1")
    wait_for(lambda: "r1/again/run" in fleet.done("r1"), "the first attempt")
    handle.cancel("not wanted any more")
    report = handle.wait(30)
    assert report.outcome == "undone"
    assert "not wanted any more" in str(report)


def test_a_cancel_reaches_a_step_at_work_on_the_event_loop(fleet):
    """A step that waits on the event loop is cancelled, and undone with the rest."""
    fleet.serving()
    handle = fleet.submit("stuck", "r1")
    fleet.begun("r1/wait/run")
    handle.cancel()
    assert handle.wait(30).outcome == "undone"
    assert fleet.done("r1")[-2:] == ["r1/wait/undo", "r1/first/undo"]


def test_a_cancel_is_heard_where_notifications_are_not(fleet):
    """A worker whose connections pass through something that swallows notifications hears a moment later."""
    fleet.serving()
    handle = fleet.submit("stuck", "r1")
    fleet.begun("r1/wait/run")
    with psycopg.connect(
        fleet.url.removeprefix("dbos+"), autocommit=True
    ) as connection:  # nobody is notified of it
        connection.execute("INSERT INTO automa.notices (target, note) VALUES ('stuck/r1', 'unheard')")
    report = handle.wait(30)
    assert report.outcome == "undone"
    assert "unheard" in str(report)


def test_a_cancel_is_heard_after_the_connection_was_cut(fleet):
    """A worker whose connection for notifications is ended makes another one, and hears what came between."""
    fleet.serving()
    handle = fleet.submit("stuck", "r1")
    fleet.begun("r1/wait/run")
    with psycopg.connect(fleet.url.removeprefix("dbos+"), autocommit=True) as connection:
        cut = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE query LIKE '%automa%notices%' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert cut[0] >= 1
    handle.cancel()
    assert handle.wait(30).outcome == "undone"


def test_a_cancel_comes_between_steps(fleet):
    """A step in a thread ends; the one after it does not begin."""
    fleet.serving()
    handle = fleet.submit("order", "r1", gate="run reserve")
    fleet.begun("r1/reserve/run")
    handle.cancel("stop here")
    # Only after the worker has heard of it: that is so once a later notice was heard.
    other = fleet.submit("stuck", "r2")
    fleet.begun("r2/wait/run")
    other.cancel()
    other.wait(30)
    fleet.open("r1")
    assert handle.wait(30).outcome == "undone"
    assert "r1/charge/run" not in fleet.done("r1")
    with pytest.raises(RunRequestError, match="has ended"):
        handle.cancel()


def test_a_run_that_waits_for_a_worker_is_cancelled_before_it_begins(fleet):
    """What was asked while nobody carried the run is heard before its first step, which is undone all the same.

    A worker that has died may have called it: nothing tells.
    """
    handle = fleet.submit("order", "r1")
    handle.cancel()
    fleet.serving()
    assert handle.wait(30).outcome == "undone"
    assert fleet.done("r1") == ["r1/reserve/undo"]


def test_an_undo_that_failed_is_called_once_more(fleet):
    """An operator has a failed undo called again, once its cause is gone, and the run is undone."""
    fleet.serving()
    handle = fleet.submit("order", "r1", **{"fails": "send", "undo fails": "charge"})
    assert handle.wait(30).outcome == "needs_attention"
    (fleet.directory / "repaired").touch()
    assert fleet.engine.retry_undo("r1", "charge").wait(30).outcome == "undone"
    assert [each.status for each in fleet.engine.runs(run_id="r1")] == ["undone"]


def test_a_run_that_has_succeeded_is_rolled_back(fleet):
    """All its steps are undone, in reverse, and the list of runs tells how it ended last."""
    fleet.serving()
    fleet.submit("order", "other").wait(30)
    fleet.submit("order", "r1").wait(30)
    assert fleet.engine.rollback("r1", note="sent back").wait(30).outcome == "undone"
    assert fleet.done("r1")[3:] == ["r1/send/undo", "r1/charge/undo", "r1/reserve/undo"]
    told = [(info.run_id, info.status) for info in fleet.engine.runs(workflow_id="order")]
    assert told == [("r1", "undone"), ("other", "succeeded")]
    assert [info.run_id for info in fleet.engine.runs(status="succeeded")] == ["other"]


def test_a_run_id_is_taken_once(fleet):
    """A second run of the same id is refused, and nothing of the first is changed."""
    fleet.submit("order", "r1")
    with pytest.raises(RunExistsError, match="started before"):
        fleet.submit("order", "r1", fails="send")
    fleet.serving()
    assert fleet.engine.wait("r1", timeout=30).outcome == "succeeded"
    with pytest.raises(RunNotFoundError, match="no run 'r2'"):
        fleet.engine.report("r2")


def test_a_run_keeps_its_version(fleet):
    """A worker leaves a run of another version alone, says so, and one that has it carries it on."""
    old = fleet.submit("order", "old", version="1")
    fleet.serving("--versions", "2")
    assert fleet.submit("order", "new", version="2").wait(30).results["send"] == {"by": "2"}
    assert fleet.done("old") == []
    assert "1 runs of workflow order go on with version 1" in fleet.said()
    fleet.serving("--versions", "1")
    assert old.wait(30).results["send"] == {"by": "1"}


def test_a_worker_that_stops_leaves_its_runs_to_others(fleet):
    """The step at work ends, the worker ends, and another one goes on at once: nothing is done twice."""
    first = fleet.serving()
    handle = fleet.submit("order", "r1", gate="run charge")
    fleet.begun("r1/charge/run")
    waits = fleet.submit("retried", "r2")
    wait_for(lambda: "r2/again/run" in fleet.done("r2"), "the first attempt")
    first.terminate()
    fleet.open("r1")
    fleet.stop(first)
    fleet.serving()
    assert handle.wait(30).outcome == "succeeded"
    waits.cancel()
    assert waits.wait(30).outcome == "undone"
    assert len(fleet.done()) == len(set(fleet.done())) + 1  # the second attempt at `soon`


def test_a_database_that_is_away_is_told_of(postgres):
    """The error says where, and what to do; a password is not told."""
    url = postgres.database("away").replace("postgres@", "postgres:hidden@")
    engine = DbosEngine(url.replace(str(postgres.port), "1"), patience=0.2)
    with pytest.raises(EngineError, match=r"Postgres at 127.0.0.1:1/away could not be used") as caught:
        engine.report("r1")
    assert "hidden" not in str(caught.value)
    with pytest.raises(EngineError, match=r"is dbos\+postgresql://"):
        DbosEngine("postgresql://host/db")
