"""Saga files on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SAGA = """\
automa: 1
id: site
vars: {title: {description: what it is called}}
steps:
  - {id: folder, run: [mkdir, -p, site], undo: {shell: sh, script: 'if test -d site; then rmdir site; fi'}}
  - {id: page, run: {shell: sh, script: 'echo "$VAR_TITLE" > site/index.html'}, undo: [rm, -f, site/index.html]}
"""


@pytest.fixture
def automa(tmp_path):
    """Return what runs the command in a folder with the saga."""
    (tmp_path / "saga.yaml").write_text(SAGA)
    (tmp_path / "world").mkdir()

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "automa", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_saga_file_runs_is_shown_and_rolled_back(automa, tmp_path):
    """A run of a saga file is journaled, shown, and rolled back without naming the file again."""
    store = ("--store", "sqlite:///runs.db")
    done = automa("run", "saga.yaml", "--set", "title=Hi", "--run-id", "r1", *store)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/index.html").read_text() == "Hi\n"
    assert "succeeded" in automa("show", "r1", *store).stdout
    assert automa("rollback", "r1", *store).returncode == 0
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("value", ['"quoted"', '{"a": 1}', "[1, 2]", "null", "true", "1.10", "a b", ""])
def test_a_variable_is_what_was_written(automa, tmp_path, value):
    """What is given for a string reaches the command as it was written, also where it reads as JSON."""
    done = automa("run", "saga.yaml", "--set", f"title={value}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/index.html").read_text() == f"{value}\n"


def test_a_number_may_be_written_in_many_ways(automa, tmp_path):
    """A number is read as one however it is written; what is none is refused with its text."""
    (tmp_path / "saga.yaml").write_text(
        "automa: 1\nid: a\nvars: {rate: {type: number}, on: {type: boolean, default: false}}\n"
        "steps: [{id: a, run: {shell: sh, script: 'echo $VAR_RATE $VAR_ON > told'}}]"
    )
    for given, told in (("2.50", "2.5"), ("3", "3"), ("1e3", "1000.0")):
        done = automa("run", "saga.yaml", "--set", f"rate={given}", "--set", "on=true")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "told").read_text() == f"{told} true\n"
    refused = automa("run", "saga.yaml", "--set", "rate=1,5")
    assert (refused.returncode, refused.stderr) == (
        65, "automa: variable 'rate' is of type number, and '1,5' is not\n"
    )  # fmt: skip


def test_what_is_wrong_starts_nothing(automa, tmp_path):
    """A mistake in the file, or a value that does not fit, ends the command with 65 and one line."""
    missing = automa("run", "saga.yaml")
    assert (missing.returncode, missing.stderr) == (
        65,
        "automa: site needs a value for title: use --set title=VALUE\n",
    )
    (tmp_path / "bad.yaml").write_text(SAGA.replace("undo:", "undoo:", 1))
    bad = automa("run", "bad.yaml", "--set", "title=x")
    assert (bad.returncode, bad.stderr) == (
        65, "automa: bad.yaml:5:42: steps[0]: there is no key 'undoo' here: is it 'undo'?\n"
    )  # fmt: skip
    assert automa("run", "none.yaml").returncode == 64
    (tmp_path / "SAGA.YAML").write_text(SAGA)
    named = automa("run", "SAGA.YAML")
    assert (named.returncode, named.stderr) == (
        64,
        "automa: SAGA.YAML is no Python file, and no saga file: its name must end in .py, .yaml or .yml\n",
    )
    assert not (tmp_path / "site").exists()


def test_a_dry_run_prints_the_plan_and_starts_nothing(automa, tmp_path):
    """With --dry-run the values are checked, and the plan is printed."""
    done = automa("run", "saga.yaml", "--set", "title=x", "--dry-run")
    assert done.returncode == 0
    assert "the whole way back, from the step that fails: page, folder" in done.stdout
    assert automa("run", "saga.yaml", "--dry-run").returncode == 65
    assert not (tmp_path / "site").exists()


def test_a_saga_file_is_planned_linted_and_explored(automa):
    """The other commands take a saga file as they take Python; a folder is a world for the explorer."""
    assert "folder  step  undo" in automa("plan", "saga.yaml").stdout
    assert automa("lint", "saga.yaml").returncode == 0
    explored = automa("explore", "saga.yaml", "--world", "dir:world", "--set", "title=x")
    assert explored.returncode == 0, explored.stdout
    assert "nothing is violated" in explored.stdout
    assert "same workflow object" not in explored.stdout


@pytest.mark.parametrize("target", ["saga.yaml", "saga.yaml:workflow"])
def test_an_exploration_touches_its_world_alone(automa, tmp_path, target):
    """Commands work in the folder that is the world: what the saga has done beside its file stays."""
    assert automa("run", "saga.yaml", "--set", "title=LIVE").returncode == 0
    explored = automa("explore", target, "--world", "dir:world", "--set", "title=x")
    assert explored.returncode == 0, explored.stdout
    assert (tmp_path / "site/index.html").read_text() == "LIVE\n"
    (tmp_path / "saga.yaml").write_text(f"{SAGA}cwd: {tmp_path}\n")
    refused = automa("explore", target, "--world", "dir:world", "--set", "title=x")
    assert refused.returncode == 65
    assert f"commands of saga.yaml work in {tmp_path}, which is not in --world dir:world" in refused.stderr
    assert (tmp_path / "site/index.html").exists()


def test_a_saga_file_with_a_secret_is_explored(automa, tmp_path):
    """The secrets of a saga file are given to the explorer as they are to a run."""
    (tmp_path / "saga.yaml").write_text(f"{SAGA}secrets: [token]\n")
    (tmp_path / "token").write_text("s3cr3t-token")
    base = ("explore", "saga.yaml", "--world", "dir:world", "--set", "title=x")
    assert automa(*base).returncode == 65
    explored = automa(*base, "--secret", "token=file:token")
    assert explored.returncode == 0, explored.stderr
    both = automa(*base, "--secret", "token=file:token", "--resources", "r.py:r")
    assert (both.returncode, both.stderr) == (64, "automa: --secret and --resources: give one of them\n")


def test_a_violation_in_a_saga_file_is_found(automa, tmp_path):
    """A command that does not stand being called twice is found; and the linter names the line of a step."""
    (tmp_path / "saga.yaml").write_text(SAGA.replace("mkdir, -p", "mkdir"))
    explored = automa("explore", "saga.yaml", "--world", "dir:world", "--set", "title=x")
    assert explored.returncode == 1
    assert "folder: idempotent run: VIOLATED" in explored.stdout
    (tmp_path / "saga.yaml").write_text(SAGA.replace(", undo: [rm, -f, site/index.html]", ""))
    linted = automa("lint", "saga.yaml")
    assert linted.returncode == 1
    assert linted.stdout.startswith("saga.yaml:6: SAGA003 step 'page'")


def test_a_folder_that_is_not_empty_is_no_world(automa, tmp_path):
    """The explorer empties no folder in which there is something."""
    (tmp_path / "world/mine").touch()
    done = automa("explore", "saga.yaml", "--world", "dir:world", "--set", "title=x")
    assert done.returncode == 65
    assert "is not empty" in done.stderr
    assert (tmp_path / "world/mine").exists()


def test_the_schema_is_printed(automa):
    """`automa schema` prints the JSON Schema."""
    assert json.loads(automa("schema").stdout)["title"] == "automa saga file"


def test_a_saga_file_runs_on_an_engine(automa, tmp_path):
    """A run of a saga file is submitted, and a worker that has the file carries it on."""
    engine = ("--engine", "sqlite:///runs.db")
    done = automa("submit", "saga.yaml", "--set", "title=Hi", "--run-id", "r1", *engine)
    assert done.returncode == 0, done.stderr
    refused = automa("submit", "saga.yaml", *engine)
    assert refused.returncode == 65
    worker = subprocess.Popen(
        [sys.executable, "-m", "automa", "worker", "saga.yaml", *engine],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in worker.stderr:
            if "r1" in line and "succeeded" in line:
                break
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    assert (tmp_path / "site/index.html").read_text() == "Hi\n"
