"""One Postgres for the tests of this directory; each has a database of its own in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.engines.dbos.fleet import Fleet
from tests.engines.postgres_server import own_server


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items):
    """Keep the tests of this directory together: they share a server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("postgres"))


@pytest.fixture(scope="session")
def postgres():
    """A server of the tests' own."""
    yield from own_server()


@pytest.fixture
def fleet(postgres, request, tmp_path):
    """Workers on a database of their own."""
    name = re.sub(r"\W", "_", request.node.name)[:60]
    fleet = Fleet(postgres.database(name), tmp_path)
    try:
        yield fleet
    finally:
        fleet.close()
        print(fleet.said())  # noqa: T201  # shown where a test fails
