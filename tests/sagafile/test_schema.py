"""The published schema says the same as the reader."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from automa.errors import SagaFileError
from automa.sagafile import json_schema, loads
from tests.sagafile.test_reading import FULL

SCHEMA = jsonschema.Draft202012Validator(json_schema())
PUBLISHED = Path(__file__).parents[2] / "docs/reference/saga-file.schema.json"

# What the reader finds, and a schema cannot say.
BEYOND = (
    "there is a step", "is called", "no boolean", "would both be", "comes twice", "none of the choices",
    "of type", "no regular expression", "has a pivot", "irreversible", "begins with its program", "there is nothing in it",
    "there is no program in it", "nests too deeply", "whole number", "a number from", "true or false", "a text is expected",
    "a span of time", "NUL", "pivot", "branches", "is no id", "SAGA", "is no name", "is no version",
)  # fmt: skip

odd = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.sampled_from(["", "x", "a b", "30s", "json", "bash", "2.5"]),
    st.just([]), st.just({}), st.just(["x"]), st.just({"x": "y"}), st.just({"var": "name"}),
    st.just({"run": ["x"]}), st.just({"id": "n", "run": ["x"]}),
)  # fmt: skip


def places(document, path=()):
    """Yield the paths of all values in a document."""
    yield path
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = [path for path in places(yaml.safe_load(FULL)) if path]


@st.composite
def changed(draw):
    """Draw a saga file of which some values were replaced, left out or added."""
    document = copy.deepcopy(yaml.safe_load(FULL))
    for _ in range(draw(st.integers(1, 2))):
        *path, last = draw(st.sampled_from(PLACES))
        holder = document
        try:
            for key in path:
                holder = holder[key]
            way = draw(st.sampled_from(["replace", "leave out", "add"]))
            if way == "replace":
                holder[last] = draw(odd)
            elif way == "leave out":
                del holder[last]
            elif isinstance(holder, dict):
                holder[
                    draw(st.sampled_from(["limit", "when", "mode", "undo", "xyz", "timeout", "pivot"]))
                ] = draw(odd)
        except (KeyError, IndexError, TypeError):
            continue
    return document


@settings(max_examples=250, deadline=None)
@given(changed())
def test_the_schema_refuses_nothing_that_the_reader_takes(document):
    """What the reader takes fits the schema; what does not fit it the reader refuses."""
    fits = SCHEMA.is_valid(document)
    problem = None
    try:
        loads(yaml.safe_dump(document, sort_keys=False))
    except SagaFileError as error:
        problem = error.problem
    if fits:
        assert problem is None or any(each in problem for each in BEYOND), problem
    else:
        assert problem is not None, [error.message for error in SCHEMA.iter_errors(document)]


def test_a_full_file_fits_and_a_mistake_does_not():
    """The schema is no empty one: it takes a file with every key, and refuses a misspelt one."""
    document = yaml.safe_load(FULL)
    SCHEMA.validate(document)
    SCHEMA.check_schema(json_schema())
    document["steps"][0]["retri"] = 3
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(document)
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate({**yaml.safe_load(FULL), "version": ""})


def test_the_published_schema_is_this_one():
    """The file in the documentation is what `automa schema` prints."""
    assert json.loads(PUBLISHED.read_text()) == json_schema()
