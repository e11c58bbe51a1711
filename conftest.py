"""The code in the README, in the documentation and in docstrings runs as tests."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.evaluators.python import PythonEvaluator
from sybil.integration.pytest import SybilItem
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import CodeBlockParser

if TYPE_CHECKING:
    from sybil import Example


class PrintingEvaluator(PythonEvaluator):
    """Runs a block and keeps what it printed for the block of output that follows."""

    def __call__(self, example: Example) -> None:
        """Run the block."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            super().__call__(example)
        example.namespace["__printed__"] = printed.getvalue()


def check_output(example: Example) -> str | None:
    """Compare a block of output with what the block before it printed."""
    expected, printed = example.parsed.rstrip("\n"), example.namespace["__printed__"].rstrip("\n")
    return None if printed == expected else f"expected:\n{expected}\nprinted:\n{printed}"


_pages = Sybil(
    parsers=[
        CodeBlockParser(language="python", evaluator=PrintingEvaluator()),
        CodeBlockParser(language="output", evaluator=check_output),
    ],
    patterns=["README.md", "*.md"],
)
_docstrings = Sybil(
    parsers=[DocTestParser()],
    patterns=["*.py"],
    document_types={".py": PythonDocStringDocument},
    path="src",
)
pytest_collect_file = (_pages + _docstrings).pytest()


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the blocks of one document together, in order: a block goes on where the one before ended."""
    for item in items:
        if isinstance(item, SybilItem):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
