"""The tests of durability are tested: bugs put into a copy of the source turn them red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.durable.seeded.bugs import BUGS

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "automa"
IS_SOAK = bool(os.environ.get("AUTOMA_SOAK"))


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name.replace(" ", "-") for bug in BUGS])
def test_a_bug_is_found(bug, tmp_path):
    """A bug in the source makes the test that is there for it fail."""
    source = (SOURCE / bug.file).read_text("utf-8")
    assert source.count(bug.old) == 1, "the source has changed: change the bug too"
    if bug.is_slow and not IS_SOAK:
        pytest.skip("slow: with AUTOMA_SOAK=1")
    copy = tmp_path / "src" / "automa"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / bug.file).write_text(source.replace(bug.old, bug.new), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(copy.parent), "AUTOMA_CRASHES": "1"}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    where = [sys.executable, "-c", "import automa; print(automa.__file__)"]
    imported = subprocess.run(where, env=environment, capture_output=True, text=True, check=True)
    assert Path(imported.stdout.strip()).parent == copy
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-n", "0", f"--basetemp={tmp_path / 'base'}", f"tests/{bug.test}"]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout


def test_no_bug_is_tried_twice():
    """Bugs have names of their own, and at least twelve of them are tried each time."""
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert sum(not bug.is_slow for bug in BUGS) >= 12


def test_the_list_in_the_documentation_is_the_real_one():
    """docs/explanation/seeded-bugs.md has each bug, with what it breaks, and no other."""
    page = (ROOT / "docs" / "explanation" / "seeded-bugs.md").read_text("utf-8")
    rows = [line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| ") and "tests/" in line]
    assert rows == [[f"| {bug.name}", bug.guarantee] for bug in BUGS]
