"""Writes docs/reference/cli.md from the commands: `make docs-cli`, or `python docs/generate_cli.py`.

It reads how the commands are declared, their functions and the `Argument` and `Option` of each parameter,
and not what the option parser makes of them: so the page is the same with every version of the parser.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
import textwrap
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from typer import Context
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from automa.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typer import Typer

PAGE = Path(__file__).parent / "reference" / "cli.md"

_HEAD = """\
# Every command and option

Made by `make docs-cli` from the commands themselves; a test says that it is up to date.
`automa COMMAND --help` tells the same. What has a `…` may be given more than once.
[How to run a workflow from the command line](../how-to/command-line.md) and
[how to operate runs](../how-to/operate-runs.md) show the commands at work, and list the exit statuses.

| command | |
|---|---|
"""


class Command(NamedTuple):
    """A command: its name behind ``automa``, and the function that carries it out."""

    name: str
    function: Callable[..., Any]
    help: str


class Parameter(NamedTuple):
    """An argument or option, as it is typed and told."""

    typed: str
    usage: str
    help: str
    default: str
    is_argument: bool


def page() -> str:
    """Return the page."""
    commands = list(_commands(app, ""))
    rows = "".join(
        f"| [`automa {each.name}`](#{_slug(each)}) | {_text(_first_sentence(each))} |\n" for each in commands
    )
    return _HEAD + rows + "\n" + "\n".join(_section(each) for each in commands)


def _commands(group: Typer, prefix: str) -> Iterator[Command]:
    """Yield the commands that people see, those of groups as well."""
    for info in group.registered_commands:
        function = info.callback
        if function is not None and not info.hidden:
            name = info.name or function.__name__.strip("_").replace("_", "-")
            yield Command(prefix + name, function, inspect.cleandoc(info.help or function.__doc__ or ""))
    for inner in group.registered_groups:
        if inner.typer_instance is not None and not inner.hidden:
            group_name = inner.name or inner.typer_instance.info.name
            inside = f"{prefix}{group_name} " if isinstance(group_name, str) else prefix
            yield from _commands(inner.typer_instance, inside)


def _section(command: Command) -> str:
    parameters = list(_parameters(command.function))
    arguments = [each.usage for each in parameters if each.is_argument]
    options = ["[OPTION]…"] if len(arguments) < len(parameters) else []
    lines = [
        f"## automa {command.name}",
        "",
        f"    {' '.join(['automa', command.name, *arguments, *options])}",
        "",
    ]
    lines += [_text(textwrap.fill(each, 120)) + "\n" for each in command.help.split("\n\n")]
    if parameters:
        lines += ["| argument, option | | default |", "|---|---|---|"]
        lines += [f"| {each.typed} | {_text(each.help)} | {each.default} |" for each in parameters]
        lines.append("")
    return "\n".join(lines)


def _parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    """Yield the arguments, then the options, each in their order.

    Raises:
        TypeError: Where a parameter is declared in another way, and would be left out.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if hints.get(name) is Context:
            continue
        told = [
            each for each in getattr(hints.get(name), "__metadata__", ()) if isinstance(each, ParameterInfo)
        ]
        if not told:
            raise TypeError(
                f"{function.__qualname__}({name}): say Annotated[…, typer.Option(…) or Argument(…)]"
            )
        if not told[0].hidden:
            found.append(_parameter(name, typing.get_args(hints[name])[0], told[0], parameter.default))
    yield from sorted(found, key=lambda each: not each.is_argument)


def _parameter(name: str, type_: Any, told: ParameterInfo, default: object) -> Parameter:
    types_ = set(typing.get_args(type_)) if isinstance(type_, types.UnionType) else {type_}
    (kind,) = types_ - {type(None)} or {str}
    many = typing.get_origin(kind) is list
    kind = typing.get_args(kind)[0] if many else kind
    required = default is inspect.Parameter.empty
    text = (told.help or "") + (f" The environment may have it: `{told.envvar}`." if told.envvar else "")
    if isinstance(told, ArgumentInfo):
        shown = told.metavar or name.upper()
        usage = (shown if required else f"[{shown}]") + ("…" if many else "")
        return Parameter(_code(shown), usage, text, "" if required else _default(default), is_argument=True)
    assert isinstance(told, OptionInfo)  # noqa: S101  # there are no others
    names = _names(told, name, is_flag=kind is bool)
    value = "" if kind is bool else f" {told.metavar or _value(kind)}" + ("…" if many else "")
    typed = ", ".join([*map(_code, names[:-1]), _code(names[-1] + value)])
    return Parameter(typed, "", text, "required" if required else _default(default), is_argument=False)


def _names(told: OptionInfo, name: str, *, is_flag: bool) -> list[str]:
    """Return how an option may be written, the short form first."""
    # In an annotation the first name stands where a default would.
    declared = [*([told.default] if isinstance(told.default, str) else []), *(told.param_decls or ())]
    flag = f"--{name.replace('_', '-')}"
    return sorted(declared, key=len) or ([flag, f"--no-{flag[2:]}"] if is_flag else [flag])


def _value(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "|".join(str(each.value) for each in kind)
    return {Path: "PATH", int: "NUMBER", float: "NUMBER"}.get(kind, "TEXT")


def _default(default: object) -> str:
    if default is None or default is False or default in ("", []):
        return ""
    return _code(str(default.value) if isinstance(default, enum.Enum) else str(default))


def _first_sentence(command: Command) -> str:
    return re.split(r"(?<=\.)\s", command.help.partition("\n\n")[0].replace("\n", " "))[0]


def _slug(command: Command) -> str:
    return f"automa-{command.name}".replace(" ", "-")


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _text(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: written", file=sys.stderr)
