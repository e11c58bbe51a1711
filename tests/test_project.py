"""The project tests all that it has."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_folder_of_tests_is_run():
    """A folder with tests is one that pytest looks into, or that `make faults`, `engines` or `browser` names."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    engines = {"tests/engines/dbos", "tests/engines/restate"}
    run = {*config["testpaths"], *engines, "tests/faults", "tests/models", "tests/browser"}
    files = {str(file.relative_to(ROOT)) for file in ROOT.glob("tests/*/**/test_*.py")}
    assert not {
        file
        for file in files
        if not any(file.startswith(f"{each}/") or Path(file).match(each) for each in run)
    }
    assert f"ENGINES := {' '.join(sorted(engines))}" in (ROOT / "Makefile").read_text()
    assert "tests/faults tests/models" in (ROOT / "Makefile").read_text()
    assert "-n 2 tests/browser" in (ROOT / "Makefile").read_text()
    assert {"make faults", "make browser", "make coverage", "make instructions"} <= set(
        (ROOT / ".ci" / "run").read_text().splitlines()
    )
