"""A store that lives as long as its process: for tests."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from automa._core.protocols import RunInfo
from automa.journal.entries import time_of_entry, to_datetime
from automa.stores.refusals import ownership_lost, run_exists, run_not_found, run_owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Key = tuple[str, str]


class MemoryStore:
    """Keeps journals in memory.

    Example:
        >>> from automa import Step, Workflow
        >>> store = MemoryStore()
        >>> report = Workflow("greet", [Step("hello")]).start(store=store, run_id="one")
        >>> [run.status for run in store.runs()]
        ['succeeded']
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._journals: dict[Key, list[str]] = {}
        self._statuses: dict[Key, str] = {}
        self._owners: dict[Key, _MemoryLease] = {}
        self._cancels: dict[Key, str] = {}

    def create(self, workflow_id: str, run_id: str) -> _MemoryLease:
        """Own a run that is about to be started; see `automa.abc.Store.create`."""
        with self._lock:
            key = (workflow_id, run_id)
            if key in self._journals or key in self._owners:
                raise run_exists(workflow_id, run_id)
            return self._own(key)

    def take(self, workflow_id: str, run_id: str) -> _MemoryLease:
        """Own a run that was started before; see `automa.abc.Store.take`."""
        with self._lock:
            key = (workflow_id, run_id)
            if key in self._owners:
                raise run_owned(workflow_id, run_id)
            if key not in self._journals:
                raise run_not_found(workflow_id, run_id)
            return self._own(key)

    def load(self, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the entries of a run; see `automa.abc.Store.load`."""
        with self._lock:
            if (workflow_id, run_id) not in self._journals:
                raise run_not_found(workflow_id, run_id)
            return [json.loads(text) for text in self._journals[workflow_id, run_id]]

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first; see `automa.abc.Store.runs`."""
        with self._lock:
            found = [self._info(key) for key in reversed(self._journals)]
        for info in found:
            if info.matches(workflow_id, run_id, status):
                yield info

    def close(self) -> None:
        """Do nothing: the journals stay as long as the store."""

    def ask_cancel(self, workflow_id: str, run_id: str, note: str) -> None:
        """Note that a run is to be undone; see `automa.abc.Cancellable.ask_cancel`."""
        with self._lock:
            self._cancels.setdefault((workflow_id, run_id), note)

    def asked_cancels(self) -> dict[Key, str]:
        """Return why runs are to be undone; see `automa.abc.Cancellable.asked_cancels`."""
        with self._lock:
            return self._cancels.copy()

    def forget_cancel(self, workflow_id: str, run_id: str) -> None:
        """Forget that a run was to be undone; see `automa.abc.Cancellable.forget_cancel`."""
        with self._lock:
            self._cancels.pop((workflow_id, run_id), None)

    def _own(self, key: Key) -> _MemoryLease:
        lease = self._owners[key] = _MemoryLease(self, key)
        return lease

    def _info(self, key: Key) -> RunInfo:
        first, last = (json.loads(self._journals[key][index]) for index in (0, -1))
        created, updated = to_datetime(time_of_entry(first)), to_datetime(time_of_entry(last))
        return RunInfo(*key, self._statuses[key], created, updated, key in self._owners)

    def write(self, lease: _MemoryLease, key: Key, entries: Sequence[dict[str, Any]], status: str) -> None:
        """Write entries for a lease that still holds."""
        with self._lock:
            if self._owners.get(key) is not lease:
                raise ownership_lost(*key)
            self._journals.setdefault(key, []).extend(json.dumps(entry) for entry in entries)
            self._statuses[key] = status

    def give_back(self, lease: _MemoryLease, key: Key, *, delete: bool = False) -> None:
        """End a lease, if it still holds; delete the run if asked to."""
        with self._lock:
            if self._owners.get(key) is lease:
                del self._owners[key]
                if delete:
                    self._journals.pop(key, None)


class _MemoryLease:
    def __init__(self, store: MemoryStore, key: Key) -> None:
        self._store, self._key = store, key

    def append(self, entries: Sequence[dict[str, Any]], status: str) -> None:
        self._store.write(self, self._key, entries, status)

    def delete(self) -> None:
        self._store.give_back(self, self._key, delete=True)

    def release(self) -> None:
        self._store.give_back(self, self._key)
