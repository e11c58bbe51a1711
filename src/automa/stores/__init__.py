"""Where journals are kept: in memory, one file a run, or one SQLite file for many runs."""

from automa.stores.file import FileStore
from automa.stores.memory import MemoryStore
from automa.stores.sqlite import SqliteStore
from automa.stores.urls import open_store

__all__ = ["FileStore", "MemoryStore", "SqliteStore", "open_store"]
