"""`automa init`: a first saga, and its test."""

from __future__ import annotations

import subprocess
import sys

import pytest


def automa(*arguments, cwd):
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "automa", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("options", "saga", "test"),
    [((), "saga.py", "test_saga.py"), (("--saga-file",), "saga.yaml", "test_saga_file.py")],
)
def test_what_it_writes_runs_fails_undoes_itself_and_is_proved(tmp_path, options, saga, test):
    """The commands that it tells work: the saga succeeds, fails and undoes itself, and its test passes."""
    done = automa("init", "new", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"automa run new/{saga} --set refuse=true" in done.stdout
    folder = tmp_path / "new"
    written = {each.name for each in folder.iterdir()}
    assert written == {saga, test}
    assert automa("run", saga, "--set", "title=Hi", cwd=folder).returncode == 0
    assert (folder / "site/index.html").read_text() == "<h1>Hi</h1>\n"
    (folder / "site/index.html").unlink()
    (folder / "site").rmdir()
    failed = automa("run", saga, "--set", "refuse=true", cwd=folder)
    assert failed.returncode == 1
    assert "the page was refused" in " ".join(failed.stdout.split())
    assert not (folder / "site").exists()
    assert automa("lint", saga, cwd=folder).returncode == 0
    proved = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert proved.returncode == 0, proved.stdout
    assert "1 passed" in proved.stdout


def test_it_touches_no_file_that_is_there(tmp_path):
    """Where there is one of the files already nothing is written, and the other one is not made."""
    (tmp_path / "test_saga.py").write_text("mine")
    done = automa("init", cwd=tmp_path)
    assert done.returncode == 64
    assert "there is a test_saga.py already: name another folder" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["test_saga.py"]
    assert (tmp_path / "test_saga.py").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    """Where the folder is a file the command says so, in one line."""
    (tmp_path / "file").touch()
    done = automa("init", "file/new", cwd=tmp_path)
    assert done.returncode == 74
    assert done.stderr == "automa: file/new cannot be written to: Not a directory\n"


def test_what_it_tells_to_type_can_be_typed(tmp_path):
    """A folder with a blank in its name is quoted, as a shell wants it."""
    done = automa("init", "my folder", "--saga-file", cwd=tmp_path)
    assert "automa run 'my folder/saga.yaml'" in done.stdout
    assert "pytest 'my folder/test_saga_file.py'" in done.stdout
