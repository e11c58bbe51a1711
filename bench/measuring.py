"""What the parts of the suite share: rounds in turn, their medians and spread, limits, and peers' environments.

A part is a module with `measure()`, which returns JSON values, and `tell(measured)`, which returns the
Markdown lines of its section. `suite.py` calls both, and keeps what was measured in `results.json`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENVIRONMENTS = ROOT / "build" / "bench"
SUBJECTS = HERE / "subjects"

PACKAGES: dict[str, tuple[str, ...]] = {
    "automa": (f"{ROOT}[cli]",),
    "saga-py": ("saga-py==1.1.0",),
    "simple-saga": ("simple-saga==0.1.6",),
    "sagaz": ("sagaz==1.5.0",),
    "taskflow": ("taskflow==6.5.0", "SQLAlchemy<2.1"),
    "dbos": ("dbos==3.4.0", "psycopg[binary]"),
}
"""What is installed for each subject, in an environment of its own; "bare" needs nothing."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Spread:
        """Return the spread of rounds."""
        return cls(statistics.median(rounds), min(rounds), max(rounds))

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.least)}–{figure(self.greatest)})"  # noqa: RUF001  # a range


def figure(value: float) -> str:
    """Return a figure with the digits that a measurement deserves."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004


def in_turn(works: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the figures of all rounds of each work, measured in turn so that all meet the same conditions."""
    figures: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            figures[name].append(work())
    return figures


def python_of(subject: str) -> Path:
    """Return the Python of a subject's environment, which is made where it is not there."""
    folder = ENVIRONMENTS / subject
    python = folder / "bin" / "python"
    packages = PACKAGES.get(subject, ())
    made = folder / "packages.json"
    wanted = json.dumps([platform.python_version(), *packages])
    if not made.exists() or made.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        if packages:
            subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        made.write_text(wanted)
    elif subject == "automa":  # the source may have changed
        install = [python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", str(ROOT)]
        subprocess.run(install, check=True)
    return python


def versions_of(subjects: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are measured."""
    found = {}
    for subject in subjects:
        name = "automa-saga" if subject == "automa" else subject
        code = f"from importlib.metadata import version; print(version({name!r}))"
        if subject in PACKAGES:
            found[subject] = output_of([python_of(subject), "-c", code])
    return found


def output_of(command: Sequence[str | Path], seconds: float | None = None) -> str:
    """Return what a command prints.

    Raises:
        subprocess.TimeoutExpired: It takes longer than the seconds.
        RuntimeError: It fails; with what it printed.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, system, Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def limit(what: str, value: float, bound: float, *, at_least: bool = False, unit: str = "") -> str:
    """Return a line that tells a figure, its limit, and whether it keeps it."""
    kept = "kept" if (value >= bound if at_least else value <= bound) else "NOT KEPT"
    side = "at least" if at_least else "at most"
    return f"- {what}: **{figure(value)}{unit}**, {side} {bound:g}{unit}: {kept}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, whose first column is text and whose others are figures."""
    return [
        f"| {' | '.join(columns)} |",
        f"|---|{'---:|' * (len(columns) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
