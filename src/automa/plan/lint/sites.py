"""The steps of a workflow, with their functions and with what comes before them."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import sys
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from automa._core.parallel import ParallelDefinition
from automa._core.status import Action
from automa._core.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa._core.definition import Definition
    from automa._core.functions import StepFunction
    from automa.plan.lint.sources import FunctionNode, Sources

MISSING: Any = object()
"""Stands for what a name cannot be resolved to."""


@dataclass(frozen=True, eq=False)
class Function:
    """A function of a step, and its source.

    Attributes:
        role: What it is to its step: ``run``, ``undo``, ``prepare``, ``verify``, ``when`` or ``build``.
        function: The function that runs in the end, behind partials and decorators.
        node: Its syntax tree.
        ctx: What it calls the context; None where it takes none, or that cannot be told.
        me: What it calls the step, where it is a method of it.
        is_whole: Whether nothing else is called with the context: no decorator is around it.
        owner: The class in which ``me`` finds its methods.
    """

    role: str
    function: FunctionType
    node: FunctionNode
    ctx: str | None = None
    me: str | None = None
    is_whole: bool = True
    owner: type | None = None

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.function.__code__.co_filename

    @property
    def body(self) -> list[ast.AST]:
        """Its statements, or the expression of a lambda: no defaults, and no decorators."""
        return [self.node.body] if isinstance(self.node, ast.Lambda) else list(self.node.body)

    def walk(self) -> Iterator[ast.AST]:
        """Yield the nodes of its body, those of functions in it too."""
        for statement in self.body:
            yield from ast.walk(statement)

    @functools.cached_property
    def locals(self) -> frozenset[str]:
        """The names that are bound in it: its arguments, and what it assigns, also in functions in it."""
        names = {each.arg for each in ast.walk(self.node.args) if isinstance(each, ast.arg)}
        outer: set[str] = set()
        for node in self.walk():
            match node:
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                    names.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    names.add(name)
                case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                    names.add(name)
                case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                    names |= {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
                case ast.Global(names=given) | ast.Nonlocal(names=given):
                    outer |= set(given)
        return frozenset(names - outer)

    def resolve(self, node: ast.AST) -> Any:
        """Return what an expression of names stands for, or `MISSING`; nothing of the user's is called."""
        match node:
            case ast.Name(id=name) if name == self.me:
                return self.owner
            case ast.Name(id=name):
                return self._imported(name) if name in self.locals else self._outer(name)
            case ast.Attribute(value=value, attr=attr):
                base = self.resolve(value)
                if isinstance(base, ModuleType):
                    return vars(base).get(attr, MISSING)
                if isinstance(base, type):
                    return inspect.getattr_static(base, attr, MISSING)
        return MISSING

    def _outer(self, name: str) -> Any:
        code = self.function.__code__
        if name in code.co_freevars:
            cell = (self.function.__closure__ or ())[code.co_freevars.index(name)]
            try:
                return cell.cell_contents
            except ValueError:  # it is empty as yet
                return MISSING
        return self.function.__globals__.get(name, vars(builtins).get(name, MISSING))

    def _imported(self, name: str) -> Any:
        """Return what a name that the function imports itself stands for, where it is there already."""
        bound = [node for node in self.walk() if isinstance(node, ast.Name | ast.arg) and _binds(node, name)]
        if bound:
            return MISSING
        for node in self.walk():
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for alias in node.names:
                if (alias.asname or alias.name) != name:
                    continue
                if isinstance(node, ast.Import):
                    return sys.modules.get(alias.name, MISSING)
                module = sys.modules.get(node.module or "") if not node.level else None
                return MISSING if module is None else vars(module).get(alias.name, MISSING)
        return MISSING


def _binds(node: ast.Name | ast.arg, name: str) -> bool:
    return (
        node.arg == name if isinstance(node, ast.arg) else node.id == name and isinstance(node.ctx, ast.Store)
    )


