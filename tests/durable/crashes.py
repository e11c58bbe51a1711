"""A process that dies at a chosen write, played in one process."""

from __future__ import annotations

from automa.stores import MemoryStore


class Died(BaseException):
    """The process has died: nothing after it happens."""


class DyingStore(MemoryStore):
    """Dies at the n-th write: before it is made, or after.

    Args:
        at: At which write, from 1; 0 never.
        after: Whether the write is made.
    """

    def __init__(self, at=0, *, after=False):
        super().__init__()
        self.at, self.after, self.writes = at, after, 0

    def write(self, lease, key, entries, status):
        self.writes += 1
        if self.writes == self.at and not self.after:
            raise Died
        super().write(lease, key, entries, status)
        if self.writes == self.at:
            raise Died


def run_until_death(workflow, store, **options):
    """Start a workflow as run ``r``; return its report, or None where the process died."""
    try:
        return workflow.start(run_id="r", store=store, **options)
    except Died:
        store.at = 0
        return None
