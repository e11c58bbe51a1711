"""The page of an exploration: verdicts, violations and cases in one file of HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from automa.testing.exploration import Exploration, Verdict, Violation

    Heads = Mapping[str, tuple[str, str]]

# Colours are pairs for light and dark, each readable on its own; the word tells the same without a colour.
_STYLE = """
:root { color-scheme: light dark; --good: #18692b; --bad: #b3131d; --dim: #5b626a; --line: #c9ced4;
  --soft: #f3f5f7; --paper: #fff; --ink: #16191d }
@media (prefers-color-scheme: dark) { :root { --good: #6fd08c; --bad: #ff8f8a; --dim: #a3abb5;
  --line: #3d444d; --soft: #1d2229; --paper: #12151a; --ink: #e8ebef } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem } h3 { font-size: 1rem; margin: 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top }
.verdicts th, .verdicts td { white-space: nowrap; overflow-wrap: normal }
.ok { color: var(--good) } .violated { color: var(--bad); font-weight: 600 }
.untested, .dim { color: var(--dim) }
section { border-left: 4px solid var(--bad); background: var(--soft); padding: .8rem 1rem; margin: 1rem 0 }
code, pre { font: .9em/1.4 ui-monospace, monospace } pre { white-space: pre-wrap; margin: .5rem 0 0 }
summary { cursor: pointer }
"""


def page(found: Exploration, summary: str, heads: Heads) -> str:
    """Return the page of an exploration.

    Args:
        found: What was found.
        summary: The same in one line.
        heads: By property, the head of its column and what it means.
    """
    return "\n".join(_lines(found, summary, heads)) + "\n"


def _lines(found: Exploration, summary: str, heads: Heads) -> Iterator[str]:
    title = escape(f"Exploration of {found.workflow}")
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>"
    yield f'<p class="{"ok" if found.ok else "violated"}">{escape(summary)}</p>'
    for remark in found.remarks:
        yield f"<p>Note: {escape(remark)}</p>"
    yield from _verdicts(found, heads)
    if found.violations:
        yield "<h2>Violations</h2>"
    for violation in found.violations:
        yield from _violation(violation, heads)
    yield f"<details>\n<summary>Cases ({len(found.cases)})</summary>\n<ul>"
    yield from (f"<li><code>{escape(case)}</code></li>" for case in found.cases)
    yield "</ul>\n</details>\n</body>\n</html>"


def _verdicts(found: Exploration, heads: Heads) -> Iterator[str]:
    columns = "".join(
        f'<th scope="col" title="{escape(words)}">{escape(head)}</th>' for head, words in heads.values()
    )
    yield f'<div class="scroll">\n<table class="verdicts">\n<tr><th scope="col">step</th>{columns}</tr>'
    for step, verdicts in found.by_step.items():
        yield f'<tr><th scope="row">{escape(step)}</th>{"".join(map(_cell, verdicts))}</tr>'
    yield "</table>\n</div>"


def _cell(verdict: Verdict) -> str:
    if verdict.violation is not None:
        return '<td class="violated">violated</td>'
    if not verdict.cases:
        return '<td class="untested" title="no case could put it to the test">-</td>'
    return f'<td class="ok">ok <span class="dim">({verdict.cases})</span></td>'


def _violation(violation: Violation, heads: Heads) -> Iterator[str]:
    count = f"{violation.cases} case{'s' if violation.cases != 1 else ''}"
    title = f"{violation.step}: {heads[violation.kind.value][1]}"
    yield f'<section>\n<h3>{escape(title)}: <span class="violated">violated</span>'
    yield f'<span class="dim">(in {count})</span></h3>\n<p>{escape(violation.story)}</p>'
    if violation.differences:
        heads_of_differences = ("where", "as it should be", "as it is")
        columns = "".join(f'<th scope="col">{head}</th>' for head in heads_of_differences)
        yield f'<div class="scroll">\n<table>\n<tr>{columns}</tr>'
        for each in violation.differences:
            cells = (each.where, repr(each.before), repr(each.after))
            yield f"<tr>{''.join(f'<td><code>{escape(cell)}</code></td>' for cell in cells)}</tr>"
        yield "</table>\n</div>"
    yield f"<pre>{escape(violation.reproduce)}</pre>\n</section>"
