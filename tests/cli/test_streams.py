"""The command when its streams, its names or its terminal are not as they should be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from automa.wire import v0
from tests.cli.test_run import automa, saga, start_and_wait  # noqa: F401  # a fixture

PRINTS = """
import time
from automa import Step, Workflow
def acts(id, fails=False):
    def run(ctx):
        print("printed by", id)
        time.sleep(0.1)
        with open(ctx.shared["log"], "a") as file: file.write(id)
        if fails: raise ValueError("nö \\x1b[31m red")
    return Step(id, run=run)
saga = Workflow("ü", [acts("a"), acts("b"), acts("c"), acts("ö", {fails})])
"""


def shell(command, **environment):
    automa_command = f"{sys.executable} -m automa"
    return subprocess.run(
        ["/bin/bash", "-c", command.replace("AUTOMA", automa_command)],
        capture_output=True,
        timeout=60,
        env=os.environ | environment,
        check=False,
    )


@pytest.fixture
def prints(tmp_path):
    path = tmp_path / "prints.py"
    path.write_text(PRINTS.replace("{fails}", "False"))
    return path


@pytest.fixture
def fails(tmp_path):
    path = tmp_path / "fails.py"
    path.write_text(PRINTS.replace("{fails}", "True"))
    return path


def test_a_reader_that_goes_away_does_not_end_the_run(prints, tmp_path):
    """`automa run … 2>&1 | head -1`: the run goes on to its end, and ends well."""
    done = shell(
        f"(AUTOMA run {prints} --set log={tmp_path}/log 2>&1; echo $? > {tmp_path}/status) | head -1"
    )
    assert done.stdout
    for _ in range(100):
        if (tmp_path / "status").exists():
            break
        time.sleep(0.1)
    assert (tmp_path / "log").read_text() == "abcö"
    assert (tmp_path / "status").read_text().strip() == "0"


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_report_that_nobody_reads_does_not_change_the_status(prints, tmp_path, form):
    """A pipe that is closed before the report is printed: the status is the saga's."""
    done = shell(
        f"set -o pipefail; AUTOMA run -q {prints} --set log={tmp_path}/log --report {form} | true; echo ${{PIPESTATUS[0]}}"
    )
    assert done.stdout.split()[-1] == b"0"
    assert b"Traceback" not in done.stderr


def test_a_full_disk_on_stdout_is_told(prints, tmp_path):
    """A report that cannot be printed: one line, and status 74, although the saga succeeded."""
    done = shell(f"AUTOMA run -q {prints} --set log={tmp_path}/log > /dev/full")
    assert done.returncode == 74
    assert b"the report could not be printed" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_terminal_that_knows_only_ascii(fails, tmp_path, environment):
    """What a stream cannot show is spelt out; JSON stays JSON; the status is the saga's."""
    done = shell(f"AUTOMA run {fails} --set log={tmp_path}/log", **environment)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"ended undone" in done.stdout
    done = shell(f"AUTOMA run {fails} --set log={tmp_path}/log --report json", **environment)
    assert v0.from_json(done.stdout).workflow_id == "ü"


def test_what_steps_print_does_not_mix_with_the_report(prints, tmp_path):
    """Standard output has the report and nothing else; what steps print goes to standard error."""
    done = shell(f"AUTOMA run -q {prints} --set log={tmp_path}/log --report json")
    assert len(v0.from_json(done.stdout).step_reports) == 4
    assert b"printed by a" in done.stderr


def test_control_characters_do_not_reach_the_terminal(fails, tmp_path):
    """An error message cannot steer the terminal: its control characters are spelt out."""
    done = shell(f"AUTOMA run {fails} --set log={tmp_path}/log")
    assert b"\x1b" not in done.stdout + done.stderr
    assert rb"\x1b[31m red" in done.stdout


def test_an_end_that_raises_does_not_cost_the_report(tmp_path):
    """A workflow whose end() raises is told of in one line; report and status are the saga's."""
    path = tmp_path / "ends.py"
    path.write_text(
        "from automa import *\nclass Mine(Workflow):\n    def end(self): raise OSError('no end')\n"
        "w = Mine('w', [Step('a')])\n"
    )
    done = automa("run", path)
    assert done.returncode == 0
    assert "end() raised OSError: no end" in done.stderr
    assert "ended succeeded" in done.stdout


