"""The observer that the environment names: every workflow that a command loads has it."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import TYPE_CHECKING

from automa._core.protocols import Observer
from automa.cli.exits import USAGE, InputError
from automa.errors import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from automa.workflow import Workflow

VARIABLE = "AUTOMA_OBSERVE"


def observe(workflows: Iterable[Workflow]) -> list[Workflow]:
    """Return the workflows, each with the observer that ``AUTOMA_OBSERVE=MODULE:NAME`` names, if it does.

    Raises:
        InputError: Where it is none.
    """
    named = os.environ.get(VARIABLE)
    found = list(workflows)
    for workflow in found if named else ():
        workflow.add_observer(_observer(named or ""))
    return found


@functools.cache
def _observer(named: str) -> Observer:
    """Return an observer by its name, or what a class or function of that name makes: one for all workflows.

    Raises:
        InputError: Where there is none.
    """
    module_name, _, name = named.partition(":")
    if not module_name or not name:
        raise InputError(
            f"{VARIABLE}={named!r}: expected MODULE:NAME, automa.observe.otel:OtelObserver say", USAGE
        )
    try:
        sys.path.insert(0, "")  # as where a workflow is looked for
        made = getattr(importlib.import_module(module_name), name)
        if isinstance(made, type) or not isinstance(made, Observer):
            made = made()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        problem = " ".join(f"{type(error).__name__}: {text_of(error)}".split())
        raise InputError(f"{VARIABLE}={named}: {problem}") from error
    if not isinstance(made, Observer):
        raise InputError(f"{VARIABLE}={named}: it is no observer, but of type {type(made).__name__}")
    return made
