"""Sagas a second on engines, beside bare workflows written directly on each of them.

A saga has three steps that do nothing, with undos. Servers are started for it, on this machine, with nothing
tuned; each side has one worker process. Needs PostgreSQL, and Restate's server or npm.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from measuring import Spread, figure, table
from servers import postgres, restate

GOAL = 0.8
STEPS = {"async": "async steps", "threads": "steps in threads"}
ENGINES = {"dbos": "DBOS on Postgres", "restate": "Restate"}


def measure() -> dict[str, Any]:
    """Measure on both engines."""
    # Imported here, so that what was measured is told without the packages of engines.
    import fleet_dbos  # noqa: PLC0415
    import fleet_restate  # noqa: PLC0415
    from tests.engines.restate_server import free_ports  # noqa: PLC0415

    with postgres() as server:
        on_dbos = fleet_dbos.measure(server.url)
    with restate() as server:
        on_restate = fleet_restate.measure(server, free_ports(2))
    return {
        "versions": {"dbos": version("dbos"), "restate": version("restate-sdk")},
        "rates": {"restate": on_restate, "dbos": on_dbos},
    }


def tell(measured: dict[str, Any]) -> list[str]:
    """Return the section of what was measured."""
    rows = [
        [
            f"{ENGINES[engine]}, {STEPS[steps]}, {clients} client{'' if clients == 1 else 's'}",
            *(str(Spread.of(rounds)) for rounds in (ours, bare)),
            ratio(ours, bare),
        ]
        for engine, figures in measured["rates"].items()
        for steps, of_steps in figures.items()
        for clients, ours, bare in of_steps
    ]
    versions = measured["versions"]
    return [
        "## On a fleet",
        "",
        "Sagas of three steps a second, beside bare workflows of three steps written directly on the engine:",
        "server, worker and clients share the machine. The steps are async functions, or run in threads.",
        (
            "The goal is 0.80 of the bare workflow. "
            f"DBOS {versions['dbos']}, SDK of Restate {versions['restate']}."
        ),
        "",
        *table(["", "sagas a second", "bare workflows a second", "ratio"], rows),
    ]


def ratio(ours: list[float], bare: list[float]) -> str:
    """Return the ratio of the medians, and whether it is below the goal."""
    value = Spread.of(ours).median / Spread.of(bare).median
    return figure(value) + ("" if value >= GOAL else " (below 0.80)")
