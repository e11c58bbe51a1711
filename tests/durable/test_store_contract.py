"""Each store keeps the contract, and the contract catches stores that do not."""

from __future__ import annotations

import itertools

import pytest

from automa.errors import RunExistsError
from automa.stores import FileStore, MemoryStore, SqliteStore
from automa.testing import check_store


@pytest.mark.parametrize("durability", ["power", "process"])
@pytest.mark.parametrize("kind", [FileStore, SqliteStore])
def test_a_store_on_disk_keeps_the_contract(tmp_path, kind, durability):
    """The file store and the SQLite store pass every check, in both durabilities."""
    numbers = itertools.count()
    passed = check_store(lambda: kind(tmp_path / f"{next(numbers)}", durability=durability))
    assert len(passed) == 22


def test_the_memory_store_keeps_the_contract():
    """The memory store passes every check."""
    assert len(check_store(MemoryStore)) == 22


class Forgets(MemoryStore):
    """Loses the last entry of each write."""

    def write(self, lease, key, entries, status):
        super().write(lease, key, entries[:-1] or entries, status)


class Shares(MemoryStore):
    """Lets a second owner in."""

    def take(self, workflow_id, run_id):
        self._owners.pop((workflow_id, run_id), None)
        return super().take(workflow_id, run_id)


class Overwrites(MemoryStore):
    """Begins a run anew that is there."""

    def create(self, workflow_id, run_id):
        try:
            return super().create(workflow_id, run_id)
        except RunExistsError:
            del self._journals[workflow_id, run_id]
            self._owners.pop((workflow_id, run_id), None)
            return super().create(workflow_id, run_id)


class OldestFirst(MemoryStore):
    """Lists runs in the wrong order."""

    def runs(self, **wanted):
        return reversed(list(super().runs(**wanted)))


class Raises(MemoryStore):
    """Raises an error that is none of ours."""

    def load(self, workflow_id, run_id):
        raise OSError("disk on fire")


@pytest.mark.parametrize("kind", [Forgets, Shares, Overwrites, OldestFirst, Raises])
def test_a_store_that_breaks_the_contract_is_caught(kind):
    """A store with one fault fails with the name of the check that found it."""
    with pytest.raises(AssertionError, match=r"^[a-z ]+: "):
        check_store(kind)
