"""A hostile world: disks, folders, files, clocks and ids that are not as they should be."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest

from automa import (
    JournalError,
    Outcome,
    RunExistsError,
    RunIdError,
    RunOwnedError,
    RunRequestError,
    Step,
    StoreError,
    Workflow,
    WorkflowFailed,
)
from automa._core import clock
from automa.stores import FileStore, MemoryStore, SqliteStore, open_store

KINDS = ["file", "sqlite"]


@pytest.fixture
def opened():
    """Opens stores, and closes them in the end."""
    stores = []

    def open_(kind, folder):
        store = FileStore(folder) if kind == "file" else SqliteStore(folder / "runs.db")
        stores.append(store)
        return store

    yield open_
    for store in stores:
        store.close()


def steps(done, *, hook=lambda: None):
    """Three steps that note what they do; the second calls a hook first."""

    def second():
        hook()
        done.append("b")

    return [
        Step("a", run=lambda: done.append("a"), undo=lambda: done.append("-a")),
        Step("b", run=second, undo=lambda: done.append("-b")),
        Step("c", run=lambda: done.append("c"), undo=lambda: done.append("-c")),
    ]


@pytest.mark.guarantee("G9", "G10")
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_deleted_under_the_run_stops_it(kind, tmp_path, opened):
    """The step after it does not run, nothing is undone, and the report tells of the infrastructure error."""
    folder = tmp_path / "kept"
    done = []
    workflow = Workflow("w", steps(done, hook=lambda: shutil.rmtree(folder)))
    report = workflow.start(run_id="r", store=opened(kind, folder))
    assert done == ["a", "b"]
    assert report.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert isinstance(report.own_error, StoreError)
    assert "deleted or replaced" in str(report.own_error)
    assert "infrastructure error" in str(report)
    assert [each.step_id for each in report.step_reports] == ["a", "b"]
    with pytest.raises(WorkflowFailed) as raised:
        report.raise_for_status()
    assert isinstance(raised.value.__cause__, StoreError)


@pytest.mark.guarantee("G9")
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_replaced_under_the_run_stops_it(kind, tmp_path, opened):
    """Another folder at its place is not taken for it; put back, it lets the run be resumed."""
    folder = tmp_path / "kept"

    def replace():
        folder.rename(tmp_path / "away")
        folder.mkdir()

    done = []
    report = Workflow("w", steps(done, hook=replace)).start(run_id="r", store=opened(kind, folder))
    assert report.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert list(folder.iterdir()) == []
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    done.clear()
    report = Workflow("w", steps(done)).resume("r", opened(kind, folder))
    assert report.outcome is Outcome.SUCCEEDED
    assert done == ["b", "c"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: run the tests as another user")
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_cannot_be_written_is_refused(kind, tmp_path, opened):
    """Nothing is started where the folder is read-only."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        opened(kind, tmp_path / "kept")


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_is_none_is_refused(kind, tmp_path, opened):
    """A file where the folder should be, and a folder where the file should be, are refused in one line."""
    (tmp_path / "kept").write_text("")
    with pytest.raises(StoreError, match="kept"):
        opened(kind, tmp_path / "kept")
    (tmp_path / "other" / "runs.db").mkdir(parents=True)
    with pytest.raises(StoreError, match="no file"):
        SqliteStore(tmp_path / "other" / "runs.db")


