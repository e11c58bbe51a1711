"""Steps that are commands: what is started for their run, their undo and what they are asked."""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from automa._core.secrets import Redactor, Secret
from automa._core.steps import Step
from automa.errors import CommandError, WireError
from automa.sagafile.processes import MOST_HEARD, PARENT_PID, STEP_KEY, Ended, end_left_behind, run_to_end
from automa.wire.documents import parse_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from automa._core.context import Context
    from automa._core.steps import StepOptions

MOST_TOLD = 16_000
"""Characters of an output that go into the report."""

MOST_GIVEN = 100_000
"""Bytes that a command is given in one argument or variable; Linux takes 131,072 with the name."""

_MOST_OF_ERROR = 400
_PASSED_ON = 1  # the exit status by which a command that is asked says no

Scalar = str | int | float | bool


class Reference(NamedTuple):
    """Stands for one whole argument of a command.

    Attributes:
        kind: ``var`` or ``output``.
        name: That of the variable, or of the output.
        step: The id of the step whose output it is, and
        path: its path.
    """

    kind: str
    name: str
    step: str = ""
    path: str = ""


class Output(NamedTuple):
    """What a step prints, and later ones are given.

    Attributes:
        form: ``lines`` of ``name=value``, or one ``json`` object.
        names: The names that must be there.
    """

    form: str
    names: tuple[str, ...]


class Surroundings(NamedTuple):
    """What all commands of a saga file have in common.

    Attributes:
        variables: The defaults of its variables, by name; None where there is none.
        secrets: The names of its secrets.
        outputs: The outputs of all of its steps: id of the step, its path, and the names.
    """

    variables: Mapping[str, Scalar | None]
    secrets: tuple[str, ...]
    outputs: list[tuple[str, str, tuple[str, ...]]]

    def value_of(self, name: str, ctx: Context) -> Scalar:
        """Return the value of a variable in a run, which may have begun before the file had that variable.

        Raises:
            CommandError: Where it has none.
        """
        value: Scalar | None = ctx.shared.get(name, self.variables[name])
        if value is None:
            raise CommandError(f"this run has no variable {name!r}: it was begun before the file had it")
        return value


class Command(NamedTuple):
    """A command.

    Attributes:
        arguments: The program and its arguments; those of a script are its shell and the script.
        env: What it finds in its environment beside what automa has.
        cwd: The folder in which it works.
        around: What it has in common with the others of its file.
    """

    arguments: tuple[str | Reference, ...]
    env: Mapping[str, str]
    cwd: str
    around: Surroundings

    async def call(self, ctx: Context) -> Ended:
        """Start it for a step, wait for its end, and put what it has written into the report.

        Raises:
            CommandError: Where it cannot be started.
        """
        argv = [self._argument(each, ctx) for each in self.arguments]
        env = self._environment(ctx)
        await end_left_behind(env[STEP_KEY])
        ended = await run_to_end(argv, env, self.cwd)
        redact = Redactor().text
        ctx.metadata["command"] = _cut(shlex.join(map(redact, argv)))
        ctx.metadata["exit status"] = str(ended.status)
        for name in ("stdout", "stderr"):
            text = redact(getattr(ended, name))
            if text:
                ctx.metadata[name] = _cut(text)
        return ended

    def _argument(self, argument: str | Reference, ctx: Context) -> str:
        if isinstance(argument, str):
            return argument
        if argument.kind == "var":
            return _text(self.around.value_of(argument.name, ctx))
        return _text(_output_of(ctx, argument))

    def _environment(self, ctx: Context) -> dict[str, str]:
        env = {**os.environ, **self.env}
        for name, default in self.around.variables.items():
            value = ctx.shared.get(name, default)
            if value is not None:
                env[variable_in_env(name)] = _text(value)
        for name in self.around.secrets:
            env[secret_in_env(name)] = _secret(ctx, name)
        for step, path, names in self.around.outputs:
            found: Any = ctx.results.get(path)
            for name in (each for each in names if isinstance(found, dict) and each in found):
                env[output_in_env(step, name)] = _text(found[name])
        env |= {
            "AUTOMA_WORKFLOW_ID": ctx.workflow_id,
            "AUTOMA_RUN_ID": ctx.run_id,
            "AUTOMA_STEP": ctx.path,
            "AUTOMA_ATTEMPT": str(ctx.attempt),
            "AUTOMA_IDEMPOTENCY_KEY": ctx.idempotency_key,
            STEP_KEY: ctx.idempotency_key.rpartition("/")[0],
            PARENT_PID: str(os.getpid()),
        }
        return env


