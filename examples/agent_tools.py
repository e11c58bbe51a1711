"""An agent that calls tools: each call is a step, and when one fails, those before it are taken back.

Run it (the model is a plain function, and nothing is sent anywhere)::

    python examples/agent_tools.py
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from automa import Context, Retry, Step, Workflow

booked: dict[str, str] = {}  # what was really done, by key
lines = {"taxi": "down"}


def model(task: str) -> list[dict[str, Any]]:
    """Plan a task as calls of tools; a real agent asks a language model here."""
    return [
        {"tool": "book", "what": "flight", "where": task, "price": 300},
        {"tool": "book", "what": "hotel", "where": task, "price": 250},
        {"tool": "book", "what": "opera", "where": task, "price": 90},
        {"tool": "mail", "what": "calendar", "where": task, "price": 0},
        {"tool": "book", "what": "taxi", "where": task, "price": 40},
    ]


def book(key: str, call: dict[str, Any]) -> str:
    """Book something, once for a key."""
    if lines.get(call["what"]) == "down":
        raise ConnectionError(f"no answer from the {call['what']}")
    booked[key] = f"{call['what']} {call['where']}"
    return f"{call['what']}-1"


def cancel(key: str) -> None:
    """Cancel what was booked under a key, if anything was."""
    print("  cancel", booked.pop(key, "nothing"))


def mail(key: str, call: dict[str, Any]) -> str:
    """Send a mail; it cannot be taken back."""
    booked[key] = f"mail to {call['what']}"
    return f"mail-{call['what']}"


TOOLS = {"book": (book, cancel), "mail": (mail, None)}
"""Each tool, and the function that takes it back."""


def is_affordable(call: dict[str, Any], ctx: Context) -> bool:
    """Whether what is left of the budget covers a call: so decides the program, not the model."""
    return bool(ctx.shared["left"] >= call["price"])


def note_key(ctx: Context) -> dict[str, str]:
    """Note the key for tool and undo: it is written down before anything is done."""
    return {"key": ctx.idempotency_key}


def step_of(number: int, call: dict[str, Any]) -> Step:
    """Make a step of a call that a model asks for."""
    tool, undo = TOOLS[call["tool"]]

    def run(ctx: Context) -> str:
        ref = tool(ctx.local["key"], call)
        ctx.record_effect(call["tool"], ref, price=call["price"])
        ctx.shared["left"] -= call["price"]
        return ref

    return Step(
        f"{number}-{call['what']}",
        prepare=note_key,
        run=run,
        undo=None if undo is None else lambda ctx: undo(ctx.local["key"]),
        when=functools.partial(is_affordable, call),
        retry=Retry(attempts=3, initial=0.01, on=ConnectionError),
        irreversible=undo is None,
    )


def main() -> int:
    """Plan a journey twice: the taxi does not answer, then it does."""
    outcomes = []
    for taxi in ("down", "up"):
        lines["taxi"] = taxi
        print(f"The line to the taxi is {taxi}")
        plan = [step_of(number, call) for number, call in enumerate(model("Vienna"), 1)]
        report = Workflow("journey", plan).start({"left": 600})
        print(report)
        print(f"  left: {', '.join(effect.ref for effect in report.effects)}\n")
        outcomes.append(str(report.outcome))
    print("outcomes:", ", ".join(outcomes))
    return 0 if outcomes == ["undone", "succeeded"] else 1


if __name__ == "__main__":
    sys.exit(main())
