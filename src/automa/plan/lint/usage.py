"""What a function does with its context: which keys it reads and writes, as far as they are literal."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automa.plan.lint.sites import Function

_READERS = {"get", "get_int", "get_float", "get_bool", "get_str"}
_HARMLESS = {"keys", "items", "values", "copy", "clone", "pop", *_READERS}


@dataclass
class Keys:
    """The keys of ``ctx.shared``, ``ctx.local`` and the like that a function uses.

    Attributes:
        read: Those that it must find, with the nodes.
        asked: Those that it may find: ``get``, ``in``.
        written: Those that it sets.
        is_open: Whether it may set others, that cannot be told.
    """

    read: list[tuple[str, ast.AST]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    is_open: bool = False


@dataclass
class Usage:
    """What a function does with its context.

    Attributes:
        areas: Keys by ``shared``, ``local``, ``result`` and ``results``.
        names: All attributes of the context that it uses.
        escapes: Whether the context is handed to others, who may do anything with it.
    """

    areas: dict[str, Keys]
    names: set[str]
    escapes: bool = False

    def is_open(self, area: str) -> bool:
        """Whether keys may be set that cannot be told."""
        return self.escapes or self.areas[area].is_open


def usage_of(function: Function) -> Usage:
    """Return what a function does with its context."""
    usage = Usage({name: Keys() for name in ("shared", "local", "result", "results")}, set())
    usage.escapes = not function.is_whole
    if function.ctx is None:
        return usage
    parents = {child: node for node in function.walk() for child in ast.iter_child_nodes(node)}
    for node in function.walk():
        if isinstance(node, ast.arg) and node.arg == function.ctx:
            usage.escapes = True  # a function in it has another of that name
        if not isinstance(node, ast.Name) or node.id != function.ctx:
            continue
        parent = parents.get(node)
        if not isinstance(parent, ast.Attribute):
            usage.escapes = True
            continue
        usage.names.add(parent.attr)
        if parent.attr == "step":
            usage.escapes = True
        if parent.attr in usage.areas:
            _use(usage.areas[parent.attr], parent, parents)
    return usage


def _use(keys: Keys, area: ast.Attribute, parents: dict[ast.AST, ast.AST]) -> None:
    parent = parents.get(area)
    match parent:
        case ast.Subscript(value=value, slice=ast.Constant(value=str(key)), ctx=how) if value is area:
            outer = parents.get(parent)
            if isinstance(outer, ast.AugAssign) and outer.target is parent:
                keys.read.append((key, parent))
            if isinstance(how, ast.Store):
                keys.written.add(key)
            elif isinstance(how, ast.Load):
                keys.read.append((key, parent))
        case ast.Subscript(value=value, ctx=how) if value is area:
            keys.is_open |= isinstance(how, ast.Store)
        case ast.Attribute(attr=method):
            call = parents.get(parent)
            if isinstance(call, ast.Call) and call.func is parent:
                _call(keys, method, call)
            else:
                keys.is_open = True
        case ast.Compare(left=ast.Constant(value=str(key)), ops=[ast.In() | ast.NotIn()]):
            keys.asked.add(key)
        case ast.For() | ast.comprehension() | ast.Compare():
            pass
        case _:
            keys.is_open = True


def _call(keys: Keys, method: str, call: ast.Call) -> None:
    first = call.args[0] if call.args else None
    literal = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
    if method in {"update", "merge"} and (first is None or isinstance(first, ast.Dict)):
        given = [*(first.keys if isinstance(first, ast.Dict) else ())]
        names = literals(given) | {each.arg for each in call.keywords if each.arg is not None}
        keys.written |= names
        keys.is_open |= len(names) < len(given) + len(call.keywords)
    elif method == "setdefault" and literal is not None:
        keys.written.add(literal)
    elif method == "typed" and literal is not None:
        keys.read.append((literal, call))
    elif method in _HARMLESS:
        if literal is not None:
            keys.asked.add(literal)
    else:
        keys.is_open = True


def literals(nodes: list[ast.expr | None]) -> set[str]:
    """Return those of the keys of a dict that are literal texts."""
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def returned_keys(function: Function) -> set[str] | None:
    """Return the keys of the dicts that a function returns; None where one is not literal."""
    if not function.is_whole:
        return None
    found: set[str] = set()
    for value in returned(function):
        if not isinstance(value, ast.Dict) or len(literals(value.keys)) < len(set(map(_text, value.keys))):
            return None
        found |= literals(value.keys)
    return found


def _text(node: ast.expr | None) -> str:
    return "**" if node is None else ast.unparse(node)


def returned(function: Function) -> list[ast.expr]:
    """Return what a function may return, those of functions in it too; None is left out."""
    if isinstance(function.node, ast.Lambda):
        values = [function.node.body]
    else:
        values = [node.value for node in function.walk() if isinstance(node, ast.Return) and node.value]
    return [value for value in values if not (isinstance(value, ast.Constant) and value.value is None)]
