"""Measure automa beside its peers, in one run on one machine, and write the page of results and its charts.

    python bench/suite.py                        # all parts, some 50 minutes: leave the machine alone
    python bench/suite.py --only memory durable  # these anew, the others as they were measured before

Peers are installed from the package index, each in an environment of its own below `build/bench`. What was
measured goes to `bench/results.json`, each round of it; `bench/RESULTS.md` and the charts are made from that.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
from datetime import UTC, datetime
from typing import Any

from measuring import ENVIRONMENTS, HERE, ROOT, machine

PARTS = ("memory", "durable", "long_runs", "fleet", "scale", "startup", "explorer")
RESULTS = HERE / "results.json"
PAGE = HERE / "RESULTS.md"


def measure(part: str) -> dict[str, Any]:
    """Measure a part, and return it with what its figures depend on."""
    print(f"measuring: {part}", flush=True)
    began = datetime.now(UTC)
    measured = importlib.import_module(part).measure()
    return {
        "date": f"{began:%Y-%m-%d}",
        "seconds": round((datetime.now(UTC) - began).total_seconds()),
        "commit": commit(),
        "machine": machine(),
        "measured": measured,
    }


def commit() -> str:
    """Return the commit that is measured."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def page(results: dict[str, Any]) -> str:
    """Return the page of all results."""
    lines = [
        "# Results",
        "",
        "Made by `python bench/suite.py`, which installs the peers and measures all in turn, side by side.",
        "Ratios are what counts: absolute figures hold for the machine and the moment. Each figure is the",
        "median of its rounds, with the least and the greatest of them in brackets; `bench/results.json` has",
        "each round. [Speed](../docs/explanation/speed.md) tells what they mean.",
        "",
    ]
    for part in PARTS:
        if part not in results:
            continue
        result = results[part]
        where = result["machine"]
        lines += [
            *importlib.import_module(part).tell(result["measured"]),
            "",
            (
                f"`python bench/suite.py --only {part}`, {result['date']}, {result['seconds']} s, "
                f"commit {result['commit']};"
            ),
            (
                f"{where['python']}, {where['system']}, {where['processor']}, {where['cores']} cores, "
                f"{where['memory_gib']} GiB."
            ),
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these parts alone")
    parser.add_argument("--page", action="store_true", help="measure nothing, make the page and charts anew")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    for part in () if options.page else options.only:
        results[part] = measure(part)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")
    importlib.import_module("charts").draw(results)


if __name__ == "__main__":
    main()
