"""One check a pitfall: whoever has not fallen into it passes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path

from tests.naive.engines import Act

ROOT = Path(__file__).parents[2]


class World:
    """Notes what is called."""

    def __init__(self):
        self.calls = []

    def act(self, id, run=None, undo=None, **options):
        return Act(id, run or self.notes(f"run {id}"), undo or self.notes(f"undo {id}"), **options)

    def async_act(self, id, run=None, undo=None):
        return Act(id, run or self.notes_async(f"run {id}"), undo or self.notes_async(f"undo {id}"))

    def notes(self, call):
        return lambda: self.calls.append(call)

    def notes_async(self, call):
        """Return what passes two checkpoints before it has done its work."""

        async def work():
            await turns(2)
            self.calls.append(call)

        return work


def raises(error):
    def fail():
        raise error

    return fail


def raises_async(error):
    async def fail():
        raise error

    return fail


def hangs(started):
    async def work():
        started.set()
        await asyncio.Event().wait()

    return work


async def turns(count=10):
    """Let the loop do what is due."""
    for _ in range(count):
        await asyncio.sleep(0)


async def end_of(task):
    """Wait until a task has ended, however."""
    await asyncio.wait([task])
    return None if task.cancelled() else task.exception()


async def check_a_cancelled_run_is_undone(engine):
    """A cancelled run undoes what was done, and the cancellation goes on."""
    world, started = World(), asyncio.Event()
    acts = [world.async_act("a"), world.async_act("b", hangs(started))]
    task = asyncio.create_task(engine.run_async(acts))
    await started.wait()
    task.cancel()
    await end_of(task)
    assert world.calls == ["run a", "undo b", "undo a"]
    assert task.cancelled()


async def check_a_cancel_in_an_undo_lets_the_next_begin(engine):
    """Cancelled while an undo works, the run calls the undos before it too."""
    world, undoing, go_on = World(), asyncio.Event(), asyncio.Event()

    async def undo():
        undoing.set()
        await go_on.wait()
        world.calls.append("undo b")

    acts = [
        world.async_act("a"),
        world.async_act("b", undo=undo),
        world.async_act("c", raises_async(ValueError("x"))),
    ]
    task = asyncio.create_task(engine.run_async(acts))
    await undoing.wait()
    task.cancel()
    await turns()
    go_on.set()
    await end_of(task)
    await turns()
    assert world.calls == ["run a", "run b", "undo c", "undo b", "undo a"]


async def check_a_second_cancel_leaves_the_undo_whole(engine):
    """The cancellation that undoes the run is followed by another: the undo at work ends its work."""
    world, started, undoing, go_on = World(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def undo():
        undoing.set()
        await go_on.wait()
        world.calls.append("undo a")

    task = asyncio.create_task(engine.run_async([world.async_act("a", hangs(started), undo)]))
    await started.wait()
    task.cancel()
    await undoing.wait()
    task.cancel()
    await turns()
    go_on.set()
    await end_of(task)
    assert world.calls == ["undo a"]


async def check_a_cancel_at_every_checkpoint_leaves_the_undos_whole(engine):
    """Cancelled again at each turn of the loop, as anyio's scopes do it, the run is undone whole."""
    world, started = World(), asyncio.Event()
    acts = [world.async_act("a"), world.async_act("b", hangs(started))]
    task = asyncio.create_task(engine.run_async(acts))
    await started.wait()
    while not task.done():
        task.cancel()
        await turns(1)
    assert world.calls == ["run a", "undo b", "undo a"]


def check_sigterm_undoes(engine):
    """A program that gets SIGTERM while a step works undoes what was done before it ends."""
    told, pipe = [], subprocess.PIPE
    with subprocess.Popen(
        engine.program(), cwd=ROOT, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True
    ) as process:
        for line in process.stderr:
            told.append(line.strip())
            if told[-1] == "at work":
                process.terminate()
            elif "SIGTERM" in line:  # whoever hears of it says so, and may wait for the step
                process.stdin.write("\n")
                process.stdin.flush()
    assert "at work" in told
    assert "undo a" in told


async def check_a_time_out_leaves_no_late_effect(engine):
    """A sync step that runs out of time is undone after its thread has ended, not before."""
    world, started, go_on, ended = World(), threading.Event(), threading.Event(), threading.Event()
    seconds = 0.1

    def late():
        started.set()
        go_on.wait(30)
        world.calls.append("run a")
        ended.set()

    await asyncio.to_thread(int)  # so that there is a thread
    task = asyncio.create_task(engine.run_async([world.act("a", late, timeout=seconds)]))
    await asyncio.to_thread(started.wait, 30)
    await asyncio.sleep(2 * seconds)  # the loop's timers go off in order: the step's own first
    await turns()
    go_on.set()
    await end_of(task)
    await asyncio.to_thread(ended.wait, 30)
    assert world.calls == ["run a", "undo a"]


