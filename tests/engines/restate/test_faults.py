"""Workers and servers die, freeze and are replaced: each saga ends right, and no effect is lost."""

from __future__ import annotations

import os
import random
import signal
import threading

import pytest

from automa.engines.restate import RestateEngine
from automa.errors import EngineError
from tests.engines.fleet import Fleet, order, outcomes, submit
from tests.engines.restate.conftest import is_registered, wait_until
from tests.engines.restate_server import RestateServer, free_ports

SOAK = bool(os.environ.get("AUTOMA_SOAK"))
SAGAS = 300 if SOAK else 60
KILLS = 15 if SOAK else 5


@pytest.fixture
def own_server(program, tmp_path):
    """A server for one test, which may kill it."""
    made = RestateServer(program, tmp_path / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def own_engine(own_server):
    """An engine at that server."""
    made = RestateEngine(own_server.url)
    yield made
    made.close()


@pytest.fixture
def fleet(own_server, own_engine, tmp_path):
    """Three workers, on one port."""
    made = Fleet(
        tmp_path,
        "tests.engines.restate.workers:make",
        own_server.url,
        f"127.0.0.1:{free_ports(1)[0]}",
        pause=0.1,
    )
    made.start(3)
    wait_until(lambda: is_registered(own_engine, [order(print)]))
    yield made
    made.stop()


def progress(fleet, count):
    """Wait until so many more steps have begun."""
    before = len(fleet.lines())
    wait_until(lambda: len(fleet.lines()) >= before + count)


def test_workers_are_killed_and_replaced(fleet, own_engine):
    """A worker that dies is replaced, again and again: what it had at work goes on with another one."""
    chance = random.Random(7)
    refused = submit(own_engine, SAGAS)
    for _ in range(KILLS):
        progress(fleet, SAGAS // KILLS)
        fleet.kill(chance.choice(fleet.workers))
        fleet.start()
    outcomes(own_engine, refused)
    fleet.check("workers killed", refused)


def test_the_server_is_killed_and_started_again(fleet, own_server, own_engine):
    """Where the server dies, all goes on once it is back; a worker may die meanwhile."""
    chance = random.Random(8)
    refused = submit(own_engine, SAGAS)
    kills = 4 if SOAK else 2
    for _ in range(kills):
        progress(fleet, SAGAS // KILLS)
        own_server.kill()
        fleet.kill(chance.choice(fleet.workers))
        fleet.start()
        with pytest.raises(EngineError, match="cannot be reached"):
            own_engine.report("r0", workflow_id="order")
        own_server.start()
    outcomes(own_engine, refused)
    everyone = {int(pid) for _, _, pid, _ in fleet.lines()}
    fleet.check(f"server killed {kills} times", refused, may_repeat=everyone)


def test_a_frozen_worker_is_replaced_and_awakes(fleet, own_engine):
    """What a frozen worker had at work goes on with others; awake again it begins nothing of that."""
    refused = submit(own_engine, SAGAS)
    progress(fleet, 5)
    frozen = next(each for each in fleet.workers if str(each.pid) in {line[2] for line in fleet.lines()})
    frozen.send_signal(signal.SIGSTOP)
    try:
        outcomes(own_engine, refused)
    finally:
        frozen.send_signal(signal.SIGCONT)
    more = submit(own_engine, SAGAS // 3, prefix="later")
    outcomes(own_engine, more)
    fleet.check("a worker frozen and awakened", refused | more, may_repeat={frozen.pid}, frozen=frozen.pid)


def test_a_new_version_is_rolled_out(fleet, own_server, own_engine):
    """A run is carried on by the version with which it began; a worker that is told to stop cuts nothing off."""
    first = submit(own_engine, SAGAS // 2)
    progress(fleet, 5)
    old = list(fleet.workers)
    fleet.start(2, versions="2", arguments=[own_server.url, f"127.0.0.1:{free_ports(1)[0]}"])
    for worker in old[1:]:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
        fleet.workers.remove(worker)
    wait_until(lambda: is_registered(own_engine, [order(print, "2")]))
    second = submit(own_engine, SAGAS // 2, version="2", prefix="new")
    outcomes(own_engine, first | second)
    versions = {(key.split("/")[1] in second, version) for _, key, _, version in fleet.lines()}
    assert versions == {(False, "1"), (True, "2")}
    fleet.check("a version rolled out", first | second, may_repeat=set())


@pytest.mark.skipif(not SOAK, reason="a cluster of three: AUTOMA_SOAK=1 has it tested")
def test_a_node_of_a_cluster_is_killed(program, tmp_path):
    """Where a node of three dies, and workers do, all goes on with the others."""
    nodes = [RestateServer(program, tmp_path / name, node=name) for name in ("node1", "node2", "node3")]
    addresses = "[" + ",".join(f'"http://127.0.0.1:{node.fabric}"' for node in nodes) + "]"
    for node in nodes:
        node.settings = {
            "CLUSTER_NAME": "fleet",
            "DEFAULT_REPLICATION": "2",
            "METADATA_CLIENT__ADDRESSES": addresses,
            "AUTO_PROVISION": "true" if node is nodes[0] else "false",
        }
    starting = [threading.Thread(target=node.start) for node in nodes]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()
    engine = RestateEngine(nodes[0].url)
    fleet = Fleet(
        tmp_path,
        "tests.engines.restate.workers:make",
        nodes[0].url,
        f"127.0.0.1:{free_ports(1)[0]}",
        pause=0.1,
    )
    try:
        fleet.start(3)
        wait_until(lambda: is_registered(engine, [order(print)]))
        refused = submit(engine, SAGAS)
        progress(fleet, 20)
        nodes[2].kill()
        fleet.kill(fleet.workers[0])
        fleet.start()
        progress(fleet, 20)
        nodes[2].start()
        outcomes(engine, refused)
        everyone = {int(pid) for _, _, pid, _ in fleet.lines()}
        fleet.check("a node of three killed", refused, may_repeat=everyone)
    finally:
        fleet.stop()
        engine.close()
        for node in nodes:
            node.stop()
