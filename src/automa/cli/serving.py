"""The command that serves the web page on which runs are watched and operated."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from automa.cli import exits
from automa.cli.exits import InputError
from automa.cli.fleet import EngineOption, engine_of
from automa.cli.options import SecretOption, StoreOption, open_existing, read_secrets
from automa.cli.output import errors_in_one_line, print_text, say
from automa.cli.targets import load_workflows
from automa.cli.watching import LossyStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from automa._core.protocols import Store
    from automa.engines.engine import EngineBase
    from automa.web.server import Access, WebServer
    from automa.workflow import Workflow

_PORT = 8417
_LAST_PORT = 65535


def add_ui(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(ui)


def ui(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="Python files or modules, and the workflows in them: to resume and undo runs in a store.",
        ),
    ] = None,
    store: StoreOption = None,
    engine: EngineOption = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where it listens; by default for this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=_LAST_PORT, help="The port; 0 for one that is free.")
    ] = _PORT,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only show; change nothing.")] = False,
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="Let everybody in who reaches it: for a reverse proxy that asks."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:PORT]", help="A further name under which browsers ask for it, as they send it."
        ),
    ] = None,
    secret: SecretOption = None,
) -> None:
    """Serve a web page on which runs are watched and operated, until Ctrl-C or SIGTERM; print its address.

    Runs that it carries on itself stop after the step at work then, and can be resumed. A second signal ends
    it at once.

    Exit status: 0 it was told to stop; 64 the command line is wrong, 65 a workflow cannot be used, 74 the
    store, the engine or the address cannot be.
    """
    with errors_in_one_line():
        on_engine = engine_of(engine, store)
        if on_engine is not None and (targets or secret):
            given = "FILE" if targets else "--secret"
            raise InputError(f"{given}: on an engine that is the workers' affair", exits.USAGE)
        if read_only and (targets or secret):
            raise InputError("--read-only changes nothing: it needs no FILE and no --secret", exits.USAGE)
        place = on_engine or open_existing(store)
        resources = read_secrets(secret)
        workflows = _distinct([each for target in targets or [] for each in load_workflows(target)])
        access = _access(host, port, tuple(allow_host or ()), is_open=no_token, is_read_only=read_only)
        server = _server(place, access, workflows, resources)
        if not access.has_token and not read_only:
            say("automa: there is no token: whoever reaches this address can operate the runs")
        print_text(server.url)
        with contextlib.redirect_stdout(LossyStream()):  # what steps print is not this command's answer
            server.run_until_signal(say)


def _access(host: str, port: int, allowed: tuple[str, ...], *, is_open: bool, is_read_only: bool) -> Access:
    """Return who may come.

    Raises:
        InputError: Where that would let in more than anybody can want, or nobody, or the extra is missing.
    """
    try:
        from automa.web.guard import is_loopback  # noqa: PLC0415  # it is an extra
        from automa.web.server import Access  # noqa: PLC0415  # likewise
    except ImportError as error:
        raise InputError(f"{error}: install it with  pip install 'automa-saga[web]'", exits.USAGE) from None
    if not is_loopback(host):
        if is_open:
            raise InputError(
                f"--no-token with --host {host}: everybody who reaches that address could operate the runs; "
                "keep to 127.0.0.1, and let a reverse proxy ask who comes",
                exits.USAGE,
            )
        if host in {"0.0.0.0", "::"} and not allowed:  # noqa: S104  # nosec B104  # refused
            raise InputError(
                f"--host {host}: tell the names by which browsers will ask for it: --allow-host NAME[:PORT]",
                exits.USAGE,
            )
        say(f"automa: {host} is reached by others, and what they send can be read on its way: see the manual")
    return Access(host, port, allowed, has_token=not is_open, is_read_only=is_read_only)


def _server(
    place: Store | EngineBase, access: Access, workflows: Iterable[Workflow], resources: Mapping[str, object]
) -> WebServer:
    """Return the server.

    Raises:
        InputError: Where the address cannot be listened at.
    """
    from automa.web.server import WebServer  # noqa: PLC0415  # it is an extra, and there

    try:
        return WebServer(place, access, workflows, resources)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"{access.host} port {access.port} cannot be listened at: {why}", exits.STORE_FAILED
        ) from None


def _distinct(workflows: list[Workflow]) -> list[Workflow]:
    """Return workflows once each.

    Raises:
        InputError: Where two have the same id and version.
    """
    known: dict[tuple[str, str], Workflow] = {}
    for workflow in workflows:
        if known.setdefault((workflow.id, workflow.version), workflow) is not workflow:
            raise InputError(f"two workflows have the id {workflow.id!r} and the version {workflow.version}")
    return list(known.values())
