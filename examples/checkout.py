"""One order, wherever it runs: in memory, in one file, or on a fleet; the workflow stays as it is.

Run it::

    python examples/checkout.py

As a service, with the workers of one machine, of DBOS on Postgres or of Restate (see docs/how-to/grow.md)::

    automa worker examples/checkout.py --engine sqlite:///runs.db &
    automa submit examples/checkout.py --engine sqlite:///runs.db --set order=42 --set card=visa --wait
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from automa import Context, Outcome, Parallel, Retry, Step, Workflow, step
from automa.engines import LocalEngine


def ledger() -> Path:
    """Return where the shop writes down what it does."""
    return Path(os.environ.get("CHECKOUT_LEDGER", "ledger.jsonl"))


def line(ctx: Context, what: str) -> str:
    """Return the line that tells of something: the same whenever a run does the same."""
    return json.dumps({"run": ctx.run_id, "order": ctx.shared["order"], "what": what})


def is_booked(ctx: Context, what: str) -> bool:
    """Look whether something was done: what a run has noted is not there if its process has died."""
    return ledger().exists() and line(ctx, what) in ledger().read_text().splitlines()


def book(ctx: Context, what: str) -> None:
    """Do something, once however often it is asked for."""
    if not is_booked(ctx, what):
        with ledger().open("a") as file:
            file.write(line(ctx, what) + "\n")


@step
def reserve(ctx: Context) -> dict[str, Any]:
    """Put the goods aside."""
    book(ctx, "goods reserved")
    return {"shelf": 7}


@reserve.undo
def put_back(ctx: Context) -> None:
    """Put the goods back, if they were put aside."""
    if is_booked(ctx, "goods reserved"):
        book(ctx, "goods put back")


@step(retry=Retry(3, initial=0.1, on=(ConnectionError,)))
def charge(ctx: Context) -> dict[str, Any]:
    """Charge the card."""
    if ctx.shared["card"] == "refused":
        raise ValueError("card refused")
    book(ctx, "card charged")
    return {"charge": f"ch-{ctx.shared['order']}"}


@charge.undo
def refund(ctx: Context) -> None:
    """Give the money back, if it was taken."""
    if is_booked(ctx, "card charged"):
        book(ctx, "card refunded")


def tells(whom: str) -> Step:
    """Return a step that tells somebody of the order; there is no undo for that."""

    def tell(ctx: Context) -> None:
        book(ctx, f"{whom} told")

    return Step(whom, run=tell, irreversible=True)


checkout = Workflow("checkout", [reserve, charge, Parallel("tell", tells("customer"), tells("warehouse"))])


def main() -> int:
    """Carry out the same workflow in memory, in a file, and by workers, with a good card and a bad one."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHECKOUT_LEDGER"] = f"{folder}/ledger.jsonl"
        runs = f"sqlite:///{folder}/runs.db"
        orders = [{"order": 1, "card": "visa"}, {"order": 2, "card": "refused"}]
        print("in memory:", *(checkout.start(order).outcome for order in orders))
        print("in a file:", *(checkout.start(order, store=runs).outcome for order in orders))
        engine = LocalEngine(runs)
        handles = [engine.submit(checkout, order) for order in orders]
        with engine.worker(checkout).in_background():
            reports = [handle.wait(timeout=60) for handle in handles]
        print("by workers:", *(report.outcome for report in reports))
        print(reports[1])
    return 0 if reports[1].outcome is Outcome.UNDONE else 1


if __name__ == "__main__":
    sys.exit(main())