def test_odd_names(tmp_path):
    """Files with colons and spaces, packages beside folders, and names that no file can have."""
    text = "from automa import *\nw = Workflow('found', [])\n"
    (tmp_path / "a:b c.py").write_text(text)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(text)
    for target in ("a:b c.py", "a:b c.py:w", "pkg", "pkg:w"):
        done = automa("run", target, cwd=tmp_path)
        assert (done.returncode, "found" in done.stdout) == (0, True), done.stderr
    done = automa("run", "a" * 300, cwd=tmp_path)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr
    assert automa("run", "pkg:", cwd=tmp_path).returncode == 65


@pytest.mark.parametrize("raised", ["GeneratorExit", "BadText"])
def test_an_import_that_raises_anything_is_told(tmp_path, raised):
    """Whatever an import raises, the command ends with 65 and one line."""
    path = tmp_path / "odd.py"
    path.write_text(f"class BadText(Exception):\n    def __str__(self): return 5\nraise {raised}()\n")
    done = automa("run", path)
    assert done.returncode == 65
    assert f"cannot be imported: line 3: {raised}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_while_a_file_is_imported(tmp_path):
    """Ctrl-C before anything was started ends with 130."""
    path = tmp_path / "odd.py"
    path.write_text("raise KeyboardInterrupt\n")
    done = automa("run", path)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"Zoë"', "Zoë"), ('"a\\/b"', "a/b"), ("1.10", "1.10"), ("1e3", "1e3"), ("-0", "-0")],
)
def test_set_reads_texts_in_quotes(tmp_path, value, expected):
    """A text in JSON quotes loses them, whatever is in it; only numbers must read back the same."""
    path = tmp_path / "looks.py"
    path.write_text(
        "from automa import *\nimport json\n"
        "w = Workflow('w', [Step('a', run=lambda ctx: ctx.metadata.update(s=json.dumps(ctx.shared['k'])))])\n"
    )
    done = automa("run", path, "--set", f"k={value}", "--report", "json")
    assert json.loads(v0.from_json(done.stdout).step_reports[0].metadata["s"]) == expected


def test_a_value_that_is_warned_of_where_warnings_are_errors(saga, tmp_path):  # noqa: F811  # the fixture
    """An integer that others round is bad input where warnings are errors."""
    done = automa(
        "run",
        f"{saga}:saga",
        "--set",
        f"log={tmp_path}/log",
        "--set",
        "n=12345678901234567890",
        PYTHONWARNINGS="error",
    )
    assert done.returncode == 65
    assert "beyond 2^53-1" in done.stderr


def test_signals_work_without_a_stderr(saga, tmp_path):  # noqa: F811  # the fixture
    """SIGTERM undoes the run also where nobody can be told."""
    log = tmp_path / "log"
    command = f"exec {sys.executable} -m automa run -q {saga}:saga --set log={log} --set seconds=2 2> >(true)"
    process = subprocess.Popen(["/bin/bash", "-c", command], stdout=subprocess.DEVNULL)
    while not log.exists() or "run wait" not in log.read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 1
    assert log.read_text().split("\n")[:3] == ["run a", "run wait", "undo a"]


def test_a_defect_does_not_look_like_an_undone_run(tmp_path):
    """What nobody foresaw ends with 70 and says that it is automa's fault."""
    code = (
        "import sys, automa.cli.app as app\n"
        "def broken(*_): raise RuntimeError('unforeseen')\n"
        "app.load_workflow = broken\n"
        "sys.argv = ['automa', 'run', 'x.py']\n"
        "sys.exit(app.run_app())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "this is a defect of automa" in done.stderr


def test_the_report_of_a_cancelled_run_says_why(saga, tmp_path):  # noqa: F811  # the fixture
    """After SIGTERM the headline names the cancellation."""
    process = start_and_wait(saga, tmp_path / "log")
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=60)
    assert "CancelledError" in stdout
