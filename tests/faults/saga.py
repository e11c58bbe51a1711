"""The saga that is run under faults: ten steps whose effects are marked, or noted.

    python -m tests.faults.saga URL success|rollback LEDGER [STEPS]

Each effect is a line in the ledger, synced by the time the step returns; where the shim records, a mark as
well. Prints the outcome.
"""

from __future__ import annotations

import os
import sys

from automa import Step, Workflow
from tests.faults import shim

STEPS = 10


def workflow(note, *, fails, steps=STEPS):
    """A workflow of steps that note what they do; the last one fails if it is to."""

    def run(name):
        def work(ctx):
            note(f"run {name}")
            ctx.shared[name] = "x" * 20
            if fails and name == f"s{steps - 1}":
                raise ValueError("the last step fails")
            return name

        return work

    def undo(name):
        return lambda: note(f"undo {name}")

    names = [f"s{number}" for number in range(steps)]
    return Workflow("saga", [Step(name, run=run(name), undo=undo(name)) for name in names])


def main(url, kind, ledger, steps=STEPS):
    """Run the saga once; exit with 75 where an infrastructure error has stopped it."""
    fd = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(text):
        os.write(fd, f"{text}\n".encode())
        os.fsync(fd)
        if "SHIM_STATE" in os.environ:
            shim.mark(text)

    report = workflow(note, fails=kind == "rollback", steps=int(steps)).start(run_id="r", store=url)
    if "SHIM_STATE" in os.environ and not report.is_stopped:
        shim.mark("ended")
    sys.stdout.write(f"{report.outcome}\n")
    return 75 if report.is_stopped else 0


if __name__ == "__main__":
    from automa.errors import AutomaError

    try:
        sys.exit(main(*sys.argv[1:]))
    except AutomaError as error:
        sys.stdout.write(f"refused: {type(error).__name__}: {error}\n")
        sys.exit(76)
