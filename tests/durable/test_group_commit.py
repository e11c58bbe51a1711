"""Many runs in one SQLite file share commits, each of them is told what became of its own write, and nobody else waits."""

from __future__ import annotations

import asyncio
import gc
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from automa import Parallel, RunExistsError, RunNotFoundError, Step, StoreError, Workflow
from automa.stores import SqliteStore, group_commit, open_store

ENTRIES = [{"begun": 1, "workflow": "w", "at": 1_700_000_000_000_000}]


@pytest.fixture
def store(tmp_path):
    """A store on a new file."""
    with closing(SqliteStore(tmp_path / "runs.db")) as store:
        yield store


class Failing:
    """A connection some of whose commits fail."""

    def __init__(self, connection, error, *, begins_with="COMMIT", after=0):
        self.connection = connection
        self.error = error
        self.begins_with = begins_with
        self.left = after

    def execute(self, sql, *arguments):
        """Execute a statement, or fail."""
        if self.error is not None and sql.startswith(self.begins_with):
            self.left -= 1
            if self.left < 0:
                raise self.error
        return self.connection.execute(sql, *arguments)

    def close(self):
        """Close the real one."""
        self.connection.close()


def wait_until(is_so):
    """Wait until something is so; nothing else is decided by time."""
    waiting = threading.Event()
    while not is_so():
        waiting.wait(0.001)


async def lined_up(store):
    """Wait, on a loop, until a write waits for its commit."""
    while not store._commits._queue:  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0.001)


@pytest.mark.guarantee("G9")
@pytest.mark.parametrize("error", [MemoryError(), sqlite3.OperationalError("disk I/O error")], ids=repr)
def test_a_commit_that_fails_has_failed_for_all_who_wait_for_it(store, error):
    """Where a commit fails, even for want of memory, none of those who share it takes its write for durable."""
    leases = [store.create("w", f"r{number}") for number in range(3)]
    told = {}

    def append(number):
        try:
            leases[number].append(ENTRIES, "running")
            told[number] = "written"
        except StoreError:
            told[number] = "refused"

    store._commits.connection = failing = Failing(store._commits.connection, error)
    threads = [threading.Thread(target=append, args=[number]) for number in range(3)]
    with store._commits.lock:  # so that all are there when it begins
        for thread in threads:
            thread.start()
        wait_until(lambda: len(store._commits._queue) == 3)
    for thread in threads:
        thread.join()
    assert told == dict.fromkeys(range(3), "refused")
    assert list(store.runs()) == []
    failing.error = None
    leases[0].append(ENTRIES, "running")
    assert [info.run_id for info in store.runs()] == ["r0"]


def test_an_interrupt_while_committing_is_raised_and_nobody_is_told_that_it_went_well(store):
    """Ctrl-C in the thread that commits for others goes on there; the others are told that nothing was written."""
    leases = [store.create("w", "led"), store.create("w", "follows")]
    told = []

    def follow():
        wait_until(lambda: store._commits._queue)
        try:
            leases[1].append(ENTRIES, "running")
        except StoreError:
            told.append("refused")

    store._commits.connection = Failing(store._commits.connection, KeyboardInterrupt())
    thread = threading.Thread(target=follow)
    store._commits.lock.acquire()
    thread.start()
    releasing = threading.Thread(
        target=lambda: (wait_until(lambda: len(store._commits._queue) == 2), store._commits.lock.release())
    )
    releasing.start()
    with pytest.raises(KeyboardInterrupt):
        leases[0].append(ENTRIES, "running")
    thread.join()
    releasing.join()
    assert told == ["refused"]


def test_many_async_runs_share_commits(store):
    """A hundred async runs at once end well, with fewer commits than a tenth of their writes."""
    commits = []
    store._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

    async def work():
        pass

    workflow = Workflow("w", [Step(f"s{number}", run=work) for number in range(10)])

    async def main():
        return await asyncio.gather(*(workflow.start_async(store=store) for _ in range(100)))

    reports = asyncio.run(main())
    assert {report.outcome for report in reports} == {"succeeded"}
    assert len(list(store.runs(status="succeeded"))) == 100
    assert len(commits) < 100 * 11 / 10


