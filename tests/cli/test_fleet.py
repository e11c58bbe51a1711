"""The commands of a fleet, started as processes as an operator does, over a store of one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from automa.cli import exits
from tests.cli.test_operating import SAGA, log_of
from tests.cli.test_run import automa

URL = "sqlite:///runs.db"
SECONDS = 60


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "saga.py").write_text(SAGA)
    return tmp_path


@pytest.fixture
def command(folder):
    """Run the command in the folder, on the engine."""
    return lambda *arguments: automa(*arguments, "--engine", URL, cwd=folder)


@pytest.fixture
def start_worker(folder):
    """Start workers, each a process; end them with the test."""
    workers = []

    def start(*arguments):
        worker = subprocess.Popen(
            [sys.executable, "-m", "automa", "worker", "saga.py", "--engine", URL, *arguments],
            cwd=folder, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.wait()
        worker.stderr.close()


def until(what):
    """Wait until something holds."""
    for _ in range(SECONDS * 100):
        if what():
            return
        time.sleep(0.01)
    raise AssertionError(what)


def test_a_run_is_submitted_and_carried_on_by_a_worker(folder, command, start_worker):
    """Whoever submits a run gets its id; a worker carries it on, and says how it ended."""
    worker = start_worker()
    submitted = command("submit", "saga.py", "--run-id", "r1")
    assert (submitted.returncode, submitted.stdout) == (0, "r1\n")
    waited = command("submit", "saga.py:saga", "--set", "fail=b", "--run-id", "r2", "--wait")
    assert waited.returncode == exits.UNDONE
    assert "b refused" in waited.stdout
    until(lambda: len(log_of(folder)) == 8)
    listed = json.loads(command("runs", "--json").stdout)
    assert [(run["run_id"], run["status"]) for run in listed] == [("r2", "undone"), ("r1", "succeeded")]
    shown = command("show", "r2")
    assert "b refused" in shown.stdout
    worker.send_signal(signal.SIGTERM)
    told = worker.communicate(timeout=SECONDS)[1]
    assert worker.returncode == 0
    assert "automa: carries on saga " in told
    assert "r1  saga  succeeded\n" in told
    assert "r2  saga  undone\n" in told


def test_a_run_whose_worker_is_killed_is_carried_on_by_another(folder, command, start_worker):
    """Where a worker dies by kill -9 at work, another one takes its run: only the step at work is called again."""
    worker = start_worker()
    command("submit", "saga.py", "--set", "wait=true", "--run-id", "r1")
    until(lambda: "run wait" in log_of(folder))
    worker.kill()
    start_worker()
    until(lambda: log_of(folder).count("run wait") == 2)
    (folder / "go").touch()
    until(lambda: "run b" in log_of(folder))
    assert log_of(folder) == ["run a", "run wait", "run wait", "run b"]


def test_a_worker_that_is_stopped_lets_its_step_end(folder, command, start_worker):
    """SIGTERM begins no further step; the one at work ends, and another worker goes on behind it."""
    worker = start_worker("--quiet")
    command("submit", "saga.py", "--set", "wait=true", "--run-id", "r1")
    until(lambda: "run wait" in log_of(folder))
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert worker.poll() is None
    (folder / "go").touch()
    assert worker.communicate(timeout=SECONDS)[1] == ""
    assert (worker.returncode, log_of(folder)) == (0, ["run a", "run wait"])
    start_worker()
    until(lambda: "run b" in log_of(folder))
    assert log_of(folder) == ["run a", "run wait", "run b"]


def test_a_run_is_cancelled(folder, command, start_worker):
    """A cancelled run is undone, and says by whose note."""
    start_worker()
    command("submit", "saga.py", "--set", "wait=true", "--run-id", "r1")
    until(lambda: "run wait" in log_of(folder))
    assert command("cancel", "r1", "--note", "a mistake").returncode == 0
    time.sleep(0.5)
    (folder / "go").touch()
    until(lambda: "undo a" in log_of(folder))
    shown = command("show", "r1")
    assert "a mistake" in shown.stdout
    again = command("cancel", "r1")
    assert again.returncode == exits.BAD_INPUT
    assert "has ended (undone)" in again.stderr


def test_an_operator_acts_on_an_engine(folder, command, start_worker):
    """Undos that failed are retried, and runs that succeeded are rolled back, by the same commands as in a store."""
    start_worker()
    (folder / "jam-a").touch()
    stuck = command("submit", "saga.py", "--set", "fail=b", "--run-id", "r1", "--wait")
    assert stuck.returncode == exits.UNDO_FAILED
    (folder / "jam-a").unlink()
    assert command("undo", "r1", "a", "--retry").returncode == 0
    assert command("submit", "saga.py", "--run-id", "r2", "--wait").returncode == 0
    assert command("rollback", "r2", "--note", "regret").returncode == 0
    assert command("resume", "r2").returncode == exits.BAD_INPUT


def test_a_run_of_another_version_is_left_to_others(folder, command, start_worker):
    """A worker that lacks the version of a run leaves it, and says so."""
    command("submit", "saga.py", "--run-id", "r1")
    saga = SAGA.replace('acts("b")])', 'acts("b")], version="2")')
    (folder / "saga.py").write_text(saga)
    worker = start_worker()
    command("submit", "saga.py", "--run-id", "r2", "--wait")
    worker.send_signal(signal.SIGTERM)
    told = worker.communicate(timeout=SECONDS)[1]
    assert "run r1 of workflow saga is left to others: it is of version" in told
    assert log_of(folder) == ["run a", "run wait", "run b"]
    (folder / "saga.py").write_text(SAGA)
    start_worker()
    until(lambda: log_of(folder).count("run b") == 2)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["submit", "saga.py"], exits.USAGE, "no engine is given: use --engine URL"),
        (["submit", "saga.py", "--engine", "redis://here"], exits.STORE_FAILED, "names no engine"),
        (["submit", "saga.py", "--engine", "memory:"], exits.USAGE, "ends with this command"),
        (["submit", "saga.py", "--engine", URL, "--set", "x"], exits.USAGE, "expected KEY=VALUE"),
        (
            ["worker", "saga.py", "--engine", URL, "--listen", "here:1"],
            exits.USAGE,
            "only Restate's workers take --listen",
        ),
        (["worker", "nothing.py", "--engine", URL], exits.USAGE, "there is no file nothing.py"),
        (["cancel", "r1", "--engine", URL], exits.STORE_FAILED, "there is no store at runs.db"),
        (["worker", "saga.py", "--engine", "file:runs", "--advertise", "x"], exits.USAGE, "take --advertise"),
        (["runs", "--engine", URL, "--store", URL], exits.USAGE, "--engine or --store"),
        (["show", "r1", "--engine", "file:none"], exits.STORE_FAILED, "there is no store at none"),
    ],
)
def test_a_wrong_command_line_is_told(folder, arguments, status, said):
    """What cannot be used is told in one line, and nothing is started."""
    done = automa(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "log").exists()


def test_a_store_of_the_environment_does_not_stand_in_the_way(folder, command, start_worker):
    """Where AUTOMA_STORE is set, --engine is what counts."""
    start_worker()
    command("submit", "saga.py", "--run-id", "r1", "--wait")
    done = automa("runs", "--engine", URL, cwd=folder, AUTOMA_STORE="file:elsewhere")
    assert "r1" in done.stdout
    assert not os.path.lexists(folder / "elsewhere")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:hush99@db/shop",
        "restate://shop:hush99@here",
        "restate://here?admin=http://shop:hush99@here:1",
        "dbos+mysql://shop:hush99@db/shop",
    ],
)
def test_no_password_is_shown(folder, url):
    """Whatever is wrong with the URL of an engine, its password is not told."""
    done = automa("runs", "--engine", url, cwd=folder)
    assert done.returncode == exits.STORE_FAILED
    assert done.stderr.count("\n") == 1
    assert "hush99" not in done.stderr


def test_the_engine_may_be_in_the_environment(folder, command, start_worker):
    """AUTOMA_ENGINE names the engine; a store that is typed goes before it."""
    start_worker()
    command("submit", "saga.py", "--run-id", "r1", "--wait")
    assert "r1" in automa("runs", cwd=folder, AUTOMA_ENGINE=URL).stdout
    typed = automa("runs", "--store", "file:none", cwd=folder, AUTOMA_ENGINE=URL)
    assert "there is no store at none" in typed.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resume", "--all", "saga.py"], "--all is for stores"),
        (
            ["resume", "r1", "--on-cancel", "rollback"],
            "--on-cancel: on an engine that is the workers' affair",
        ),
        (["rollback", "r1", "--file", "saga.py", "--quiet"], "--file, --quiet: on an engine"),
        (["undo", "r1", "a", "--retry", "--secret", "key=env:HOME"], "--secret: on an engine"),
    ],
)
def test_what_an_engine_cannot_be_told_is_refused(folder, command, arguments, said):
    """An option that would be of no effect on an engine is refused, and nothing is asked of it."""
    command("submit", "saga.py", "--run-id", "r1")
    done = command(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (exits.USAGE, "", 1)
    assert said in done.stderr
    assert not (folder / "log").exists()
