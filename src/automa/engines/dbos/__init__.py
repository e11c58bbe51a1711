"""Runs on a fleet of workers through DBOS on Postgres: needs the extra ``dbos``."""

from automa.engines.dbos.engine import DbosEngine
from automa.engines.dbos.worker import DbosWorker

__all__ = ["DbosEngine", "DbosWorker"]