@pytest.mark.guarantee("G9")
def test_async_runs_whose_commit_fails_stop_and_can_be_resumed(store):
    """Where the disk fails under many async runs, each stops before its next step, and a resume ends each of them."""
    ran = []

    def step(name):
        async def work(ctx):
            ran.append((ctx.run_id, name))

        return Step(name, run=work)

    workflow = Workflow("w", [step("a"), step("b"), step("c")])
    real = store._commits.connection
    store._commits.connection = Failing(
        real,
        sqlite3.OperationalError("disk I/O error"),
        begins_with=("COMMIT", "INSERT INTO writes SELECT"),
        after=3,
    )

    async def main():
        return await asyncio.gather(
            *(workflow.start_async(store=store, run_id=f"r{number}") for number in range(8))
        )

    reports = asyncio.run(main())
    assert {report.outcome for report in reports} == {"infrastructure_error"}
    assert all(isinstance(report.error, StoreError) for report in reports)
    assert all(ran.count((report.run_id, "c")) == 0 for report in reports)
    store._commits.connection = real
    for number in range(8):
        assert asyncio.run(workflow.resume_async(f"r{number}", store=store)).outcome == "succeeded"
        for name in "bc":
            assert ran.count((f"r{number}", name)) in {1, 2}
    assert len(list(store.runs(status="succeeded"))) == 8


@pytest.mark.guarantee("G7")
def test_of_two_tasks_that_start_a_run_one_does(store):
    """Tasks that start the same run id at the same moment: one starts it, the other is refused."""
    ran = []

    async def work():
        ran.append("a")

    workflow = Workflow("w", [Step("a", run=work)])

    async def main():
        starts = (workflow.start_async(store=store, run_id="r") for _ in range(2))
        return await asyncio.gather(*starts, return_exceptions=True)

    first, second = asyncio.run(main())
    assert first.outcome == "succeeded"
    assert isinstance(second, RunExistsError)
    assert ran == ["a"]


def test_a_run_that_is_cancelled_while_it_is_written_has_written_it(store):
    """A task that is cancelled, thrice, while a commit goes on hears of it when that is done; nothing is lost."""
    began = threading.Event()

    async def work():
        began.set()

    workflow = Workflow("w", [Step("a", run=work), Step("b", run=work)])

    async def main():
        task = asyncio.create_task(workflow.start_async(store=store, run_id="r"))
        await lined_up(store)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        store._commits.lock.release()
        with pytest.raises(asyncio.CancelledError):
            await task

    workflow_without_loop().start(store=store)  # what is done once is done
    store._commits.lock.acquire()
    asyncio.run(main())
    assert not began.is_set()
    kinds = [next(iter(entry)) for entry in store.load("w", "r")]
    assert kinds[0] == "begun"
    assert kinds[-1] == "suspended"
    assert asyncio.run(workflow.resume_async("r", store=store)).outcome == "succeeded"


@pytest.mark.guarantee("G9")
@pytest.mark.parametrize("kind", ["sqlite", "file", "memory"])
def test_a_run_whose_coroutine_is_closed_while_it_is_written_is_given_back(kind, tmp_path):
    """A coroutine that is closed while a commit goes on leaves a run that is suspended, which a resume ends."""
    ran = []

    async def work(ctx):
        ran.append(ctx.step_id)

    workflow = Workflow("w", [Step("a", run=work), Step("b", run=work)])

    async def main(store):
        wrong = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: wrong.append(context))
        run = workflow.start_async(store=store, run_id="r")
        run.send(None)  # as a task does: now it waits for its first write
        run.close()
        while not [info for info in store.runs() if not info.is_owned]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.001)
        assert [info.status for info in store.runs()] == ["suspended"]
        assert (await workflow.resume_async("r", store=store)).outcome == "succeeded"
        assert wrong == []

    urls = {"sqlite": f"sqlite:///{tmp_path}/runs.db", "file": f"file:{tmp_path}/runs", "memory": "memory:"}
    with closing(open_store(urls[kind])) as opened:
        asyncio.run(main(opened))
    assert ran == ["a", "b"]


