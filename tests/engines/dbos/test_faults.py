"""Workers and the database die at any time: no saga is lost, and only what was in flight is done again.

Reduced by default; ``AUTOMA_SOAK=1`` has the full counts.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

from tests.engines.dbos.sagas import lines, wait_for

SOAK = os.environ.get("AUTOMA_SOAK") == "1"
SAGAS, KILLS, EVERY = (200, 9, 4.0) if SOAK else (24, 2, 2.5)
WAY = ["reserve/run", "charge/run", "send/run"]
BACK = ["send/undo", "charge/undo", "reserve/undo"]


def submitted(fleet, count, seconds, **state):
    """Begin sagas one after the other, half of which refuse at the last step, in a thread; return it."""

    def work():
        for number in range(count):
            state_of_one = {
                "slow": 1.0 if SOAK else 0.3,
                **state,
                **({"fails": "send"} if number % 2 else {}),
            }
            fleet.submit("order", f"r{number}", **state_of_one)
            time.sleep(seconds / count)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def checked(fleet, count, hurt, printed):
    """Check that each saga has ended right, that no effect is lost, and that none was repeated but in flight.

    Args:
        fleet: The fleet.
        count: How many sagas there are.
        hurt: The processes that were killed, or frozen.
        printed: What the counts belong to.
    """
    ends = Counter()
    for number in range(count):
        report = fleet.engine.wait(f"r{number}", workflow_id="order", timeout=120)
        assert report.outcome == ("undone" if number % 2 else "succeeded"), (number, str(report))
        ends[str(report.outcome)] += 1
    done = Counter(fleet.done())
    lost = [
        f"r{n}/{each}"
        for n in range(count)
        for each in (WAY + BACK if n % 2 else WAY)
        if not done[f"r{n}/{each}"]
    ]
    assert not lost
    assert set(done) == {f"r{n}/{each}" for n in range(count) for each in (WAY + BACK if n % 2 else WAY)}
    repeated = repetitions(fleet, hurt)
    print(  # noqa: T201  # a soak is read
        f"\n{printed}: {count} sagas, {ends['succeeded']} succeeded, {ends['undone']} undone, 0 stuck, "
        f"{sum(done.values())} effects, 0 lost, {repeated} repeated (all in flight at a fault), "
        f"{len(hurt)} processes hurt"
    )


def repetitions(fleet, hurt):
    """Return how often an effect was begun again; check that a process that was hurt was at work on it.

    Such a process had one step of a saga in flight at most: the last one that it began.
    """
    written = lines(fleet.directory / "ledger")
    begun = [(int(pid), key.split("/", 1)[1]) for pid, word, key in written if word == "begun"]
    last = {(pid, key.split("/")[0]): key for pid, key in begun}
    count = 0
    for key in {key for _, key in begun}:
        *interrupted, _ = [pid for pid, each in begun if each == key]
        count += len(interrupted)
        assert all(pid in hurt and last[pid, key.split("/")[0]] == key for pid in interrupted), key
    return count


def test_workers_are_killed(fleet):
    """Workers die at random and are replaced: each saga ends right."""
    chance = random.Random(7)
    for _ in range(3):
        fleet.serving("--at-once", "40")
    thread = submitted(fleet, SAGAS, KILLS * EVERY)
    hurt = []
    for _ in range(KILLS):
        time.sleep(EVERY * chance.uniform(0.5, 1.0))
        victim = chance.choice(fleet.processes)
        hurt.append(victim.pid)
        fleet.kill(victim)
        fleet.start("--at-once", "40")
    thread.join()
    checked(fleet, SAGAS, hurt, f"workers killed {KILLS} times")


def test_postgres_is_stopped_at_once_and_started_again(fleet, postgres):
    """The database dies under workers and whoever begins runs: all wait, and go on; nothing is done twice."""
    for _ in range(3):
        fleet.serving("--at-once", "40")
    count, stops = (SAGAS, 4) if SOAK else (20, 1)
    thread = submitted(fleet, count, 4.0 * stops)
    for _ in range(stops):
        time.sleep(2)
        postgres.stop_immediately()
        time.sleep(0.5)
        postgres.start()
        time.sleep(1.5)
    thread.join()
    checked(fleet, count, [], f"Postgres stopped {stops} times")


def test_a_worker_is_frozen_past_its_lease(fleet):
    """Others take its sagas over; awakened it lets go of them, calls no further step of theirs, and serves on."""
    count = SAGAS // 4
    frozen = fleet.serving()
    thread = submitted(fleet, count, 1.0, slow=1.0)
    wait_for(lambda: len(fleet.done()) > 3, "the first effects")
    frozen.send_signal(signal.SIGSTOP)
    other = fleet.serving()
    thread.join()
    wait_for(lambda: fleet.said().count("go back into their queues"), "the taking over", 60)
    time.sleep(1)
    frozen.send_signal(signal.SIGCONT)
    checked(fleet, count, [frozen.pid], "a worker frozen past its lease")
    fleet.stop(other)
    fleet.submit("order", "later")
    assert fleet.engine.wait("later", timeout=60).outcome == "succeeded"


def test_a_version_is_deployed_while_sagas_go_on(fleet):
    """Workers of version 1 give way to those of version 2: what began with 1 ends with 1, also after a kill."""
    count = SAGAS // 4
    old = [fleet.serving("--versions", "1") for _ in range(2)]
    for number in range(count):
        fleet.submit("order", f"old{number}", slow=0.5)
    new = fleet.serving("--versions", "1", "2")
    fleet.stop(old[0])
    for number in range(count):
        fleet.submit("order", f"new{number}", version="2", slow=0.1)
    fleet.kill(old[1])
    for number in range(count):
        report = fleet.engine.wait(f"old{number}", timeout=60)
        assert report.results == by("1")
        report = fleet.engine.wait(f"new{number}", timeout=60)
        assert report.results == by("2")
    fleet.stop(new)
    repeated = repetitions(fleet, [old[1].pid])
    print(  # noqa: T201  # a soak is read
        f"\na version deployed, a worker stopped and one killed: {2 * count} sagas, each ended with its own, "
        f"{repeated} effects repeated (all in flight at the kill)"
    )


def by(version):
    """Return the results of an order that one version has carried out."""
    return {step: {"by": version} for step in ("reserve", "charge", "send")}


def test_a_delay_survives_its_worker(fleet):
    """A run whose worker dies while it waits is taken over, and waits for what is left: here, until cancelled."""
    fleet.serving()
    handle = fleet.submit("retried", "r1")
    wait_for(lambda: "r1/again/run" in fleet.done("r1"), "the first attempt")
    time.sleep(0.5)
    fleet.kill(fleet.processes[0])
    fleet.serving()
    handle.cancel()
    assert handle.wait(60).outcome == "undone"
    assert fleet.done("r1").count("r1/again/run") == 1


def test_branches_survive_their_worker(fleet):
    """A run with branches whose worker dies is carried on elsewhere, branches that have ended are not repeated."""
    first = fleet.serving()
    handle = fleet.submit("ship", "r1")
    fleet.begun("r1/both/call/run")
    wait_for(lambda: {"r1/both/left/load/run", "r1/both/label/run"} <= set(fleet.done("r1")), "the others")
    time.sleep(0.5)
    fleet.kill(first)
    fleet.serving()
    fleet.serving()
    fleet.open("r1")
    assert handle.wait(60).outcome == "succeeded"
    assert len(fleet.done("r1")) == len(set(fleet.done("r1"))) == 6


def test_many_runs_are_in_flight_at_once(fleet):
    """A worker carries 60 runs side by side: all have begun before any goes on."""
    fleet.serving()
    for number in range(60):
        fleet.submit("order", f"r{number}", gate="run reserve")
    for number in range(60):
        fleet.begun(f"r{number}/reserve/run")
    for number in range(60):
        fleet.open(f"r{number}")
    for number in range(60):
        assert fleet.engine.wait(f"r{number}", workflow_id="order", timeout=60).outcome == "succeeded"
