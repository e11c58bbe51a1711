"""How a report is shown in a notebook: by what is put here from above, as the clock is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from automa._core.reports import WorkflowReport


def _as_text(report: WorkflowReport) -> None:  # noqa: ARG001  # a notebook takes None for "no HTML"
    return None


html_of: Callable[[WorkflowReport], str | None] = _as_text
"""Returns a report as a part of a page; ``automa.workflow`` puts it here when it is imported."""
