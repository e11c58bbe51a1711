"""`automa explore`, started as a process as a user does."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_run import automa

SAGA = """
import sys
from automa import Step, Workflow
from automa.testing import DictWorld, SqliteWorld, World

bank = DictWorld({"paid": 0})
untouched = {"bank": bank}
number = 7
saga_resources = {"bank": bank}


def make_order(world):
    def pay(ctx):
        print("paying")
        world.data["paid"] += ctx.shared.get_int("amount", 120)

    def pay_back(ctx):
        world.data["paid"] = 0

    return Workflow("order", [Step("pay", run=pay, undo=pay_back)])


def make_right():
    def pay(ctx):
        ctx.resources["bank"].data["paid"] = 120

    def pay_back(ctx):
        ctx.resources["bank"].data["paid"] = 0

    return Workflow("right", [Step("pay", run=pay, undo=pay_back)])


def make_resources(world):
    return {"bank": world}


def make_bank():
    return DictWorld({"paid": 0})


class Bank(DictWorld):
    def __init__(self):
        super().__init__({"paid": 0})


class Broken(Bank):
    def snapshot(self):
        raise OSError("the bank\\nis closed")


def broken():
    raise RuntimeError("no bank here")


def unmakeable():
    raise RuntimeError("no workflow today")


def leaves():
    sys.exit(3)


def paying(world):
    def pay():
        with world.connect() as database:
            database.execute("INSERT OR IGNORE INTO paid VALUES (1)")

    def pay_back():
        with world.connect() as database:
            database.execute("DELETE FROM paid")

    return Workflow("paying", [Step("pay", run=pay, undo=pay_back)])


def make_database():
    return SqliteWorld("CREATE TABLE paid (id INTEGER PRIMARY KEY)")
"""


@pytest.fixture
def saga(tmp_path):
    path = tmp_path / "saga.py"
    path.write_text(SAGA)
    return path


def explore(saga, name, *arguments, **environment):
    return automa("explore", f"{saga}:{name}", *arguments, **environment)


def test_a_violation_is_told_and_exits_1(saga):
    """What a step does not stand is a table, a story and a difference on standard output; the exit status 1."""
    done = explore(saga, "make_order", "--world", "bank")
    assert done.returncode == 1
    assert "workflow 'order'" in done.stdout
    assert "VIOLATED" in done.stdout
    assert "paid: 120 → 240" in done.stdout
    assert done.stderr == ""  # what the steps print is of no use a hundred times


def test_the_line_that_reproduces_is_the_commands_own(saga):
    """The line of a violation, typed as it is, plays that case alone and finds the same; the steps' prints show."""
    world = f"{saga}:bank"  # the module that is loaded already: its world must not be made twice
    done = explore(saga, "make_order", "--world", world, "--set", "amount=5", "--format", "json")
    first = json.loads(done.stdout)["violations"][0]
    command, *arguments = shlex.split(first["reproduce"])
    assert command == "automa"
    again = automa(*arguments, "--format", "json")
    assert again.returncode == 1
    found = json.loads(again.stdout)
    assert found["cases"] == [first["case"]]
    assert [(each["kind"], each["reproduce"]) for each in found["violations"]] == [
        (first["kind"], first["reproduce"])
    ]
    assert again.stderr.startswith("paying\n")


@pytest.mark.parametrize(
    ("world", "resources"),
    [("bank", "saga_resources"), ("make_bank", "make_resources"), ("Bank", "make_resources")],
)
def test_what_stands_everything_exits_0(saga, world, resources):
    """A world is an object, a function or a class; resources a mapping or a function, which may take the world."""
    done = explore(saga, "make_right", "--world", world, "--resources", resources)
    assert done.returncode == 0, done.stderr
    assert "nothing is violated" in done.stdout
    assert "note:" not in done.stdout


def test_real_processes_and_pairs_of_crashes(saga):
    """--process kills real processes, and --only is as often as one likes; --depth 2 has pairs of crashes."""
    deeper = explore(saga, "paying", "--world", "make_database", "--depth", 2, "--format", "json")
    assert deeper.returncode == 0, deeper.stderr
    pairs = [case for case in json.loads(deeper.stdout)["cases"] if case.count("+crash-") == 2]
    done = explore(
        saga, "paying", "--world", "make_database", "--process", "--only", "success", "--only", pairs[0]
    )
    assert done.returncode == 0, done.stderr
    assert "2 cases" in done.stdout


def test_one_workflow_for_all_processes_is_remarked_upon(tmp_path):
    """The only workflow of a file needs no name; that it outlives each crash is said, except of real processes."""
    path = tmp_path / "one.py"
    path.write_text(
        "from automa import Step, Workflow\n"
        "from automa.testing import DirectoryWorld\n"
        "folder = DirectoryWorld()\n"
        "def make(): (folder.path / 'a').touch()\n"
        "def unmake(): (folder.path / 'a').unlink(missing_ok=True)\n"
        "saga = Workflow('one', [Step('a', run=make, undo=unmake)])\n"
    )
    done = automa("explore", path, "--world", "folder")
    assert done.returncode == 0, done.stderr
    assert "note: each process of a run had the same workflow object" in done.stdout
    done = automa("explore", path, "--world", "folder", "--process", "--only", "success")
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stdout