class CommandStep(Step):
    """A step whose run, undo and questions are commands.

    Args:
        id: Its id.
        run: Its work.
        undo: Takes that back, or None.
        verify: Asked whether the work was done, or None.
        condition: A command or a variable that tells whether it is to be run, or None.
        output: What it prints for later steps, or None.
        place: The file and line in which it stands.
        **options: See `automa.StepOptions`.

    Attributes:
        place: As above.
    """

    def __init__(  # noqa: PLR0913  # what a step may have are keyword arguments
        self,
        id: str,
        run: Command,
        *,
        undo: Command | None,
        verify: Command | None,
        condition: Command | Equals | None,
        output: Output | None,
        place: tuple[str, int],
        **options: Any,
    ) -> None:
        self._command = run
        self._undo_command = undo
        self._verify_command = verify
        self._condition = condition
        self._output = output
        self.place: tuple[str, int] = place
        given: StepOptions = options  # type: ignore[assignment]  # the file's reader makes no others
        super().__init__(
            id,
            run=self._run,
            undo=None if undo is None else self._undo,
            verify=None if verify is None else self._verify,
            when=None if condition is None else self._named_condition(condition),
            **given,
        )

    async def _run(self, ctx: Context) -> dict[str, Any] | None:
        ended = _checked(await self._command.call(ctx), self._command)
        return None if self._output is None else read_output(ended, self._output)

    async def _undo(self, ctx: Context) -> None:
        assert self._undo_command is not None  # noqa: S101  # else this is not called
        _checked(await self._undo_command.call(ctx), self._undo_command)

    async def _verify(self, ctx: Context) -> bool | None:
        assert self._verify_command is not None  # noqa: S101  # likewise
        ended = await self._verify_command.call(ctx)
        if ended.status == 0 and self._output is not None:
            ctx.report.result = read_output(ended, self._output)  # what the run printed was lost with automa
        return {0: True, _PASSED_ON: False}.get(ended.status)

    def _named_condition(self, condition: Command | Equals) -> Callable[[Context], Awaitable[bool]]:
        """Return what asks the condition, by the name that a report tells where the step is skipped."""

        async def when(ctx: Context) -> bool:
            return await self._when(ctx)

        if isinstance(condition, Equals) and condition.value is True:
            when.__name__ = condition.name
        else:
            when.__name__ = "its condition"
        return when

    async def _when(self, ctx: Context) -> bool:
        condition = self._condition
        if isinstance(condition, Equals):
            return self._command.around.value_of(condition.name, ctx) == condition.value
        assert condition is not None  # noqa: S101  # likewise
        ended = await condition.call(ctx)
        return ended.status != _PASSED_ON and bool(_checked(ended, condition))


class Equals(NamedTuple):
    """A condition: that a variable has a value.

    Attributes:
        name: The name of the variable.
        value: The value.
    """

    name: str
    value: Scalar


def _checked(ended: Ended, command: Command) -> Ended:
    """Return how a command has ended, where that is well.

    Raises:
        CommandError: Where it is not: with the last line that it has written.
    """
    if ended.status == 0:
        return ended
    program = str(command.arguments[0])
    how = f"exit status {ended.status}" if ended.status > 0 else f"ended by signal {-ended.status}"
    redact = Redactor().text  # all of it, before it is cut: a part of a secret would not be found
    lines = (redact(ended.stderr).strip() or redact(ended.stdout).strip()).splitlines()
    last = f": {lines[-1][:_MOST_OF_ERROR]}" if lines else ""
    raise CommandError(f"{program}: {how}{last}")


