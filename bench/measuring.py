"""What the parts of the suite share: rounds in turn, their medians and spread, limits, peers' environments.

A part is a module with `measure()`, which returns JSON values, and `tell(measured)`, which returns the
Markdown lines of its section. `suite.py` calls both, and keeps what was measured in `results.json`.
"""

from __future__ import annotations

import functools
import json
import math
import os
import platform
import re
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
DASH = "–"  # noqa: RUF001  # between the least and the greatest, and where there is no figure

PACKAGES: dict[str, tuple[str, ...]] = {
    "bare": ("psycopg[binary]",),
    "automa": (f"{ROOT}[cli]",),
    "saga-py": ("saga-py==1.1.0",),
    "simple-saga": ("simple-saga==0.1.6",),
    "sagaz": ("sagaz==1.5.0",),
    "taskflow": ("taskflow==6.5.0", "SQLAlchemy<2.1", "alembic"),
    "dbos": ("dbos==3.4.0", "psycopg[binary]"),
}
"""What is installed for each subject, in an environment of its own."""


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
        return f"{figure(self.median)} ({figure(self.least)}{DASH}{figure(self.greatest)})"


def figure(value: float) -> str:
    """Return a figure with the digits that a measurement deserves."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004


def in_turn(works: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the figures of each work's rounds, measured in turn, so that all meet the same conditions."""
    figures: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            figures[name].append(work())
    return figures


@functools.cache
def python_of(subject: str) -> Path:
    """Return the Python of a subject's environment, which is made where it is not there."""
    folder = ENVIRONMENTS / subject
    python = folder / "bin" / "python"
    packages = PACKAGES[subject]
    made = folder / "packages.json"
    wanted = json.dumps([platform.python_version(), *packages])
    if not made.exists() or made.read_text() != wanted:
        output_of(sys.executable, "-m", "venv", "--clear", folder)
        output_of(python, "-m", "pip", "install", "-q", *packages)
        made.write_text(wanted)
    elif subject == "automa":  # the source may have changed
        output_of(python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", ROOT)
    return python


def versions_of(subjects: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are measured."""
    found = {}
    for subject in subjects:
        name = "automa-saga" if subject == "automa" else subject
        code = f"from importlib.metadata import version; print(version({name!r}))"
        found[subject] = output_of(python_of(subject), "-c", code)
    return found


def output_of(*command: object, seconds: float | None = None) -> str:
    """Return what a command prints.

    Raises:
        subprocess.TimeoutExpired: It takes longer than the seconds.
        RuntimeError: It fails; with what it printed.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr.rstrip()}")
    return done.stdout.strip()


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the exponent with which values grow with sizes: the slope of a line through their logarithms."""
    logs = [[math.log(each) for each in column] for column in (sizes, values)]
    return statistics.linear_regression(*logs).slope


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, system, Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def played(subject: str, module: str, *arguments: object, seconds: float = 60.0) -> dict[str, float] | str:
    """Return what playing with a library took, in a process of its own; or why there is no figure."""
    command = (python_of(subject), SUBJECTS / "play.py", module, *arguments)
    try:
        found: dict[str, float] = json.loads(output_of(*command, seconds=seconds))
    except subprocess.TimeoutExpired:
        return f"over {seconds:g} s"
    except RuntimeError as error:
        print(error, flush=True)
        raised = re.search(r"^[\w.]+: .+$", str(error), re.MULTILINE)
        return "fails" + (f": {raised[0]}" if raised else "")
    return found


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
