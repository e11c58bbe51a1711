"""The pages about frameworks show what the examples do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["fastapi", "celery"])
def test_the_code_of_a_page_is_that_of_its_example(name):
    """Each block of code of the page stands in the example, which the tests here run, word for word."""
    page = (ROOT / "docs" / "how-to" / f"use-in-{name}.md").read_text()
    example = (ROOT / "examples" / "frameworks" / f"{name}_shop.py").read_text()
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    assert [block for block in blocks if block not in example] == []
    assert "```python" not in page
