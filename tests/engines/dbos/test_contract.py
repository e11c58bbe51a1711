"""The engine on DBOS keeps the contract of all engines; its worker is at work in this process."""

from __future__ import annotations

import pytest

from automa.engines import open_engine
from tests.engines.contract import EngineContract, at_work


@pytest.fixture(scope="module")
def engine(postgres):
    engine = open_engine(postgres.database("contract"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def lab(engine):
    with at_work(engine) as lab:
        yield lab


class TestDbos(EngineContract):
    """The contract, on DBOS."""
