"""What things are called in DBOS: legible to whoever looks into its tables, and read back from there."""

from __future__ import annotations

from urllib.parse import quote, unquote

from automa.engines.engine import Name

APPLICATION = "automa"
"""The name under which all stands in the tables of DBOS, beside that of other applications."""

APPLICATION_VERSION = "automa-1"
"""What DBOS takes for the version of the code: pinned, since runs are routed by the versions of workflows."""

TURN, BRANCH = "automa.turn", "automa.branch"
"""The two workflows of DBOS: a turn of a run, and a branch of one."""


def turn_id(workflow_id: str, run_id: str, number: int) -> str:
    """Return the id of a turn in DBOS: ``checkout/r1``, after that ``checkout/r1~1``."""
    found = f"{quote(workflow_id, safe='')}/{quote(run_id, safe='')}"
    return f"{found}~{number}" if number else found


def turn_name(turn: str, version: str) -> Name:
    """Return the name of a turn from its id; no run id has a ``~``."""
    workflow_id, _, rest = turn.partition("/")
    run_id, _, number = rest.partition("~")
    return Name(unquote(workflow_id), version, unquote(run_id), int(number or 0))


def queue_of(workflow_id: str, version: str) -> str:
    """Return the queue of the turns of a version of a workflow: ``automa/checkout/1``."""
    return f"{APPLICATION}/{quote(workflow_id, safe='')}/{quote(version, safe='')}"


def branches_of(queue: str) -> str:
    """Return the queue of the branches whose worker has died, of runs whose turns have that queue."""
    return f"{queue}/branches"


def version_in(queue: str) -> tuple[str, str]:
    """Return the id and the version of the workflow whose runs have a queue."""
    _, workflow_id, version = queue.split("/")[:3]
    return unquote(workflow_id), unquote(version)
