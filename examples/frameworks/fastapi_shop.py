"""A web server that takes orders: each is a saga, which survives the death of the server.

Run it, and order something::

    pip install 'automa-saga[frameworks]'
    uvicorn --app-dir examples/frameworks fastapi_shop:app
    curl -X PUT localhost:8000/orders/o-1 --json '{"country": "Austria"}'
    curl localhost:8000/orders/o-1
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from shop import STORE, order

from automa import RunExistsError, RunIdError, RunNotFoundError, RunRequestError
from automa.engines import LocalEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from automa import WorkflowReport

engine = LocalEngine(STORE)


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Carry on runs as long as the server is up: at first those that an earlier one has left."""
    worker = engine.worker(order)
    serving = asyncio.create_task(worker.serve())
    yield
    worker.stop()
    await serving  # until the steps at work have ended


app = FastAPI(lifespan=lifespan)


class Order(BaseModel):
    """What a customer sends."""

    country: str


@app.put("/orders/{order_id}", status_code=202)
def begin(order_id: str, wanted: Order) -> dict[str, Any]:
    """Begin an order; asked again, after a lost answer say, it is the same one."""
    try:
        engine.submit(order, wanted.model_dump(), run_id=order_id)
    except RunExistsError:
        pass
    except RunIdError as error:
        raise HTTPException(422, str(error)) from None
    return tell(order_id)


@app.get("/orders/{order_id}")
def tell(order_id: str) -> dict[str, Any]:
    """Tell how an order stands."""
    return told(order_id, found(order_id))


@app.post("/orders/{order_id}/cancel", status_code=202)
def cancel(order_id: str) -> dict[str, Any]:
    """Have an order undone: one that is on its way, or one that has succeeded."""
    report = found(order_id)
    try:
        if report.outcome == "suspended":
            engine.cancel(order_id, workflow_id=order.id, note="the customer has cancelled")
        else:
            engine.rollback(order_id, workflow_id=order.id, note="the customer has cancelled")
    except RunRequestError as error:  # it is undone already, or has just gone on
        raise HTTPException(409, str(error)) from None
    return tell(order_id)


def found(order_id: str) -> WorkflowReport:
    """Return the report of an order."""
    try:
        return engine.report(order_id, workflow_id=order.id)
    except RunNotFoundError:
        raise HTTPException(404, f"there is no order {order_id!r}") from None


def told(order_id: str, report: WorkflowReport) -> dict[str, Any]:
    """Return what customers are told: not the report, in which there may be more than is for them."""
    stands = "on its way" if report.outcome == "suspended" else str(report.outcome)
    steps = [[step.action, step.step_id, step.status] for step in report.step_reports]
    return {"order": order_id, "stands": stands, "steps": steps}
