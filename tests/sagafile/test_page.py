"""What the page about saga files says is true."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from automa.errors import SagaFileError
from automa.sagafile import json_schema, loads
from automa.sagafile.definition import COMMAND, NESTED, PARALLEL, TOP
from automa.testing import DirectoryWorld, explore

PAGE = (Path(__file__).parents[2] / "docs/how-to/saga-files.md").read_text()
SAGA = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_saga_on_the_page_does_what_is_said_of_it(tmp_path):
    """It puts its page where it says; for a long version it fails, and the folder is as it was."""
    workflow = loads(SAGA, folder=tmp_path)
    assert asyncio.run(workflow.start_async({"version": "1.1"})).outcome == "succeeded"
    assert (tmp_path / "site/index.html").read_text() == "<h1>1.1, staging</h1>\n"
    (tmp_path / "site/index.html").unlink()
    assert asyncio.run(workflow.start_async({"version": "1.1", "where": "production"})).outcome == "succeeded"
    (tmp_path / "site/index.html").unlink()
    assert asyncio.run(workflow.start_async({"version": "a long one, of many words"})).outcome == "undone"
    assert not list(tmp_path.iterdir())


def test_the_saga_on_the_page_is_proved():
    """The explorer finds nothing that it does not stand."""
    world = DirectoryWorld()
    found = explore(lambda: loads(SAGA, folder=world.path), world)
    assert found.ok, found


def test_the_mistake_on_the_page_is_told_like_that():
    """A key that is misspelt is told with line and column, in the words of the page."""
    told = re.search(r"automa: (site\.yaml:.*)", PAGE)[1]
    with pytest.raises(SagaFileError) as raised:
        loads(SAGA.replace("    undo:", "    undoo:", 1), name="site.yaml")
    assert str(raised.value) == told


def test_every_key_is_on_the_page():
    """The page tells of all that a file, and a step, may say; and the schema knows the same."""
    for key in {*TOP, *COMMAND, *PARALLEL, *NESTED} - {"id", "description", "steps", "automa"}:
        assert re.search(rf"`{key}[`:]|{key}:", PAGE), key
    schema = json_schema()
    assert set(schema["properties"]) == set(TOP)
    assert [set(each["properties"]) for each in schema["$defs"]["step"]["anyOf"]] == [
        set(COMMAND), set(PARALLEL), set(NESTED),
    ]  # fmt: skip
