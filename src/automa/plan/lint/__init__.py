"""What is likely to go wrong in a workflow, told by the source of its steps; nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa.plan.lint.calls import check_awaits, check_ids, check_keys
from automa.plan.lint.findings import RULES, Finding
from automa.plan.lint.order import check_deadline, check_order
from automa.plan.lint.silences import Silences
from automa.plan.lint.sites import sites_of
from automa.plan.lint.sources import Sources, first_line
from automa.plan.lint.state import check_memory, check_reads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from automa._core.definition import Definition
    from automa.plan.lint.order import Found
    from automa.plan.lint.sites import Function, Site

__all__ = ["RULES", "Finding", "lint"]


def lint(definition: Definition, ignore: Mapping[str, str] | None = None) -> list[Finding]:
    """Return what is likely to go wrong in a workflow.

    Args:
        definition: The workflow.
        ignore: Reasons to pass over findings, by ``CODE`` or ``PATH/CODE``.
    """
    sources = Sources()
    sites = sites_of(definition, sources)
    silences = Silences(sites, sources, ignore or {})
    found = list(dict.fromkeys(_findings(definition, sites, sources)))
    left = [each for each in found if not silences.covers(each)]
    for path, silence in silences.all:
        left += [
            Finding("SAGA000", RULES["SAGA000"], path, problem, definition.id, silence.file, silence.line)
            for problem in silence.problems()
        ]
    places = {site.path: place for place, site in enumerate(sites)}
    return sorted(left, key=lambda each: (places.get(each.path, -1), each.code))


def _findings(definition: Definition, sites: list[Site], sources: Sources) -> Iterator[Finding]:
    checks: list[Found] = [
        check_order(definition, sites, sources),
        check_reads(definition, sites, sources),
        check_memory(sites),
        check_awaits(sites),
        check_deadline(definition, sites),
        check_keys(sites, sources),
        check_ids(sites, sources),
    ]
    for check in checks:
        for code, site, function, message in check:
            # One that was made of a file of another kind says itself where it stands.
            file, line = getattr(site.step, "place", None) or _place(
                function or next(iter(site.functions), None)
            )
            yield Finding(code, RULES[code], site.path, message, definition.id, file, line)


def _place(function: Function | None) -> tuple[str | None, int | None]:
    return (None, None) if function is None else (function.file, first_line(function.node))
