"""The same workflow on a fleet, through a Restate server: its workers, and those who begin runs.

Needs the extra ``restate``, and a Restate server; that one is licensed under the BSL 1.1.
"""

from automa.engines.restate.engine import RestateEngine
from automa.engines.restate.worker import RestateWorker

__all__ = ["RestateEngine", "RestateWorker"]
