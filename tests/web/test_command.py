"""`automa ui`, started as a process as a user does."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from tests.cli.test_run import automa

SAGA = """
import pathlib, time
from automa import Step, Workflow

HERE = pathlib.Path(__file__).parent

def wait():
    (HERE / "at-work").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
    print("the step prints")

order = Workflow("order", [Step("wait", run=lambda: None, undo=wait)])
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "saga.py").write_text(SAGA)
    automa("run", "saga.py", "--store", "sqlite:///runs.db", "--run-id", "one", cwd=tmp_path)
    return tmp_path


@contextlib.contextmanager
def ui(folder, *arguments):
    """Start the command; yield its process and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "automa", "ui", *arguments, "--port", "0"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def enter(url):
    client = httpx.Client(follow_redirects=True, trust_env=False, timeout=30)
    page = client.get(url)
    assert page.status_code == 200, page.text
    return client, page


def test_it_prints_its_address_and_ends_by_a_signal(folder):
    """The address has the token in it, works, and is on standard output; SIGTERM ends it with 0."""
    with ui(folder, "--store", "sqlite:///runs.db") as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
        client, page = enter(url)
        assert "one" in page.text
        client.close()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_signal_waits_for_the_way_back(folder):
    """A run that goes back in the server comes to its end first; what its steps print is on standard error."""
    with ui(folder, "saga.py", "--store", "sqlite:///runs.db") as (process, url):
        client, _ = enter(url)
        base = url.partition("?")[0]
        asked = "workflow=order&run=one&kind=rollback"
        form = client.get(f"{base}ask?{asked}")
        csrf = re.search(r'name="csrf" value="(\w+)"', form.text)[1]
        fields = {"csrf": csrf, "who": "Ann", "why": "to try"}
        answer = client.post(f"{base}act?{asked}", data=fields, headers={"origin": base.rstrip("/")})
        assert answer.status_code == 200
        client.close()
        process.send_signal(signal.SIGINT)
        assert "come to their end first (runs: 1)" in process.stderr.readline()
        (folder / "go").touch()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "the step prints" in err
    assert "undone" in automa("runs", "--store", "sqlite:///runs.db", cwd=folder).stdout


def test_it_serves_an_engine(folder):
    """`--engine` shows the runs of an engine."""
    with ui(folder, "--engine", "sqlite:///runs.db", "--read-only", "--no-token") as (_, url):
        client, page = enter(url)
        assert "read-only" in page.text
        assert "one" in page.text
        client.close()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 64, "no store is given"),
        (["--store", "sqlite:///none.db"], 74, "there is no store"),
        (["--store", "sqlite:///runs.db", "--engine", "sqlite:///runs.db"], 64, "one of them"),
        (["saga.py", "--engine", "sqlite:///runs.db"], 64, "FILE: on an engine that is the workers' affair"),
        (["none.py", "--store", "sqlite:///runs.db"], 64, "there is no file none.py"),
        (["saga.py", "saga.py", "--store", "sqlite:///runs.db"], 65, "two workflows have the id 'order'"),
        (["saga.py", "--read-only", "--store", "sqlite:///runs.db"], 64, "--read-only changes nothing"),
        (["--store", "sqlite:///runs.db", "--host", "0.0.0.0", "--no-token"], 64, "everybody who reaches"),
        (["--store", "sqlite:///runs.db", "--host", "0.0.0.0"], 64, "--allow-host"),
        (["--store", "sqlite:///runs.db", "--host", "no.such.host.invalid", "--allow-host", "x"], 74, "cannot be listened at"),
        (["--store", "sqlite:///runs.db", "--port", "70000"], 64, "port"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_told_in_one_line(folder, arguments, status, message):
    """What is wrong with the command line, the store or the address ends it with a line and a status."""
    done = automa("ui", *arguments, cwd=folder)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(folder):
    """Where somebody else listens already, it says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = automa("ui", "--store", "sqlite:///runs.db", "--port", port, cwd=folder)
    assert done.returncode == 74
    assert f"127.0.0.1 port {port} cannot be listened at" in done.stderr


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "jinja2"])
def test_without_the_web_extra_the_command_says_what_to_install(folder, missing):
    """Where a package of the extra is missing, one line names it and the extra."""
    code = f"import sys; sys.modules[{missing!r}] = None; from automa.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "ui", "--store", "sqlite:///runs.db"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 64
    assert done.stderr.count("\n") == 1
    assert "pip install 'automa-saga[web]'" in done.stderr
