"""The command that checks workflows, started as a process."""

from __future__ import annotations

import json

import pytest

from automa.cli import exits
from tests.cli.test_run import automa

CLEAN = (
    "from automa import Step, Workflow\nprint('imported')\nw = Workflow('w', [Step('a', run=lambda: 1)])\n"
)
FOUND = "import os\nfrom automa import Step, Workflow\n\ndef run():\n    os.kill(0, 9)\n\nw = Workflow('w', [Step('a', run=run)])\n"
DIFFERS = (
    "import uuid\nfrom automa import Step, Workflow\nn = uuid.uuid4()\nw = Workflow('w', [Step(f'a-{n}')])\n"
)
ONCE = "import sys\nassert not hasattr(sys, 'once')\nsys.once = 1\n"


@pytest.fixture
def lint(tmp_path):
    def run(text, *arguments):
        (tmp_path / "saga.py").write_text(text)
        return automa("lint", *(arguments or ["saga.py"]), cwd=tmp_path)

    return run


def test_nothing_is_found(lint):
    """It exits with 0 where nothing is found, and what the file prints is not in the answer."""
    done = lint(CLEAN)
    assert (done.returncode, done.stdout) == (exits.SUCCEEDED, "no findings in workflow 'w'\n")


def test_something_is_found(lint):
    """It exits with 1, a line for each finding, then a count; the file is as seen from here."""
    done = lint(FOUND)
    first, last = done.stdout.splitlines()
    assert done.returncode == exits.CHECK_FAILED
    assert first.startswith("saga.py:4: SAGA003 step 'a': it does something")
    assert last == "1 finding in workflow 'w'"


def test_json(lint):
    """As JSON each finding has code, name, step, message, workflow, file and line."""
    (found,) = json.loads(lint(FOUND, "saga.py:w", "--json").stdout)
    assert found.pop("message")
    assert found == {
        "code": "SAGA003", "name": "no-undo", "path": "a", "workflow": "w", "file": "saga.py", "line": 4,
    }  # fmt: skip
    assert json.loads(lint(CLEAN, "saga.py", "--json").stdout) == []


def test_all_workflows_of_a_file(lint):
    """Without a name all are checked; one that stands in another is checked there."""
    done = lint(FOUND + "v = Workflow('v', [w])\nx = Workflow('x', [])\n")
    assert "SAGA003 step 'w/a'" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 finding in workflow 'v', workflow 'x'"
    assert lint(FOUND + "x = Workflow('x', [])\n", "saga.py:x").returncode == exits.SUCCEEDED


def test_ids_that_differ(lint):
    """The file is imported twice, and ids that are others then are a finding; one that bears it once is let be."""
    done = lint(DIFFERS)
    assert done.returncode == exits.CHECK_FAILED
    assert "SAGA010 step 'a-" in done.stdout
    assert "when the file is imported again" in done.stdout
    assert lint(ONCE + CLEAN).returncode == exits.SUCCEEDED
    assert lint(CLEAN, "saga").returncode == exits.SUCCEEDED


@pytest.mark.parametrize(
    ("text", "argument", "status"),
    [
        (CLEAN, "gone.py", exits.USAGE),
        (CLEAN.replace("print", "str"), "saga.py:v", exits.BAD_INPUT),
        ("x = 1\n", "saga.py", exits.BAD_INPUT),
        ("1 / 0\n", "saga.py", exits.BAD_INPUT),
    ],
)
def test_what_cannot_be_checked(lint, text, argument, status):
    """A file that is not there is 64, one without such a workflow 65, in one line."""
    done = lint(text, argument)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
