"""Ctrl-C, exits and cancellations: what was done is undone, then they go on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from automa import Ended, Outcome, Status, Step, Workflow
from automa.stores import MemoryStore


class Trace:
    """Steps that note what they do, and an observer that keeps the report of an interrupted run."""

    def __init__(self):
        self.calls = []
        self.report = None

    def on_record(self, record):
        if isinstance(record, Ended):
            self.report = record.report

    def step(self, id, run=None, undo=None, **options):
        def default(kind):
            return lambda: self.calls.append(f"{kind} {id}")

        return Step(id, run=run or default("run"), undo=undo or default("undo"), **options)


@pytest.fixture
def trace():
    return Trace()


class Column:
    """Where a run lives, and what an interruption means for it: a column of docs/explanation/cancellation.md."""

    def __init__(self, name):
        self.is_journaled = name != "memory"
        self.suspends = name == "suspend"  # the default of a journaled run
        self.store = MemoryStore()
        journaled = {"store": self.store} if self.suspends else {"store": self.store, "on_cancel": name}
        self.options = {"run_id": "r"} | (journaled if self.is_journaled else {})

    def undone(self, *calls):
        """Return the calls that an interruption of the way forward brings about."""
        return [] if self.suspends else list(calls)

    @property
    def outcome(self):
        return Outcome.SUSPENDED if self.suspends else Outcome.UNDONE


@pytest.fixture(params=["memory", "suspend", "rollback"])
def column(request):
    return Column(request.param)


def raises(error):
    def raise_it():
        raise error

    return raise_it


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KeyboardInterrupt(), marks=pytest.mark.cancellation("C1")),
        pytest.param(SystemExit(3), marks=pytest.mark.cancellation("C4")),
        pytest.param(GeneratorExit(), marks=pytest.mark.cancellation("C4")),
    ],
)
def test_an_interruption_of_a_step_goes_on(trace, column, error):
    """KeyboardInterrupt, SystemExit and the like from a step: undone or suspended, and raised again."""
    workflow = Workflow(
        "w", [trace.step("a"), trace.step("b", raises(error)), trace.step("c")], observers=[trace]
    )
    with pytest.raises(type(error)) as caught:
        workflow.start(**column.options)
    assert caught.value is error
    assert trace.calls == ["run a", *column.undone("undo b", "undo a")]
    assert trace.report.step_reports[1].detail == "unknown"
    assert trace.report.error is error
    assert f"run r: workflow 'w' ended {column.outcome}" in error.__notes__.pop()


@pytest.mark.cancellation("C2")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_between_two_steps_keeps_the_next_from_starting(trace, column):
    """Ctrl-C after a step has answered: the next is not called; undone or suspended, and raised again."""

    class Presses:
        def on_record(self, record):
            if getattr(record, "path", None) == "b":
                signal.raise_signal(signal.SIGINT)

    workflow = Workflow(
        "w", [trace.step("a"), trace.step("b"), trace.step("c")], observers=[trace, Presses()]
    )
    with pytest.raises(KeyboardInterrupt):
        workflow.start(**column.options)
    assert trace.calls == ["run a", *column.undone("undo a")]
    assert trace.report.outcome is column.outcome


@pytest.mark.cancellation("C3")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_an_undo_is_held_back(trace, column):
    """Ctrl-C, twice, while an undo works: that undo and those before it run to their end, then it is raised."""

    def presses():
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        trace.calls.append("undone b")

    steps = [trace.step("a"), trace.step("b", undo=presses), trace.step("c", raises(ValueError("x")))]
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps, observers=[trace]).start(**column.options)
    assert trace.calls == ["run a", "run b", "undo c", "undone b", "undo a"]
    assert trace.report.outcome is Outcome.UNDONE
    assert isinstance(trace.report.error, ValueError)


async def turns_of_the_loop():
    """Let the loop deliver what is due, a cancellation say."""
    for _ in range(5):
        await asyncio.sleep(0)


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


@pytest.mark.cancellation("C5")
def test_an_interruption_of_an_undo_does_not_stop_the_others(trace, column):
    """An undo that raises KeyboardInterrupt has failed; the rest is undone, and it is raised at the end."""
    steps = [
        trace.step("a"),
        trace.step("b", undo=raises(KeyboardInterrupt())),
        trace.step("c", raises(ValueError("x"))),
    ]
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps, observers=[trace]).start(**column.options)
    assert trace.calls == ["run a", "run b", "undo c", "undo a"]
    assert trace.report.outcome is Outcome.NEEDS_ATTENTION
    assert isinstance(trace.report.error, ValueError)
    assert isinstance(trace.report.rollback_errors[0], KeyboardInterrupt)


def test_the_first_interruption_is_the_one_that_goes_on(trace):
    """A second interruption, from an undo, does not take the place of the first."""
    steps = [trace.step("a", undo=raises(KeyboardInterrupt())), trace.step("b", raises(SystemExit(3)))]
    with pytest.raises(SystemExit):
        Workflow("w", steps).start()


@pytest.mark.cancellation("C6")
async def test_a_cancelled_step_is_undone_and_so_are_those_before(trace, column):
    """A cancel while an async step works: undone, that step included, or suspended; then the cancellation goes on."""
    started = asyncio.Event()

    async def hangs(ctx):
        started.set()
        await asyncio.sleep(3600)

    workflow = Workflow("w", [trace.step("a"), trace.step("b", hangs), trace.step("c")], observers=[trace])
    task = asyncio.create_task(workflow.start_async(**column.options))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", *column.undone("undo b", "undo a")]
    assert trace.report.step_reports[1].detail == "unknown"
    assert trace.report.outcome is column.outcome


@pytest.mark.parametrize(
    "cancels",
    [
        pytest.param(1, marks=pytest.mark.cancellation("C8")),
        pytest.param(3, marks=pytest.mark.cancellation("C9")),
    ],
)
async def test_cancels_do_not_interrupt_the_way_back(trace, column, cancels):
    """Cancelled during an undo, also again and again, every undo still runs to its end."""
    undoing = asyncio.Event()
    go_on = asyncio.Event()

    def slow(id):
        async def undo(ctx):
            undoing.set()
            await go_on.wait()
            await asyncio.sleep(0)
            trace.calls.append(f"undone {id}")

        return undo

    steps = [
        trace.step("a", undo=slow("a")),
        trace.step("b", undo=slow("b")),
        trace.step("c", raises(ValueError("x"))),
    ]
    task = asyncio.create_task(Workflow("w", steps, observers=[trace]).start_async(**column.options))
    await undoing.wait()
    for _ in range(cancels):
        task.cancel()
        await turns_of_the_loop()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", "run b", "undo c", "undone b", "undone a"]
    assert trace.report.rollback_errors == []
    assert trace.report.outcome is Outcome.UNDONE


@pytest.mark.cancellation("C7")
async def test_a_cancel_while_a_thread_works_waits_for_its_answer(trace, column):
    """A sync step cannot be cancelled: its answer counts, no further step starts; undone with the rest, or suspended."""
    started, go_on = threading.Event(), threading.Event()

    def works():
        started.set()
        go_on.wait(30)
        trace.calls.append("worked")

    workflow = Workflow("w", [trace.step("a"), trace.step("b", works), trace.step("c")], observers=[trace])
    task = asyncio.create_task(workflow.start_async(**column.options))
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    await turns_of_the_loop()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.calls == ["run a", "worked", *column.undone("undo b", "undo a")]
    assert trace.report.step_reports[1].status is Status.SUCCESS
    assert trace.report.outcome is column.outcome


@pytest.mark.cancellation("C10")
async def test_a_time_out_around_a_run_undoes_it(trace, column):
    """`asyncio.timeout` around start_async: the run is undone or suspended, then the time-out is raised."""

    async def hangs(ctx):
        time_out.reschedule(0)
        await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as time_out:
            workflow = Workflow("w", [trace.step("a"), trace.step("b", hangs)], observers=[trace])
            await workflow.start_async(**column.options)
    assert trace.calls == ["run a", *column.undone("undo b", "undo a")]
    assert trace.report.outcome is column.outcome


@pytest.mark.cancellation("C11")
async def test_a_sibling_that_fails_in_a_task_group_undoes_the_run(trace, column):
    """A TaskGroup that cancels its tasks waits until the run is undone, or suspended."""
    started = asyncio.Event()

    async def hangs(ctx):
        started.set()
        await asyncio.sleep(3600)

    async def fails():
        await started.wait()
        raise ValueError("sibling")

    with pytest.raises(ExceptionGroup, match="unhandled errors in a TaskGroup"):
        async with asyncio.TaskGroup() as group:
            workflow = Workflow("w", [trace.step("a"), trace.step("b", hangs)])
            group.create_task(workflow.start_async(**column.options))
            group.create_task(fails())
    assert trace.calls == ["run a", *column.undone("undo b", "undo a")]


LOOP = """
import asyncio, signal, sys
from automa import Step, Workflow

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

