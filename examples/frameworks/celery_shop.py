"""A queue that takes orders: each is a saga, and a task that is delivered twice carries on the same one.

Run a worker, and order something::

    pip install 'automa-saga[frameworks]'
    cd examples/frameworks
    celery -A celery_shop worker &
    python -c 'from celery_shop import *; print(place.delay("o-1", {"country": "Austria"}).get(timeout=60))'

The broker is a folder, which needs no server; yours is ``BROKER_URL``.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task
from celery.signals import worker_ready
from shop import FOLDER, STORE, order

from automa import RunOwnedError
from automa.stores import open_store

app = Celery("shop", broker=os.environ.get("BROKER_URL", "filesystem://"), backend=f"file://{FOLDER}/results")
app.conf.task_acks_late = True  # a message is done when its run has ended, not when it was fetched
app.conf.task_reject_on_worker_lost = True  # and comes again where the process has died in between
app.conf.worker_prefetch_multiplier = 1
if app.conf.broker_url == "filesystem://":
    places = ("data_folder_in", "data_folder_out", "control_folder")
    folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
    for name in ("queue", "control", "results"):
        (FOLDER / name).mkdir(exist_ok=True)
    app.conf.broker_transport_options = {place: str(FOLDER / folders[place]) for place in places}


@app.task(bind=True, max_retries=None)
def place(task: Task, order_id: str, wanted: dict[str, Any]) -> str:
    """Begin an order, or go on with it: however often it is delivered, it is the same run."""
    try:
        report = order.resume(order_id, STORE, state=wanted, missing="start")
    except RunOwnedError as error:  # another process is at it: look again whether it has come to an end
        raise task.retry(exc=error, countdown=5) from None
    return str(report.outcome)


@worker_ready.connect
def send_again(**_: Any) -> None:
    """Send what earlier workers have left, should their broker have forgotten it."""
    store = open_store(STORE)
    for status in ("running", "suspended", "infrastructure_error"):
        for run in store.runs(workflow_id=order.id, status=status):
            if not run.is_owned:
                place.delay(run.run_id, {})
