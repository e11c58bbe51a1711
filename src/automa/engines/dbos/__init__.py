"""Runs on a fleet of workers through DBOS on Postgres: needs the extra ``dbos``."""

from __future__ import annotations

try:
    import dbos as _  # noqa: F401  # whether it is there
    import psycopg as __  # noqa: F401
except ImportError as error:
    raise ImportError("the engine on DBOS needs two packages: pip install 'automa-saga[dbos]'") from error

from automa.engines.dbos.engine import DbosEngine
from automa.engines.dbos.worker import DbosWorker

__all__ = ["DbosEngine", "DbosWorker"]
