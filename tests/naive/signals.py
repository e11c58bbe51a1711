"""Pitfall: SIGTERM ends Python at once, with no `except` and no `finally`. Run as a program this is a naive saga."""

from __future__ import annotations

import sys

from automa import Step, Workflow


def say(text):
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # the check reads it


def work():
    say("at work")
    sys.stdin.readline()


saga = Workflow(
    "saga",
    [Step("a", run=lambda: say("run a"), undo=lambda: say("undo a")), Step("b", run=work)],
)


class UndoesInFinally:
    """A `finally` undoes what was done, unless the process ends before."""

    def program(self):
        return [sys.executable, "-m", "tests.naive.signals"]


def main():
    is_done = False
    say("run a")
    try:
        work()
        is_done = True
    finally:
        if not is_done:
            say("undo a")


if __name__ == "__main__":
    main()
