"""Options that several commands have, and what they mean."""

from __future__ import annotations

import json
import os
import re
import shlex
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automa._core.secrets import Secret
from automa.cli import exits
from automa.cli.exits import InputError
from automa.cli.output import say
from automa.errors import WireError
from automa.journal.telling import failed_undos, plain
from automa.stores import open_store
from automa.wire.documents import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from automa._core.protocols import Store
    from automa._core.reports import WorkflowReport


class OnCancel(StrEnum):
    """What a signal means for a run."""

    SUSPEND = "suspend"
    ROLLBACK = "rollback"


TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE[:NAME]",
        help="A Python file or module, and the workflow in it; or a saga file (.yaml).",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing while the run goes on.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show what each action has left: attempts, effects, outputs.")
]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Show lines alone, as where there is no terminal.")
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="AUTOMA_STORE",
        help="Where runs are journaled: sqlite:///PATH or file:DIR.",
    ),
]
WorkflowOption = Annotated[
    str | None,
    typer.Option("--workflow", metavar="ID", help="The id of the workflow, where several have such a run."),
]
FileOption = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="FILE[:NAME]", help="Where the workflow is; by default where it was at the start."
    ),
]
OnCancelOption = Annotated[
    OnCancel | None,
    typer.Option(help="What a signal means: stop, to be resumed (by default with a store), or undo."),
]
SecretOption = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME=env:VAR|file:PATH",
        help="A secret for ctx.resources, from the environment or a file; never written down.",
    ),
]


def checked_url(url: str | None, option: str = "--store") -> str:
    """Return the URL of a store that was given, and outlives the command.

    Args:
        url: The URL.
        option: The option that it was given with.

    Raises:
        InputError: Where there is none.
    """
    if not url:
        raise InputError("no store is given: use --store URL, or set AUTOMA_STORE", exits.USAGE)
    if url.startswith("memory:"):
        raise InputError(
            f"{option} {url} ends with this command: use sqlite:///PATH or file:DIR", exits.USAGE
        )
    return url


def open_existing(url: str | None, option: str = "--store") -> Store:
    """Open a store that is there: a mistyped URL must not make a new one.

    Args:
        url: The URL.
        option: The option that it was given with.

    Raises:
        InputError: Where there is none.
        StoreError: Where it cannot be used.
    """
    url = checked_url(url, option)
    scheme, _, rest = url.partition("?")[0].partition(":")
    path = Path(rest.removeprefix("///") if scheme == "sqlite" else rest.removeprefix("//"))
    if scheme in {"sqlite", "file"} and rest.strip("/") and not os.path.lexists(path):
        raise InputError(f"there is no store at {path}: check {option} {url}", exits.STORE_FAILED)
    return open_store(url)


def read_secrets(options: list[str] | None) -> dict[str, Secret]:
    """Return the secrets that ``--secret`` options name; a file's last line end is not part of one.

    Raises:
        InputError: Where one is not of the form told, or cannot be read; its text is not in the message.
    """
    secrets: dict[str, Secret] = {}
    for option in options or []:
        name, _, source = option.partition("=")
        kind, colon, place = source.partition(":")
        if not name or kind not in {"env", "file"} or not colon or not place:
            raise InputError(f"--secret {name or '?'}: expected NAME=env:VAR or NAME=file:PATH", exits.USAGE)
        if name in secrets:
            raise InputError(f"--secret {name} is given twice", exits.USAGE)
        secrets[name] = Secret(_from_environment(name, place) if kind == "env" else _from_file(name, place))
    return secrets


def _from_environment(name: str, variable: str) -> str:
    try:
        return os.environ[variable]
    except KeyError:
        raise InputError(f"--secret {name}: the environment has no {variable}", exits.USAGE) from None


def _from_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"--secret {name}: {path} cannot be read: {why}", exits.USAGE) from None


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_age(text: str) -> timedelta:
    """Return the age that a text such as ``30d`` tells.

    Raises:
        InputError: Where it tells none.
    """
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match is None:
        raise InputError(
            f"--older-than {text!r}: expected a number and one of s, m, h, d, w, as in 30d", exits.USAGE
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


DeadlineOption = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN|TIME",
        help="Until when the way forward may take: 90s, 30m, 2h, 1d from now, or an ISO 8601 time with zone.",
    ),
]


def parse_deadline(text: str | None) -> timedelta | datetime | None:
    """Return what a deadline such as ``30m``, or ``2027-01-31T12:00:00Z``, tells.

    Raises:
        InputError: Where it tells none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match is not None:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(
            f"--deadline {text!r}: expected a number and one of s, m, h, d, w, or a time as in "
            "2027-01-31T12:00:00Z",
            exits.USAGE,
        )
    return moment


def say_how_to_go_on(report: WorkflowReport, url: str | None) -> None:
    """Tell how to carry on a run that has stopped, or to settle an undo that has failed."""
    if not url:
        return
    if report.is_stopped:
        say(f"automa: to go on: automa resume {report.run_id} --store {shlex.quote(url)}")
    for path in failed_undos(report):
        command = shlex.join(["automa", "undo", report.run_id, path, "--retry", "--store", url])
        told = f"once its cause is gone: {plain(command)}"
        say(f"automa: {told}; if you have undone it yourself: --mark-done --note WHY")


def parse_values(values: list[str]) -> dict[str, str]:
    """Return the texts that ``--set`` options give, by key.

    Raises:
        InputError: Where one is not of the form KEY=VALUE.
    """
    texts: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise InputError(f"--set {value!r}: expected KEY=VALUE", exits.USAGE)
        texts[key] = text
    return texts


def state_of(texts: Mapping[str, str], workflow: object) -> dict[str, Any]:
    """Return the state that texts give a workflow.

    Args:
        texts: As `parse_values` returns them.
        workflow: A saga file, which knows the types of its variables, or another workflow.
    """
    values_of = getattr(workflow, "values_of", None)
    if values_of is not None:
        found: dict[str, Any] = values_of(texts)
        return found
    return {key: _parse_value(text) for key, text in texts.items()}


def _parse_value(text: str) -> Any:
    """Return what a text means as JSON, or the text: a number only where it would be written the same.

    So ``1.10``, ``007`` and ``1e5`` stay the texts that they are.
    """
    try:
        value = parse_json(text)
    except WireError:
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number and json.dumps(value) != text else value
