"""Signals to real processes: those of the command, and those of programs that call `start` themselves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.cli.test_operating import SAGA, listed, log_of
from tests.cli.test_run import automa

STORE = "sqlite:///runs.db"
COLUMNS = {
    "memory": [],
    "suspend": ["--store", STORE],
    "rollback": ["--store", STORE, "--on-cancel", "rollback"],
}

WAITS = """
import sys

def say(text):
    print(text, file=sys.stderr, flush=True)

def waits(kind):
    def work(ctx):
        note(f"{kind} wait")
        if ctx.shared.get("wait") == kind:
            say("at work")
            sys.stdin.readline()
            note("worked")
        if ctx.shared.get("wait") == "undo" and kind == "run":
            raise ValueError("back")
    return work

saga = Workflow("saga", [acts("a"), Step("wait", run=waits("run"), undo=waits("undo")), acts("b")])
"""

PROGRAM = """
import saga, signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
{handler}
saga.saga.start({{"wait": "{wait}"}}, run_id="r1", {options})
"""

OPTIONS = {"memory": "", "suspend": f"store={STORE!r}", "rollback": f"store={STORE!r}, on_cancel='rollback'"}

AS_EXIT = """
def leave(number, frame):
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, leave)
"""

AS_CTRL_C = """
def hand_over(number, frame):
    saga.say("SIGTERM")
    signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGTERM, hand_over)
"""

ON_A_LOOP = """
import asyncio, saga, signal

async def main():
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    loop.add_signal_handler(signal.SIGTERM, lambda: (task.cancel(), saga.say("cancelled")))
    await saga.saga.start_async({{"wait": "{wait}"}}, run_id="r1", {options})

asyncio.run(main())
"""


@pytest.fixture(params=list(COLUMNS))
def column(request):
    """Where the run lives, and what an interruption means for it."""
    return request.param


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "saga.py").write_text(SAGA.partition("def wait")[0] + WAITS)
    return tmp_path


@pytest.fixture
def command(folder):
    return lambda *arguments: automa(*arguments, cwd=folder, AUTOMA_STORE=STORE)


@contextlib.contextmanager
def at_work(folder, *command):
    """Start a process; it is at work, until it is told to go on by a line on its input."""
    environment = {name: value for name, value in os.environ.items() if name != "AUTOMA_STORE"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment | {"NO_COLOR": "1", "COLUMNS": "120"},
        stdin=pipe,
        stdout=subprocess.DEVNULL,
        stderr=pipe,
        text=True,
    ) as process:
        watch = threading.Timer(60, process.kill)  # a test fails then, and does not hang
        watch.start()
        try:
            wait_for("at work", process)
            yield process
        finally:
            watch.cancel()
            process.kill()


def wait_for(text, process):
    """Read the errors of a process up to a line that has a text in it."""
    line = next((line for line in process.stderr if text in line), None)
    assert line is not None, f"it has ended without a word of {text!r}"


def go_on(process):
    process.communicate("\n", timeout=60)
    return process.returncode


def run_saga(folder, column, wait):
    arguments = ["run", "saga.py", "--run-id", "r1", "--set", f"wait={wait}", *COLUMNS[column]]
    return at_work(folder, "-m", "automa", *arguments)


def run_program(folder, column, wait="run", handler="", program=PROGRAM):
    text = program.format(handler=handler, wait=wait, options=OPTIONS[column])
    return at_work(folder, "-c", text)


FORWARD = ["run a", "run wait"]
BACK = ["undo wait", "undo a"]
RESUMED = ["run wait", "worked", "run b"]
WHOLE_WAY_BACK = ["run a", "run wait", "undo wait", "worked", "undo a"]


def assert_journaled(command, column, status):
    """Check what the journal has of the run, where there is one."""
    if column != "memory":
        assert listed(command) == {"r1": status}


def assert_interrupted(folder, command, column):
    """Check that a run whose step was cut off is undone, or suspended and can be resumed."""
    assert log_of(folder) == (FORWARD if column == "suspend" else FORWARD + BACK)
    assert_journaled(command, column, "suspended" if column == "suspend" else "undone")
    if column == "suspend":
        assert command("resume", "r1", "--file", "saga.py").returncode == 0
        assert log_of(folder) == FORWARD + RESUMED


@pytest.mark.cancellation("C14")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_on_the_way_back_lets_it_go_on(folder, command, column, number):
    """SIGTERM and Ctrl-C during an undo: all is undone, and the status is 1, with a store as without."""
    with run_saga(folder, column, "undo") as process:
        process.send_signal(number)
        wait_for(number.name, process)
        assert go_on(process) == 1
    assert log_of(folder) == WHOLE_WAY_BACK
    assert_journaled(command, column, "undone")


@pytest.mark.cancellation("C15")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wait", ["run", "undo"])
def test_three_signals_end_the_process_and_a_journal_has_the_run(folder, command, column, number, wait):
    """Three signals within two seconds end the process at once; a journaled run can be resumed."""
    with run_saga(folder, column, wait) as process:
        process.send_signal(number)
        for (
            line
        ) in process.stderr:  # one is sent when the one before was told of, until three come soon enough
            if number.name in line and "times" not in line:
                process.send_signal(number)
        assert process.wait(60) == 128 + number
    before = log_of(folder)
    assert before == (FORWARD if wait == "run" else ["run a", "run wait", "undo wait"])
    assert_journaled(command, column, "interrupted")
    if column != "memory":
        assert command("resume", "r1").returncode == (0 if wait == "run" else 1)
        again = RESUMED if wait == "run" else ["undo wait", "worked", "undo a"]
        assert log_of(folder) == before + again


@pytest.mark.cancellation("C16")
def test_sigterm_ends_a_plain_program_without_an_undo(folder, command, column):
    """Python's default for SIGTERM: the program ends at once, nothing is undone; a journaled run can be resumed."""
    with run_program(folder, column) as process:
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert log_of(folder) == FORWARD
    assert_journaled(command, column, "interrupted")
    if column != "memory":
        assert command("resume", "r1", "--file", "saga.py").returncode == 0
        assert log_of(folder) == FORWARD + RESUMED


