"""The orders of a shop: the saga that the examples beside this one carry out in a web server and in a queue.

``SHOP_FOLDER`` is where the shop keeps its books and its runs, ``SHOP_SECONDS`` how long the carrier takes.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from automa import Context, Workflow, step

FOLDER = Path(os.environ.get("SHOP_FOLDER", "shop")).absolute()
FOLDER.mkdir(exist_ok=True)
STORE = f"sqlite:///{FOLDER}/runs.db"


def books() -> list[dict[str, Any]]:
    """Return what the shop has written down; it stands for the services outside."""
    path = FOLDER / "books.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_booked(ctx: Context, what: str) -> bool:
    """Look whether something was done for an order."""
    return any((line["order"], line["what"]) == (ctx.run_id, what) for line in books())


def book(ctx: Context, what: str) -> None:
    """Do something for an order, once however often it is asked for."""
    if not is_booked(ctx, what):
        with (FOLDER / "books.jsonl").open("a") as file:
            file.write(json.dumps({"order": ctx.run_id, "what": what, "pid": os.getpid()}) + "\n")


@step
def reserve(ctx: Context) -> None:
    """Put the goods aside."""
    book(ctx, "goods reserved")


@reserve.undo
def put_back(ctx: Context) -> None:
    """Put the goods back, if they were put aside."""
    if is_booked(ctx, "goods reserved"):
        book(ctx, "goods put back")


@step
def charge(ctx: Context) -> None:
    """Charge the card."""
    book(ctx, "card charged")


@charge.undo
def refund(ctx: Context) -> None:
    """Give the money back, if it was taken."""
    if is_booked(ctx, "card charged"):
        book(ctx, "card refunded")


@step(timeout=300)
def ship(ctx: Context) -> None:
    """Have the carrier fetch the parcel, which takes a while."""
    if ctx.shared["country"] == "nowhere":
        raise ValueError("the carrier does not go there")
    book(ctx, "carrier called")
    time.sleep(float(os.environ.get("SHOP_SECONDS", "1")))
    book(ctx, "parcel fetched")


@ship.undo
def call_off(ctx: Context) -> None:
    """Call the carrier off, if it was called."""
    if is_booked(ctx, "carrier called"):
        book(ctx, "carrier called off")


@step(irreversible=True)
def tell(ctx: Context) -> None:
    """Tell the customer."""
    book(ctx, "customer told")


order = Workflow("order", [reserve, charge, ship, tell])