def test_a_coroutine_that_is_closed_while_a_run_is_refused_is_no_run(store):
    """A coroutine that is closed while its first commit goes on, which finds that the run exists, leaves that run as it is."""

    async def work():
        pass

    workflow = Workflow("w", [Step("a", run=work)])

    async def main():
        wrong = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: wrong.append(context))
        first, second = (workflow.start_async(store=store, run_id="r") for _ in range(2))
        with store._commits.lock:  # so that the second is refused by the commit alone
            first.send(None)
            second.send(None)
        second.close()
        while not wrong:  # as above
            await asyncio.sleep(0.001)
            gc.collect()
        first.close()
        while any(info.is_owned for info in store.runs()):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.001)
        return wrong

    workflow_without_loop().start(store=store)  # what is done once is done
    (context,) = asyncio.run(main())
    assert isinstance(context["exception"], RunExistsError)
    assert asyncio.run(workflow.resume_async("r", store=store)).outcome == "succeeded"


def test_a_loop_that_is_closed_while_a_run_is_written_holds_up_nobody(store):
    """Where a loop is gone when its write is done, the write counts, and other runs go on."""

    async def work():
        pass

    workflow = Workflow("w", [Step("a", run=work)])
    workflow_without_loop().start(store=store)  # what is done once is done
    loop = asyncio.new_event_loop()
    with store._commits.lock:
        task = loop.create_task(workflow.start_async(store=store, run_id="r"))
        loop.run_until_complete(lined_up(store))
        task._log_destroy_pending = False
        loop.close()
    assert workflow_without_loop().start(store=store).outcome == "succeeded"
    wait_until(lambda: any(info.run_id == "r" for info in store.runs()))


def workflow_without_loop():
    """Return a workflow whose step is not async."""
    return Workflow("other", [Step("a", run=lambda: None)])


def test_without_a_thread_to_be_had_the_caller_commits(store):
    """Where the store can have no thread, as at the end of the interpreter, async runs are written all the same."""
    store._commits._leaders = ThreadPoolExecutor(1)
    store._commits._leaders.shutdown()

    async def work():
        pass

    report = asyncio.run(Workflow("w", [Step("a", run=work)]).start_async(store=store))
    assert report.outcome == "succeeded"


def test_a_thread_that_cannot_be_had_leaves_no_second_leader(store, monkeypatch):
    """Where a thread cannot be started now and then, each write is told once, and nobody waits for ever."""

    async def work():
        pass

    start = threading.Thread.start
    refused = []

    def start_or_not(thread):
        if thread.name.startswith("automa-journal") and len(refused) < 3:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_not)
    workflow = Workflow("w", [Step(f"s{number}", run=work) for number in range(10)])
    sync = Workflow("other", [Step(f"s{number}", run=lambda: None) for number in range(10)])
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(sync.start(store=store))) for _ in range(4)]

    async def main():
        first = await workflow.start_async(store=store)
        for thread in threads:
            thread.start()
        return [first, *await asyncio.gather(*(workflow.start_async(store=store) for _ in range(20)))]

    reports += asyncio.run(main())
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert [report.outcome for report in reports] == ["succeeded"] * 25
    assert not store._commits._has_leader


@pytest.mark.guarantee("G7")
def test_ctrl_c_while_waiting_for_a_commit_leaves_nobody_alone(store):
    """Ctrl-C in a thread that waits for the commit of another is raised; the run is free, and others go on."""
    workflow_without_loop().start(store=store, run_id="r")
    lease = store.create("w", "led")
    leading = threading.Thread(target=lambda: lease.append(ENTRIES, "running"))

    def is_waiting():
        frame = sys._current_frames()[threading.main_thread().ident]
        return frame.f_code is group_commit._Job.wait.__code__

    def interrupt():
        wait_until(is_waiting)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        wait_until(lambda: interrupted)
        store._commits.lock.release()

    interrupted = []

    def note(*_):
        interrupted.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        store._commits.lock.acquire()
        leading.start()
        wait_until(lambda: len(store._commits._queue) == 1)
        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            store.take("other", "r")
    finally:
        signal.signal(signal.SIGINT, before)
    interrupting.join()
    leading.join()
    lease.release()
    store.take("other", "r").release()
    assert {info.is_owned for info in store.runs()} == {False}


class InterruptedAt:
    """Interrupts a thread at the n-th moment of a shared commit: Python looks for signals at calls and returns.

    It is a profile function.
    """

    def __init__(self, number):
        self.left = number
        self.has_come = False

    def __call__(self, frame, event, argument):
        """Interrupt where it is time; `c_call` comes before a lock is given back, `c_return` after it."""
        if frame.f_code.co_filename == group_commit.__file__ and event in {"call", "return", "c_return"}:
            self.left -= 1
            if self.left == 0:
                self.has_come = True
                raise KeyboardInterrupt


