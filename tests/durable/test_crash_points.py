"""A process may die at any moment: each moment, and pairs of them, are tried; see `tests.durable.lab`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.durable.scenarios import NOT_SEQUENCES, SCENARIOS

ROOT = Path(__file__).parents[2]
CASES = int(os.environ.get("AUTOMA_CRASHES", "1700" if os.environ.get("AUTOMA_SOAK") else "170"))
"""How many cases each scenario has in each store at least: all single crashes, the rest pairs of them."""

LABS = [
    (scenario, store)
    for scenario in SCENARIOS
    for store in ("file", "sqlite")
    if store == "sqlite" or scenario not in NOT_SEQUENCES
]


@pytest.mark.guarantee("G1", "G2", "G3", "G4", "G5", "G8", "G9", "G10")
@pytest.mark.parametrize(("scenario", "store"), LABS, ids=[f"{a}-{b}" for a, b in LABS])
def test_a_crash_at_any_moment_changes_nothing(scenario, store):
    """Wherever a process dies, and the one that resumes it too, effects and report are those of an uncrashed run."""
    command = [sys.executable, "-W", "error", "-m", "tests.durable.lab", scenario, store, str(CASES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert not told["failures"], json.dumps(told, indent=1)
    assert told["cases"] >= CASES
    assert told["cases"] - told["pairs"] == told["points"]


def test_there_are_five_thousand_cases():
    """All scenarios in both stores are at least 5,000 crashes, and pairs of crashes."""
    assert len(LABS) * CASES >= 5_000
