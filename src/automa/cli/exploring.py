"""The command that explores a saga."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import shlex
import sys
import traceback
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automa.cli import exits
from automa.cli.exits import Exit, InputError
from automa.cli.options import SecretOption, parse_values, read_secrets, state_of
from automa.cli.output import check_output, errors_in_one_line, print_text, say, write_text
from automa.cli.targets import SAGA_FILES, load_target, load_workflow, only_workflow
from automa.errors import AutomaError, text_of
from automa.journal.telling import plain
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from automa.testing import DirectoryWorld, Exploration, World

_NO_WORLD = """\
automa: no world is given: use --world NAME. A world is what the steps touch outside of the saga: a fake,
a folder, a database, as an object with reset() and snapshot(), to be put back and compared. For example:
    from automa.testing import DictWorld
    bank = DictWorld({"payments": 0})  # the steps change bank.data["payments"]
    # automa explore FILE:make_order --world bank"""

_ONE_WORKFLOW = (
    "each process of a run had the same workflow object, so what its steps keep in memory has outlived every "
    "crash: name a function that returns the workflow, or use --process"
)


class Format(StrEnum):
    """The forms in which an exploration is printed."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


def explore(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="A Python file or module, and the workflow in it, or a function that returns one.",
        ),
    ],
    world: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE:]NAME|dir:PATH",
            help="What the steps touch: has reset() and snapshot(), or a function that returns it; or an "
            "empty folder.",
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the state; JSON where it reads as such."),
    ] = None,
    resources: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE:]NAME", help="The live objects: a mapping, or a function that returns one."
        ),
    ] = None,
    secret: SecretOption = None,
    depth: Annotated[
        int, typer.Option(min=1, max=2, help="How many crashes there are in a case at most.")
    ] = 1,
    process: Annotated[
        bool, typer.Option("--process", help="Kill real processes; it takes about a hundred times as long.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CASE", help="Play this case alone; may be repeated.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
) -> None:
    """Crash, resume, fail, cancel, repeat and undo a saga in all ways, and tell what its steps do not stand.

    What the steps print is shown with --only alone, on standard error.

    Exit status: 0 nothing is violated, 1 something is; 64 the command line is wrong, 65 the workflow cannot
    be explored, 74 the result could not be written.
    """
    from automa import testing  # noqa: PLC0415  # no other command waits for it

    with errors_in_one_line():
        texts = parse_values(values or [])
        check_output(output)
        if world is None:
            say(_NO_WORLD)
            raise Exit(exits.USAGE)
        made, source = _find(target, world)
        a_world = _world(world, source)
        if secret and resources is not None:
            raise InputError("--secret and --resources: give one of them", exits.USAGE)
        secrets = read_secrets(secret)
        live = secrets if resources is None else _resources(resources, source)
        typed = load_workflow(target) if Path(source).suffix in SAGA_FILES else made
        again = ["automa", "explore", target, "--world", world]
        again += [part for value in values or [] for part in ("--set", value)]
        again += [] if resources is None else ["--resources", resources]
        again += [part for each in secret or [] for part in ("--secret", each)]
        again += ["--process"] if process else []
        with _users_code(target, shown=bool(only)):
            found = testing.explore(
                (lambda: made) if isinstance(made, Workflow) else made,
                a_world,
                state=state_of(texts, typed),
                resources=live or None,
                depth=depth,
                process=process,
                only=only or None,
                reproduce=lambda case: shlex.join([*again, "--only", case]),
            )
        if isinstance(made, Workflow) and not process:
            found = dataclasses.replace(found, remarks=(*found.remarks, _ONE_WORKFLOW))
        _print(found, form, output)
    raise Exit(exits.SUCCEEDED if found.ok else exits.CHECK_FAILED)


def _find(target: str, world: str) -> tuple[Workflow | Callable[..., Any], str]:
    """Return the workflow that a target names, or what makes it, and the file or module where it is.

    Args:
        target: As that of `load_target`.
        world: The world; the commands of a saga file work in it, where it is a folder.

    Raises:
        InputError: Where there is none.
    """
    module, source, name = load_target(target)
    if isinstance(getattr(module, name or "workflow", None), Workflow) and Path(source).suffix in SAGA_FILES:
        kind, _, folder = world.partition(":")
        return _of_saga_file(source, folder if kind == "dir" else None), source
    if name is None:
        if not any(isinstance(value, Workflow) for value in vars(module).values()):
            raise InputError(
                f"{source} has no workflow: name a function that returns one, as in {source}:make_workflow"
            )
        return only_workflow(module, source), source
    made = _value(module, source, name)
    if not isinstance(made, Workflow) and not callable(made):
        kind = type(made).__name__
        raise InputError(f"{source}: {name} is no workflow, nor a function, but of type {kind}")
    return made, source


def _of_saga_file(source: str, folder: str | None) -> Callable[[], Workflow]:
    """Return what reads a saga file anew, for each process that is played.

    Raises:
        InputError: Where its commands would work elsewhere than in the folder that is its world.
    """
    from automa.sagafile import load  # noqa: PLC0415  # it needs the extra yaml

    if folder is not None:
        world = Path(folder).resolve()
        for each in load(source, folder=folder).folders:
            if not Path(each).resolve().is_relative_to(world):
                raise InputError(f"commands of {source} work in {each}, which is not in --world dir:{folder}")
    return lambda: load(source, folder=folder)


def _named(text: str, beside: str) -> tuple[Any, str]:
    """Return what ``[FILE:]NAME`` names, and where it is; the module of a file that is loaded is that one.

    Raises:
        InputError: Where there is no such thing.
    """
    source, colon, name = text.rpartition(":")
    source = source if colon else beside
    loaded = _loaded(source)
    module = load_target(source)[0] if loaded is None else loaded
    return _value(module, source, name), source


def _loaded(source: str) -> ModuleType | None:
    """Return the module of a file or name that is loaded already: its objects must not be made twice."""
    path = Path(source).resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == source or (file is not None and Path(file).resolve() == path):
            return module
    return None


def _value(module: ModuleType, source: str, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        near = difflib.get_close_matches(name, [each for each in vars(module) if not each.startswith("_")])
        hint = f"; there is {', '.join(near)}" if near else ""
        raise InputError(f"{source} has no {name!r}{hint}") from None


def _world(text: str, beside: str) -> World:
    """Return the world that an option names.

    Raises:
        InputError: Where it names none.
    """
    from automa import testing  # noqa: PLC0415  # as above

    kind, _, folder = text.partition(":")
    if kind == "dir":
        return _folder(folder)
    found, source = _named(text, beside)
    # A class of worlds has the methods of one too.
    if isinstance(found, type) or (callable(found) and not isinstance(found, testing.World)):
        with _users_code(source, shown=True):
            found = found()
    if not isinstance(found, testing.World):
        raise InputError(
            f"--world {text}: it is of type {type(found).__name__}, without reset() and snapshot()"
        )
    return found


def _folder(path: str) -> DirectoryWorld:
    """Return the world of a folder.

    Raises:
        InputError: Where it cannot be reset, since there is something in it.
    """
    from automa import testing  # noqa: PLC0415  # as above

    try:
        return testing.DirectoryWorld(path=path)
    except (OSError, ValueError) as error:
        raise InputError(f"--world dir:{path}: {error}") from None


def _resources(text: str, beside: str) -> Mapping[str, Any] | Callable[..., Mapping[str, Any]]:
    """Return the resources that an option names, or what returns them.

    Raises:
        InputError: Where it names none.
    """
    found: Mapping[str, Any] | Callable[..., Mapping[str, Any]] = _named(text, beside)[0]
    if not isinstance(found, Mapping) and not callable(found):
        kind = type(found).__name__
        raise InputError(f"--resources {text}: it is no mapping, nor a function, but of type {kind}")
    return found


@contextlib.contextmanager
def _users_code(source: str, *, shown: bool) -> Iterator[None]:
    """Let code of the user run; what it raises is told in one line, and not taken for a defect of ours.

    Args:
        source: Where the code is, for errors that come from nowhere in it.
        shown: Whether what it prints is printed; the output is the command's alone.

    Raises:
        InputError: Where it raises.
    """
    try:
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(sys.stderr if shown else nowhere),
        ):
            yield
    except AutomaError:
        raise
    except (Exception, SystemExit) as error:
        ours = str(Path(__file__).parents[1])
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [each for each in frames if not each.filename.startswith(ours)]
        where = f"{theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else source
        raise InputError(f"{where}: {type(error).__name__}: {text_of(error)}") from error


def _print(found: Exploration, form: Format, output: Path | None) -> None:
    """Print what was found, or write it to a file.

    Raises:
        InputError: Where that fails.
    """
    text = {Format.TEXT: found.__str__, Format.JSON: found.to_json, Format.HTML: found.to_html}[form]()
    if form is Format.TEXT:
        text = plain(text)
    text = text.encode("utf-8", "backslashreplace").decode().rstrip("\n")  # texts of users may be no Unicode
    if output is None:
        print_text(text)
    else:
        write_text(output, f"{text}\n")
