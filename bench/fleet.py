"""Sagas a second on engines, beside bare workflows written directly on each of them, in the same run.

    python bench/fleet.py --write bench/FLEET.md

A saga has three steps that do nothing, with undos. Servers are started for it, on this machine, with nothing
tuned; each side has one worker process. Needs PostgreSQL, and Restate's server or npm.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import fleet_dbos
import fleet_restate
from tests.engines.postgres_server import PostgresServer
from tests.engines.restate_server import RestateServer, binary, free_ports

from automa import __version__

Rows = dict[str, list[tuple[int, float, float]]]

GOAL = 0.8


def restate() -> Rows:
    """Measure on Restate."""
    program, why = binary()
    if program is None:
        raise SystemExit(why)
    with tempfile.TemporaryDirectory() as folder:
        server = RestateServer(program, folder)
        server.start()
        try:
            return fleet_restate.measure(server, free_ports(2))
        finally:
            server.stop()


def dbos() -> Rows:
    """Measure on DBOS."""
    server = PostgresServer()
    try:
        return fleet_dbos.measure(server.url)
    finally:
        server.remove()


def table(rows: Rows) -> str:
    """Return figures as a table."""
    lines = ["| steps | clients | sagas/s | bare workflows/s | ratio |", "|---|---:|---:|---:|---:|"]
    for steps, figures in rows.items():
        for clients, ours, bare in figures:
            ratio = ours / bare
            kept = "" if ratio >= GOAL else " (below 0.80)"
            lines.append(f"| {steps} | {clients} | {ours:.0f} | {bare:.0f} | {ratio:.2f}{kept} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", type=Path, help="the file into which the results are written")
    write: Path | None = parser.parse_args().write
    where = f"automa {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores"
    text = f"""# Sagas on engines

`python bench/fleet.py --write bench/FLEET.md`, {time.strftime("%Y-%m-%d")}, {where}.

A saga of three steps that do nothing, beside a bare workflow of three steps written directly on the engine,
measured in turn in the same run: server, worker and clients share this machine. The steps are async
functions, or run in threads. The goal is 0.80 of the bare workflow.

## Restate

{table(restate())}

## DBOS on Postgres

{table(dbos())}
"""
    if write is None:
        sys.stdout.write(text)
    else:
        write.write_text(text)


if __name__ == "__main__":
    main()
