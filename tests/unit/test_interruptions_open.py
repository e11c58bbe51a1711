"""What an interruption does not do yet: each test is to pass some day, and then moves to test_interruptions."""

from __future__ import annotations

import asyncio
import signal

import pytest

from automa import Step, Workflow


def steps(calls, works):
    """Three async steps, so that no thread is waited for; the second does what is given."""

    def notes(call):
        async def work():
            calls.append(call)

        return work

    return [
        Step("a", run=notes("run a"), undo=notes("undo a")),
        Step("b", run=works, undo=notes("undo b")),
        Step("c", run=notes("run c"), undo=notes("undo c")),
    ]


@pytest.mark.xfail(strict=True, reason="the way back awaits, which a coroutine that is closed must not")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_start_async_that_is_closed_undoes_what_was_done():
    """`coro.close()` while an async step is awaited: the step and those before it are undone."""
    calls = []

    async def hangs():
        await asyncio.Event().wait()

    running = Workflow("w", steps(calls, hangs)).start_async()
    running.send(None)
    running.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert calls == ["run a", "undo b", "undo a"]


@pytest.mark.xfail(
    strict=True, reason="the cancellation arrives at the next await, which may be past the run"
)
async def test_a_step_that_cancels_its_own_task_interrupts_the_run():
    """A cancel as the last act of an async step interrupts the run right after it: no further step starts."""
    calls = []

    async def cancels():
        calls.append("run b")
        asyncio.current_task().cancel()

    task = asyncio.create_task(Workflow("w", steps(calls, cancels)).start_async())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run a", "run b", "undo b", "undo a"]


@pytest.mark.xfail(strict=True, reason="only a CancelledError that comes out of the step is noticed")
async def test_a_step_that_swallows_its_cancellation_does_not_keep_the_run_going():
    """An async step that catches its CancelledError and returns: its answer counts, and no further step starts."""
    calls, started = [], asyncio.Event()

    async def swallows():
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            calls.append("run b")

    task = asyncio.create_task(Workflow("w", steps(calls, swallows)).start_async())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run a", "run b", "undo b", "undo a"]


@pytest.mark.xfail(strict=True, reason="all undos share a task, whose cancellation arrives in the next undo")
async def test_an_undo_that_cancels_its_own_task_leaves_the_next_one_whole():
    """A cancel as the last act of an async undo interrupts the run, and cuts off none of the others."""
    calls = []

    async def undo_a():
        await asyncio.sleep(0)
        calls.append("undo a")

    async def undo_b():
        calls.append("undo b")
        asyncio.current_task().cancel()

    def fail():
        raise ValueError("x")

    workflow = Workflow(
        "w",
        [
            Step("a", run=lambda: None, undo=undo_a),
            Step("b", run=lambda: None, undo=undo_b),
            Step("c", run=fail),
        ],
    )
    with pytest.raises(asyncio.CancelledError):
        await workflow.start_async()
    assert calls == ["undo b", "undo a"]


@pytest.fixture
def sigterm_exits():
    """A handler for SIGTERM that raises SystemExit, as many programs have one."""

    def leave(number, frame):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_exits")
@pytest.mark.xfail(strict=True, reason="only Ctrl-C is held back while the engine works")
def test_an_exit_raised_by_a_handler_between_two_steps_undoes_the_run():
    """SIGTERM, made a SystemExit, between two steps: what was done is undone, and it is raised."""
    calls = []

    class Presses(Step):
        def __copy__(self):
            if calls:
                signal.raise_signal(signal.SIGTERM)
            return super().__copy__()

    first = Step("a", run=lambda: calls.append("run a"), undo=lambda: calls.append("undo a"))
    with pytest.raises(SystemExit):
        Workflow("w", [first, Step("b"), Presses("c")]).start()
    assert calls == ["run a", "undo a"]


@pytest.mark.usefixtures("sigterm_exits")
@pytest.mark.xfail(
    strict=True, reason="a SystemExit in an observer is taken for a console whose reader has gone"
)
def test_an_exit_raised_by_a_handler_in_an_observer_undoes_the_run():
    """SIGTERM, made a SystemExit, while an observer works: what was done is undone, and it is raised."""
    calls = []

    class Presses:
        def on_record(self, record):
            if getattr(record, "path", None) == "b":
                signal.raise_signal(signal.SIGTERM)

    def run(id):
        return lambda: calls.append(f"run {id}")

    first = Step("a", run=run("a"), undo=lambda: calls.append("undo a"))
    with pytest.raises(SystemExit):
        Workflow("w", [first, Step("b", run=run("b"))], observers=[Presses()]).start()
    assert calls == ["run a", "undo a"]


@pytest.mark.usefixtures("sigterm_exits")
@pytest.mark.xfail(strict=True, reason="only Ctrl-C is held back while an undo works")
def test_an_exit_raised_by_a_handler_in_an_undo_waits():
    """SIGTERM, made a SystemExit, while an undo works: the undo runs to its end, then it is raised."""
    calls = []

    def undo():
        signal.raise_signal(signal.SIGTERM)
        calls.append("undone a")

    def fail():
        raise ValueError("x")

    with pytest.raises(SystemExit):
        Workflow("w", [Step("a", run=lambda: None, undo=undo), Step("b", run=fail)]).start()
    assert calls == ["undone a"]
