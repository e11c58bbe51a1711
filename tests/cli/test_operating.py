"""The commands that look after runs, started as processes as an operator does; runs die by kill -9."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automa import Workflow
from automa._core.status import Outcome, Status
from automa.cli import exits
from tests.cli.test_run import automa

SAGA = """
from automa import Step, Workflow
import pathlib, time

HERE = pathlib.Path(__file__).parent

def note(what):
    with open(HERE / "log", "a") as file:
        file.write(what + "\\n")

def acts(id):
    def run(ctx):
        note(f"run {id}")
        ctx.shared[id] = True
        if ctx.shared.get("fail") == id:
            raise ValueError(f"{id} refused")
    def undo(ctx):
        note(f"undo {id}")
        if (HERE / f"jam-{id}").exists():
            raise OSError(f"{id} cannot be undone")
    return Step(id, run=run, undo=undo)

def wait(ctx):
    note("run wait")
    while ctx.shared.get("wait") and not (HERE / "go").exists():
        time.sleep(0.01)

saga = Workflow("saga", [acts("a"), Step("wait", run=wait), acts("b")])
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "saga.py").write_text(SAGA)
    return tmp_path


@pytest.fixture(params=["sqlite:///runs.db", "file:runs"])
def url(request):
    return request.param


@pytest.fixture
def command(folder, url):
    """Run the command in the folder, with the store in the environment."""
    return lambda *arguments, **environment: automa(
        *arguments, cwd=folder, **({"AUTOMA_STORE": url} | environment)
    )


def log_of(folder):
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


