"""The engine of Restate keeps the contract of all engines; its worker is at work in this process."""

from __future__ import annotations

import pytest

from automa.engines import open_engine
from tests.engines.contract import EngineContract, at_work
from tests.engines.restate.conftest import is_registered, wait_until


@pytest.fixture(scope="module")
def engine(server):
    engine = open_engine(server.url)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def lab(engine):
    with at_work(engine, listen="127.0.0.1:0") as lab:
        wait_until(lambda: is_registered(engine, lab.workflows))
        yield lab


class TestRestate(EngineContract):
    """The contract, through a Restate server."""
