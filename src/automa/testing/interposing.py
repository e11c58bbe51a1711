"""Standing between a run and its driver: every command of the walk, and every answer to it, passes here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from automa._core.commands import Branch, Deliver, Fork
from automa._core.functions import Admission, Condition, Expansion, Preparation
from automa._core.status import PREPARE, ROLLBACK
from automa.runtime.launch import interposers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from automa._core.commands import Command
    from automa._core.runs import Run
    from automa.runtime.launch import Walk

    Handler = Callable[[Command, Run], Generator[Command, Any, Any]]


@contextlib.contextmanager
def interposed(handle: Handler) -> Iterator[None]:
    """Let a handler carry out the commands of all runs that are started or resumed meanwhile.

    Args:
        handle: Given a command and the run, or branch of one, whose it is; it yields those commands that
            the driver is to carry out, is sent the answers, and returns the answer for the walk.
    """

    def interpose(walk: Walk, run: Run) -> Walk:
        return _walk(walk, run, handle)

    interposers.append(interpose)
    try:
        yield
    finally:
        interposers.remove(interpose)


def _walk(walk: Walk, run: Run, handle: Handler) -> Walk:
    answer: object = None
    while True:
        try:
            command = walk.send(answer)
        except StopIteration as stop:
            return stop.value
        if isinstance(command, Fork):
            branches = [
                Branch(branch.path, _walk(branch.walk, branch.run, handle), branch.run)
                for branch in command.branches
            ]
            command = command._replace(branches=branches)
        answer = yield from handle(command, run)


def role_of(command: Deliver) -> str | None:
    """Return what a delivery asks of a step: ``run``, ``undo``, ``prepare`` or ``verify``.

    None for what has no effect by its nature: a condition, or the building of steps.
    """
    controller = command.controller
    if isinstance(controller, Admission | Condition | Expansion):
        return None
    if isinstance(controller, Preparation):
        return "prepare" if command.ctx.action is PREPARE else "verify"
    return "run" if command.ctx.action is not ROLLBACK else "undo"
