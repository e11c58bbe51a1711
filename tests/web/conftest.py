"""What all tests of the web page need."""

from __future__ import annotations

import pytest

from automa.stores import SqliteStore


@pytest.fixture(autouse=True)
def _stores_are_closed(monkeypatch):
    """Close what a test has opened as another process would, and has not closed."""
    opened = []
    begin = SqliteStore.__init__

    def noted(store, *args, **options):
        begin(store, *args, **options)
        opened.append(store)

    monkeypatch.setattr(SqliteStore, "__init__", noted)
    yield
    for store in opened:
        store.close()