@pytest.mark.parametrize("kind", KINDS)
def test_symbolic_links_are_not_followed(kind, tmp_path, opened):
    """Neither the folder, nor a journal, nor the database may be a symbolic link."""
    target = tmp_path / "target"
    target.mkdir()
    if kind == "file":
        (tmp_path / "link").symlink_to(target)
        with pytest.raises(StoreError, match="symbolic link"):
            opened(kind, tmp_path / "link")
        store = opened(kind, tmp_path / "real")
        (tmp_path / "real" / "w-r.journal").symlink_to(target / "elsewhere")
        with pytest.raises(RunExistsError):
            Workflow("w", steps([])).start(run_id="r", store=store)
        (target / "elsewhere").write_text("{}")
        with pytest.raises(StoreError, match="symbolic link"):
            store.load("w", "r")
    else:
        (tmp_path / "runs.db").symlink_to(target / "db")
        with pytest.raises(StoreError, match="symbolic link"):
            opened(kind, tmp_path)
    assert not (target / "db").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_for_its_owner_alone(kind, tmp_path, opened):
    """Folders are 0700 and files 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        store = opened(kind, tmp_path / "above" / "kept")
        Workflow("w", steps([])).start(run_id="r", store=store)
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "above").rglob("*")}
    assert len(found) > 2
    assert {mode for path, mode in found.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in found.items() if path.is_file()} == {0o600}


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_descriptor_left(kind, tmp_path, opened):
    """Where the process has no descriptors left the run is refused or stops, and can be resumed."""
    store = opened(kind, tmp_path / "kept")
    done = []
    held = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def exhaust():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass

    try:
        report = Workflow("w", steps(done, hook=exhaust)).start(run_id="r", store=store)
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if kind == "file":  # it opens a file for each write; SQLite has its own open all the time
        assert report.outcome is Outcome.INFRASTRUCTURE_ERROR
        assert "Too many open files" in str(report.own_error)
        done.clear()
        report = Workflow("w", steps(done)).resume("r", store)
        assert done == ["b", "c"]
    assert report.outcome is Outcome.SUCCEEDED


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"SQLite format 3\0 but no more", b"\0" * 4096, bytes(range(256)) * 12]
)
def test_a_file_that_is_no_database_is_refused(content, tmp_path):
    """A foreign file is refused with its name, and is not changed."""
    path = tmp_path / "runs.db"
    path.write_bytes(content)
    if content == b"":  # as a file that was made beforehand to give it an owner: it is taken
        SqliteStore(path).close()
        return
    with pytest.raises(StoreError, match=r"runs\.db"):
        SqliteStore(path)
    assert path.read_bytes() == content


@pytest.mark.guarantee("G6")
def test_a_database_of_somebody_else_is_refused(tmp_path):
    """A database of another application, or of a version from the future, is refused and not changed."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="another application"):
        SqliteStore(path)
    future = tmp_path / "future.db"
    SqliteStore(future).close()
    with closing(sqlite3.connect(future)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99.*use a newer automa"):
        SqliteStore(future)


@pytest.mark.guarantee("G6")
def test_a_database_without_a_write_ahead_log_is_refused():
    """Where SQLite cannot keep its log, the store says so instead of being less durable."""
    with pytest.raises(StoreError, match="write-ahead log"):
        SqliteStoreInMemory()


class SqliteStoreInMemory(SqliteStore):
    """A store on a database that has no file, and so no log."""

    def __init__(self):
        self.path = ":memory:"
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as self._connection:
            self._set_up("FULL")


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_entry_is_refused(kind, tmp_path, opened):
    """A journal with a broken or unknown entry is refused, and no step runs."""
    store = opened(kind, tmp_path / "kept")
    done = []
    Workflow("w", steps(done)).start(run_id="r", store=store)
    done.clear()
    if kind == "file":
        path = tmp_path / "kept" / "w-r.journal"
        document = json.loads(path.read_text())
        document["x-automa"]["entries"][2] = {"answered": 7}
        path.write_text(json.dumps(document))
    else:
        with closing(sqlite3.connect(tmp_path / "kept" / "runs.db", isolation_level=None)) as connection:
            connection.execute("UPDATE writes SET entries = '[{\"answered\": 7}]' WHERE id & 4294967295 = 1")
    with pytest.raises(JournalError, match="answered"):
        Workflow("w", steps(done)).resume("r", store)
    if kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "kept" / "runs.db", isolation_level=None)) as connection:
            connection.execute("UPDATE writes SET entries = '[{\"unheard\": 7}]' WHERE id & 4294967295 = 1")
        with pytest.raises(JournalError, match="no known kind: it has 'unheard'"):
            Workflow("w", steps(done)).resume("r", store)
        with closing(sqlite3.connect(tmp_path / "kept" / "runs.db", isolation_level=None)) as connection:
            connection.execute("UPDATE writes SET entries = '[{\"answ' WHERE id & 4294967295 = 1")
        with pytest.raises(JournalError, match="cannot be read"):
            Workflow("w", steps(done)).resume("r", store)
    assert done == []


@pytest.mark.guarantee("G9")
def test_a_journal_that_would_be_too_large_to_read_is_not_written(tmp_path, monkeypatch):
    """The run stops with the journal as it was, which can be read."""
    monkeypatch.setattr("automa.stores.file._LARGEST", 3_000)
    done = []

    def run(ctx):
        done.append(ctx.step_id)
        ctx.shared[ctx.step_id] = "x" * 600

    store = FileStore(tmp_path)
    workflow = Workflow("w", [Step(name, run=run) for name in "abcd"])
    report = workflow.start(run_id="r", store=store)
    assert report.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert "belong on sqlite:" in str(report.own_error)
    assert done != ["a", "b", "c", "d"]
    assert len(store.load("w", "r")) > 2


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "a/b", "a\n", "a\0b", "-a", "é", "a" * 129, "C:x"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_id_that_could_be_a_path_is_refused(kind, run_id, tmp_path, opened):
    """Start, resume and rollback refuse it alike, and nothing is made."""
    store = opened(kind, tmp_path / "kept")
    workflow = Workflow("w", steps([]))
    for call in (
        lambda: workflow.start(run_id=run_id, store=store),
        lambda: workflow.resume(run_id, store),
        lambda: workflow.rollback(run_id, store),
    ):
        with pytest.raises(RunIdError):
            call()
    assert list(store.runs()) == []


