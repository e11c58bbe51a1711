"""What a worker and an engine tell each other of a run: segments of its history, and signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Entry = dict[str, Any]


class Signals:
    """What a run is told from outside while it goes on; its branches hear of it too.

    Attributes:
        cancelled: Why the run is to be undone; None where nobody has asked for that.
    """

    def __init__(self) -> None:
        self.cancelled: str | None = None
        self._heard: list[Callable[[], object]] = []

    def cancel(self, note: str) -> None:
        """Ask for the way back; asked for again it changes nothing."""
        if self.cancelled is None:
            self.cancelled = note
            for hear in tuple(self._heard):
                hear()

    def listen(self, hear: Callable[[], object]) -> Callable[[], None]:
        """Have a function called once the run is cancelled; return what ends that."""
        self._heard.append(hear)
        return lambda: self._heard.remove(hear)


class Branching(NamedTuple):
    """Branches that are to be carried on side by side.

    Attributes:
        paths: Their paths, in the order in which they are begun.
        limit: How many go on at once at most; None where all do.
        cancels: Whether the others are given up when one has failed.
        given_up: Why they are given up already: one has failed, and its worker died then; else None.
    """

    paths: tuple[str, ...]
    limit: int | None
    cancels: bool
    given_up: str | None = None


class Segment(NamedTuple):
    """What a durable step of the engine adds to a run, and how it goes on.

    Attributes:
        entries: What is added to the history.
        next: What comes next, in words; the name of the next durable step.
        sleep: Seconds to wait before that; None where there is nothing to wait for.
        branching: The branches that come before that, or None.
        end: How it has ended: the outcome of a run; ``ok``, ``failed`` or ``halted`` of a branch; else None.
        is_protected: Whether the wait is to last, even where the run is cancelled meanwhile.
    """

    entries: list[Entry]
    next: str = ""
    sleep: float | None = None
    branching: Branching | None = None
    end: str | None = None
    is_protected: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the segment as JSON values."""
        found: dict[str, Any] = {"entries": self.entries}
        if self.next:
            found["next"] = self.next
        if self.sleep is not None:
            found["sleep"] = self.sleep
        if self.is_protected:
            found["protected"] = True
        if self.branching is not None:
            found["branching"] = [list(self.branching.paths), *self.branching[1:]]
        if self.end is not None:
            found["end"] = self.end
        if self.is_protected:
            found["protected"] = True
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Segment:
        """Return the segment that `to_dict` has written."""
        branching = None
        if "branching" in found:
            paths, *rest = found["branching"]
            branching = Branching(tuple(paths), *rest)
        return cls(
            found["entries"],
            found.get("next", ""),
            found.get("sleep"),
            branching,
            found.get("end"),
            is_protected=found.get("protected", False),
        )


OK, BAD, HALTED = "ok", "failed", "halted"
"""How a branch has ended: well; it has failed; it has stopped, past the pivot."""