def test_forms_and_files(saga, tmp_path):
    """--format json and html, to standard output or to a file; texts of users that are no Unicode are spelt out."""
    html = tmp_path / "found.html"
    done = explore(saga, "make_order", "--world", "bank", "--format", "html", "-o", html)
    assert (done.returncode, done.stdout) == (1, "")
    assert html.read_text().startswith("<!doctype html>")
    odd = tmp_path / "odd.py"
    odd.write_text(
        "from automa import Step, Workflow\n"
        "from automa.testing import DictWorld\n"
        "bank = DictWorld({'\\udc80': 0})\n"
        "def pay(): bank.data['\\udc80'] += 1\n"
        "def make(): return Workflow('odd', [Step('\\x1b[31m', run=pay)])\n"
    )
    for form in ("text", "json", "html"):
        output = tmp_path / form
        done = automa("explore", f"{odd}:make", "--world", "bank", "--format", form, "-o", output)
        assert (done.returncode, done.stderr) == (1, "")
        assert "udc80" in output.read_text()
    assert "\x1b" not in (tmp_path / "text").read_text()


def test_a_world_that_the_steps_do_not_touch_is_remarked_upon(saga):
    """Where the steps work elsewhere than in the world that was named, nothing is proved, and that is said."""
    done = explore(saga, "make_right", "--world", "make_bank", "--resources", "saga_resources")
    assert done.returncode == 0, done.stderr
    assert "note: a run leaves this world as it was" in done.stdout


def test_without_a_world_the_error_shows_one(saga):
    """Without --world the command says what a world is, and shows three lines of an example."""
    done = explore(saga, "make_order")
    assert done.returncode == 64
    assert "reset() and snapshot()" in done.stderr
    assert "bank = DictWorld(" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("    ")]) == 3


@pytest.mark.parametrize(
    ("name", "arguments", "status", "told"),
    [
        ("make_order", ["--world", "bnk"], 65, "has no 'bnk'; there is bank"),
        ("make_order", ["--world", "nowhere.py:bank"], 64, "there is no file nowhere.py"),
        ("make_order", ["--world", ":"], 64, "is no file"),
        ("make_order", ["--world", "untouched"], 65, "of type dict, without reset() and snapshot()"),
        ("make_order", ["--world", "broken"], 65, "RuntimeError: no bank here"),
        ("make_order", ["--world", "make_order"], 65, "TypeError"),
        ("make_order", ["--world", "World"], 65, "TypeError"),
        ("make_order", ["--world", "Broken"], 65, "OSError: the bank is closed"),
        ("make_order", ["--world", "leaves"], 65, "SystemExit: 3"),
        ("make_right", ["--world", "bank", "--resources", "number"], 65, "it is no mapping, nor a function"),
        ("make_right", ["--world", "bank", "--resources", "broken"], 65, "RuntimeError: no bank here"),
        ("make_right", ["--world", "bank", "--resources", "bank"], 65, "it is no mapping, nor a function"),
        ("make_right", ["--world", "bank"], 65, "does not succeed where nothing happens to it"),
        ("number", ["--world", "bank"], 65, "number is no workflow, nor a function, but of type int"),
        ("make_ordr", ["--world", "bank"], 65, "has no 'make_ordr'; there is make_order"),
        ("make_bank", ["--world", "bank"], 65, "the workflow cannot be made: that returned a DictWorld"),
        ("unmakeable", ["--world", "bank"], 65, "cannot be made: RuntimeError: no workflow today"),
        ("make_order", ["--world", "bank", "--process"], 65, "lives in the memory of one process"),
        ("make_order", ["--world", "bank", "--only", "fail-before:gone"], 65, "there is no case"),
        ("make_order", ["--world", "bank", "--only", "success+crash-never"], 65, "there is no case"),
        ("make_order", ["--world", "bank", "--only", "abandon"], 65, "there is no case"),
        ("make_order", ["--world", "bank", "--set", "amount"], 64, "expected KEY=VALUE"),
        ("make_order", ["--world", "bank", "-o", "/nowhere/x"], 64, "cannot be written"),
    ],
)
def test_bad_input_is_one_line(saga, name, arguments, status, told):
    """What cannot be used is told in one line with status 64 or 65, and never with a traceback."""
    done = explore(saga, name, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    lines = [line for line in done.stderr.splitlines() if line != "paying"]
    assert len(lines) == 1
    assert told in lines[0]


def test_a_file_without_a_workflow_says_what_to_name(saga):
    """A file that has functions alone needs the name of one."""
    done = automa("explore", saga, "--world", "bank")
    assert done.returncode == 65
    assert "name a function that returns one" in done.stderr


def test_depth_is_1_or_2(saga):
    """Another depth is a wrong command line."""
    assert explore(saga, "make_order", "--world", "bank", "--depth", 3).returncode == 64


def test_what_cannot_be_printed_exits_74(saga):
    """Where standard output cannot be written the exit status is 74."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "automa", "explore", f"{saga}:make_order", "--world", "bank"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 74
    assert done.stderr.count("\n") == 1
