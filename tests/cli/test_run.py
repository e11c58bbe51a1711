"""`automa run`, started as a process as a user does."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automa.wire import v0

RELEASE = Path(__file__).parents[2] / "examples" / "release.py"

SAGA = """
from automa import Step, Workflow, Skip
import pathlib, time

def note(ctx, what):
    with open(ctx.shared["log"], "a") as file:
        file.write(what + "\\n")

def acts(id, fails=(), **options):
    def run(ctx):
        note(ctx, f"run {id}")
        if ctx.shared.get("fail") == id:
            raise ValueError(f"{id} refused")
    def undo(ctx):
        note(ctx, f"undo {id}")
        if ctx.shared.get("fail_undo") == id:
            raise OSError(f"{id} cannot be undone")
    return Step(id, run=run, undo=undo)

def wait(ctx):
    note(ctx, "run wait")
    time.sleep(ctx.shared.get_float("seconds", 0))

saga = Workflow("saga", [acts("a"), Step("wait", run=wait), acts("b"), acts("c")])
stopping = Workflow("stopping", [acts("a"), acts("b")], mode="stop")
"""


@pytest.fixture
def saga(tmp_path):
    path = tmp_path / "saga.py"
    path.write_text(SAGA)
    return path


def automa(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "automa", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"} | environment,
        check=False,
    )


def run_saga(saga, *arguments, name="saga"):
    log = saga.parent / "log"
    done = automa("run", f"{saga}:{name}", "--set", f"log={log}", *arguments)
    return done, log.read_text().splitlines() if log.exists() else []


def test_a_saga_that_succeeds_exits_0(saga):
    """Success: each action is a plain line, the report is a table, the exit status 0."""
    done, log = run_saga(saga)
    assert done.returncode == 0
    assert log == ["run a", "run wait", "run b", "run c"]
    assert done.stderr.splitlines() == ["✓ run      a", "✓ run      wait", "✓ run      b", "✓ run      c"]
    assert "workflow 'saga' ended succeeded" in done.stdout
    assert "not undone" not in done.stdout


def test_a_saga_that_is_undone_exits_1(saga):
    """A failure that was undone: the way back is shown, the exit status 1."""
    done, log = run_saga(saga, "--set", "fail=b")
    assert done.returncode == 1
    assert log == ["run a", "run wait", "run b", "undo b", "undo a"]
    assert "✗ run      b  FAILED  ValueError: b refused" in done.stderr
    assert "✓ rollback a" in done.stderr
    assert "ended undone: ValueError: b refused" in done.stdout
    assert "not run: c" in done.stdout


def test_a_failed_undo_exits_2(saga):
    """A failed undo: the others are undone, what is left is named, the exit status 2."""
    done, log = run_saga(saga, "--set", "fail=b", "--set", "fail_undo=b")
    assert done.returncode == 2
    assert log == ["run a", "run wait", "run b", "undo b", "undo a"]
    assert "OSError: b cannot be undone" in done.stdout
    assert "not undone: b" in done.stdout


def test_a_failure_that_is_not_undone_by_mode_exits_3(saga):
    """Mode stop: nothing is undone, the exit status 3."""
    done, log = run_saga(saga, "--set", "fail=b", name="stopping")
    assert done.returncode == 3
    assert log == ["run a", "run b"]
    assert "ended failed" in done.stdout


@pytest.mark.parametrize(("form", "read"), [("json", v0.from_json), ("yaml", v0.from_yaml)])
def test_the_report_in_the_seeds_format(saga, form, read):
    """--report json|yaml prints the v0 report alone on stdout; -o writes it to a file."""
    done, _ = run_saga(saga, "--report", form, "--run-id", "r1")
    report = read(done.stdout)
    assert [each.step_id for each in report.step_reports] == ["a", "wait", "b", "c"]
    file = saga.parent / "report"
    done, _ = run_saga(saga, "--report", form, "-o", file, "--quiet")
    assert (done.stdout, done.stderr) == ("", "")
    assert len(read(file.read_text()).step_reports) == 4


def test_the_table_and_the_lines_tell_how_often_a_step_was_tried(tmp_path):
    """A step that was tried again shows it, whether it succeeded in the end or not."""
    path = tmp_path / "tries.py"
    path.write_text(
        "from automa import Retry, Step, Workflow\n"
        "def busy(ctx):\n"
        "    if ctx.attempt < 3: raise ConnectionError('busy')\n"
        "def broken(): raise ConnectionError('broken')\n"
        "again = Retry(attempts=3, initial=0)\n"
        "saga = Workflow('w', [Step('a', run=busy, retry=again), Step('b', run=broken, retry=again)])\n"
    )
    done = automa("run", path, COLUMNS="200")
    assert done.returncode == 1
    for text in (done.stdout, done.stderr):
        assert text.count("(3 attempts)") == 2
        assert "ConnectionError: broken  (3 attempts)" in text


def test_set_reads_json_where_it_loses_nothing(saga, tmp_path):
    """--set takes JSON values; a number that would be written otherwise stays the text it is."""
    looks = tmp_path / "looks.py"
    looks.write_text(
        "import json\nfrom automa import Step, Workflow\n"
        "saga = Workflow('w', [Step('a', run=lambda ctx: ctx.metadata.update(s=json.dumps(dict(ctx.shared))))])\n"
    )
    values = [
        "n=3",
        "f=1.5",
        "v=1.10",
        "z=007",
        "t=true",
        "e=1e5",
        "l=[1, 2]",
        'o={"a": null}',
        "s=x=y",
        "empty=",
        "nan=NaN",
    ]
    done = automa("run", looks, "--report", "json", *[word for value in values for word in ("--set", value)])
    state = json.loads(v0.from_json(done.stdout).step_reports[0].metadata["s"])
    assert state == {
        "n": 3, "f": 1.5, "v": "1.10", "z": "007", "t": True, "e": "1e5", "l": [1, 2], "o": {"a": None},
        "s": "x=y", "empty": "", "nan": "NaN",
    }  # fmt: skip


BAD = {
    "no file": (["run", "nowhere.py"], 64, "there is no file nowhere.py"),
    "a folder": (["run", "./"], 64, "is no file"),
    "not python": (["run", "./notes.txt"], 64, "its name must end in .py"),
    "no module": (["run", "nowhere_at_all"], 64, "there is no file and no module 'nowhere_at_all'"),
    "no argument": (["run"], 64, "Missing argument"),
    "an unknown option": (["run", "saga.py", "--fast"], 64, "No such option"),
    "an unknown command": (["fly"], 64, "No such command"),
    "a bad --set": (["run", "saga.py:saga", "--set", "novalue"], 64, "--set 'novalue': expected KEY=VALUE"),
    "a bad --report": (["run", "saga.py:saga", "--report", "xml"], 64, "is not one of"),
    "several": (
        ["run", "saga.py"],
        65,
        "has several workflows (saga, stopping): name one, as in saga.py:saga",
    ),
    "an unknown name": (["run", "saga.py:sage"], 65, "has no workflow 'sage'; there is saga"),
    "no workflow": (["run", "saga.py:acts"], 65, "acts is no workflow, but of type function"),
    "an empty file": (["run", "empty.py"], 65, "empty.py has no workflow: assign a Workflow to a name in it"),
    "an import that fails": (
        ["run", "breaks.py"],
        65,
        "breaks.py cannot be imported: line 2: ZeroDivisionError",
    ),
    "an import that exits": (["run", "exits.py"], 65, "exits.py cannot be imported: line 1: SystemExit: 7"),
    "a missing import": (["run", "imports.py"], 65, "line 1: ModuleNotFoundError: No module named 'nowhere'"),
    "broken syntax": (["run", "syntax.py"], 65, "syntax.py cannot be imported: SyntaxError"),
    "a module that breaks": (["run", "breaks"], 65, "the module breaks cannot be imported"),
    "a module that imports another": (["run", "imports"], 65, "the module imports cannot be imported"),
    "duplicate ids": (["run", "twice.py"], 65, "has the step id 'a' twice, at 1 and 2"),
    "a bad run id": (["run", "saga.py:saga", "--run-id", "a/b"], 65, "'a/b' is no run id"),
    "a bad -o": (
        ["run", "saga.py:saga", "-o", "nowhere/report"],
        64,
        "--output: nowhere/report cannot be written",
    ),
    "a folder as -o": (["run", "saga.py:saga", "-o", "."], 64, "--output: . cannot be written"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error_and_starts_nothing(saga, name):
    """Bad usage exits 64, a bad definition or input 65; there is no traceback and nothing was started."""
    arguments, status, message = BAD[name]
    for file, text in {
        "empty.py": "",
        "notes.txt": "",
        "breaks.py": "x = 1\n1 / 0\n",
        "exits.py": "raise SystemExit(7)\n",
        "imports.py": "import nowhere\n",
        "syntax.py": "def (:\n",
        "twice.py": "from automa import *\nw = Workflow('w', [Step('a'), Step('a')])\n",
    }.items():
        (saga.parent / file).write_text(text)
    done = automa(*arguments, cwd=saga.parent)
    assert done.returncode == status
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (saga.parent / "log").exists()


def test_a_workflow_of_a_module_runs(saga):
    """MODULE[:NAME] is imported from the current folder, and an alias of one workflow is no second one."""
    (saga.parent / "one.py").write_text("from automa import *\nfirst = second = Workflow('w', [Step('a')])\n")
    done = automa("run", "one", cwd=saga.parent)
    assert done.returncode == 0
    assert automa("run", "saga:zzz", cwd=saga.parent).returncode == 65


def test_what_lies_beside_a_file_can_be_imported(saga, tmp_path):
    """A workflow file may import its neighbours, from wherever the command is started."""
    (saga.parent / "neighbour.py").write_text("NAME = 'from-neighbour'\n")
    (saga.parent / "imports.py").write_text(
        "from automa import *\nfrom neighbour import NAME\nw = Workflow(NAME, [])\n"
    )
    done = automa("run", saga.parent / "imports.py", cwd="/")
    assert "from-neighbour" in done.stdout


def test_a_report_that_cannot_be_written_is_printed(saga):
    """Where the disk refuses the report it goes to stdout, with one line on why and status 74."""
    done, _ = run_saga(saga, "-o", "/dev/full")
    assert done.returncode == 74
    assert "ended succeeded" in done.stdout
    assert "the report could not be written to /dev/full" in done.stderr


def test_version_and_help():
    """--version and --help exit 0; the help of run tells the exit statuses."""
    assert automa("--version").stdout.startswith("automa 0.")
    done = automa("run", "--help")
    assert done.returncode == 0
    assert "an undo failed too" in " ".join(done.stdout.split())


def start_and_wait(saga, log):
    process = subprocess.Popen(
        [sys.executable, "-m", "automa", "run", f"{saga}:saga", "--set", f"log={log}", "--set", "seconds=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not log.exists() or "run wait" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.cancellation("C13")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_undoes_the_run(saga, tmp_path, number):
    """SIGTERM and Ctrl-C: the step at work is waited for, all is undone, the report is printed, the status is 1."""
    log = tmp_path / "log"
    process = start_and_wait(saga, log)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert log.read_text().splitlines() == ["run a", "run wait", "undo a"]
    assert f"{number.name}: undoing what was done" in stderr
    assert "ended undone" in stdout


def test_three_signals_in_a_row_end_the_process(saga, tmp_path):
    """Whoever insists gets out: three signals within two seconds end the process at once."""
    log = tmp_path / "log"
    process = start_and_wait(saga, log)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "ended without undoing the rest" in stderr
    assert log.read_text().splitlines() == ["run a", "run wait"]


def test_the_live_view_on_a_terminal(saga, tmp_path):
    """On a terminal the view is alive: colours, a line for each finished action, the report at the end."""
    log = tmp_path / "log"
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "automa", "run", f"{saga}:saga", "--set", f"log={log}", "--set", "fail=c"],
        stdout=side,
        stderr=side,
        stdin=side,
        env={key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "CI"}}
        | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(side)
    screen = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        screen += piece
    os.close(main)
    assert process.wait(60) == 1
    text = screen.decode()
    assert "\x1b[" in text
    assert "ValueError: c refused" in text
    assert text.index("rollback") < text.index("ended undone")


def test_the_release_example():
    """The example releases a good version, takes a bad one back, and shows that the old one answers."""
    done = subprocess.run([sys.executable, RELEASE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the site says: <h1>Welcome to 1.0.0</h1>") == 2
    assert "exit status 0" in done.stdout and "exit status 1" in done.stdout
    assert "left in releases/: 1.0.0" in done.stdout


def test_the_release_example_by_hand(tmp_path):
    """Released by hand: both versions by `automa run`, then the server is stopped."""
    root = tmp_path / "site"
    try:
        for version, status in (("1.0.0", 0), ("2.0.0", 1), ("3.0.0", 1), ("1.0.0", 0)):
            done = automa("run", RELEASE, "--set", f"root={root}", "--set", f"version={version}")
            assert done.returncode == status, done.stdout + done.stderr
            assert (root / "current" / "index.html").read_text() == "<h1>Welcome to 1.0.0</h1>"
    finally:
        subprocess.run([sys.executable, RELEASE, "--stop", str(root)], timeout=60, check=True)
    assert not (root / "server.json").exists()
