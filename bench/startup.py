"""How long automa takes to start: its import, and the command from being typed to its first step."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import Spread, in_turn, limit, python_of, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUNDS = 20

SAGA = """
import pathlib, time
from automa import Workflow, step

@step
def first():
    pathlib.Path("began").write_text(str(time.time()))

saga = Workflow("saga", [first])
"""

FILE = """
automa: 1
id: saga
steps:
  - id: first
    run: ["true"]
    undo: ["true"]
"""

WAYS = {
    "`python -c pass`": ("-c", "pass"),
    "`import automa`": ("-c", "import automa"),
    "`import asyncio`, of the standard library": ("-c", "import asyncio"),
    "`automa --help`": ("-m", "automa", "--help"),
    "`automa run saga.py`": ("-m", "automa", "run", "saga.py"),
    "`automa run saga.yaml`": ("-m", "automa", "run", "saga.yaml"),
    "`automa run saga.py --store sqlite:///runs.db`": (
        *("-m", "automa", "run", "saga.py"),
        *("--store", "sqlite:///runs.db"),
    ),
}


def measure() -> dict[str, Any]:
    """Measure in turn."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "saga.py").write_text(SAGA, encoding="utf-8")
        (Path(folder) / "saga.yaml").write_text(FILE, encoding="utf-8")
        python = python_of("automa")
        works = {name: _timed([python, *command], folder) for name, command in WAYS.items()}
        works["`automa run saga.py`, to its first step"] = _to_first_step(
            [python, "-m", "automa", "run", "saga.py"], folder
        )
        return in_turn(works, ROUNDS)


def _timed(command: Sequence[str | Path], folder: str) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (time.perf_counter() - start) * 1e3

    return run


def _to_first_step(command: Sequence[str | Path], folder: str) -> Callable[[], float]:
    def run() -> float:
        start = time.time()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (float((Path(folder) / "began").read_text()) - start) * 1e3

    return run


def tell(measured: dict[str, Any]) -> list[str]:
    """Return the section of what was measured."""
    medians = {name: Spread.of(rounds).median for name, rounds in measured.items()}
    bare = medians["`python -c pass`"]
    return [
        "## Start-up",
        "",
        "Milliseconds of a process, in turn. The command's modules are compiled already, as they are after",
        "its first use.",
        "",
        *table(["", "ms"], [[name, str(Spread.of(rounds))] for name, rounds in measured.items()]),
        "",
        limit("`import automa`, over bare Python", medians["`import automa`"] - bare, 40, unit=" ms"),
    ]