def start_and_wait(folder, url, *arguments):
    """Start the command, and return once its step is at work."""
    before = log_of(folder).count("run wait")
    process = subprocess.Popen(
        [sys.executable, "-m", "automa", *arguments],
        cwd=folder,
        env=os.environ | {"AUTOMA_STORE": url, "NO_COLOR": "1", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while log_of(folder).count("run wait") == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def killed(folder, url, run_id="r1"):
    """Start a run and kill it while its step is at work."""
    process = start_and_wait(folder, url, "run", "saga.py", "--run-id", run_id, "--set", "wait=true")
    process.kill()
    process.communicate()


def listed(command, *arguments):
    return {run["run_id"]: run["status"] for run in json.loads(command("runs", "--json", *arguments).stdout)}


def assert_refused(done, status, message):
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("automa: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_a_killed_run_is_listed_shown_and_resumed(command, folder, url):
    """After kill -9 a run is `interrupted`, `show` tells the step at work, and `resume` ends it."""
    killed(folder, url)
    assert listed(command) == {"r1": "interrupted"}
    shown = command("show", "r1", "--records").stdout
    assert "workflow 'saga' is interrupted, at work: run wait" in shown
    assert "  a  completed" in shown
    assert "  b  pending" in shown
    assert '"a": true' in shown
    assert f"begun by {folder}/saga.py:saga" in shown
    document = json.loads(command("show", "r1", "--json").stdout)
    assert document["status"] == "interrupted"
    assert document["at_work"] == [{"path": "wait", "action": "run"}]
    assert document["states"]["a"] == "completed"
    assert [step["stepID"] for step in document["report"]["stepReports"]] == ["a"]
    assert document["records"][0]["run"] == "r1"
    (folder / "go").touch()
    elsewhere = url.replace("runs", str(folder / "runs"))
    done = automa("resume", "r1", "--store", elsewhere, "--note", "the power is back", cwd="/")
    assert done.returncode == 0, done.stderr
    assert "resumed, 'the power is back'" in command("show", "r1", "--records").stdout
    assert log_of(folder) == ["run a", "run wait", "run wait", "run b"]
    assert listed(command) == {"r1": "succeeded"}
    assert command("resume", "r1").returncode == 0  # it has ended: its report comes back
    assert log_of(folder).count("run b") == 1


def test_the_id_of_a_run_is_told_at_its_start(command):
    """A journaled run tells its id, a made one too, as the first line on standard error."""
    done = command("run", "saga.py")
    first = done.stderr.splitlines()[0]
    assert listed(command) == {first.removeprefix("run "): "succeeded"}
    assert command("run", "saga.py", "--quiet").stderr == ""


@pytest.mark.cancellation("C13")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_suspends_a_journaled_run(command, folder, url, number):
    """SIGTERM and Ctrl-C: the step at work ends, nothing is undone, the status is 5 and it can be resumed."""
    process = start_and_wait(folder, url, "run", "saga.py", "--run-id", "r1", "--set", "wait=true")
    process.send_signal(number)
    told = next(line for line in process.stderr if number.name in line)
    assert "stopping after the step at work" in told
    (folder / "go").touch()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"to go on: automa resume r1 --store {url}" in stderr
    assert log_of(folder) == ["run a", "run wait"]
    assert listed(command) == {"r1": "suspended"}
    assert "is suspended" in command("show", "r1").stdout
    assert command("resume", "r1").returncode == 0
    assert log_of(folder) == ["run a", "run wait", "run b"]


@pytest.mark.cancellation("C13")
def test_on_cancel_rollback_undoes_a_journaled_run(command, folder, url):
    """With --on-cancel rollback a signal undoes what was done, as without a store."""
    process = start_and_wait(
        folder, url, "run", "saga.py", "--run-id", "r1", "--set", "wait=true", "--on-cancel", "rollback"
    )
    process.send_signal(signal.SIGTERM)
    assert any("undoing what was done" in line for line in process.stderr)
    (folder / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert log_of(folder)[-1] == "undo a"
    assert listed(command) == {"r1": "undone"}


def test_who_is_alive_keeps_the_run(command, folder, url):
    """While a process carries a run on, it is `running`: others are refused, and it is not pruned."""
    killed(folder, url)
    process = start_and_wait(folder, url, "resume", "r1")
    assert listed(command) == {"r1": "running"}
    assert_refused(command("resume", "r1"), 65, "is being carried on by somebody else, who is alive")
    assert_refused(command("rollback", "r1"), 65, "is being carried on by somebody else, who is alive")
    all_of_them = command("resume", "--all", "saga.py")
    assert all_of_them.returncode == 0
    assert "r1  saga  not continued: it is being carried on by somebody else" in all_of_them.stdout
    assert command("prune", "--older-than", "0s", "--status", "running").stdout == ""
    (folder / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert listed(command) == {"r1": "succeeded"}


def test_rollback_undoes_what_has_succeeded(command, folder):
    """`automa rollback` undoes a run that had succeeded and exits 0; twice is refused."""
    command("run", "saga.py", "--run-id", "r1")
    done = command("rollback", "r1", "--note", "the customer has cancelled")
    assert done.returncode == 0
    assert log_of(folder)[-2:] == ["undo b", "undo a"]
    assert "the customer has cancelled" in command("show", "r1", "--records").stdout
    assert_refused(command("rollback", "r1"), 65, "it is undone already")


def test_rollback_undoes_what_was_interrupted(command, folder, url):
    """A killed run can be rolled back instead of resumed."""
    killed(folder, url)
    assert command("rollback", "r1").returncode == 0
    assert log_of(folder) == ["run a", "run wait", "undo a"]


def test_a_failed_undo_is_retried_or_marked_as_done(command, folder, url):
    """`undo --retry` calls it once more, `--mark-done` takes a person's word; 2 while it fails, then 0."""
    (folder / "jam-a").touch()
    for run_id in ("r1", "r2"):
        assert command("run", "saga.py", "--run-id", run_id, "--set", "fail=b").returncode == 2
    assert command("rollback", "r1").returncode == 2  # failed undos are not called again by it
    failing = command("undo", "r1", "a", "--retry")
    assert failing.returncode == 2
    assert f"once its cause is gone: automa undo r1 a --retry --store {url}; if you" in failing.stderr
    (folder / "jam-a").unlink()
    assert command("undo", "r1", "a", "--retry").returncode == 0
    done = command("undo", "r2", "a", "--mark-done", "--note", "removed by hand")
    assert done.returncode == 0
    assert "marked as undone: removed by hand" in done.stdout
    assert listed(command) == {"r1": "undone", "r2": "undone"}
    assert_refused(command("undo", "r1", "a", "--retry"), 65, "the undo of step 'a' has not failed")
    assert_refused(command("undo", "r1", "z", "--retry"), 65, "it has no step 'z'")


def test_an_exported_run_is_resumed_from_its_file(command, folder, url):
    """The exported journal, put into a folder, is a run of a file store, and is resumed there."""
    killed(folder, url)
    target = folder / "moved"
    target.mkdir()
    document = json.loads(command("export", "r1").stdout)
    assert document["version"] == 1
    assert [step["state"] for step in document["steps"]] == ["completed", "started", "pending"]
    assert command("export", "r1", "-o", target / "saga-r1.journal").stdout == ""
    (folder / "go").touch()
    done = command("resume", "r1", AUTOMA_STORE="file:moved")
    assert done.returncode == 0, done.stderr
    assert log_of(folder) == ["run a", "run wait", "run wait", "run b"]


def test_resume_all_carries_on_what_can_be(command, folder, url):
    """`resume --all` ends each run of the workflows given, a line each, and lists the others with the reason."""
    killed(folder, url, "r1")
    killed(folder, url, "r2")
    (folder / "other.py").write_text(
        SAGA.replace('"saga"', '"other"').replace('"run wait"', '"run wait other"')
    )
    (folder / "go").touch()
    command("run", "other.py", "--run-id", "done")
    done = command("resume", "--all", "other.py")
    assert done.returncode == 0
    assert [line.partition("not")[0].split() for line in done.stdout.splitlines()] == [
        ["r1", "saga"],
        ["r2", "saga"],
    ]
    assert "it is of the workflow 'saga', and given was 'other'" in done.stdout
    done = command("resume", "--all", "other.py", "saga.py:saga")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["r1  saga  succeeded", "r2  saga  succeeded"]


def test_resume_all_exits_with_the_worst_status(command, folder, url):
    """Where a run that was carried on ended badly, that is the status; a signal stops with 5."""
    killed(folder, url, "r1")
    process = start_and_wait(folder, url, "resume", "--all", "saga.py")
    process.send_signal(signal.SIGTERM)
    assert any("SIGTERM" in line for line in process.stderr)
    (folder / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 5
    (folder / "saga.py").write_text(SAGA.replace('ctx.shared.get("fail") == id', 'id == "b"'))
    done = command("resume", "--all", "saga.py")
    assert done.stdout == "r1  saga  undone\n"
    assert done.returncode == 1


def test_prune_deletes_what_is_old_and_done(command, folder, url):
    """Only runs of the status and the age are deleted; those in flight or in need only when named."""
    (folder / "jam-a").touch()
    command("run", "saga.py", "--run-id", "good")
    command("run", "saga.py", "--run-id", "bad", "--set", "fail=b")
    killed(folder, url, "dead")
    every = {"good": "succeeded", "bad": "needs_attention", "dead": "interrupted"}
    assert "no run is so old" in command("prune", "--older-than", "1d", "--status", "done").stderr
    tried = command("prune", "--older-than", "0s", "--status", "done", "--dry-run")
    assert tried.stdout.startswith("would delete good of saga, succeeded, ")
    assert listed(command) == every
    command("prune", "--older-than", "0s", "--status", "done", "--workflow", "another")
    assert listed(command) == every
    assert command("prune", "--older-than", "0s", "--status", "done").stdout.startswith(
        "deleted good of saga"
    )
    assert listed(command) == {"bad": "needs_attention", "dead": "interrupted"}
    command("prune", "--older-than", "0s", "--status", "needs_attention", "--status", "interrupted")
    assert listed(command) == {}


def test_check_tells_what_a_changed_definition_could_not_resume(command, folder, url):
    """`check` exits 0 while the runs in flight fit, and 1 with the reason once the steps differ."""
    killed(folder, url)
    command("run", "saga.py", "--run-id", "ended")
    done = command("check", "saga.py")
    assert (done.returncode, done.stdout) == (0, "")
    (folder / "saga.py").write_text(SAGA.replace('acts("b")]', 'acts("c")]'))
    done = command("check", "saga.py")
    assert done.returncode == 1
    assert done.stdout == "r1  interrupted  the steps differ (missing: b; new: c)\n"
    assert_refused(command("resume", "r1"), 65, "was begun by another definition: the steps differ")
    assert (
        "not continued: run 'r1' was begun by another definition"
        in command("resume", "--all", "saga.py").stdout
    )


def test_runs_are_filtered_and_told_plainly(command, folder, url):
    """`runs` filters by status, workflow, age and number, newest first; ids are never cut off."""
    long_id = "x" * 120
    command("run", "saga.py", "--run-id", "r1", "--set", "fail=b")
    command("run", "saga.py", "--run-id", long_id)
    assert list(listed(command)) == [long_id, "r1"]
    assert listed(command, "--status", "undone") == {"r1": "undone"}
    assert len(listed(command, "--status", "done", "--workflow", "saga")) == 2
    assert listed(command, "--status", "interrupted") == {}
    assert listed(command, "--workflow", "another") == {}
    assert listed(command, "--older-than", "1d") == {}
    limited = command("runs", "--limit", "1", COLUMNS="40")
    assert [line.split()[:3] for line in limited.stdout.splitlines()] == [
        ["RUN", "WORKFLOW", "STATUS"],
        [long_id, "saga", "succeeded"],
    ]
    assert "there are more: see --limit" in limited.stderr


def test_a_run_started_from_python_needs_its_file(command, folder, url):
    """Its journal tells no file: --file names it, and must be the right workflow."""
    (folder / "start.py").write_text(
        f"import os, saga\nsaga.note = lambda what: os._exit(9)\nsaga.saga.start(store={url!r}, run_id='r1')\n"
    )
    subprocess.run([sys.executable, "start.py"], cwd=folder, check=False)
    assert_refused(command("resume", "r1"), 64, "was not started by this command")
    (folder / "other.py").write_text(SAGA.replace('"saga"', '"other"'))
    assert_refused(
        command("resume", "r1", "--file", "other.py"), 65, "run 'r1' is of the workflow 'saga', and "
    )
    assert command("resume", "r1", "--file", "saga.py").returncode == 0


def test_a_workflow_that_has_moved_is_named_by_file(command, folder, url):
    """Where the file of a run is gone the error says so, and --file helps."""
    killed(folder, url)
    (folder / "saga.py").rename(folder / "moved.py")
    (folder / "go").touch()
    assert_refused(command("resume", "r1"), 65, "has it moved, use --file")
    assert command("resume", "r1", "--file", "moved.py").returncode == 0


def test_a_run_id_of_several_workflows_is_told_apart(command, folder):
    """Where two workflows have a run of one id, --workflow names the one that is meant."""
    (folder / "other.py").write_text(SAGA.replace('"saga"', '"other"'))
    for file in ("saga.py", "other.py"):
        command("run", file, "--run-id", "r1")
    assert_refused(command("show", "r1"), 65, "there are runs 'r1' of several workflows")
    assert "workflow 'other'" in command("show", "r1", "--workflow", "other").stdout


def test_a_module_is_found_again(command, folder, url):
    """A run of MODULE:NAME is resumed from the same folder without --file."""
    (folder / "jam-a").touch()
    command("run", "saga:saga", "--run-id", "r1", "--set", "fail=b")
    assert command("undo", "r1", "a", "--retry").returncode == 2


def test_secrets_reach_the_steps_and_no_journal(command, folder, url):
    """--secret NAME=env:VAR or file:PATH is a Secret in ctx.resources; its text is written nowhere."""
    (folder / "secret.py").write_text(
        "from automa import Step, Workflow\n"
        "def run(ctx):\n"
        "    return [len(ctx.resources[name].reveal()) for name in ('token', 'key')]\n"
        "saga = Workflow('w', [Step('a', run=run)])\n"
    )
    (folder / "key").write_text("file-s3cr3t\n")
    options = ["--secret", "token=env:WORD", "--secret", "key=file:key"]
    done = command("run", "secret.py", "--run-id", "r1", *options, WORD="env-s3cr3t-text")
    assert done.returncode == 0, done.stderr
    records = command("show", "r1", "--json").stdout
    assert [entry["result"] for entry in json.loads(records)["records"] if "result" in entry] == [[15, 11]]
    assert "s3cr3t" not in records + done.stdout + done.stderr


BAD = {
    "no store": (["runs"], 64, "no store is given: use --store URL, or set AUTOMA_STORE"),
    "no store to resume from": (["resume", "r1"], 64, "no store is given"),
    "suspend without a store": (["run", "saga.py", "--on-cancel", "suspend"], 64, "needs a store"),
    "a store in memory": (["run", "saga.py", "--store", "memory:"], 64, "ends with this command"),
    "a store that is none": (["runs", "--store", "redis://x"], 74, "names no store"),
    "a mistyped store": (["runs", "--store", "sqlite:///typo.db"], 74, "there is no store at typo.db"),
    "a mistyped folder": (["show", "r1", "--store", "file:typo"], 74, "there is no store at typo"),
    "another file": (["runs", "--store", "sqlite:///saga.py"], 74, "saga.py"),
    "a run into another file": (["run", "saga.py", "--store", "sqlite:///saga.py"], 74, "saga.py"),
    "no run": (["show", "r9", "--store", "file:runs"], 65, "there is no run 'r9' in the store"),
    "no run to resume": (["resume", "r9", "--store", "file:runs"], 65, "there is no run 'r9'"),
    "no run to export": (
        ["export", "r9", "--store", "file:runs", "--workflow", "saga"],
        65,
        "there is no run",
    ),
    "a run twice": (["run", "saga.py", "--run-id", "r1", "--store", "file:runs"], 65, "was started before"),
    "a bad status": (["runs", "--status", "gone", "--store", "file:runs"], 64, "there is no such status"),
    "a bad age": (["runs", "--older-than", "soon", "--store", "file:runs"], 64, "as in 30d"),
    "undo how": (["undo", "r1", "a", "--store", "file:runs"], 64, "expected --retry or --mark-done"),
    "undo twice": (
        ["undo", "r1", "a", "--retry", "--mark-done", "--note", "x", "--store", "file:runs"],
        64,
        "one of them",
    ),
    "undo without a note": (["undo", "r1", "a", "--mark-done", "--store", "file:runs"], 64, "needs --note"),
    "resume nothing": (["resume", "--store", "file:runs"], 64, "expected one RUN, or --all"),
    "resume two": (["resume", "r1", "r2", "--store", "file:runs"], 64, "expected one RUN, or --all"),
    "resume all of nothing": (["resume", "--all", "--store", "file:runs"], 64, "--all takes FILE[:NAME]"),
    "resume all of no file": (
        ["resume", "--all", "no.py", "--store", "file:runs"],
        64,
        "there is no file no.py",
    ),
    "resume all of it twice": (
        ["resume", "--all", "saga.py", "twice.py", "--store", "file:runs"],
        65,
        "two workflows have the id 'saga'",
    ),
    "prune unreadable": (
        ["prune", "--older-than", "1d", "--status", "unreadable", "--store", "file:runs"],
        64,
        "delete such files yourself",
    ),
    "a secret in plain text": (["run", "saga.py", "--secret", "x=hunter2"], 64, "expected NAME=env:VAR"),
    "a secret that is not set": (["run", "saga.py", "--secret", "x=env:NO_SUCH"], 64, "has no NO_SUCH"),
    "a secret without a file": (["run", "saga.py", "--secret", "x=file:no"], 64, "no cannot be read"),
    "a secret twice": (
        ["run", "saga.py", "--secret", "x=file:saga.py", "--secret", "x=file:saga.py"],
        64,
        "is given twice",
    ),
    "an unreadable journal": (["show", "torn", "--store", "file:runs"], 65, "saga-torn.journal: it is torn"),
    "an unreadable journal to resume": (["resume", "torn", "--store", "file:runs"], 65, "it is torn"),
    "a bad -o": (["resume", "r1", "-o", "no/report", "--store", "file:runs"], 64, "cannot be written"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_line_and_changes_nothing(folder, name):
    """Each wrong use is told in one line without a traceback, with its exit status, and starts nothing."""
    arguments, status, message = BAD[name]
    automa("run", "saga.py", "--run-id", "r1", "--store", "file:runs", cwd=folder)
    (folder / "runs" / "saga-torn.journal").write_text("{")
    (folder / "twice.py").write_text(SAGA)
    before = log_of(folder)
    done = automa(*arguments, cwd=folder, AUTOMA_STORE="")
    assert_refused(done, status, message)
    assert log_of(folder) == before
    assert not (folder / "typo.db").exists()
    assert not (folder / "typo").exists()


def test_an_unreadable_run_is_listed_and_checked(folder):
    """A journal that is torn is listed, holds up no other run, and is told by check and resume --all."""
    automa("run", "saga.py", "--run-id", "r1", "--store", "file:runs", cwd=folder)
    (folder / "runs" / "saga-torn.journal").write_text("{")
    assert "unreadable" in automa("runs", "--store", "file:runs", cwd=folder).stdout
    done = automa("check", "saga.py", "--store", "file:runs", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "saga-torn  unreadable  its journal cannot be read\n")
    done = automa("resume", "--all", "saga.py", "--store", "file:runs", cwd=folder)
    assert done.stdout == "saga-torn  not continued: its journal cannot be read\n"


def test_the_worst_of_some_statuses():
    """A run that was undone is better than one that failed, and a failed undo is worse than a suspended run."""
    assert exits.worst([]) == 0
    assert exits.worst([0, 1, 3]) == 3
    assert exits.worst([5, 2]) == 2
    assert exits.worst([2, 74]) == 74


def test_attention_without_a_failed_undo_exits_4():
    """A run that needs attention for another reason than a failed undo is told apart."""
    report = Workflow("w").start()
    report.close(Status.FAILED, Outcome.NEEDS_ATTENTION)
    assert exits.of_report(report) == 4


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operate-runs.md"


def test_the_walk_through_can_be_typed(tmp_path):
    """The shell blocks of docs/how-to/operate-runs.md run in an empty folder, and leave no run behind."""
    script = "\n".join(re.findall(r"^```shell\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    until_at_work = "until automa show first 2>/dev/null | grep -q 'at work: run charge'; do sleep 0.1; done;"
    assert script.count("sleep 2;") == 1
    script = script.replace("sleep 2;", until_at_work)
    done = subprocess.run(
        ["/bin/bash", "-ec", f"{script}\nautoma runs --json"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[]\n")
    assert done.stdout.count("exit status 2") == 2
    assert "interrupted" in done.stdout
