"""What a person sees: real terminals, driven as one would."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from automa._core.records import Started
from automa._core.status import Action
from automa.cli.views import LiveView, quiet_console
from automa.observe.progress import StepCount

SAGA = """\
automa: 1
id: site
steps:
  - {id: first, run: [sleep, '0.3'], undo: [sleep, '0.3']}
  - id: both
    parallel:
      - {id: left, run: [sleep, '0.5'], undo: ['true']}
      - {id: right, run: [bash, -c, echo printed], undo: ['true']}
  - {id: bad, run: [bash, -c, 'echo why >&2; exit 3'], undo: ['true']}
"""
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def saga(tmp_path):
    """Write the saga; return its file."""
    file = tmp_path / "saga.yaml"
    file.write_text(SAGA)
    return file


def on_terminal(*arguments, **env):
    """Run the command on a terminal; return all that it has written there, and its exit status."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "automa", *map(str, arguments)],
        stdin=follower, stdout=follower, stderr=follower, close_fds=True,
        env={**{key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "CI", "FORCE_COLOR"}}, "TERM": "xterm-256color", "COLUMNS": "100", **env},
    )  # fmt: skip
    os.close(follower)
    text = b""
    while True:
        ready, _, _ = select.select([leader], [], [], 60)
        assert ready, "nothing comes any more"
        try:
            more = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        text += more
    os.close(leader)
    return text.decode(), process.wait()


def test_a_run_is_seen_while_it_goes_on(saga):
    """Steps at work are shown with their time, how many are done, and the way back in another colour."""
    text, status = on_terminal("run", saga)
    assert status == 1
    bare = ESCAPE.sub("", text)
    assert re.search(r"→ run      first  0\.\d s", bare)
    assert re.search(r"0/4 steps done, 0\.\d s", bare)
    assert "→ run      both/left" in bare
    assert re.search(r"↶ rollback first  0\.\d s", bare)
    assert re.search(r"1/4 steps done, on the way back, \d\.\d s", bare)
    assert re.search(r"✗ run      bad  FAILED  CommandError: bash: exit status 3: why  0\.\d s", bare)
    assert "\x1b[33mrollback" in text  # yellow
    assert "\x1b[36mrun" in text  # cyan
    assert "workflow 'site' ended undone" in bare


def test_no_colour_where_none_is_wanted(saga):
    """With NO_COLOR nothing is coloured, and all is still told by marks."""
    text, _ = on_terminal("run", saga, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)
    assert "✓ rollback first" in ESCAPE.sub("", text)


def test_plain_lines_on_a_terminal(saga):
    """With --plain there are lines alone: no spinner, nothing is written over."""
    text, _ = on_terminal("run", saga, "--plain")
    assert "steps done" not in text
    assert "\x1b[2K" not in text
    assert "✓ rollback first" in ESCAPE.sub("", text)


def test_quiet_shows_the_report_alone(saga):
    """With --quiet nothing is shown until the report is."""
    text, _ = on_terminal("run", saga, "--quiet")
    assert "✓" not in text
    assert "workflow 'site' ended undone" in ESCAPE.sub("", text)


def piped(*arguments):
    """Run the command without a terminal; return what it wrote to standard error."""
    return subprocess.run(
        [sys.executable, "-m", "automa", *map(str, arguments)], capture_output=True, text=True, check=False
    ).stderr


def test_lines_where_there_is_no_terminal(saga):
    """Without a terminal there is a line an action, without any escape."""
    text = piped("run", saga)
    assert "\x1b" not in text
    assert text.splitlines()[0] == "✓ run      first"


def test_verbose_tells_what_commands_printed(saga):
    """With --verbose each action's line is followed by what it left in the report."""
    text = piped("run", saga, "--verbose")
    assert "    stdout: printed" in text
    assert "    stderr: why" in text
    assert "    exit status: 3" in text


@pytest.mark.parametrize(
    ("values", "shown"), [(("--verbose",), "automa: --verbose: on an engine that is the workers' affair\n")]
)
def test_what_has_no_effect_on_an_engine_is_refused(values, shown, tmp_path):
    """How a run is shown is said to the worker that carries it on."""
    url = f"sqlite:///{tmp_path}/runs.db"
    piped("runs", "--store", url)
    sagas = tmp_path / "saga.yaml"
    sagas.write_text(SAGA)
    piped("run", sagas, "--store", url, "--run-id", "r1", "-q")
    assert piped("rollback", "r1", "--engine", url, *values) == shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_written_for_shells(shell):
    """The command writes the completion for a shell, and completes its own commands."""
    env = {**os.environ, "_AUTOMA_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        [sys.executable, "-m", "automa"], env=env, capture_output=True, text=True, check=False
    )
    assert "_AUTOMA_COMPLETE" in done.stdout


def test_commands_are_completed():
    """What has been typed of a command is completed."""
    env = {**os.environ, "_AUTOMA_COMPLETE": "complete_bash", "COMP_WORDS": "automa roll", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "automa"], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["rollback"]


class ChangingDict(dict):
    """A dict into which something is put while it is walked through, as another thread may."""

    def values(self):
        """Yield the values."""
        for number, each in enumerate(super().values()):
            yield each
            self[f"new {number}"] = each


def test_what_is_shown_may_change_while_it_is_drawn():
    """The thread that draws stands it that steps begin and end meanwhile: else nothing would move any more."""
    view = LiveView(quiet_console(), StepCount(("a",)))
    view._at_work = ChangingDict()
    for path in ("a", "b"):
        view.started(Started(path, Action.RUN, datetime.now(UTC)))
    assert len(view._bottom().renderables) == 3
