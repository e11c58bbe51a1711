"""Many long runs at once: a part of its own, since some of those who are measured take minutes for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from measuring import ENVIRONMENTS, Spread, in_turn, played, table, versions_of
from servers import postgres

from durable import AT_ONCE, ROUNDS, SUBJECTS, cell, rate

STEPS = 1_000
FLOOR = "bare commits of one thread, SQLite"


def measure() -> dict[str, Any]:
    """Measure all who keep what they do, and one thread that only commits."""
    with postgres() as server, tempfile.TemporaryDirectory(dir=ENVIRONMENTS) as folder:
        floor = in_turn({FLOOR: lambda: bare(folder)}, ROUNDS)
        rounds = cell(Path(folder), server.database, AT_ONCE, STEPS)
    return {
        "versions": versions_of(("automa", "taskflow", "dbos")),
        "rounds": {f"{AT_ONCE} x {STEPS}": rounds},
        "floor": floor[FLOOR],
    }


def bare(folder: str) -> float:
    """Return the bare commits a second of one thread."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        took = played("bare", "bare", "durable", STEPS, "--place", f"sqlite:{own}")
    if isinstance(took, dict):
        return 1 / took["seconds"]
    raise RuntimeError(took)


def tell(measured: dict[str, Any]) -> list[str]:
    """Return the section of what was measured."""
    versions = measured["versions"]
    floor = Spread.of(measured["floor"])
    rows = [[FLOOR, str(floor), "1"]]
    for name in SUBJECTS:
        found = rate(measured, name, AT_ONCE, STEPS)
        ratio = f"{found.median / floor.median:.2f}" if isinstance(found, Spread) else ""
        rows.append([name, str(found), ratio])
    return [
        "## Many long runs at once",
        "",
        (
            f"Steps a second of {AT_ONCE} runs at once of {STEPS:,} steps each; automa {versions['automa']}, "
            f"DBOS {versions['dbos']},"
        ),
        f"TaskFlow {versions['taskflow']}. What takes more than half a minute is played once.",
        "",
        *table(["", "steps a second", "times one thread's bare commits"], rows),
    ]
