"""One Restate server for the tests of a process, and workers in threads of it."""

from __future__ import annotations

import contextlib
import threading

import pytest

from automa.engines.restate import RestateEngine
from tests.engines.restate_server import RestateServer, binary


def pytest_collection_modifyitems(items):
    """Keep these tests in one process, with one server."""
    for item in items:
        if "engines/restate/" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("restate"))


@pytest.fixture(scope="session")
def program():
    """The program of the server."""
    found, why = binary()
    if found is None:
        pytest.skip(why)
    return found


@pytest.fixture(scope="session")
def server(program, tmp_path_factory):
    """A server that answers."""
    made = RestateServer(program, tmp_path_factory.mktemp("restate"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def engine(server):
    """An engine at that server."""
    made = RestateEngine(server.url)
    yield made
    made.close()


@pytest.fixture
def serving(engine, server):
    """A function that has a worker carry on the runs of workflows until the test is over."""
    with contextlib.ExitStack() as stack:

        def begin(*workflows, **options):
            worker = engine.worker(workflows, **({"listen": "127.0.0.1:0"} | options))
            thread = threading.Thread(target=worker.run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(worker.stop)
            wait_until(lambda: is_registered(engine, workflows))
            return worker

        yield begin


def is_registered(engine, workflows):
    """Whether a run of each workflow could be begun."""
    from automa.engines.restate.names import service_of

    known = engine._server.services()
    return all(service_of(each.id, each.version) in known for each in workflows)


def wait_until(what, seconds=60.0):
    """Wait until something is so; a test whose world never becomes so fails."""
    import time

    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"not so within {seconds} s"
        time.sleep(0.02)
