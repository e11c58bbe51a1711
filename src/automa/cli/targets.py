"""Finding the workflow that a command line names: ``FILE[:NAME]`` or ``MODULE[:NAME]``."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from automa._core.parallel import Parallel
from automa.cli.exits import USAGE, InputError
from automa.cli.observing import observe
from automa.errors import text_of
from automa.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

SAGA_FILES = (".yaml", ".yml")
"""How the names of saga files end."""


def load_workflow(target: str) -> Workflow:
    """Load the workflow that a target names, and note in it where that was.

    Args:
        target: A Python file or a module, then ``:`` and the name of the workflow in it where
            it has several.

    Raises:
        InputError: Where there is no such file, module or workflow, or the import fails.
    """
    module, source, name = load_target(target)
    name = _only_name(module, source) if name is None else name
    workflow = _by_name(module, source, name)
    workflow.target = f"{Path(source).resolve() if _is_file_name(source) else source}:{name}"
    observe([workflow])
    return workflow


def load_target(target: str) -> tuple[ModuleType, str, str | None]:
    """Load what a target names.

    Args:
        target: As that of `load_workflow`.

    Returns:
        The module, the source as it was given, and the name in it, where there is one.

    Raises:
        InputError: Where there is no such file or module, or the import fails.
    """
    source, name = _split(target)
    return _load_file(Path(source)) if _is_file_name(source) else _load_module(source), source, name


def only_workflow(module: ModuleType, source: str) -> Workflow:
    """Return the only workflow in a module.

    Raises:
        InputError: Where there is none, or several.
    """
    return _by_name(module, source, _only_name(module, source))


def load_workflows(target: str) -> list[Workflow]:
    """Load the workflow that a target names, or all in it that stand in no other one there.

    Raises:
        InputError: Where there is no such file, module or workflow, or the import fails.
    """
    module, source, name = load_target(target)
    if name is not None:
        return observe([_by_name(module, source, name)])
    workflows = list({id(each): each for each in _workflows_in(module).values()}.values())
    if not workflows:
        raise InputError(f"{source} has no workflow: assign a Workflow to a name in it")
    nested = {id(step) for workflow in workflows for step in _nested_in(workflow)}
    return observe([workflow for workflow in workflows if id(workflow) not in nested])


def _nested_in(workflow: Workflow) -> Iterator[object]:
    waiting: list[object] = list(workflow.steps)
    while waiting:
        step = waiting.pop()
        yield step
        waiting += getattr(step, "steps", ()) if isinstance(step, Workflow | Parallel) else ()


def _workflows_in(module: ModuleType) -> dict[str, Workflow]:
    return {key: value for key, value in vars(module).items() if isinstance(value, Workflow)}


def _only_name(module: ModuleType, source: str) -> str:
    """Return the name of the only workflow in a module.

    Raises:
        InputError: Where there is none, or several.
    """
    distinct = {id(workflow): key for key, workflow in reversed(_workflows_in(module).items())}
    if not distinct:
        raise InputError(f"{source} has no workflow: assign a Workflow to a name in it")
    if len(distinct) > 1:
        names = sorted(distinct.values())
        raise InputError(
            f"{source} has several workflows ({', '.join(names)}): name one, as in {source}:{names[0]}"
        )
    return next(iter(distinct.values()))


def _split(target: str) -> tuple[str, str | None]:
    """Return source and name; a file may have a colon in its name."""
    source, colon, name = target.rpartition(":")
    if not colon or _exists(target):
        return target, None
    return source, name


def _exists(source: str) -> bool:
    try:
        return Path(source).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_file_name(source: str) -> bool:
    if source.endswith((".py", *SAGA_FILES)) or "/" in source:
        return True
    return _exists(source) and not (Path(source) / "__init__.py").exists()  # a package is a module


def _by_name(module: ModuleType, source: str, name: str) -> Workflow:
    workflows = _workflows_in(module)
    if name in workflows:
        return workflows[name]
    if hasattr(module, name):
        kind = type(getattr(module, name)).__name__
        raise InputError(f"{source}: {name} is no workflow, but of type {kind}")
    near = difflib.get_close_matches(name, workflows) or sorted(workflows)
    hint = f"; there is {', '.join(near)}" if near else ""
    raise InputError(f"{source} has no workflow {name!r}{hint}")


def _load_file(path: Path) -> ModuleType:
    if not _exists(str(path)):
        raise InputError(f"there is no file {path}", USAGE)
    if not path.is_file():
        raise InputError(f"{path} is no file", USAGE)
    if path.suffix in SAGA_FILES:
        return _load_saga_file(path)
    stem = path.stem
    name = stem if stem.isidentifier() and stem not in sys.modules else f"automa_target_{stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(
            f"{path} is no Python file, and no saga file: its name must end in .py, .yaml or .yml", USAGE
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and the like look their module up
    sys.path.insert(0, str(path.resolve().parent))  # as for a script: what lies beside it can be imported
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise InputError(f"{path} cannot be imported: {_describe(error, str(spec.origin))}") from error
    return module


def _load_saga_file(path: Path) -> ModuleType:
    """Return what stands for a saga file: a module with its workflow.

    Raises:
        InputError: Where PyYAML is missing.
        SagaFileError: Where something in it is wrong.
    """
    try:
        from automa.sagafile import load  # noqa: PLC0415  # it needs the extra yaml
    except ImportError as error:
        raise InputError(str(error)) from None
    module = ModuleType(path.stem)
    module.workflow = load(path)  # type: ignore[attr-defined]
    return module


def _load_module(name: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            raise InputError(f"there is no file and no module {name!r}", USAGE) from error
        spec = importlib.util.find_spec(name) if "." not in name else None
        origin = "" if spec is None else str(spec.origin)
        raise InputError(f"the module {name} cannot be imported: {_describe(error, origin)}") from error


def _describe(error: BaseException, origin: str) -> str:
    """Return an error and the line in the user's file at which it came up, in one line."""
    text = f"{type(error).__name__}: {text_of(error)}".replace("\n", " ")
    if isinstance(error, SyntaxError):
        return text  # it names file and line itself
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
    return f"line {lines[-1]}: {text}" if lines else text
