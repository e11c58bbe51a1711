"""Play sagas of steps that do nothing with one library, and print as JSON what that took.

    python play.py saga_py memory 1000      # forward; with --back each saga fails at its end, and is undone
    python play.py dbos_saga durable 100 --runs 64 --place sqlite:FOLDER

It runs in the Python of the library's own environment, and needs nothing but the library. A module beside
it has one of, or both:

- `memory(steps, back)`: `steps` are pairs of functions, run and undo; return a function that plays one saga
  of them, and, where `back`, has it fail at its end, so that all is undone.
- `durable(count, place)`: a context manager; it gives a function that plays that many runs at once, each of
  that many steps, each of which calls `play.tick`. `written(place)` may tell the bytes written so far in its
  own way.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 0.5
"""For how long a saga is played again and again, at least."""
LONG = 10.0
"""What takes as many seconds, or more, is played once, after a smaller play."""
PARTS = 5
"""Into how many parts that is divided in memory."""

sys.modules["play"] = sys.modules[__name__]  # so that the modules see the one that counts

_ticks = itertools.count()


def tick(*_: object) -> None:
    """Do what a step of a durable saga does: count that it was called."""
    next(_ticks)


def nothing(*_: object) -> None:
    """Do what a step does."""


def fail(*_: object) -> None:
    """Fail, so that everything is undone."""
    raise ValueError


def memory(library: Any, count: int, *, back: bool) -> dict[str, float]:
    """Return the seconds of processor time that a step of a saga in memory takes, forward or both ways."""
    check(library, back=back)
    play = library.memory([(nothing, nothing)] * count, back)
    times, took = 1, seconds_of(play, 1)
    if took < SECONDS:  # the first time has made what is made once
        times = max(1, round(SECONDS / PARTS / took))
        took = min(seconds_of(play, times) for _ in range(PARTS))  # the least: noise only ever adds
    return {"seconds": took / times / count}


def seconds_of(play: Callable[[], object], times: int) -> float:
    """Return the seconds of processor time that playing so often takes."""
    gc.collect()
    began = time.process_time()
    for _ in range(times):
        play()
    return time.process_time() - began


def check(library: Any, *, back: bool) -> None:
    """Make sure that steps are run in order, and undone in reverse: what does less is not measured.

    Raises:
        RuntimeError: They are not.
    """
    calls: list[int] = []

    def note(number: int) -> Callable[..., None]:
        return lambda *_: calls.append(number)

    library.memory([(note(number), note(-number)) for number in range(1, 8)], back)()
    expected = [*range(1, 8), *(range(-7, 0) if back else ())]
    if calls != expected:
        raise RuntimeError(f"{library.__name__} called {calls}, not {expected}")


def durable(library: Any, count: int, runs: int, place: str) -> dict[str, float]:
    """Return the seconds and the bytes that a step of a durable saga takes, with so many runs at once.

    They are played again and again, too.

    Raises:
        RuntimeError: Not all steps were called.
    """
    written: Callable[[str], int] = getattr(library, "written", written_by_process)
    with library.durable(count, place) as play:
        began = time.perf_counter()
        play(1)  # what is made once is made
        is_long = (time.perf_counter() - began) * runs > LONG
        began = time.perf_counter()
        while time.perf_counter() - began < SECONDS:  # and files have grown to where they stay
            play(1 if is_long else runs)
        before, first = written(place), next(_ticks)
        times, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < SECONDS:
            play(runs)
            times += 1
        called = next(_ticks) - first - 1
        grown = written(place) - before
    if called != count * runs * times:
        raise RuntimeError(f"{library.__name__} called {called} steps, not {count * runs * times}")
    return {"seconds": took / called, "bytes": grown / called}


def written_by_process(_place: str) -> int:
    """Return the bytes that this process has handed to the system so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def main() -> None:
    """Play what is asked for, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library")
    parser.add_argument("kind", choices=("memory", "durable"))
    parser.add_argument("count", type=int, help="the steps of a saga")
    parser.add_argument("--back", action="store_true", help="have each saga fail and be undone")
    parser.add_argument("--runs", type=int, default=1, help="how many sagas are played at once")
    parser.add_argument("--place", default="", help="sqlite:FOLDER, file:FOLDER or postgresql://…")
    options = parser.parse_args()
    library = importlib.import_module(options.library)
    if options.kind == "memory":
        took = memory(library, options.count, back=options.back)
    else:
        took = durable(library, options.count, options.runs, options.place)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
