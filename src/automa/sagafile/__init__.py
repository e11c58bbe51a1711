"""Saga files: sagas in YAML, whose steps are commands (extra ``yaml``).

Example:
    >>> workflow = loads('''
    ... automa: 1
    ... id: greet
    ... steps:
    ...   - id: hello
    ...     run: [echo, hello]
    ... ''')
    >>> [step.id for step in workflow.steps]
    ['hello']
"""

from automa.sagafile.definition import SagaFile, load, loads
from automa.sagafile.schema import json_schema

__all__ = ["SagaFile", "json_schema", "load", "loads"]