@pytest.mark.parametrize("workflow_id", ["a/b", ".hidden", "..", "nul\0"])
def test_a_workflow_id_that_cannot_be_a_file_name_is_refused_by_the_file_store(workflow_id, tmp_path, opened):
    """It is fine in memory and on SQLite; on files it is refused before anything starts."""
    with pytest.raises(StoreError, match="cannot be part of a file's name"):
        Workflow(workflow_id, steps([])).start(run_id="r", store=opened("file", tmp_path / "kept"))
    done = []
    Workflow(workflow_id, steps(done)).start(run_id="r", store=opened("sqlite", tmp_path / "kept"))
    assert done == ["a", "b", "c"]


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_that_jumps_changes_nothing_but_times(kind, tmp_path, opened, monkeypatch):
    """A clock that goes back by decades between two steps neither stops the run nor its resume."""
    store = opened(kind, tmp_path / "kept")
    moments = iter([2026, 1970, 2100, 1969, 2026] * 100)
    monkeypatch.setattr(clock, "now", lambda: datetime(next(moments), 1, 1, tzinfo=UTC))
    report = Workflow("w", steps([])).start(run_id="r", store=store)
    assert report.outcome is Outcome.SUCCEEDED
    again = Workflow("w", steps([])).resume("r", store)
    assert str(again) == str(report)
    assert [(each.start_time, each.end_time) for each in again.step_reports] == [
        (each.start_time, each.end_time) for each in report.step_reports
    ]


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_goes_on_is_not_taken(kind, tmp_path, opened):
    """While one thread carries the run on, resume, rollback and start of the same id are refused."""
    store, inside, go_on = opened(kind, tmp_path / "kept"), threading.Event(), threading.Event()

    def waits():
        inside.set()
        go_on.wait(60)

    workflow = Workflow("w", steps([], hook=waits))
    reports = []
    thread = threading.Thread(target=lambda: reports.append(workflow.start(run_id="r", store=store)))
    thread.start()
    inside.wait(60)
    other = opened(kind, tmp_path / "kept")
    try:
        for each in (store, other):
            with pytest.raises(RunOwnedError, match="carried on by somebody else"):
                workflow.resume("r", each)
            with pytest.raises(RunOwnedError):
                workflow.rollback("r", each)
            with pytest.raises(RunExistsError, match="resume it"):
                workflow.start(run_id="r", store=each)
            assert [info.is_owned for info in each.runs()] == [True]
    finally:
        go_on.set()
        thread.join()
    assert reports[0].outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "names no store"),
        ("runs.db", "names no store"),
        ("sqlite:runs.db", "names no store"),
        ("sqlite:///", "names no store"),
        ("file:", "names no store"),
        ("memory:x", "names no store"),
        ("postgres://x", "names no store"),
        ("sqlite:///x.db?durability=never", "'power' or 'process'"),
        ("file:x?durability=never", "'power' or 'process'"),
        ("sqlite:///x.db?mode=ro", "the only option is"),
        (7, "a store is a URL"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url, message, tmp_path, monkeypatch):
    """The message says which forms there are."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=message):
        open_store(url)


def test_stores_by_url(tmp_path, monkeypatch):
    """Each form opens its store; one SQLite file is opened once by a process."""
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_store("memory:"), MemoryStore)
    assert isinstance(open_store("file:runs"), FileStore)
    assert isinstance(open_store(f"file://{tmp_path}/runs?durability=process"), FileStore)
    store = open_store("sqlite:///runs.db")
    assert open_store(f"sqlite:///{tmp_path}/runs.db") is store
    assert open_store("sqlite:///runs.db?durability=process") is not store
    assert open_store(store) is store
    shutil.rmtree(tmp_path / "runs.db.owners", ignore_errors=True)
    (tmp_path / "runs.db").unlink()
    assert open_store("sqlite:///runs.db") is not store


@pytest.mark.guarantee("G7")
def test_a_store_does_not_survive_a_fork(tmp_path):
    """A forked child is told to open the store again; opened by URL it gets its own, and the parent goes on."""
    code = f"""
import os, sys
from automa import Step, Workflow
from automa.stores import SqliteStore, open_store
url = "sqlite:///{tmp_path}/runs.db"
own, shared = SqliteStore("{tmp_path}/own.db"), open_store(url)
workflow = Workflow("w", [Step("a")])
workflow.start(store=own); workflow.start(store=url)
child = os.fork()
if child == 0:
    try:
        workflow.start(store=own)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    print(workflow.start(store=url).outcome, open_store(url) is shared, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(workflow.start(store=own).outcome, workflow.start(store=url).outcome, len(list(shared.runs())))
own.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert first.startswith("StoreError")
    assert "opened before a fork: open it again in the child" in first
    assert second == "succeeded False"
    assert third == "succeeded succeeded 3"


def test_words_that_are_none_are_refused():
    """on_cancel, missing and retention take the words that they know."""
    workflow = Workflow("w", [Step("a")])
    with pytest.raises(RunRequestError, match="on_cancel is"):
        workflow.start(store="memory:", on_cancel="explode")
    with pytest.raises(RunRequestError, match="needs a store"):
        workflow.start(on_cancel="suspend")
    with pytest.raises(RunRequestError, match="missing is"):
        workflow.resume("r", "memory:", missing="ignore")
    with pytest.raises(ValueError, match="is no retention"):
        Workflow("w", retention="forever")
