"""Sagas a second through a Restate server, beside a workflow of three steps that is written for it by hand.

The server is the one of the tests; each side has one worker process, and the same clients call both in turn.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config

from automa import Step, Workflow
from automa.engines.restate import RestateEngine
from automa.engines.restate.names import service_of
from automa.journal.entries import EntryEncoder
from automa.workflow import begun_of

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = ("reserve", "charge", "ship")
BARE = "bare"


def nothing() -> str:
    """Do nothing, and say so."""
    return "done"


def saga() -> Workflow:
    """Return the saga: three steps with undos, which do nothing."""
    return Workflow("noop", [Step(id, run=nothing, undo=nothing) for id in STEPS], version="1")


def bare() -> restate.Workflow:
    """Return the same, as one writes it for the server: three steps, and no undo."""
    service = restate.Workflow(BARE)

    async def step() -> str:  # one that were not would be called in a thread
        return nothing()

    async def run(context: restate.WorkflowContext, argument: dict[str, Any]) -> dict[str, str]:
        del argument
        return {id: await context.run_typed(id, step) for id in STEPS}

    service.main("run")(run)
    return service


def work(which: str, url: str, listen: str) -> None:
    """Be the worker of one side."""
    if which == BARE:
        config = Config()
        config.bind = [listen]
        config.accesslog = config.errorlog = None
        asyncio.run(serve(restate.app([bare()]), config))  # type: ignore[arg-type]  # they do not name it alike
    else:
        RestateEngine(url).worker(saga(), listen=listen).run()


async def rate(ingress: str, service: str, clients: int, seconds: float) -> float:
    """Return how many runs of a service have ended a second, asked for by so many clients at once."""
    count, until = 0, time.monotonic() + seconds
    workflow = saga()

    async def client(http: httpx.AsyncClient) -> None:
        nonlocal count
        while time.monotonic() < until:
            run_id = uuid.uuid4().hex
            entries = EntryEncoder().encode([begun_of(workflow, None, run_id, None)])
            answer = await http.post(f"/{service}/{run_id}/run", json={"entries": entries})
            answer.raise_for_status()
            count += 1

    async with httpx.AsyncClient(base_url=ingress, timeout=60) as http:
        began = time.monotonic()
        await asyncio.gather(*(client(http) for _ in range(clients)))
        return count / (time.monotonic() - began)


def measured(
    server: Any,
    free_ports: Callable[[int], list[int]],
    *,
    clients: tuple[int, ...],
    seconds: float,
    rounds: int,
) -> dict[int, tuple[float, float]]:
    """Return the sagas a second of the bare workflow and of ours, by clients: the medians of the rounds.

    Args:
        server: A server that runs.
        free_ports: Returns ports that are free.
        clients: How many there are at once.
        seconds: How long each is measured.
        rounds: How often.
    """
    ports = free_ports(2)
    sides = {
        which: subprocess.Popen([sys.executable, __file__, which, server.url, f"127.0.0.1:{port}"])
        for which, port in zip((BARE, "automa"), ports, strict=True)
    }
    admin, ingress = f"http://127.0.0.1:{server.admin}", f"http://127.0.0.1:{server.ingress}"
    services = {BARE: BARE, "automa": service_of("noop", "1")}
    try:
        _register(admin, f"http://127.0.0.1:{ports[0]}", set(services.values()))
        found: dict[int, tuple[float, float]] = {}
        for count in clients:
            rates: dict[str, list[float]] = {which: [] for which in services}
            for number in range(rounds + 1):
                for which, service in services.items():
                    each = asyncio.run(rate(ingress, service, count, seconds if number else 0.5))
                    rates[which] += [each] if number else []  # the first one warms up
            bare_rates, ours = sorted(rates[BARE]), sorted(rates["automa"])
            found[count] = (bare_rates[rounds // 2], ours[rounds // 2])
        return found
    finally:
        for side in sides.values():
            side.terminate()
            side.kill()
            side.wait()


def _register(admin: str, uri: str, services: set[str]) -> None:
    """Register the bare worker, and wait until both are."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        httpx.post(f"{admin}/deployments", json={"uri": uri, "force": True})
        known = httpx.get(f"{admin}/services").json()["services"]
        if services <= {each["name"] for each in known}:
            return
        time.sleep(0.2)
    raise TimeoutError("the workers are not registered")


def main() -> None:
    """Measure, and print."""
    import tempfile
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.engines.restate_server import RestateServer, binary, free_ports

    program, why = binary()
    if program is None:
        raise SystemExit(why)
    with tempfile.TemporaryDirectory() as folder:
        server = RestateServer(program, folder)
        server.start()
        try:
            found = measured(server, free_ports, clients=(1, 8, 32), seconds=4, rounds=3)
        finally:
            server.stop()
    print("| clients | bare, sagas/s | automa, sagas/s | share |\n|---:|---:|---:|---:|")
    for count, (one, other) in found.items():
        print(f"| {count} | {one:.0f} | {other:.0f} | {other / one:.0%} |")


if __name__ == "__main__":
    work(*sys.argv[1:]) if len(sys.argv) > 1 else main()