class HeldUp:
    """A connection that waits until it may go on."""

    def __init__(self, connection):
        self.connection = connection
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()

    def execute(self, *arguments):
        """Execute a statement, if need be later."""
        self.is_reached.set()
        self.may_go_on.wait()
        return self.connection.execute(*arguments)


@pytest.mark.guarantee("G9")
@pytest.mark.parametrize("later_writes", ["append", "append_soon"])
@pytest.mark.parametrize("writes", ["append", "append_soon"])
@pytest.mark.parametrize("role", ["first", "second"])
def test_at_whatever_moment_ctrl_c_comes_nobody_is_left_waiting(store, role, writes, later_writes):
    """Ctrl-C at each moment of a write, by who leads the commit or is to lead the next one, is raised; all others are told, and can write."""
    number = 0
    is_over = False
    while not is_over:
        number += 1
        is_over = not is_interrupted_well(store, role, writes, later_writes, number)
    assert number > 10


def is_interrupted_well(store, role, writes, later_writes, number):
    """Interrupt a write at its n-th moment, see that all is well, and return whether it has so many."""
    commits, real = store._commits, store._commits.connection
    told = dict.fromkeys(["earlier", "interrupted", "later"])
    leases = {name: store.create("w", f"{role} {number} {name}") for name in told}
    interruption = InterruptedAt(number)

    def append(name):
        error = None
        if later_writes == "append":
            try:
                leases[name].append(ENTRIES, "running")
            except StoreError as refusal:
                error = refusal
        else:
            answer = queue.SimpleQueue()
            leases[name].append_soon(ENTRIES, "running", answer.put)
            error = answer.get()
        told[name] = "written" if error is None else "refused"

    def let_go():
        wait_until(lambda: commits._queue or interruption.has_come)
        threads["later"].start()
        wait_until(lambda: len(commits._queue) == 2 or interruption.has_come)
        if role == "first":
            commits.lock.release()
        else:
            held_up.may_go_on.set()

    threads = {
        name: threading.Thread(target=append, args=[name], name=name, daemon=True)
        for name in ("earlier", "later")
    }
    held_up = commits.connection = HeldUp(real)
    if role == "first":
        commits.lock.acquire()
        held_up.may_go_on.set()
    else:
        threads["earlier"].start()
        held_up.is_reached.wait()
    letting_go = threading.Thread(target=let_go, daemon=True)
    letting_go.start()
    answers = []
    sys.setprofile(interruption)
    try:
        if writes == "append":
            leases["interrupted"].append(ENTRIES, "running")
        else:
            leases["interrupted"].append_soon(ENTRIES, "running", answers.append)
        told["interrupted"] = "written"
    except KeyboardInterrupt:
        told["interrupted"] = "interrupted"
    finally:
        sys.setprofile(None)
    letting_go.join(60)
    for thread in threads.values():
        if thread.ident is not None:
            thread.join(60)
            assert not thread.is_alive()
    commits.connection = real
    assert told["interrupted"] == ("interrupted" if interruption.has_come else "written")
    assert told["later"] in {"written", "refused"}
    assert told["earlier"] == (None if role == "first" else "written")
    if writes == "append_soon" and not interruption.has_come:
        wait_until(lambda: answers)
        assert answers == [None]
    there = {info.run_id for info in store.runs()}
    for name, what in told.items():
        if what == "written":
            assert f"{role} {number} {name}" in there
            leases[name].append(ENTRIES, "running")
    assert workflow_without_loop().start(store=store).outcome == "succeeded"
    for lease in leases.values():
        lease.release()
    return interruption.has_come


