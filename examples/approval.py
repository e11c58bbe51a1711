"""A contract that a person approves: up to there it can be taken back, from there on it only goes forward.

Run it::

    python examples/approval.py
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

from automa import Context, Step, Workflow, step

mail = {"up": True}


@step
def draft(ctx: Context) -> str:
    """Write the contract."""
    return f"contract for {ctx.shared['customer']}"


@draft.undo
def discard() -> None:
    """Throw the contract away."""
    print("  (the draft is thrown away)")


@step(pivot=True)
def approve(ctx: Context) -> dict[str, Any]:
    """Ask a person; once it is approved, nothing is taken back any more."""
    answer = ctx.resources["ask"](ctx.results["draft"])
    if answer != "yes":
        raise PermissionError(f"not approved: {answer}")
    return {"by": "Ada"}


@step(irreversible=True)  # automa: ignore[SAGA002] the run is to stop here, and to be resumed
def announce(ctx: Context) -> None:
    """Send a letter; a letter that is sent cannot be taken back."""
    if not mail["up"]:
        raise ConnectionError("the mail server is down")
    ctx.record_effect("letter", ctx.results["draft"], approved_by=ctx.results["approve"]["by"])


def build() -> Workflow:
    """Build the workflow; each process that goes on with a run builds it again."""
    return Workflow("contract", [draft, approve, announce, Step("file", run=lambda: "cabinet 7")])


def main() -> int:
    """Refuse one contract, and approve another, on a day on which the mail server is down."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/runs.db"
        print("Ada says no: all is taken back")
        print(
            build().start({"customer": "Bob"}, run_id="bob", store=store, resources={"ask": lambda _: "no"})
        )

        mail["up"] = False
        print("\nAda says yes, then the mail server is down: the run stops, and keeps what is done")
        say_yes = {"ask": lambda _: "yes"}
        report = build().start({"customer": "Eve"}, run_id="eve", store=store, resources=say_yes)
        print(report)

        mail["up"] = True
        print("\nThe mail server is up again: the run goes on where it stopped, and Ada is not asked again")
        report = build().resume("eve", store)
        print(report)
        print("effects:", ", ".join(f"{effect.kind} {effect.ref!r}" for effect in report.effects))
        return 0 if report.outcome == "succeeded" else 1


if __name__ == "__main__":
    sys.exit(main())
