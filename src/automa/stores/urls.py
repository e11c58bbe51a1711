"""Stores by URL: ``memory:``, ``file:DIR``, ``sqlite:///PATH``."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from automa.errors import StoreError
from automa.stores.file import FileStore
from automa.stores.memory import MemoryStore
from automa.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from automa._core.protocols import Store

_FORMS = "memory:, file:DIR, sqlite:///PATH"

_opened: dict[str, SqliteStore] = {}
_lock = threading.Lock()


def open_store(url: str | os.PathLike[str] | Store) -> Store:
    """Return the store that a URL names.

    Runs of one process that name the same SQLite file share it, and so its commits.

    Args:
        url: ``memory:``, ``file:DIR``, ``sqlite:///PATH`` (``sqlite:////PATH`` where it is absolute),
            with ``?durability=process`` where a power cut need not be survived; or a store.

    Raises:
        StoreError: Where it names none, or it cannot be used.
    """
    if not isinstance(url, str):
        if hasattr(url, "create") and hasattr(url, "take"):
            store: Store = url  # type: ignore[assignment]  # a store of the user's
            return store
        raise StoreError(f"a store is a URL ({_FORMS}) or an object that is one, not {url!r}")
    scheme, colon, rest = url.partition(":")
    path, _, query = rest.partition("?")
    durability = _durability(url, query)
    if scheme == "memory" and colon and not path:
        return MemoryStore()
    if scheme == "file" and path.strip("/"):
        return FileStore(path.removeprefix("//"), durability=durability)
    if scheme == "sqlite" and path.startswith("///") and path.strip("/"):
        return _shared(path[3:], durability)
    raise StoreError(f"{url!r} names no store; the forms are {_FORMS}")


def _durability(url: str, query: str) -> str:
    if not query:
        return "power"
    name, _, value = query.partition("=")
    if name != "durability":
        raise StoreError(f"{url!r}: the only option is durability=power or durability=process")
    return value


def _shared(path: str, durability: str) -> SqliteStore:
    key = f"{durability}:{Path(path).absolute()}"
    with _lock:
        store = _opened.get(key)
        if store is None or not store.is_usable():
            if store is not None:
                store.close()
            store = _opened[key] = SqliteStore(path, durability=durability)
        return store


@atexit.register
def close_stores() -> None:
    """Close the stores that were opened by URL, as the end of the process does."""
    with _lock:
        for store in _opened.values():
            with contextlib.suppress(Exception):
                store.close()
        _opened.clear()


def _after_fork() -> None:
    """Forget, in a forked child, the stores of the parent: it opens its own."""
    global _lock  # noqa: PLW0603  # the parent's may be held
    _lock = threading.Lock()
    _abandoned.extend(_opened.values())
    _opened.clear()


_abandoned: list[SqliteStore] = []  # kept, so that the child does not close the parent's connections
os.register_at_fork(after_in_child=_after_fork)