class InterruptedAfterCommit:
    """A connection whose next commit is interrupted once it is durable."""

    def __init__(self, connection):
        self.connection = connection
        self.has_come = False

    def execute(self, sql, *arguments):
        """Execute a statement; be interrupted after the first commit."""
        done = self.connection.execute(sql, *arguments)
        if sql == "COMMIT" and not self.has_come:
            self.has_come = True
            raise KeyboardInterrupt
        return done


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize("what", ["start", "take"])
def test_ctrl_c_when_a_run_has_just_become_ours_leaves_it_to_others(store, what):
    """A process that goes on after Ctrl-C, which came when the start or take of a run was durable, does not keep others from it."""
    workflow = workflow_without_loop()
    if what == "take":
        workflow.start(store=store, run_id="r")
    store._commits.connection = InterruptedAfterCommit(store._commits.connection)
    with pytest.raises(KeyboardInterrupt):
        workflow.start(store=store, run_id="r") if what == "start" else store.take("other", "r")
    with closing(SqliteStore(store.path)) as elsewhere:
        assert [(info.run_id, info.is_owned) for info in elsewhere.runs()] == [("r", False)]
        assert workflow.resume("r", store=elsewhere).outcome == "succeeded"
    assert workflow.start(store=store, run_id="another").outcome == "succeeded"


@pytest.mark.guarantee("G9")
def test_who_is_to_lead_may_hear_of_it_before_it_waits(store, monkeypatch):
    """Threads that are woken before they have begun to wait lead and write as others do, and nobody is left waiting."""
    wait = group_commit._Job.wait

    def wait_late(job):
        wait_until(lambda: not job._signal.locked())
        wait(job)

    monkeypatch.setattr(group_commit._Job, "wait", wait_late)
    workflow = Workflow("w", [Step(f"s{number}", run=lambda: None) for number in range(5)])
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(workflow.start(store=store)), daemon=True)
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [report.outcome for report in reports] == ["succeeded"] * 8


@pytest.mark.guarantee("G9")
def test_ctrl_c_in_the_leader_before_it_commits_is_raised_after_it(store):
    """Ctrl-C in the thread that is about to commit is raised once it has committed, for the others too."""

    class InterruptedOnce:
        def __init__(self, lock):
            self.lock = lock
            self.is_interrupted = False

        def __enter__(self):
            if not self.is_interrupted:
                self.is_interrupted = True
                wait_until(lambda: len(store._commits._queue) == 2)
                raise KeyboardInterrupt
            return self.lock.__enter__()

        def __exit__(self, *raised):
            return self.lock.__exit__(*raised)

    workflow_without_loop().start(store=store)  # what is done once is done
    leases = [store.create("w", "led"), store.create("w", "follows")]
    store._commits.lock = InterruptedOnce(store._commits.lock)

    def follow():
        wait_until(lambda: store._commits._queue)
        leases[1].append(ENTRIES, "running")

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    with pytest.raises(KeyboardInterrupt):
        leases[0].append(ENTRIES, "running")
    following.join(60)
    assert not following.is_alive()
    assert {info.run_id for info in store.runs(workflow_id="w")} == {"led", "follows"}


@pytest.mark.guarantee("G9")
def test_a_lease_that_fails_at_once_stops_the_run(store, monkeypatch):
    """Where a write of an async run fails before it is lined up, the run stops as any other does."""

    async def work():
        pass

    def fail(*_, **__):
        raise MemoryError

    workflow = Workflow("w", [Step("a", run=work)])
    monkeypatch.setattr(store, "append_soon", fail)
    report = asyncio.run(workflow.start_async(store=store))
    assert report.outcome == "infrastructure_error"
    assert isinstance(report.error, StoreError)


def test_a_run_that_is_deleted_while_it_is_read_is_not_there(store, monkeypatch):
    """A run of which only the row is left to be read, since it is being deleted, is told as not there."""
    workflow_without_loop().start(store=store, run_id="r")
    store._connection.execute("DELETE FROM writes")
    with pytest.raises(RunNotFoundError):
        store.load("other", "r")


@pytest.mark.parametrize("has_used_asyncio", [False, True])
def test_a_loop_that_is_closed_is_not_kept(store, has_used_asyncio):
    """A loop that was closed while a run was written is forgotten with it, and the run is free."""
    asyncio.set_event_loop_policy(None)  # as in a new process: `asyncio.run` leaves its trace
    if has_used_asyncio:
        asyncio.run(asyncio.sleep(0))
    ended = threading.Event()

    async def work():
        pass

    workflow_without_loop().start(store=store)  # what is done once is done
    loop = asyncio.new_event_loop()
    with store._commits.lock:
        task = loop.create_task(Workflow("w", [Step("a", run=work)]).start_async(store=store, run_id="r"))
        loop.run_until_complete(lined_up(store))
        task._log_destroy_pending = False
        loop.close()
    weakref.finalize(loop, ended.set)
    wait_until(lambda: any(info.run_id == "r" for info in store.runs()))
    del task, loop
    wait_until(lambda: gc.collect() is not None and ended.is_set())
    wait_until(lambda: not any(info.is_owned for info in store.runs()))


