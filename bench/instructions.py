"""Whether automa takes more processor instructions than it did at the base commit, counted by callgrind.

    python bench/instructions.py                   # against the commit that bench/BASE names
    python bench/instructions.py --base HEAD~3     # against another one

Time flakes, instructions do not: the same Python plays the same scenario to within some millionths, whatever
else the machine does. Both commits are counted here and now, so that no figure depends on the processor, the
system's libraries or Python. It ends with status 1 where a scenario takes more than a twentieth more. Whoever
has a reason to let a scenario cost more names a new base in bench/BASE, in the commit that has the reason.

Sets of objects are searched by addresses, so that it counts where they lie: up to some thousandths. Paths
and the environment move them, which is why each source is counted in a copy, below paths of the same length,
with nothing in the environment but what is given here.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIMIT = 1.05
FEW, MANY = 1, 6
SCENARIOS = {"in memory": 401, "durable": 101, "side by side": 100}
"""The scenarios of scenarios.py, and the actions of steps in each."""


def command_of(scenario: str, times: int) -> list[str]:
    """Return what plays a scenario so often: a Python that has nothing of its environment's packages."""
    return [sys.executable, "-S", str(HERE / "scenarios.py"), scenario, str(times)]


def count(source: Path, scenario: str, times: int) -> int:
    """Return how many instructions Python takes for a scenario, from its start to its end.

    Raises:
        FileNotFoundError: There is no valgrind.
        RuntimeError: The scenario fails; with what it printed.
    """
    valgrind = shutil.which("valgrind") or "valgrind"
    options = ("--tool=callgrind", "--callgrind-out-file=/dev/null")
    command = [valgrind, *options, *command_of(scenario, times)]
    environment = {"PYTHONPATH": str(source), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return int(found[1])


def instructions(source: Path, scenarios: Collection[str] = SCENARIOS) -> dict[str, float]:
    """Return the instructions an action takes in each scenario, without the start of Python."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        copy = Path(folder) / "src"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        environment = {"PYTHONPATH": str(copy)}
        for scenario in scenarios:  # so that what is imported is compiled already
            subprocess.run(command_of(scenario, FEW), env=environment, check=True)
        counts = {
            (scenario, times): pool.submit(count, copy, scenario, times)
            for scenario in scenarios
            for times in (FEW, MANY)
        }
    return {
        scenario: (counts[scenario, MANY].result() - counts[scenario, FEW].result())
        / ((MANY - FEW) * SCENARIOS[scenario])
        for scenario in scenarios
    }


def source_at(commit: str, folder: Path) -> Path | None:
    """Put the source of a commit into a folder; return None where it is not to be had."""
    git = ["git", "-C", str(ROOT)]
    fetch = [*git, "fetch", "-q", "--depth", "1", "origin", commit]
    archive = subprocess.run([*git, "archive", commit, "src"], capture_output=True, check=False)
    if archive.returncode and subprocess.run(fetch, capture_output=True, check=False).returncode == 0:
        archive = subprocess.run([*git, "archive", commit, "src"], capture_output=True, check=False)
    if archive.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "src"


def compare(base: Path, present: Path, scenarios: Collection[str] = SCENARIOS) -> bool:
    """Print a line for each scenario; return whether all keep the limit."""
    before, after = instructions(base, scenarios), instructions(present, scenarios)
    all_kept = True
    for scenario, was in before.items():
        ratio = after[scenario] / was
        kept = ratio <= LIMIT
        all_kept &= kept
        told = f"{was:10,.0f} -> {after[scenario]:10,.0f} instructions an action, ratio {ratio:.3f}"
        print(f"{scenario:<14}{told}, at most {LIMIT}: {'kept' if kept else 'NOT KEPT'}", flush=True)
    return all_kept


def main() -> int:
    """Count for both commits, and return the status to end with."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default=(HERE / "BASE").read_text(encoding="utf-8").split()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "src", help="what is compared with it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = source_at(options.base, Path(folder))
        if base is None:
            print(f"SKIPPED: commit {options.base} is not to be had here, nor from origin")
            return 0
        return 0 if compare(base, options.source) else 1


if __name__ == "__main__":
    sys.exit(main())
