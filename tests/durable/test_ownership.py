"""Two owners never run one journal (G7)."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from automa import OwnershipLost, RunExistsError, RunOwnedError, Step, StoreError, Workflow
from automa.stores import FileStore, MemoryStore, SqliteStore

ROOT = Path(__file__).parents[2]
KINDS = ("file", "sqlite")
LONG = 20  # seconds; no test waits that long unless something hangs

PROGRAM = """
import os, sys
from automa import Step, Workflow
from automa.stores import FileStore, SqliteStore

def opened():
    return FileStore(sys.argv[2]) if sys.argv[1] == "file" else SqliteStore(sys.argv[2])

def say(what):
    sys.stdout.write(f"{what}\\n")
    sys.stdout.flush()

def effect(text):
    fd = os.open(sys.argv[2] + ".ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{text}\\n".encode())
    os.close(fd)
"""

HOLDS = """
def at_work():
    effect("b")
    say("at work")
    sys.stdin.readline()

store = opened()
Workflow("w", [Step("a", run=lambda: effect("a")), Step("b", run=at_work), Step("c")]).start(
    run_id="r", store=store
)
store.close()
say("ended")
"""

FORKS = """
def at_work():
    effect("b")
    child = os.fork()
    if child == 0:
        try:
            Workflow("other", [Step("x")]).start(store=store)
            say("usable")
        except Exception as error:
            say(type(error).__name__)
        say("at work")
        sys.stdin.readline()
        say("the child ends")
        os._exit(0)
    os.waitpid(child, 0)

store = opened()
Workflow("w", [Step("a", run=lambda: effect("a")), Step("b", run=at_work), Step("c")]).start(
    run_id="r", store=store
)
"""


@pytest.fixture(name="opened")
def opened_fixture():
    """Open stores, and close them at the end."""
    with contextlib.ExitStack() as stack:

        def opened(kind, path):
            store = {"file": FileStore, "sqlite": SqliteStore}[kind](path)
            stack.callback(store.close)
            return store

        yield opened


@contextlib.contextmanager
def process(body, kind, path):
    """Run a program, which works at step b of run r when this is entered."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + body, kind, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as running:
        running.said = []
        try:
            while True:
                line = running.stdout.readline().strip()
                assert line, "the program has ended"
                if line == "at work":
                    break
                running.said.append(line)
            yield running
        finally:
            running.kill()


def workflow_of(path, verified=False):
    """Return the workflow of the programs, with effects in the same ledger."""

    def effect(text):
        with Path(f"{path}.ledger").open("a", encoding="ascii") as ledger:
            ledger.write(f"{text}\n")

    return Workflow("w", [Step(id, run=lambda id=id: effect(id)) for id in "abc"])


def ledger_of(path):
    return Path(f"{path}.ledger").read_text("ascii").split()


