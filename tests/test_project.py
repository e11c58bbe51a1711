"""The project tests all that it has."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_folder_of_tests_is_run():
    """A folder with tests is one of those that pytest looks into, or one that `make faults` names."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    run = {*config["testpaths"], "tests/faults", "tests/models"}
    folders = {
        f"tests/{file.relative_to(ROOT / 'tests').parts[0]}" for file in ROOT.glob("tests/*/**/test_*.py")
    }
    assert folders <= run
    assert "tests/faults tests/models" in (ROOT / "Makefile").read_text()
    assert "make faults" in (ROOT / ".ci" / "run").read_text()
