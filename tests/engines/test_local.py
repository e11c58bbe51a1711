"""The engine over a store."""

from __future__ import annotations

import pytest

from automa.engines import LocalEngine
from tests.durable.scenarios import NOT_SEQUENCES
from tests.engines.contract import EngineContract, at_work


@pytest.fixture(scope="module", params=["sqlite", "memory", "file"])
def engine(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    urls = {"sqlite": f"sqlite:///{folder}/runs.db", "file": f"file:{folder}"}
    url = urls.get(request.param)
    return LocalEngine("memory:" if url is None else f"{url}?durability=process")


@pytest.fixture(scope="module")
def lab(engine):
    with at_work(engine) as lab:
        lab.not_kept = NOT_SEQUENCES if hasattr(engine.store, "keeps_only_sequences") else ()
        yield lab


class TestLocal(EngineContract):
    """The contract, over one SQLite file, in memory, and over one file a run."""
