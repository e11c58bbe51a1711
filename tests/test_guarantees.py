"""The list of guarantees and the markers of the tests agree, both ways."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guarantees.md"


def marked():
    """The test files by guarantee, as the markers have it."""
    found = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.guarantee":
                for argument in node.args:
                    found[ast.literal_eval(argument)].add(path.relative_to(ROOT).as_posix())
    return found


def told():
    """The test files by guarantee, as the page lists them, and the guarantees of its table."""
    text = PAGE.read_text()
    lists = re.findall(r"^- \*\*(G\d+)\*\*: (.*)$", text, re.MULTILINE)
    return {name: set(re.findall(r"`([^`]+)`", line)) for name, line in lists}, set(
        re.findall(r"^\| \*\*(G\d+)\*\* \|", text, re.MULTILINE)
    )


def test_each_guarantee_has_its_tests():
    """Each guarantee of the page has tests, which are those that are marked with it; no marker names another."""
    lists, numbers = told()
    assert numbers == {f"G{number}" for number in range(1, 11)}
    assert lists == dict(marked())
    assert set(lists) == numbers
