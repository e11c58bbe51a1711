"""The engine on DBOS keeps the contract of all engines; its worker is at work in this process."""

from __future__ import annotations

import pytest

from automa.engines import open_engine
from automa.errors import EngineError
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


def test_one_worker_serves_in_a_process(engine, lab):
    """A second one is refused, in words that say what to do; the first serves on."""
    with pytest.raises(EngineError, match="start another process, or give one worker all workflows"):
        engine.worker(lab.keys).run()
    assert engine.submit(lab.keys, run_id="after-that").wait(60).outcome == "succeeded"
