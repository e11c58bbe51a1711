"""What all tests share: async tests run on a fresh event loop; the corpus is counted; Ctrl-C; modules of bench/."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Timing never decides a test; and in CI the examples are the same each time, so that a change is what fails it.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run an async test with asyncio.run: no plugin is needed for that."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


def pytest_terminal_summary(terminalreporter):
    """Count what the sagas of the corpus have shown, over all workers."""
    passed = terminalreporter.getreports("passed")
    shown = Counter(value for report in passed for name, value in report.user_properties if name == "corpus")
    for what, count in sorted(shown.items()):
        terminalreporter.write_line(f"corpus: {count} {what}")


@pytest.fixture
def ctrl_c():
    """Python's own handler for Ctrl-C, which a job in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def bench(monkeypatch):
    """Give what imports a module of bench/ by its name; none stays for other tests."""
    folder = Path(__file__).parents[1] / "bench"
    names = {path.stem for path in folder.rglob("*.py")}
    others = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    monkeypatch.syspath_prepend(folder / "subjects")
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module
    for name in names & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(others)
