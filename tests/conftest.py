"""What all tests share: async tests run on a fresh event loop; what the corpus has shown is counted; Ctrl-C."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections import Counter

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
