"""The rules, and what they find."""

from __future__ import annotations

import dataclasses
from typing import Any

RULES: dict[str, str] = {
    "SAGA000": "bad-ignore",
    "SAGA001": "undoable-after-irreversible",
    "SAGA002": "fallible-after-irreversible",
    "SAGA003": "no-undo",
    "SAGA004": "pivot-order",
    "SAGA005": "undo-reads-unwritten",
    "SAGA006": "state-on-self",
    "SAGA007": "async-not-awaited",
    "SAGA008": "timeout-over-deadline",
    "SAGA009": "retry-without-key",
    "SAGA010": "ids-differ",
}
"""The short name of each rule, by its code; ``docs/reference/lint`` has a page for each."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something in a workflow that is likely to go wrong.

    Attributes:
        code: The code of the rule, ``SAGA003`` say.
        name: Its short name.
        path: The path of the step; empty where the workflow itself is meant.
        message: What is wrong, and what to do about it.
        workflow: The id of the workflow that was checked.
        file: The file of the function that is meant, where it is known.
        line: The line in it.
    """

    code: str
    name: str
    path: str
    message: str
    workflow: str = ""
    file: str | None = None
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line}: "
        what = f"step {self.path!r}" if self.path else f"workflow {self.workflow!r}"
        return f"{place}{self.code} {what}: {self.message}"
