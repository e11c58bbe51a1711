"""Findings that an author has answered: with a comment beside the step, or in the call of `lint`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from automa.plan.lint.findings import RULES
from automa.plan.lint.sources import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from automa.plan.lint.findings import Finding
    from automa.plan.lint.sites import Site
    from automa.plan.lint.sources import Sources

_COMMENT = re.compile(r"#\s*automa:\s*ignore\b\s*(?:\[([^\]]*)\])?:?\s*([^#]*)")


@dataclass(eq=False)
class Silence:
    """An answer to findings.

    Attributes:
        where: What is shown of it.
        codes: The codes that it answers.
        reason: Why.
        path: The step that it is for; empty where it is for all.
        file: The file that it stands in.
        line: The line.
        used: The codes that it has silenced.
    """

    where: str
    codes: list[str]
    reason: str
    path: str = ""
    file: str | None = None
    line: int | None = None
    used: set[str] = field(default_factory=set)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with it, once all findings are there."""
        if not self.codes:
            yield f"{self.where} names no rule: write ignore[CODE] and a reason."
        for code in self.codes:
            if code not in RULES or code == "SAGA000":
                yield f"{self.where} names {code!r}, which is no rule that can be ignored."
            elif code not in self.used:
                yield f"{self.where} ignores {code}, of which there is nothing here: take it away."
        if self.codes and not self.reason:
            yield f"{self.where} gives no reason: write it after the bracket."


class Silences:
    """All answers that concern the steps of a workflow.

    Args:
        sites: The steps.
        sources: Their files.
        ignore: Those given in the call: reasons by ``CODE`` or ``PATH/CODE``.
    """

    def __init__(self, sites: list[Site], sources: Sources, ignore: Mapping[str, str]) -> None:
        self._given = [_given(key, reason) for key, reason in ignore.items()]
        comments: dict[tuple[str, int], Silence] = {}
        self._by_site: dict[str, list[Silence]] = {}
        for site in sites:
            mine = self._by_site.setdefault(site.path, [])
            for file, line in _lines(site, sources):
                silence = comments.get((file, line)) or _of_comment(sources, file, line)
                if silence is not None and silence not in mine:
                    comments[file, line] = silence
                    mine.append(silence)
        self.all: list[tuple[str, Silence]] = [(each.path, each) for each in self._given]
        seen: set[int] = set()
        for path, silences in self._by_site.items():
            self.all += [(path, each) for each in silences if id(each) not in seen]
            seen |= {id(each) for each in silences}

    def covers(self, finding: Finding) -> bool:
        """Whether a finding has been answered; the answer is noted as used."""
        given = [each for each in self._given if each.path in {"", finding.path}]
        fitting = [
            each for each in [*self._by_site.get(finding.path, []), *given] if finding.code in each.codes
        ]
        for each in fitting:
            each.used.add(finding.code)
        return any(each.reason for each in fitting)


def _given(key: str, reason: str) -> Silence:
    path, _, code = key.rpartition("/")
    return Silence(f"lint(ignore={{{key!r}: …}})", [code], reason.strip(), path)


def _of_comment(sources: Sources, file: str, line: int) -> Silence | None:
    match = _COMMENT.search(sources.of(file).comments.get(line, ""))
    if match is None:
        return None
    codes = [code.strip() for code in (match[1] or "").split(",") if code.strip()]
    return Silence("the comment", codes, match[2].strip(), file=file, line=line)


def _lines(site: Site, sources: Sources) -> Iterator[tuple[str, int]]:
    """Yield the lines of a step: its functions, its class, and where it is made with a literal id."""
    spans: set[tuple[str, int, int]] = set()
    for function in site.functions:
        end = function.node.end_lineno or function.node.lineno
        spans.add((function.file, first_line(function.node), end))
    for file in {function.file for function in site.functions}:
        tree = sources.of(file).tree
        nodes = list(ast.walk(tree)) if tree is not None else []
        made = [node for node in nodes if isinstance(node, ast.Call) and _has_id(node, site.step.id)]
        if len(made) > 1:  # another workflow has a step of that id
            made = [node for node in made if _is_given(node, site)]
        spans |= {(file, node.lineno, node.end_lineno or node.lineno) for node in made}
        for node in nodes:
            if isinstance(node, ast.ClassDef) and node.name == type(site.step).__name__:
                spans.add((file, node.lineno, node.body[0].lineno - 1))
    for file, first, last in sorted(spans):
        source = sources.of(file)
        while source.is_comment(first - 1):
            first -= 1  # noqa: PLW2901  # comments right above belong to it
        yield from ((file, line) for line in range(first, last + 1))


def _is_given(call: ast.Call, site: Site) -> bool:
    """Whether a call that makes a step gives it functions that a step has."""
    names = {function.function.__name__ for function in site.functions}
    nodes = [function.node for function in site.functions]
    return any(node in nodes or (isinstance(node, ast.Name) and node.id in names) for node in ast.walk(call))


def _has_id(call: ast.Call, step_id: str) -> bool:
    given = [each.value for each in call.keywords if each.arg == "id"] or call.args[:1]
    return any(isinstance(each, ast.Constant) and each.value == step_id for each in given)