@pytest.mark.cancellation("C17")
def test_sigterm_as_an_exit_undoes_the_run(folder, command, column):
    """A handler that raises SystemExit: the step at work is cut off; undone or suspended, and the program exits."""
    with run_program(folder, column, handler=AS_EXIT) as process:
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert_interrupted(folder, command, column)


@pytest.mark.cancellation("C18")
def test_sigterm_handed_over_to_ctrl_c_undoes_the_run(folder, command, column):
    """A handler that raises SIGINT: the step at work is cut off; undone or suspended, and the program ends."""
    with run_program(folder, column, handler=AS_CTRL_C) as process:
        process.terminate()
        assert process.wait(60) == -signal.SIGINT
    assert_interrupted(folder, command, column)


@pytest.mark.cancellation("C18")
def test_sigterm_handed_over_to_ctrl_c_is_held_back_in_an_undo(folder, column):
    """With that handler SIGTERM during an undo waits, as Ctrl-C does, until all is undone."""
    with run_program(folder, column, wait="undo", handler=AS_CTRL_C) as process:
        process.terminate()  # its handler, too, is held back
        assert go_on(process) == -signal.SIGINT
    assert log_of(folder) == WHOLE_WAY_BACK


@pytest.mark.cancellation("C19")
def test_sigterm_as_a_cancel_of_the_task_undoes_the_run(folder, command, column):
    """`add_signal_handler(SIGTERM, task.cancel)`: the thread at work is waited for; then undone or suspended."""
    with run_program(folder, column, program=ON_A_LOOP) as process:
        process.terminate()
        wait_for("cancelled", process)
        assert go_on(process) == 1
    done = [*FORWARD, "worked"]
    assert log_of(folder) == (done if column == "suspend" else done + BACK)
    assert_journaled(command, column, "suspended" if column == "suspend" else "undone")
    if column == "suspend":
        assert command("resume", "r1", "--file", "saga.py").returncode == 0
        assert log_of(folder) == [*done, "run b"]