@dataclass(eq=False)
class Site:
    """A step in its place.

    Attributes:
        path: Its path.
        step: The step.
        definition: The workflow, or the parallel step, that it stands in.
        depth: How deeply it is nested, from 0.
        before: The steps that have run before it, not those beside it.
        functions: Its functions whose source can be had.
        unseen: The roles of those whose source cannot.
    """

    path: str
    step: Any
    definition: Definition
    depth: int
    before: list[Site] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    unseen: set[str] = field(default_factory=set)

    def of(self, *roles: str) -> list[Function]:
        """Return the functions of some roles."""
        return [each for each in self.functions if each.role in roles]

    @property
    def run(self) -> Function | None:
        """Its work, where the source can be had."""
        return next(iter(self.of("run")), None)

    def has(self, *roles: str) -> bool:
        """Whether it has a function of one of the roles, seen or not."""
        return bool(self.unseen & set(roles)) or bool(self.of(*roles))

    def is_marked(self, name: str) -> bool:
        """Whether it is a ``pivot``, or ``irreversible``."""
        return getattr(self.step, name, False) is True

    @property
    def can_undo(self) -> bool:
        """Whether anything is called to take it back."""
        return self.step.has_undo if isinstance(self.step, Step) else True


def sites_of(definition: Definition, sources: Sources) -> list[Site]:
    """Return the steps of a workflow, at all depths, in order."""
    return _sites(definition, sources, "", [], 0)


def _sites(
    definition: Definition, sources: Sources, prefix: str, before: list[Site], depth: int
) -> list[Site]:
    found: list[Site] = []
    is_parallel = isinstance(definition, ParallelDefinition)
    for entry in definition.entries:
        ahead = before if is_parallel else [*before, *found]
        path = prefix + entry.part
        if entry.nested is not None:
            found += _sites(entry.nested, sources, f"{path}/", ahead, depth + 1)
            continue
        site = Site(path, entry.step, definition, depth, ahead)
        _add_functions(site, sources)
        found.append(site)
    return found


def _add_functions(site: Site, sources: Sources) -> None:
    step = site.step
    controllers = {"run": Step.run, "rollback": Step.rollback}
    for name, default in controllers.items():
        controller = inspect.getattr_static(type(step), name, None)
        if controller is not default:
            role = "run" if name == "run" else "undo"
            _add(site, role, function_of(role, controller, sources, type(step), is_method=True))
    if isinstance(step, Step):
        given = {
            "run": step.function_of(Action.RUN),
            "undo": step.function_of(Action.ROLLBACK),
            "prepare": step.prepare_function,
            "verify": step.verify_function,
            "when": step.when_function,
            "build": getattr(step, "build_function", None),
        }
        for role, each in given.items():
            if each is not None:
                _add(site, role, seen(role, each, sources, type(step)))


def _add(site: Site, role: str, function: Function | None) -> None:
    if function is None:
        site.unseen.add(role)
    else:
        site.functions.append(function)


def seen(role: str, given: StepFunction, sources: Sources, owner: type | None = None) -> Function | None:
    """Return a function that was given to a step or workflow, where its source can be had."""
    return function_of(role, given.function, sources, owner, is_method=given.is_method)


def function_of(
    role: str, given: Any, sources: Sources, owner: type | None = None, *, is_method: bool = False
) -> Function | None:
    """Return the function behind partials, methods and decorators, where its source can be had."""
    bound, is_partial = 0, False
    keywords: set[str] = set()
    while isinstance(given, functools.partial):
        bound, keywords, is_partial = bound + len(given.args), keywords | set(given.keywords), True
        given = given.func
    if isinstance(given, MethodType):
        bound, given = bound + 1, given.__func__
    elif not isinstance(given, FunctionType) and not isinstance(given, type):
        bound, given = bound + 1, inspect.getattr_static(type(given), "__call__", None)
    inner = given
    while isinstance(inner, FunctionType) and "__wrapped__" in vars(inner):
        inner = vars(inner)["__wrapped__"]
    if not isinstance(inner, FunctionType):
        return None
    node = sources.node_of(inner)
    if node is None:
        return None
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    me = names[0] if is_method and names and not is_partial else None
    rest = [name for name in names[bound + is_method :] if name not in keywords]
    is_whole = inner is given and node.args.vararg is None
    return Function(role, inner, node, rest[0] if rest else None, me, is_whole, owner if me else None)
