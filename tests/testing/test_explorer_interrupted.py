"""Whoever explores can stop it, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import time

import pytest

from automa import Step, Workflow
from automa.runtime.launch import interposers
from automa.testing import DictWorld, DirectoryWorld, explore

pytestmark = pytest.mark.usefixtures("ctrl_c")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_ctrl_c_stops_an_exploration_wherever_it_falls(is_async):
    """It is not lost where an undo holds it back and the process of the case dies, nor after a cancellation."""
    world = DictWorld()
    calls = 0

    def explored_with_ctrl_c_at(number):
        nonlocal calls
        calls = 0

        def undo():
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGINT)
            world.data.pop("a", None)

        async def undo_async():
            undo()

        def make():
            run = lambda: world.data.__setitem__("a", 1)
            return Workflow("w", [Step("a", run=run, undo=undo_async if is_async else undo)])

        return explore(make, world)

    assert explored_with_ctrl_c_at(None).ok
    total = calls
    assert total > 20
    for number in range(1, total + 1):
        with pytest.raises(KeyboardInterrupt):
            explored_with_ctrl_c_at(number)
        assert not interposers
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not hasattr(os, "fork"), reason="real processes are forked")
def test_ctrl_c_ends_the_process_at_work_too():
    """With real processes none is left, not even one that does not come to its end."""
    world = DirectoryWorld()
    parent = os.getpid()

    def run():
        (world.path / "pid").write_text(str(os.getpid()))
        if os.getpid() != parent:
            os.kill(parent, signal.SIGINT)
            time.sleep(20)

    with pytest.raises(KeyboardInterrupt):
        explore(lambda: Workflow("w", [Step("a", run=run)]), world, process=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int((world.path / "pid").read_text()), 0)
