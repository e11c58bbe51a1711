"""Whether a function evidently does nothing outside: it only works with what it is given, and returns it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from automa._core.state import State
from automa._core.steps import Step
from automa.errors import Skip
from automa.plan.lint.sites import MISSING, Function, function_of

if TYPE_CHECKING:
    from automa.plan.lint.sources import Sources

_BUILTINS = (
    abs, all, any, bool, dict, divmod, enumerate, filter, float, format, frozenset, getattr, hasattr, int,
    isinstance, len, list, map, max, min, print, range, repr, reversed, round, set, sorted, str, sum, super,
    tuple, zip,
)  # fmt: skip
_MODULES = {
    "_json", "base64", "configparser", "copy", "dataclasses", "datetime", "decimal", "fractions", "functools",
    "hashlib", "itertools", "json", "math", "operator", "pathlib", "re", "statistics", "string", "textwrap",
    "time", "uuid",
}  # fmt: skip
_METHODS = {name for kind in (str, dict, list, set, State) for name in dir(kind) if not name.startswith("_")}
_METHODS |= {"typed", "isoformat", "total_seconds", "read", "getint", "getfloat", "getboolean"}
_READS = {
    "read_text", "read_bytes", "exists", "is_file", "is_dir", "is_symlink", "iterdir", "glob", "rglob",
    "stat", "readlink",
}  # fmt: skip
_ANSWERS = {name for name in dir(Step) if name.endswith(("_run", "_rollback", "_next", "_prev"))}
_DEPTH = 3  # of helper functions that are looked into


def is_harmless(function: Function, sources: Sources, depth: int = _DEPTH) -> bool:
    """Whether a function evidently has no effect outside.

    Where that is not evident, since it calls what cannot be looked into, it is not harmless.
    """
    judge = _judge(function, sources, depth)
    return function.is_whole and all(judge.allows(node) for node in function.walk())


def harmless_call(function: Function, call: ast.Call, sources: Sources) -> bool:
    """Whether a call in a function evidently has no effect outside."""
    return _judge(function, sources, _DEPTH).allows(call)


def _judge(function: Function, sources: Sources, depth: int) -> _Judge:
    arguments = {each.arg for each in ast.walk(function.node.args) if isinstance(each, ast.arg)}
    has_defaults = bool(function.node.args.defaults) or any(function.node.args.kw_defaults)
    given = arguments if has_defaults else set()  # a default may be anything
    own = (function.locals - given) | ({function.ctx} if function.ctx is not None else set())
    return _Judge(function, frozenset(own - {function.me}), sources, depth)


@dataclasses.dataclass
class _Judge:
    function: Function
    own: frozenset[str]
    sources: Sources
    depth: int

    def allows(self, node: ast.AST) -> bool:
        match node:
            case ast.Global() | ast.Nonlocal() | ast.With() | ast.AsyncWith() | ast.AsyncFor():
                return False
            case ast.Attribute(attr="resources" | "record_effect"):
                return False
            case ast.Attribute(value=value, ctx=ast.Store() | ast.Del()):
                return self._is_own(value) or (isinstance(value, ast.Name) and value.id == self.function.me)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                return self._is_own(value)
            case ast.Call():
                return self._allows_call(node)
        return True

    def _allows_call(self, call: ast.Call) -> bool:  # a kind of call a line
        func = call.func
        if isinstance(func, ast.Name) and func.id in self.function.locals and self._is_defined_here(func.id):
            return True  # its body is looked at, too
        called = self.function.resolve(func)
        if called is map or called is filter:
            first = call.args[0] if call.args else func
            return isinstance(first, ast.Lambda) or self._is_known(self.function.resolve(first))
        if called is not MISSING:
            return self._is_known(called) or (isinstance(func, ast.Attribute) and self._is_answer(func))
        if not isinstance(func, ast.Attribute):
            return False
        if func.attr == "replace" and len(call.args) == 1:  # that of a path, not of a text
            return False
        return func.attr in _READS or (func.attr in _METHODS and self._is_own(func.value)) or _is_log(func)

    def _is_answer(self, func: ast.Attribute) -> bool:
        return (
            isinstance(func.value, ast.Name) and func.value.id == self.function.me and func.attr in _ANSWERS
        )

    def _is_defined_here(self, name: str) -> bool:
        return any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
            for node in self.function.walk()
        )

    def _is_known(self, called: Any) -> bool:  # noqa: PLR0911  # a kind of thing a line
        """Whether what is called has no effect outside."""
        if any(called is each for each in _BUILTINS):
            return True
        if isinstance(called, type):
            is_data = issubclass(called, BaseException) or dataclasses.is_dataclass(called)
            return is_data or called.__module__ in _MODULES
        if isinstance(called, BuiltinFunctionType):
            return called.__module__ in _MODULES
        if inspect.ismethoddescriptor(called):
            return getattr(called, "__objclass__", type(None)).__module__ in {*_MODULES, "builtins"}
        if not isinstance(called, FunctionType):
            return False
        if called.__module__ in _MODULES or (called.__module__, called.__name__) == (
            "asyncio.tasks",
            "sleep",
        ):
            return True
        helper = function_of("helper", called, self.sources) if self.depth else None
        return helper is not None and is_harmless(helper, self.sources, self.depth - 1)

    def _is_own(self, node: ast.AST) -> bool:
        """Whether something is its own: a literal, a variable of its own, what it was given."""
        match node:
            case (
                ast.Constant()
                | ast.JoinedStr()
                | ast.Dict()
                | ast.List()
                | ast.Set()
                | ast.Tuple()
                | ast.BinOp()
            ):
                return True
            case ast.ListComp() | ast.SetComp() | ast.DictComp():
                return True
            case ast.Name(id=name):
                return name in self.own
            case ast.Attribute(value=value) | ast.Subscript(value=value):
                return self._is_own(value)
            case ast.Call():
                return self._allows_call(node)
        return False


def _is_log(func: ast.expr) -> bool:
    return (
        isinstance(func, ast.Attribute) and isinstance(func.value, ast.Attribute) and func.value.attr == "log"
    )


def raises(function: Function) -> bool:
    """Whether a function raises an error itself, other than `Skip`."""
    for node in function.walk():
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if function.resolve(raised) is not Skip:
                return True
    return False