@pytest.mark.guarantee("G7", "G2", "G3")
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_refused_while_its_owner_lives_and_taken_over_when_it_was_killed(kind, tmp_path, opened):
    """A second process may not resume, undo or start a run whose owner is alive; after kill -9 it may resume it."""
    path = tmp_path / "runs"
    with process(HOLDS, kind, path) as owner:
        store, workflow = opened(kind, path), workflow_of(path)
        for refused in (
            lambda: workflow.resume("r", store),
            lambda: workflow.rollback("r", store),
        ):
            with pytest.raises(RunOwnedError):
                refused()
        with pytest.raises(RunExistsError):
            workflow.start(run_id="r", store=store)
        assert [info.is_owned for info in store.runs()] == [True]
        assert ledger_of(path) == ["a", "b"]
        owner.kill()
        owner.wait()
        assert [info.is_owned for info in store.runs()] == [False]
        report = workflow.resume("r", store)
    assert report.outcome == "succeeded"
    assert ledger_of(path) == ["a", "b", "b", "c"]


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize("kind", KINDS)
def test_an_owner_that_is_let_go_on_ends_its_run_alone(kind, tmp_path, opened):
    """The refused takeover has not disturbed the owner: it ends its run, and nothing was done twice."""
    path = tmp_path / "runs"
    with process(HOLDS, kind, path) as owner:
        store, workflow = opened(kind, path), workflow_of(path)
        with pytest.raises(RunOwnedError):
            workflow.resume("r", store)
        said, _ = owner.communicate("go on\n", timeout=LONG)
        assert said.strip() == "ended"
        assert workflow.resume("r", store).outcome == "succeeded"
    assert ledger_of(path) == ["a", "b"]


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(kind, tmp_path, opened):
    """Where a step has forked and the owner is killed, the run can be taken over although the child lives."""
    path = tmp_path / "runs"
    with process(FORKS, kind, path) as owner:
        store, workflow = opened(kind, path), workflow_of(path)
        with pytest.raises(RunOwnedError):
            workflow.resume("r", store)
        owner.kill()
        owner.wait()
        assert workflow.resume("r", store).outcome == "succeeded"
        owner.stdin.write("go on\n")  # the child was alive until now
        owner.stdin.flush()
        assert owner.stdout.readline().strip() == "the child ends"
        assert owner.said == ["StoreError" if kind == "sqlite" else "usable"]


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_an_owner_that_was_passed_writes_nothing(kind, tmp_path):
    """Who has lost a run to another owner is told so with the next write, which does not happen."""
    with contextlib.ExitStack() as stack:
        if kind == "memory":
            store, other = MemoryStore(), None
        else:
            store, other = SqliteStore(tmp_path / "runs.db"), SqliteStore(tmp_path / "runs.db")
            stack.callback(store.close)
            stack.callback(other.close)
        ran = []

        def loses_it():
            ran.append("a")
            if kind == "memory":
                store._owners.clear()
                leases.append(store.take("w", "r"))
            else:  # its lock file is swept away, as whoever takes it for dead would do
                store._owner.path.unlink()
                leases.append(other.take("w", "r"))

        leases = []
        workflow = Workflow("w", [Step("a", run=loses_it), Step("b", run=lambda: ran.append("b"))])
        report = workflow.start(run_id="r", store=store)
        assert ran == ["a"]
        assert report.outcome == "infrastructure_error"
        assert isinstance(report.error, OwnershipLost)
        entries = store.load("w", "r")
        assert [next(iter(entry)) for entry in entries] == ["begun", "started"]
        leases[0].release()


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize("kind", ["memory", *KINDS])
def test_of_two_threads_that_start_a_run_one_does(kind, tmp_path, opened):
    """Threads that start the same run id at the same moment: exactly one starts it, the others are refused."""
    store = MemoryStore() if kind == "memory" else opened(kind, tmp_path / "runs")
    count, ran, told = 4, [], []
    for number in range(25):
        barrier = threading.Barrier(count)

        def start(number=number, barrier=barrier):
            workflow = Workflow("w", [Step("a", run=lambda: ran.append(number))])
            barrier.wait()
            try:
                told.append(workflow.start(run_id=f"r{number}", store=store).outcome)
            except RunExistsError:
                told.append("refused")

        threads = [threading.Thread(target=start) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(ran) == list(range(25))
    assert told.count("succeeded") == 25
    assert told.count("refused") == 25 * (count - 1)


@pytest.mark.guarantee("G7")
def test_a_run_is_owned_from_its_first_commit_on(tmp_path):
    """Another thread with the same SQLite store cannot take a run over just after its first commit."""

    class Interferes(SqliteStore):
        refused = 0

        def commit(self, work, **how):
            result = super().commit(work, **how)
            if not self.refused and list(self.runs()):
                with pytest.raises(RunOwnedError):
                    self.take("w", "r")
                self.refused += 1
            return result

    store = Interferes(tmp_path / "runs.db")
    try:
        ran = []
        report = Workflow("w", [Step("a", run=lambda: ran.append("a"))]).start(run_id="r", store=store)
        assert (report.outcome, ran, store.refused) == ("succeeded", ["a"], 1)
    finally:
        store.close()


@pytest.mark.guarantee("G7")
def test_a_run_whose_first_commit_failed_is_not_owned(tmp_path):
    """Where the first commit of a run fails, nobody owns it, and it can be started again."""

    class Fails(SqliteStore):
        fails = False

        def begin(self, lease, entries, status):
            if self.fails:
                self._connection.execute("DROP INDEX runs_by_run")
                self._connection.execute("ALTER TABLE writes RENAME TO gone")
                try:
                    super().begin(lease, entries, status)
                finally:
                    self._connection.execute("ALTER TABLE gone RENAME TO writes")
            else:
                super().begin(lease, entries, status)

    store = Fails(tmp_path / "runs.db")
    try:
        store.fails = True
        workflow = Workflow("w", [Step("a")])
        report = workflow.start(run_id="r", store=store)
        assert report.outcome == "infrastructure_error"
        assert isinstance(report.error, StoreError)
        assert not list(store.runs())
        assert not store._held
        store.fails = False
        assert workflow.start(run_id="r", store=store).outcome == "succeeded"
    finally:
        store.close()


ON_A_LOOP = """
import asyncio

workflow = Workflow("w", [Step("a")])
asyncio.run(workflow.start_async(run_id="r", store=opened()))
child = os.fork()
if child == 0:
    asyncio.run(workflow.start_async(run_id="again", store=opened()))
    os._exit(0)
say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_journals_on_its_own_threads(kind, tmp_path):
    """A child of a process that has journaled on an event loop can do so too: it does not wait for the parent's threads."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM + ON_A_LOOP, kind, str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        cwd=ROOT,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_processes_that_make_a_store_at_once_all_get_it(tmp_path):
    """Where several processes open a SQLite store that is not there yet, in the same moment, each can use it."""
    code = "import sys; sys.stdin.read(1); from automa.stores import SqliteStore; SqliteStore(sys.argv[1]).close()"
    for number in range(4):
        path = tmp_path / f"{number}.db"
        opening = [
            subprocess.Popen(
                [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(4)
        ]
        for each in opening:
            each.stdin.write(b"!")
            each.stdin.flush()
        for each in opening:
            _, said = each.communicate(timeout=60)
            assert (each.returncode, said) == (0, b"")
