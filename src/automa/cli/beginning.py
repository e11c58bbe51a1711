"""The command that writes a first saga, and its test."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from automa.cli.exits import STORE_FAILED, USAGE, InputError
from automa.cli.output import errors_in_one_line, print_text

_FIRST = Path(__file__).with_name("first")


def add_init(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("init")(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where it is written.")] = Path(),
    saga_file: Annotated[  # noqa: FBT002  # an option of the command line
        bool, typer.Option("--saga-file", help="Write a saga file, whose steps are commands.")
    ] = False,
) -> None:
    """Write a first saga and its test; a file that is there already is not touched.

    Exit status: 0; 64 there is such a file, 74 they could not be written.
    """
    saga, test = ("saga.yaml", "test_saga_file.py") if saga_file else ("saga.py", "test_saga.py")
    with errors_in_one_line():
        for name in (saga, test):
            if (folder / name).exists():
                raise InputError(f"there is a {folder / name} already: name another folder", USAGE)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in (saga, test):
                with (folder / name).open("x", encoding="utf-8") as file:
                    file.write((_FIRST / f"{name}.txt").read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{folder} cannot be written to: {error.strerror}", STORE_FAILED) from None
        to_run, to_test = (shlex.quote(str(folder / name)) for name in (saga, test))
        print_text(
            f"wrote {folder / saga} and {folder / test}\n"
            f"run it:                      automa run {to_run}\n"
            f"see it fail and undo itself: automa run {to_run} --set refuse=true\n"
            f"prove it:                    pytest {to_test}"
        )