def test_a_run_that_is_collected_as_garbage_while_its_thread_writes_another_holds_up_nobody(store):
    """Where the garbage collector finds a run of a closed loop in the thread that commits, all go on, and that run is free."""
    abandoned = []

    async def wait_for_ever():
        await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    task = loop.create_task(
        Workflow("w", [Step("a", run=wait_for_ever)]).start_async(store=store, run_id="r")
    )
    while not list(store.runs()):
        loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False
    loop.close()
    abandoned.append(task)
    del task, loop

    class CollectsGarbage:
        def __init__(self, connection):
            self.connection = connection

        def execute(self, *arguments):
            abandoned.clear()
            gc.collect()
            return self.connection.execute(*arguments)

    real, store._commits.connection = store._commits.connection, CollectsGarbage(store._commits.connection)
    reports = []
    thread = threading.Thread(
        target=lambda: reports.append(workflow_without_loop().start(store=store)), daemon=True
    )
    thread.start()
    thread.join(60)
    assert [report.outcome for report in reports] == ["succeeded"]
    store._commits.connection = real
    wait_until(lambda: not any(info.is_owned for info in store.runs()))


@pytest.mark.parametrize("loop_is", ["open", "closed"])
def test_a_run_that_is_garbage_when_the_process_ends_does_not_keep_it_from_ending(loop_is, tmp_path):
    """A process whose loop leaves a run at work ends, and another can resume that run at once."""
    code = """if True:
        import asyncio, sys
        from automa import Step, Workflow
        from automa.stores import SqliteStore

        async def wait_for_ever():
            at_work.set()
            await asyncio.get_running_loop().create_future()

        at_work = asyncio.Event()
        store = SqliteStore(sys.argv[1])
        loop = asyncio.new_event_loop()
        workflow = Workflow("w", [Step("a", run=wait_for_ever)])
        task = loop.create_task(workflow.start_async(store=store, run_id="r"))
        task._log_destroy_pending = False
        loop.run_until_complete(at_work.wait())
        loop.close() if sys.argv[2] == "closed" else None
    """
    path = tmp_path / "left.db"
    subprocess.run([sys.executable, "-c", code, path, loop_is], check=True, timeout=60)
    with closing(SqliteStore(path)) as store:
        workflow = Workflow("w", [Step("a", run=lambda: None)])
        assert workflow.resume("r", store=store).outcome == "succeeded"


def test_who_reads_waits_for_nobody_who_writes(store):
    """Runs are listed, read and created while a commit goes on."""
    workflow = workflow_without_loop()
    workflow.start(store=store, run_id="r")
    with store._commits.lock:
        assert [info.run_id for info in store.runs()] == ["r"]
        assert store.load("other", "r")
        store.create("other", "s").release()


def test_an_async_run_that_is_not_to_be_kept_is_deleted(store):
    """An async run with `delete_on_success` leaves no journal."""

    async def work():
        pass

    workflow = Workflow("w", [Step("a", run=work)], retention="delete_on_success")
    assert asyncio.run(workflow.start_async(store=store)).outcome == "succeeded"
    assert list(store.runs()) == []


@pytest.mark.guarantee("G9")
def test_async_branches_and_what_they_tell_of_are_written_one_after_the_other(store):
    """Branches that answer at once, and tell of effects meanwhile, lose nothing of either."""

    def branch(number):
        async def work(ctx):
            ctx.record_effect("row", str(number))
            await asyncio.sleep(0.001)
            ctx.record_effect("file", str(number))
            return number

        return Step(f"b{number}", run=work)

    workflow = Workflow("w", [Parallel("all", *(branch(number) for number in range(20)))])
    report = asyncio.run(workflow.start_async(store=store, run_id="r"))
    again = asyncio.run(workflow.resume_async("r", store=store))
    for each in (report, again):
        assert {(effect.kind, effect.ref) for effect in each.effects} == {
            (kind, str(number)) for kind in ("row", "file") for number in range(20)
        }
