"""What a turn of a run is called at the server: a service of a workflow and a version, and a key in it."""

from __future__ import annotations

import re
from typing import NamedTuple

from automa.engines.engine import Name

PREFIX = "automa."
"""How the services begin that are ours: others may be at the same server."""

_ODD = re.compile(r"[^A-Za-z0-9-]")
_ESCAPED = re.compile(r"((?:_[0-9a-f]{2})+)")


class Target(NamedTuple):
    """A turn of a run, as the server names it.

    Attributes:
        service: The service.
        key: The key.
    """

    service: str
    key: str


def target_of(name: Name) -> Target:
    """Return what a turn is called at the server; `name_of` is the way back."""
    key = name.run_id if name.number == 0 else f"{name.run_id}~{name.number}"
    return Target(service_of(name.workflow_id, name.version), key)


def name_of(target: Target) -> Name:
    """Return which turn the server names so."""
    workflow_id, version = target.service.removeprefix(PREFIX).split(".")
    run_id, _, number = target.key.partition("~")
    return Name(_unescaped(workflow_id), _unescaped(version), run_id, int(number or 0))


def service_of(workflow_id: str, version: str) -> str:
    """Return the service of one version of a workflow: a run is carried on by the one with which it began."""
    return f"{prefix_of(workflow_id)}{_escaped(version)}"


def prefix_of(workflow_id: str) -> str:
    """Return how the services of all versions of a workflow begin, and no others."""
    return f"{PREFIX}{_escaped(workflow_id)}."


def _escaped(text: str) -> str:
    """Return a text in the characters that a name of a service may have; without dots."""
    return _ODD.sub(lambda found: "".join(f"_{byte:02x}" for byte in found[0].encode()), text)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[0].replace("_", "")).decode(), text)
