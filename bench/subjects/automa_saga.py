"""automa, in memory and on its stores."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import play
from threads import at_once

from automa import Step, Workflow
from automa.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def memory(steps: list[tuple[Callable[..., None], Callable[..., None]]], back: bool) -> Callable[[], object]:  # noqa: FBT001
    """Return the start of a workflow."""
    made = [Step(str(number), run=run, undo=undo) for number, (run, undo) in enumerate(steps)]
    if back:
        made.append(Step("fail", run=play.fail))
    return Workflow("bench", made).start


@contextlib.contextmanager
def durable(count: int, place: str) -> Iterator[Callable[[int], None]]:
    """Give what plays runs at once, each in a thread of its own."""
    workflow = Workflow("bench", [Step(f"step-{number}", run=play.tick) for number in range(count)])
    with contextlib.closing(open_store(url_of(place))) as store:
        yield lambda runs: at_once(lambda: workflow.start(store=store).raise_for_status(), runs)


def url_of(place: str) -> str:
    """Return the URL of the store at a place."""
    kind, _, folder = place.partition(":")
    return {
        "sqlite": f"sqlite:///{folder}/runs.db",
        "sqlite-process": f"sqlite:///{folder}/runs.db?durability=process",
    }.get(kind, place)