def say(text):
    print(text, flush=True)

async def wait(kind):
    say(kind + " at work")
    await asyncio.to_thread(sys.stdin.readline)
    say(kind + " done")

async def run_b():
    if {in_step}:
        await wait("run b")

async def undo_b():
    if not {in_step}:
        await wait("undo b")

async def undo_a():
    await asyncio.sleep(0)
    say("undo a done")

def fail():
    raise ValueError("x")

async def main():
    steps = [Step("a", run=lambda: None, undo=undo_a), Step("b", run=run_b, undo=undo_b), Step("c", run=fail)]
    await Workflow("w", steps).start_async({options})

try:
    asyncio.run(main())
except KeyboardInterrupt:
    say("interrupted")
"""


def ctrl_c_under_asyncio_run(options, *, in_step):
    """Press Ctrl-C while a step, or an undo, is at work; return the rest of what is told."""
    program = LOOP.replace("{options}", options).replace("{in_step}", str(in_step))
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout.readline().endswith("at work\n")
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate("go on\n", timeout=60)
    return told.splitlines()


@pytest.mark.cancellation("C6")
@pytest.mark.parametrize("options", ["", "store='memory:'", "store='memory:', on_cancel='rollback'"])
def test_ctrl_c_under_asyncio_run_cancels_the_step(options):
    """Ctrl-C under asyncio.run is a cancel of the task, and is raised as KeyboardInterrupt afterwards."""
    told = ctrl_c_under_asyncio_run(options, in_step=True)
    assert told == (["interrupted"] if options == "store='memory:'" else ["undo a done", "interrupted"])


@pytest.mark.cancellation("C12")
@pytest.mark.parametrize("options", ["", "store='memory:'", "store='memory:', on_cancel='rollback'"])
def test_ctrl_c_that_ends_asyncio_run_waits_for_the_way_back(options):
    """asyncio.run ended by Ctrl-C during an undo: every undo runs to its end, then KeyboardInterrupt is raised."""
    told = ctrl_c_under_asyncio_run(options, in_step=False)
    assert told == ["undo b done", "undo a done", "interrupted"]


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


def async_steps(calls, works):
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


@pytest.mark.cancellation("C23")
async def test_a_start_async_that_is_closed_undoes_what_was_done():
    """`coro.close()` while an async step is awaited: the step and those before it are undone."""
    calls = []

    async def hangs():
        await asyncio.Event().wait()

    running = Workflow("w", async_steps(calls, hangs)).start_async()
    running.send(None)
    running.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert calls == ["run a", "undo b", "undo a"]


@pytest.mark.cancellation("C22")
async def test_a_step_that_cancels_its_own_task_interrupts_the_run():
    """A cancel as the last act of an async step interrupts the run right after it: no further step starts."""
    calls = []

    async def cancels():
        calls.append("run b")
        asyncio.current_task().cancel()

    task = asyncio.create_task(Workflow("w", async_steps(calls, cancels)).start_async())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run a", "run b", "undo b", "undo a"]


@pytest.mark.cancellation("C22")
async def test_a_step_that_swallows_its_cancellation_does_not_keep_the_run_going():
    """An async step that catches its CancelledError and returns: its answer counts, and no further step starts."""
    calls, started = [], asyncio.Event()

    async def swallows():
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            calls.append("run b")

    task = asyncio.create_task(Workflow("w", async_steps(calls, swallows)).start_async())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run a", "run b", "undo b", "undo a"]


@pytest.mark.cancellation("C8")
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


@pytest.mark.cancellation("C17")
@pytest.mark.usefixtures("sigterm_exits")
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


@pytest.mark.cancellation("C17")
@pytest.mark.usefixtures("sigterm_exits")
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


@pytest.mark.cancellation("C17")
@pytest.mark.usefixtures("sigterm_exits")
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


@pytest.mark.cancellation("C24")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_does_not_wait_for_a_step_with_a_time_out(trace, column):
    """Ctrl-C while a step works in a thread of its own: it is left there, unknown, and undone where all is."""
    started, go_on = threading.Event(), threading.Event()

    def works():
        started.set()
        go_on.wait(30)

    def presses():
        started.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=presses)
    steps = [trace.step("a"), trace.step("b", works, timeout=3600)]
    workflow = Workflow("w", steps, observers=[trace], late_grace=0)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        workflow.start(**column.options)
    go_on.set()
    presser.join()
    assert trace.calls == ["run a", *column.undone("undo b", "undo a")]
    assert trace.report.step_reports[1].detail == "unknown"
