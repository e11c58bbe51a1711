"""The guard of bench/instructions.py against real slow-downs, counted by callgrind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
LINE = "        self.attempt: int = 1\n"
LOOP = "        for _ in range(50):\n            pass\n"

pytestmark = pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")


@pytest.mark.parametrize("more", ["", LOOP], ids=["unchanged", "slower"])
def test_a_loop_in_each_action_is_found(bench, tmp_path, more):
    """A loop put into what each action makes exceeds the limit of instructions; the same source keeps it."""
    source = tmp_path / "src"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    file = source / "automa" / "_core" / "context.py"
    text = file.read_text()
    assert text.count(LINE) == 1
    file.write_text(text.replace(LINE, LINE + more))
    assert bench("instructions").compare(SOURCE, source, ["in memory"]) is not bool(more)
