"""A payment over a bad line: tried again without paying twice, and paid back when the order fails later.

Run it::

    python examples/payment.py
"""

from __future__ import annotations

import sys

from automa import Context, GiveUp, Retry, Workflow, WorkflowReport, step


class Bank:
    """A payment provider in miniature: what is asked for under the same key is paid once."""

    def __init__(self, *troubles: str) -> None:
        self.troubles = list(troubles)
        self.payments: dict[str, str] = {}

    def pay(self, key: str, card: str) -> str:
        """Take the money, or not, and lose some answers."""
        if card == "stolen":
            raise GiveUp("card refused")
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "busy":
            raise ConnectionError("503 too busy")
        number = self.payments.setdefault(key, f"pay-{len(self.payments) + 1}")
        if trouble == "lost":
            raise TimeoutError("no answer")  # paid all the same
        return number

    def refund(self, key: str) -> None:
        """Give the money back, if it was taken."""
        if self.troubles:
            raise ConnectionError(self.troubles.pop(0))
        self.payments.pop(key, None)


AGAIN = Retry(attempts=4, initial=0.01, on=(ConnectionError, TimeoutError))


@step(retry=AGAIN, undo_retry=AGAIN)
def pay(ctx: Context) -> str:
    """Pay; the key is the same in each attempt."""
    number: str = ctx.resources["bank"].pay(ctx.local["key"], ctx.shared["card"])
    ctx.record_effect("payment", number, amount=ctx.shared["amount"])
    return number


@pay.prepare
def note_key(ctx: Context) -> dict[str, str]:
    """Note the key for run and undo: it is written down before anything is paid."""
    return {"key": ctx.idempotency_key}


@pay.undo
def refund(ctx: Context) -> None:
    """Pay back, whether or not the answer was heard."""
    ctx.resources["bank"].refund(ctx.local["key"])


@step
def ship(ctx: Context) -> None:
    """Send the goods, if there are any."""
    if ctx.shared["stock"] == 0:
        raise LookupError("out of stock")


order = Workflow("order", [pay, ship])


def show(title: str, bank: Bank, **state: str | int) -> WorkflowReport:
    """Order once, and tell what came of it."""
    report = order.start({"amount": 120, "card": "mine", "stock": 1} | state, resources={"bank": bank})
    print(f"{title}\n{report}")
    print(f"  payments: {len(bank.payments)}; effects left: {[effect.ref for effect in report.effects]}\n")
    return report


def main() -> int:
    """Order three times: over a bad line, out of stock, and with a stolen card."""
    outcomes = [
        show("The line is bad; it is paid once", Bank("busy", "lost")).outcome,
        show(
            "Out of stock; it is paid back, at the second attempt", Bank("busy", "", "busy"), stock=0
        ).outcome,
        show("Card refused; no attempt is wasted", Bank(), card="stolen").outcome,
    ]
    print("outcomes:", ", ".join(str(outcome) for outcome in outcomes))
    return 0 if outcomes == ["succeeded", "undone", "undone"] else 1


if __name__ == "__main__":
    sys.exit(main())
