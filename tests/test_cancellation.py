"""The table of cancellations and the markers of the tests agree, both ways."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "cancellation.md"


def marked():
    """The rows that tests are marked with."""
    return {
        ast.literal_eval(argument)
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.cancellation"
        for argument in node.args
    }


def test_each_row_has_its_tests():
    """Each row of the table has a test that is marked with it, in order, and no marker names another."""
    rows = re.findall(r"^\| \*\*(C\d+)\*\* \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [f"C{number}" for number in range(1, len(rows) + 1)]
    assert set(rows) == marked()