def read_output(ended: Ended, output: Output) -> dict[str, Any]:
    """Return what a command has printed for later steps.

    Raises:
        CommandError: Where it has not printed what it is to.
    """
    if ended.printed is None:
        raise CommandError(f"it has printed more than {MOST_HEARD:,} bytes: too much for outputs")
    found = _from_json(ended.printed) if output.form == "json" else _from_lines(ended.printed)
    missing = [name for name in output.names if name not in found]
    if missing:
        there = ", ".join(sorted(found)[:20]) or "none"
        raise CommandError(f"it has not printed the output {', '.join(missing)} (it has printed: {there})")
    outputs = {name: found[name] for name in output.names}
    for name, value in outputs.items():
        if isinstance(value, bytes):
            raise CommandError(f"its output {name!r} is no UTF-8 text")
        problem = unfit(_text(value))
        if problem:  # else no later command, and no undo, could be started
            raise CommandError(f"its output {name!r}: {problem}")
    return outputs


def _from_json(printed: bytes) -> dict[str, Any]:
    try:
        found = parse_json(printed)
    except WireError as error:
        raise CommandError(f"what it has printed is no JSON ({error})") from None
    if not isinstance(found, dict):
        raise CommandError(f"what it has printed is no JSON object, but a {type(found).__name__}")
    return found


_LINE = re.compile(rb"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def _from_lines(printed: bytes) -> dict[str, Any]:
    """Return the values of lines: as texts, and where one is no text as bytes."""
    lines = (line.removesuffix(b"\r") for line in printed.split(b"\n"))
    return {match[1].decode(): _as_text(match[2]) for line in lines if (match := _LINE.fullmatch(line))}


def _as_text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def unfit(text: str) -> str | None:
    """Return why no command can be given a text, as an argument or in its environment, or None."""
    if "\0" in text:
        return "there is a NUL character in it"
    try:
        size = len(os.fsencode(text))
    except UnicodeEncodeError:
        return "there is half a character in it, a surrogate"
    if size > MOST_GIVEN:
        return f"it is longer than {MOST_GIVEN:,} bytes, too long for a command: put it into a file"
    return None


def _output_of(ctx: Context, reference: Reference) -> Any:
    found = ctx.results.get(reference.path)
    if not isinstance(found, dict) or reference.name not in found:
        raise CommandError(
            f"step {reference.step!r} has no output {reference.name!r} in this run: was it skipped?"
        )
    return found[reference.name]


def _secret(ctx: Context, name: str) -> str:
    found = ctx.resources.get(name)
    if not isinstance(found, str | Secret):  # a run of the file itself does not begin so; one around it may
        raise CommandError(f"the secret {name!r} is not in the resources of the run")
    return found.reveal() if isinstance(found, Secret) else found


def _text(value: Any) -> str:
    """Return a value as a command gets it: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    """Return a text, or its beginning and its end."""
    if len(text) <= MOST_TOLD:
        return text
    head, tail = text[: MOST_TOLD // 4], text[-3 * MOST_TOLD // 4 :]
    return f"{head}\n[{len(text) - MOST_TOLD:,} characters are left out]\n{tail}"


def variable_in_env(name: str) -> str:
    """Return the name in the environment of a variable of a saga file."""
    return f"VAR_{_upper(name)}"


def secret_in_env(name: str) -> str:
    """Return the name in the environment of a secret of a saga file."""
    return f"SECRET_{_upper(name)}"


def output_in_env(step: str, name: str) -> str:
    """Return the name in the environment of an output of a step."""
    return f"OUTPUT_{_upper(step)}_{_upper(name)}"


def _upper(name: str) -> str:
    return re.sub("[^A-Z0-9]", "_", name.upper())


def environment_names(around: Surroundings) -> Sequence[tuple[str, str]]:
    """Return what commands find in their environment: each name, and what it is."""
    found = [(variable_in_env(each), f"variable {each}") for each in around.variables]
    found += [(secret_in_env(each), f"secret {each}") for each in around.secrets]
    return found + [
        (output_in_env(step, name), f"output {step}.{name}")
        for step, _, names in around.outputs
        for name in names
    ]
