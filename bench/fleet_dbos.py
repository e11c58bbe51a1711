"""Sagas of three steps that do nothing, on the engine on DBOS, beside a bare workflow of DBOS with three.

Both are measured in the same run, in turn, with one worker process each, the same queue settings and the same
number of clients, once with steps that are async functions and once with steps in threads. A client begins a
run, waits for its end, and begins the next one. The workers are this file too.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

from automa import Step, Workflow
from automa.engines.dbos import DbosEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbos import WorkflowHandle

CLIENTS = (1, 8, 32)
ROUNDS = 3
SECONDS = 4.0
QUEUE = "bench-bare"
POLLED, RUNS_AT_ONCE = 0.1, 250  # as the engine has them


def nothing() -> None:
    """Do what a step of the benchmark does."""


async def nothing_async() -> None:
    """Do the same on the event loop."""


STEPS: dict[str, Callable[[], object]] = {"async": nothing_async, "threads": nothing}


def saga(steps: str) -> Workflow:
    """Return the saga that is measured."""
    do = STEPS[steps]
    return Workflow(f"bench-{steps}", [Step(each, run=do, undo=do) for each in "abc"])


def automa_runs(url: str, steps: str) -> Callable[[], object]:
    """Return what has one saga run to its end on the engine."""
    engine = DbosEngine(f"dbos+{url}")
    workflow = saga(steps)
    return lambda: engine.submit(workflow).wait()


def bare_runs(url: str, steps: str) -> Callable[[], object]:
    """Return what has one bare workflow run to its end."""
    client = DBOSClient(system_database_url=url, serializer=DBOSPortableJSONSerializer())

    def run() -> object:
        handle: WorkflowHandle[str] = client.enqueue(
            {
                "workflow_name": f"bare-{steps}",
                "queue_name": QUEUE,
                "workflow_id": uuid.uuid4().hex,
                "app_version": "1",
            }
        )
        return handle.get_result(polling_interval_sec=0.02)

    return run


def serve_automa(url: str, steps: str) -> None:
    """Carry sagas on until SIGTERM."""
    worker = DbosEngine(f"dbos+{url}", runs_at_once=RUNS_AT_ONCE).worker(saga(steps))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()


def serve_bare(url: str, steps: str) -> None:
    """Carry bare workflows on until SIGTERM: async ones, as the engine's are, whatever their steps are."""

    @DBOS.workflow(name=f"bare-{steps}")
    async def bare() -> str:
        for each in "abc":
            await DBOS.run_step_async({"name": each}, STEPS[steps])
        return "succeeded"

    async def serve() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        DBOS(
            config={
                "name": "bench",
                "system_database_url": url,
                "application_version": "1",
                "executor_id": uuid.uuid4().hex,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "ERROR",
            }
        )
        DBOS.listen_queues([QUEUE])
        DBOS.launch()
        await DBOS.register_queue_async(QUEUE, worker_concurrency=RUNS_AT_ONCE, polling_interval_sec=POLLED)
        await stopped.wait()
        await asyncio.to_thread(DBOS.destroy)

    asyncio.run(serve())


@contextlib.contextmanager
def worker(kind: str, url: str, steps: str) -> Iterator[None]:
    """Have a worker process of a kind, for one kind of steps."""
    process = subprocess.Popen([sys.executable, __file__, kind, url, steps])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def rate(run: Callable[[], object], clients: int, seconds: float) -> float:
    """Return how many runs end in a second with that many clients."""
    counts = [0] * clients
    start = time.perf_counter()
    until = start + seconds

    def client(number: int) -> None:
        while time.perf_counter() < until:
            run()
            counts[number] += 1

    threads = [threading.Thread(target=client, args=[number]) for number in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(counts) / (time.perf_counter() - start)


def measure(url: str) -> dict[str, list[tuple[int, list[float], list[float]]]]:
    """Return the rounds of sagas and of bare workflows a second, by kind of steps and number of clients."""
    DBOS.migrate(url)
    return {steps: _measured(url, steps) for steps in STEPS}


def _measured(url: str, steps: str) -> list[tuple[int, list[float], list[float]]]:
    runs = {"automa": automa_runs(url, steps), "bare": bare_runs(url, steps)}
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for kind, run in runs.items():
            with worker(kind, url, steps):
                run()  # the worker is there, and all is imported
                for clients in CLIENTS:
                    rates.setdefault((kind, clients), []).append(rate(run, clients, SECONDS))
    return [(clients, rates["automa", clients], rates["bare", clients]) for clients in CLIENTS]


if __name__ == "__main__":  # a worker
    {"automa": serve_automa, "bare": serve_bare}[sys.argv[1]](*sys.argv[2:])
