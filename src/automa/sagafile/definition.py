"""From a saga file to a workflow."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from automa._core.parallel import Parallel
from automa._core.retry import Retry
from automa._core.secrets import Secret
from automa.errors import SagaFileError, StateError, WorkflowDefinitionError
from automa.sagafile.commands import (
    Command,
    CommandStep,
    Equals,
    Output,
    Reference,
    Surroundings,
    environment_names,
)
from automa.sagafile.reading import Value, hint_at, read
from automa.sagafile.variables import NAME, Variable, fitting, given_text, meant, of_type, variables_in
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from automa._core.protocols import AtomicStep, Composite
    from automa.plan.lint import Finding

Made = TypeVar("Made")

FORMAT = "1"
"""The version of the format."""

SHELLS: dict[str, tuple[str, ...]] = {
    "bash": ("bash", "-euo", "pipefail", "-c"),
    "sh": ("sh", "-eu", "-c"),
    "zsh": ("zsh", "-euo", "pipefail", "-c"),
}
"""Shells by name: with what ends a script where a command in it fails, or a variable is not set."""

TOP = ("automa", "id", "description", "version", "vars", "secrets", "env", "cwd", "deadline", "mode",
       "rollback_mode", "redact", "retention", "ignore", "steps")  # fmt: skip
COMMAND = ("id", "description", "run", "undo", "verify", "when", "outputs", "env", "cwd", "timeout",
           "undo_timeout", "retry", "undo_retry", "pivot", "irreversible")  # fmt: skip
PARALLEL = ("id", "description", "parallel", "limit", "on_failure")
NESTED = ("id", "description", "workflow", "mode", "rollback_mode")
RETRY = ("attempts", "initial", "maximum", "multiplier", "jitter")
MODES, ROLLBACK_MODES = ("rollback", "stop", "continue"), ("continue", "stop")
RETENTIONS = ("retain", "delete_on_success", "delete_on_done")
ON_FAILURE = ("finish", "cancel")
FORMS = ("lines", "json")

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OUTPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
_USED_IN_SCRIPT = re.compile(r"\$(?:\{((?:VAR|SECRET|OUTPUT)_\w+)\}|((?:VAR|SECRET|OUTPUT)_\w+))")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Printed(NamedTuple):
    """What a step prints for later ones.

    Attributes:
        path: The path of the step.
        names: The names of its outputs.
    """

    path: str
    names: tuple[str, ...]


class SagaFile(Workflow):
    """A workflow that was read from a saga file.

    Attributes:
        variables: Its variables, by name: the keys of its state.
        secrets: The names of the secrets that its commands are given, from the resources of a run.
        ignored: The findings of the linter that it answers, and why.
        folders: Where its commands work.
    """

    variables: Mapping[str, Variable]
    secrets: tuple[str, ...]
    ignored: Mapping[str, str]
    folders: frozenset[str]

    def lint(self, *, ignore: Mapping[str, str] | None = None) -> list[Finding]:
        """Return what is likely to go wrong in it; see `Workflow.lint`."""
        return super().lint(ignore={**self.ignored, **(ignore or {})})

    def values_of(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the values that texts mean, by the types of the variables; `first_state` checks them.

        Args:
            texts: By the name of the variable; what is given for a string stays as it is.
        """
        return {
            name: meant(text) if name in self.variables and self.variables[name].type != "string" else text
            for name, text in texts.items()
        }

    def first_state(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the variables: those that are given, and the defaults of the others.

        Raises:
            StateError: Where one is unknown, missing or of the wrong type.
        """
        for name in given:
            if name not in self.variables:
                raise StateError(f"{self.id} has no variable {name!r}{hint_at(name, self.variables)}")
        missing = [
            each.name for each in self.variables.values() if each.default is None and each.name not in given
        ]
        if missing:
            raise StateError(
                f"{self.id} needs a value for {', '.join(missing)}: use --set {missing[0]}=VALUE"
            )
        return {
            name: fitting(variable, given[name]) if name in given else variable.default
            for name, variable in self.variables.items()
        }

    def check_resources(self, given: Mapping[str, Any]) -> None:
        """Refuse resources in which a secret is missing, without which no command could be started.

        Raises:
            StateError: Where there is such a one.
        """
        missing = [name for name in self.secrets if not isinstance(given.get(name), str | Secret)]
        if missing:
            one = missing[0]
            raise StateError(
                f"{self.id} needs the secret {', '.join(missing)}: use --secret {one}=env:VARIABLE or "
                f"{one}=file:PATH"
            )


def load(path: str | Path, *, folder: str | Path | None = None) -> SagaFile:
    """Read a saga file.

    Args:
        path: Where it is.
        folder: Where its commands work, unless it says otherwise; by default in the folder of the file.

    Raises:
        SagaFileError: Where it cannot be read, or something in it is wrong: with line and column.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SagaFileError(f"it cannot be read: {why}", str(path), 0, 0) from None
    return loads(raw, name=str(path), folder=path.resolve().parent if folder is None else folder)


def loads(text: str | bytes, *, name: str = "saga", folder: str | Path = ".") -> SagaFile:
    """Read the text of a saga file.

    Args:
        text: The text; bytes are UTF-8.
        name: What it is called in messages.
        folder: Where its commands work, unless it says otherwise.

    Raises:
        SagaFileError: Where something in it is wrong: with line and column.
    """
    value = read(text, name)
    return _Reader(value, Path(folder).resolve()).workflow()


class _Reader:
    """Makes a workflow of a saga file.

    Args:
        value: The document.
        folder: Where its commands work.
    """

    def __init__(self, value: Value, folder: Path) -> None:
        if not value.is_mapping:
            value.refuse(
                f"a saga file is a mapping with 'automa: {FORMAT}', 'id' and 'steps', not {value.kind}"
            )
        self._value = value
        if "automa" not in value.fields():
            value.refuse(f"'automa' is missing: write 'automa: {FORMAT}', the version of the format, first")
        self._top = top = value.record(TOP, ("id", "steps"))
        if top["automa"].text() != FORMAT:
            top["automa"].refuse(f"this automa reads saga files of format {FORMAT}, not {top['automa'].kind}")
        self._variables = variables_in(top["vars"]) if "vars" in top else {}
        self._secrets = tuple(_names(top["secrets"], NAME)) if "secrets" in top else ()
        self._env = _env(top.get("env"))
        self._cwd = folder / top["cwd"].text() if "cwd" in top else folder
        self._around = Surroundings(
            {each.name: each.default for each in self._variables.values()}, self._secrets, []
        )
        self._ids: dict[str, int] = {}
        self._scripts: list[tuple[Value, str]] = []
        self._folders: list[str] = []

    def workflow(self) -> SagaFile:
        """Return the workflow."""
        top = self._top
        id = self._id(top["id"])
        options: dict[str, Any] = {
            key: top[key].word(words)
            for key, words in (("mode", MODES), ("rollback_mode", ROLLBACK_MODES), ("retention", RETENTIONS))
            if key in top
        }
        if "deadline" in top:
            options["deadline"] = top["deadline"].seconds()
        if "version" in top:
            options["version"] = version = top["version"].text()
            if not VERSION.fullmatch(version):
                top["version"].refuse(
                    f"{version!r} is no version: a letter or digit, then at most 63 letters, digits, "
                    "'.', '_', '-'"
                )
        if "redact" in top:
            options["redact"] = [_pattern(each) for each in top["redact"].items()]
        if "description" in top:
            top["description"].text()
        self._check_environment(self._value)
        steps = self._steps(top["steps"], "", {})
        self._check_scripts()
        made = _made(self._value, SagaFile, id, steps, **options)
        made.variables, made.secrets = self._variables, self._secrets
        made.folders = frozenset(self._folders)
        made.ignored = {}
        if "ignore" in top:
            made.ignored = {key: each.text() for key, each in top["ignore"].fields().items()}
        return made

    def _id(self, value: Value) -> str:
        id = value.text()
        if not ID.fullmatch(id):
            value.refuse(
                f"{id!r} is no id: a letter or digit, then at most 99 letters, digits, '.', '_', '-'"
            )
        return id

    def _steps(self, value: Value, prefix: str, before: dict[str, Printed]) -> list[AtomicStep | Composite]:
        """Return steps that come one after the other; what they print is known to those after them."""
        steps = [self._step(each, prefix, before) for each in value.items()]
        if not steps:
            value.refuse("there is no step in it")
        return steps

    def _step(self, value: Value, prefix: str, before: dict[str, Printed]) -> AtomicStep | Composite:
        fields = value.fields()
        kinds = [key for key in ("run", "parallel", "workflow") if key in fields]
        if len(kinds) != 1:
            value.refuse(f"a step has either 'run', 'parallel' or 'workflow'{_other_kinds(kinds, fields)}")
        known = {"run": COMMAND, "parallel": PARALLEL, "workflow": NESTED}[kinds[0]]
        if kinds[0] != "run" and "when" in fields:
            fields["when"].refuse_key("only a step with 'run' has a condition: give one to each step in it")
        fields = value.record(known, ("id",))
        id = self._id(fields["id"])
        if id in self._ids:
            fields["id"].refuse(
                f"there is a step {id!r} in line {self._ids[id]} already: an id comes once in a file"
            )
        self._ids[id] = fields["id"].line
        if "description" in fields:
            fields["description"].text()
        if kinds[0] == "run":
            return self._command_step(value, id, fields, prefix, before)
        if kinds[0] == "parallel":
            return self._parallel(value, id, fields, prefix, before)
        modes = {
            key: fields[key].word(words)
            for key, words in (("mode", MODES), ("rollback_mode", ROLLBACK_MODES))
            if key in fields
        }
        return _made(value, Workflow, id, self._steps(fields["workflow"], f"{prefix}{id}/", before), **modes)

    def _parallel(
        self, value: Value, id: str, fields: Mapping[str, Value], prefix: str, before: dict[str, Printed]
    ) -> Parallel:
        options: dict[str, Any] = {}
        if "limit" in fields:
            options["limit"] = fields["limit"].integer(1)
        if "on_failure" in fields:
            options["on_failure"] = fields["on_failure"].word(ON_FAILURE)
        branches, printed = [], dict(before)
        for each in fields["parallel"].items():
            own = dict(before)  # a branch knows nothing of the others
            branches.append(self._step(each, f"{prefix}{id}/", own))
            printed |= own
        if not branches:
            fields["parallel"].refuse("there is no step in it")
        before |= printed
        return _made(value, Parallel, id, *branches, **options)

    def _command_step(
        self, value: Value, id: str, fields: Mapping[str, Value], prefix: str, before: dict[str, Printed]
    ) -> CommandStep:
        env = {**self._env, **_env(fields.get("env"))}
        cwd = str(self._cwd / fields["cwd"].text() if "cwd" in fields else self._cwd)
        self._folders.append(cwd)
        output = _output(fields["outputs"]) if "outputs" in fields else None

        def command(value: Value, known: Mapping[str, Printed]) -> Command:
            return Command(tuple(self._arguments(value, known)), env, cwd, self._around)

        condition: Command | Equals | None = None
        if "when" in fields:
            condition = self._condition(fields["when"], lambda each: command(each, before))
        run = command(fields["run"], before)
        verify = command(fields["verify"], before) if "verify" in fields else None
        if output is not None:
            before[id] = Printed(f"{prefix}{id}", output.names)
            self._around.outputs.append((id, f"{prefix}{id}", output.names))
            self._check_environment(fields["outputs"])
        options: dict[str, Any] = {
            key: fields[key].seconds() for key in ("timeout", "undo_timeout") if key in fields
        }
        options |= {key: fields[key].boolean() for key in ("pivot", "irreversible") if key in fields}
        options |= {key: _retry(fields[key]) for key in ("retry", "undo_retry") if key in fields}
        return _made(
            value, CommandStep, id, run,
            undo=command(fields["undo"], before) if "undo" in fields else None,
            verify=verify,
            condition=condition, output=output, place=(value.file, value.line), **options,
        )  # fmt: skip

    def _condition(self, value: Value, command: Callable[[Value], Command]) -> Command | Equals:
        fields = value.fields()
        if "run" in fields:
            return command(value.record(("run",))["run"])
        fields = value.record(("var", "is", "run"), ("var",))
        variable = self._variable(fields["var"])
        if "is" in fields:
            return Equals(variable.name, of_type(fields["is"], variable.type))
        if variable.type != "boolean":
            fields["var"].refuse(f"{variable.name!r} is no boolean: say with 'is' what it has to be")
        return Equals(variable.name, value=True)

    def _variable(self, value: Value) -> Variable:
        name = value.text()
        if name not in self._variables:
            value.refuse(_unknown("variable", name, self._variables))
        return self._variables[name]

    def _arguments(self, value: Value, known: Mapping[str, Printed]) -> Iterable[str | Reference]:
        if value.is_mapping:
            fields = value.record(("shell", "script"), ("script",))
            if "shell" not in fields:
                value.refuse("'shell' is missing, which runs the script: as in 'shell: sh'")
            script = _not_empty(fields["script"])
            if not fields["shell"].is_list:
                self._scripts.append((fields["script"], script))
            return [*_shell(fields["shell"]), script]
        if not value.is_list:
            value.refuse(
                "a command is a list of arguments, as in [echo, hello], or has a 'script' and a 'shell' that "
                f"runs it; this is {value.kind}"
            )
        arguments = [self._argument(each, known) for each in value.items()]
        if not arguments or not isinstance(arguments[0], str) or not arguments[0]:
            value.refuse("a command begins with its program")
        return arguments

    def _argument(self, value: Value, known: Mapping[str, Printed]) -> str | Reference:
        if not value.is_mapping:
            return given_text(value)
        fields = value.record(("var", "output"))
        if len(fields) != 1:
            value.refuse("an argument is a text, {var: NAME} or {output: STEP.NAME}")
        if "var" in fields:
            return Reference("var", self._variable(fields["var"]).name)
        step, _, name = fields["output"].text().rpartition(".")
        if step not in known:
            fields["output"].refuse(_unknown("step with outputs before this one", step, known))
        printed = known[step]
        if name not in printed.names:
            fields["output"].refuse(_unknown(f"output of step {step!r}", name, printed.names))
        return Reference("output", name, step, printed.path)

    def _check_scripts(self) -> None:
        """Refuse scripts that use a variable, an output or a secret that there is not: it is never set."""
        known = [name for name, _ in environment_names(self._around)]
        for value, script in self._scripts:
            for name in map("".join, _USED_IN_SCRIPT.findall(script)):
                is_set_there = re.search(rf"(?<![\w${{]){name}\b", script)  # as by `read` and `for`
                if name not in known and not is_set_there:
                    value.refuse(
                        f"nothing in this file gives ${name}{hint_at(name, known, '$')}; where it comes from "
                        f"elsewhere, write ${{{name}:?}}"
                    )

    def _check_environment(self, value: Value) -> None:
        """Refuse two things that would have the same name in the environment."""
        found: dict[str, str] = {}
        for name, what in environment_names(self._around):
            if name in found:
                value.refuse(
                    f"{found[name]} and {what} would both be {name} for commands: rename one of them"
                )
            found[name] = what


def _made(value: Value, kind: Callable[..., Made], *arguments: Any, **options: Any) -> Made:
    """Make a step or a workflow; what is wrong with it is told at its place."""
    try:
        return kind(*arguments, **options)
    except SagaFileError:
        raise
    except WorkflowDefinitionError as error:
        value.refuse(str(error))


def _names(value: Value, pattern: re.Pattern[str]) -> Iterable[str]:
    found: list[str] = []
    for each in value.items():
        name = each.text()
        if not pattern.fullmatch(name):
            each.refuse(f"{name!r} is no name: it is of the form {pattern.pattern}")
        if name in found:
            each.refuse(f"{name!r} comes twice")
        found.append(name)
    return found


def _env(value: Value | None) -> dict[str, str]:
    if value is None:
        return {}
    fields = value.fields()
    for name, given in fields.items():
        if not ENV_NAME.fullmatch(name):
            given.refuse_key(f"{name!r} is no name of an environment variable")
        if name.startswith(("VAR_", "SECRET_", "OUTPUT_", "AUTOMA_")):
            given.refuse_key(f"{name!r}: names that begin so are given by automa")
    return {name: given_text(given) for name, given in fields.items()}


def _output(value: Value) -> Output:
    """Return what a step prints: names alone, for lines of NAME=VALUE, or a form and names."""
    form, names = "lines", value
    if value.is_mapping:
        fields = value.record(("format", "names"), ("format", "names"))
        form, names = fields["format"].word(FORMS), fields["names"]
    found = tuple(_names(names, OUTPUT_NAME))
    if not found:
        names.refuse("there is no name in it")
    return Output(form, found)


def _retry(value: Value) -> Retry:
    """Return how often a step is tried: a number of attempts, or a mapping."""
    if not value.is_mapping:
        return _made(value, Retry, value.integer(1))
    fields = value.record(RETRY, ("attempts",))
    options: dict[str, Any] = {"attempts": fields["attempts"].integer(1)}
    options |= {key: fields[key].seconds() for key in ("initial", "maximum") if key in fields}
    if "multiplier" in fields:
        options["multiplier"] = fields["multiplier"].number(1)
    if "jitter" in fields:
        options["jitter"] = fields["jitter"].boolean()
    return _made(value, Retry, **options)


def _shell(value: Value) -> Sequence[str]:
    """Return the program that runs a script, and its arguments."""
    if value.is_list:
        found = [given_text(each) for each in value.items()]
        if not found or not found[0]:
            value.refuse("there is no program in it")
        return found
    return SHELLS[value.word(tuple(SHELLS))]


def _not_empty(value: Value) -> str:
    text = given_text(value)
    if not text.strip():
        value.refuse("there is nothing in it")
    return text


def _pattern(value: Value) -> str:
    text = value.text()
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        value.refuse(f"{text!r} is no regular expression: {error}")
    return text


def _other_kinds(kinds: Sequence[str], fields: Iterable[str]) -> str:
    """Return what a step has in place of one kind, or what may be meant by it."""
    if kinds:
        return f", not {' and '.join(kinds)}"
    meant = ((each, difflib.get_close_matches(each, ("run", "parallel", "workflow"), 1)) for each in fields)
    return next((f": is {each!r} {near[0]!r}?" for each, near in meant if near), "")


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    return f"there is no {what} that is called {name!r}{hint_at(name, known)}"