async def check_a_branch_that_is_cut_off_is_undone(engine):
    """A branch that a failing sibling cancels may have had its effect: it is undone."""
    world, started = World(), asyncio.Event()

    async def work():
        world.calls.append("run a")
        await hangs(started)()

    async def fail():
        await started.wait()
        raise ValueError("x")

    await engine.run_parallel([world.async_act("a", work), world.async_act("b", fail)])
    assert "undo a" in world.calls


def check_a_failed_undo_is_not_told_as_undone(engine):
    """A run with an undo that has failed is not said to be undone."""
    world = World()
    acts = [world.act("a", undo=raises(OSError("stuck"))), world.act("b", raises(ValueError("first")))]
    with contextlib.suppress(OSError):
        assert not engine.run(acts).is_undone


def check_a_failed_undo_keeps_the_first_error(engine):
    """An undo that fails keeps neither the first error from being told nor the others from being undone."""
    world, first = World(), ValueError("first")
    acts = [world.act("a"), world.act("b", undo=raises(OSError("stuck"))), world.act("c", raises(first))]
    try:
        error = engine.run(acts).error
    except Exception as raised:
        error = raised
    assert error is first
    assert world.calls == ["run a", "run b", "undo c", "undo a"]


class EndlessError(BaseException):
    """Ends what does not end."""


def check_a_failing_undo_is_given_up(engine):
    """An undo that always fails is called a few times at most."""
    world, most = World(), 100

    def undo():
        world.calls.append("undo a")
        if len(world.calls) > most:
            raise EndlessError
        raise OSError("stuck")

    with contextlib.suppress(EndlessError):
        engine.run([world.act("a", raises(ValueError("first")), undo)])
    assert len(world.calls) < most


def check_retries_of_a_step_are_not_those_of_its_undo(engine):
    """A step that may be tried three times has an undo that is called once."""
    world = World()

    def fails(call):
        def work():
            world.calls.append(call)
            raise OSError(call)

        return work

    engine.run([world.act("a", fails("run"), fails("undo"), attempts=3)])
    assert world.calls == ["run", "run", "run", "undo"]


def check_the_end_is_told_once(engine):
    """Whoever listens for the end of a run hears of it once, whichever end it is."""
    world = World()
    fail = raises(ValueError("first"))
    for acts in (
        [world.act("a")],
        [world.act("a"), world.act("b", fail)],
        [world.act("a"), world.act("b", fail, raises(OSError("stuck")))],
    ):
        ends = []
        with contextlib.suppress(OSError):
            engine.run(acts, on_end=lambda: ends.append(1))
        assert len(ends) == 1


@contextlib.contextmanager
def begun(engine, acts):
    """Begin a journaled run that is interrupted; give the folder of its journal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.suppress(KeyboardInterrupt):
            engine.begin(acts, folder)
        yield folder


def check_a_mended_step_is_resumed(engine):
    """A run is resumed although the code of a step has changed meanwhile."""
    world = World()
    a, c = world.act("a"), world.act("c")
    with begun(engine, [a, world.act("b", raises(KeyboardInterrupt())), c]) as folder:
        engine.resume([a, world.act("b"), c], folder)
    assert world.calls == ["run a", "run b", "run c"]


def check_a_journal_needs_no_classes(engine):
    """A run is resumed although the class of a result is gone."""
    world = World()
    module = sys.modules["seats"] = types.ModuleType("seats")
    try:
        module.Seat = dataclasses.make_dataclass("Seat", ["number"])
        module.Seat.__module__ = "seats"
        stops = world.act("b", raises(KeyboardInterrupt()))
        with begun(engine, [world.act("a", lambda: module.Seat(12)), stops]) as folder:
            del module.Seat
            engine.resume([world.act("a"), world.act("b")], folder)
    finally:
        del sys.modules["seats"]
    assert world.calls == ["run b"]


def check_a_step_that_fails_half_way_is_undone(engine):
    """A step that has raised may have had its effect: its own undo is called too."""
    world = World()

    def half():
        world.calls.append("half of b")
        raise ValueError("x")

    engine.run([world.act("a"), world.act("b", half)])
    assert world.calls == ["run a", "half of b", "undo b", "undo a"]


async def check_an_undo_does_not_come_before_its_action(engine):
    """A run that is cancelled while a thread works is undone after the thread has ended, not before."""
    world, started, go_on, ended = World(), threading.Event(), threading.Event(), threading.Event()

    def work():
        started.set()
        go_on.wait(30)
        world.calls.append("run a")
        ended.set()

    task = asyncio.create_task(engine.run_async([world.act("a", work)]))
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    await turns()
    go_on.set()
    await end_of(task)
    await asyncio.to_thread(ended.wait, 30)
    assert world.calls == ["run a", "undo a"]
