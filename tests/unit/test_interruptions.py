"""Ctrl-C, exits and cancellations: what was done is undone, then they go on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from automa import Ended, Status, Step, Workflow


class Trace:
    """Steps that note what they do, and an observer that keeps the report of an interrupted run."""

    def __init__(self):
        self.calls = []
        self.report = None

    def on_record(self, record):
        if isinstance(record, Ended):
            self.report = record.report

    def step(self, id, run=None, undo=None):
        def default(kind):
            return lambda: self.calls.append(f"{kind} {id}")

        return Step(id, run=run or default("run"), undo=undo or default("undo"))


@pytest.fixture
def trace():
    return Trace()


def raises(error):
    def raise_it():
        raise error

    return raise_it


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_an_interruption_of_a_step_undoes_the_run_and_goes_on(trace, error):
    """KeyboardInterrupt, SystemExit and the like from a step: the run is undone, and they are raised again."""
    workflow = Workflow(
        "w", [trace.step("a"), trace.step("b", raises(error)), trace.step("c")], observers=[trace]
    )
    with pytest.raises(type(error)) as caught:
        workflow.start(run_id="r")
    assert caught.value is error
    assert trace.calls == ["run a", "undo b", "undo a"]
    assert trace.report.step_reports[1].detail == "unknown"
    assert trace.report.error is error
    assert "run r: workflow 'w' ended undone" in error.__notes__[0]


@pytest.mark.parametrize("mode", ["stop", "continue"])
def test_an_interruption_ends_a_run_whose_mode_does_not_undo(trace, mode):
    """In the modes stop and continue nothing is undone, and no further step starts."""
    steps = [trace.step("a"), trace.step("b", raises(KeyboardInterrupt())), trace.step("c")]
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps, mode=mode).start()
    assert trace.calls == ["run a"]


def test_an_interruption_inside_a_nested_workflow_undoes_all(trace):
    """An interruption in a nested workflow is undone there and outside."""
    inner = Workflow("inner", [trace.step("b"), trace.step("c", raises(KeyboardInterrupt()))])
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [trace.step("a"), inner, trace.step("d")]).start()
    assert trace.calls == ["run a", "run b", "undo c", "undo b", "undo a"]


def test_an_interruption_of_an_undo_does_not_stop_the_others(trace):
    """An undo that raises KeyboardInterrupt has failed; the rest is undone, and it is raised at the end."""
    steps = [
        trace.step("a"),
        trace.step("b", undo=raises(KeyboardInterrupt())),
        trace.step("c", raises(ValueError("x"))),
    ]
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps, observers=[trace]).start()
    assert trace.calls == ["run a", "run b", "undo c", "undo a"]
    assert isinstance(trace.report.error, ValueError)
    assert isinstance(trace.report.rollback_errors[0], KeyboardInterrupt)


def test_the_first_interruption_is_the_one_that_goes_on(trace):
    """A second interruption, from an undo, does not take the place of the first."""
    steps = [trace.step("a", undo=raises(KeyboardInterrupt())), trace.step("b", raises(SystemExit(3)))]
    with pytest.raises(SystemExit):
        Workflow("w", steps).start()


async def test_a_cancelled_step_is_undone_and_so_are_those_before(trace):
    """Cancelling an in-memory run undoes it, the step in flight included, and then the cancellation goes on."""
    started = asyncio.Event()

    async def hangs(ctx):
        started.set()
        await asyncio.sleep(3600)

    workflow = Workflow("w", [trace.step("a"), trace.step("b", hangs), trace.step("c")], observers=[trace])
    task = asyncio.create_task(workflow.start_async())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", "undo b", "undo a"]
    assert trace.report.step_reports[1].detail == "unknown"


async def test_three_cancels_do_not_interrupt_the_way_back(trace):
    """Cancelled again and again during an undo, every undo still runs to its end."""
    undoing = asyncio.Event()
    go_on = asyncio.Event()

    def slow(id):
        async def undo(ctx):
            undoing.set()
            await go_on.wait()
            await asyncio.sleep(0.001)
            trace.calls.append(f"undone {id}")

        return undo

    steps = [
        trace.step("a", undo=slow("a")),
        trace.step("b", undo=slow("b")),
        trace.step("c", raises(ValueError("x"))),
    ]
    task = asyncio.create_task(Workflow("w", steps, observers=[trace]).start_async())
    await undoing.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.001)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", "run b", "undo c", "undone b", "undone a"]
    assert trace.report.rollback_errors == []


async def test_a_cancel_while_a_thread_works_waits_for_its_answer(trace):
    """A sync step cannot be cancelled: its answer counts, it is undone with the rest, no further step starts."""
    started, go_on = threading.Event(), threading.Event()

    def works():
        started.set()
        go_on.wait(30)
        trace.calls.append("worked")

    workflow = Workflow("w", [trace.step("a"), trace.step("b", works), trace.step("c")], observers=[trace])
    task = asyncio.create_task(workflow.start_async())
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    await asyncio.sleep(0.01)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", "worked", "undo b", "undo a"]
    assert trace.report.step_reports[1].status is Status.SUCCESS


async def test_a_time_out_around_a_run_undoes_it(trace):
    """`asyncio.timeout` around start_async: the run is undone, then the time-out is raised."""

    async def hangs(ctx):
        await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Workflow("w", [trace.step("a"), trace.step("b", hangs)]).start_async()
    assert trace.calls == ["run a", "undo b", "undo a"]


async def test_a_sibling_that_fails_in_a_task_group_undoes_the_run(trace):
    """A TaskGroup that cancels its tasks waits until the run is undone."""
    started = asyncio.Event()

    async def hangs(ctx):
        started.set()
        await asyncio.sleep(3600)

    async def fails():
        await started.wait()
        raise ValueError("sibling")

    with pytest.raises(ExceptionGroup, match="unhandled errors in a TaskGroup"):
        async with asyncio.TaskGroup() as group:
            group.create_task(Workflow("w", [trace.step("a"), trace.step("b", hangs)]).start_async())
            group.create_task(fails())
    assert trace.calls == ["run a", "undo b", "undo a"]


def test_an_awaitable_that_can_only_be_cancelled_is_cancelled():
    """A future that turns up in a sync run is cancelled, since nobody will wait for it."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    report = Workflow("w", [Step("a", run=lambda: future)]).start()
    assert report.status is Status.FAILED
    assert future.cancelled()
    loop.close()


def test_an_awaitable_that_cannot_be_given_up_is_left():
    """An awaitable with neither close nor cancel fails its step like any other."""

    class Awaits:
        def __await__(self):
            yield

    assert Workflow("w", [Step("a", run=Awaits)]).start().status is Status.FAILED
