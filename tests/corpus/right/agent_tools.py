"""An agent's plan is written down, and its calls of tools become steps: keyed, undone by key, the mail last."""

from __future__ import annotations

from automa import Expand, Retry, Step, Workflow
from automa.testing import DictWorld

STATE = {"task": "Vienna", "left": 500}


class Services(DictWorld):
    """The services outside; what they know under which key is their affair."""

    def snapshot(self):
        return {name: sorted(entries.values()) for name, entries in self.data.items()}


def make_world():
    return Services({"bookings": {}, "mails": {}})


def model(task):
    """Plan; a real agent asks a language model here."""
    return [
        {"tool": "book", "what": f"flight to {task}", "price": 300},
        {"tool": "book", "what": f"opera in {task}", "price": 900},
        {"tool": "mail", "what": "the itinerary", "price": 0},
    ]


def make_workflow(world):
    def plan(ctx):
        ctx.shared["plan"] = model(ctx.shared["task"])

    def step_of(number, call):
        kept = "bookings" if call["tool"] == "book" else "mails"

        def run(ctx):
            world.data[kept].setdefault(ctx.local["key"], call["what"])
            ctx.record_effect(call["tool"], ctx.local["key"], what=call["what"])
            ctx.shared["left"] -= call["price"]

        def is_affordable(ctx):
            return ctx.shared["left"] >= call["price"]

        return Step(
            f"{number}-{call['tool']}",
            prepare=lambda ctx: {"key": ctx.idempotency_key},
            run=run,
            undo=(lambda ctx: world.data[kept].pop(ctx.local["key"], None)) if kept == "bookings" else None,
            when=is_affordable,
            retry=Retry(attempts=3, initial=0.001, on=ConnectionError),
            irreversible=kept == "mails",
        )

    def calls(ctx):
        return [step_of(number, call) for number, call in enumerate(ctx.shared["plan"], 1)]

    return Workflow("agent", [Step("plan", run=plan), Expand("calls", calls)])
