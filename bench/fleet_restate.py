"""Sagas of three steps that do nothing, through a Restate server, beside a workflow written for it by hand.

Each side has one worker process, and the same clients call both in turn: each begins a run at the server,
waits for its end, and begins the next one. The workers are this file too.
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

CLIENTS = (1, 8, 32)
ROUNDS = 3
SECONDS = 4.0
BARE = "bare"


def nothing() -> str:
    """Do what a step of the benchmark does."""
    return "done"


async def nothing_async() -> str:
    """Do the same on the event loop."""
    return "done"


STEPS: dict[str, Callable[[], Any]] = {"async": nothing_async, "threads": nothing}


def saga(steps: str) -> Workflow:
    """Return the saga that is measured: three steps with undos."""
    do = STEPS[steps]
    return Workflow(f"noop-{steps}", [Step(each, run=do, undo=do) for each in "abc"], version="1")


def bare(steps: str) -> restate.Workflow:
    """Return the same, as one writes it for the server: three steps, and no undo."""
    service = restate.Workflow(f"{BARE}-{steps}")
    do = STEPS[steps]

    async def run(context: restate.WorkflowContext, argument: dict[str, Any]) -> dict[str, str]:
        del argument
        return {each: await context.run_typed(each, do) for each in "abc"}

    service.main("run")(run)
    return service


def work(which: str, url: str, listen: str) -> None:
    """Be the worker of one side."""
    if which == BARE:
        config = Config()
        config.bind = [listen]
        config.accesslog = config.errorlog = None
        asyncio.run(serve(restate.app([bare(each) for each in STEPS]), config))
    else:
        RestateEngine(url).worker([saga(each) for each in STEPS], listen=listen).run()


async def rate(ingress: str, service: str, steps: str, clients: int, seconds: float) -> float:
    """Return how many runs of a service have ended a second, asked for by so many clients at once."""
    count, until = 0, time.monotonic() + seconds
    workflow = saga(steps)

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


def measure(server: Any, ports: list[int]) -> dict[str, list[tuple[int, list[float], list[float]]]]:
    """Return the rounds of sagas and of bare workflows a second, by kind of steps and number of clients.

    Args:
        server: A server that runs, with ``url``, and the ports ``admin`` and ``ingress``.
        ports: Two ports that are free.
    """
    sides = [
        subprocess.Popen([sys.executable, __file__, which, server.url, f"127.0.0.1:{port}"])
        for which, port in zip((BARE, "automa"), ports, strict=True)
    ]
    admin, ingress = f"http://127.0.0.1:{server.admin}", f"http://127.0.0.1:{server.ingress}"
    try:
        services = {
            each: {BARE: f"{BARE}-{each}", "automa": service_of(f"noop-{each}", "1")} for each in STEPS
        }
        _register(
            admin,
            f"http://127.0.0.1:{ports[0]}",
            {name for each in services.values() for name in each.values()},
        )
        return {steps: _measured(ingress, steps, names) for steps, names in services.items()}
    finally:
        for side in sides:
            side.kill()
            side.wait()


def _measured(
    ingress: str, steps: str, services: dict[str, str]
) -> list[tuple[int, list[float], list[float]]]:
    found = []
    for clients in CLIENTS:
        rates: dict[str, list[float]] = {which: [] for which in services}
        for number in range(ROUNDS + 1):
            for which, service in services.items():
                seconds = SECONDS if number else 0.5  # the first round warms up
                each = asyncio.run(rate(ingress, service, steps, clients, seconds))
                rates[which] += [each] if number else []
        found.append((clients, rates["automa"], rates[BARE]))
    return found


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


if __name__ == "__main__":
    work(*sys.argv[1:])
