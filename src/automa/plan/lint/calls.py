"""Rules about what functions call: SAGA007, SAGA009 and SAGA010."""

from __future__ import annotations

import ast
import datetime as dt
import inspect
import os
import random
import secrets
import time
import uuid
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from automa._core.expand import Expand
from automa._core.parallel import Parallel
from automa._core.steps import Step, step
from automa.plan.lint.effects import harmless_call
from automa.plan.lint.sites import Function, function_of
from automa.plan.lint.usage import usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from automa.plan.lint.order import Found
    from automa.plan.lint.sites import Site
    from automa.plan.lint.sources import Sources


def check_awaits(sites: list[Site]) -> Found:
    """Find calls of async functions whose result is dropped, or used as if it were the answer: SAGA007."""
    for site in sites:
        for function in site.functions:
            for name in dict.fromkeys(_unawaited(function)):
                message = (
                    f"its {function.role} calls {name}, which is async, and does not await it: it is "
                    "not carried out. Write await, in an async def."
                )
                yield "SAGA007", site, function, message


def _unawaited(function: Function) -> Iterator[str]:
    for node in function.walk():
        if isinstance(function.node, ast.Lambda) and node is function.node.body:
            continue  # it is returned, and the engine awaits it
        for value in _thrown_away(node):
            if isinstance(value, ast.Call) and _is_async(function, value.func):
                yield ast.unparse(value.func)


def _thrown_away(node: ast.AST) -> list[ast.expr]:  # noqa: PLR0911  # a kind of node a line
    """Return what is used as no coroutine can be: dropped, asked whether it is true, computed with."""
    match node:
        case ast.Expr(value=value) | ast.FormattedValue(value=value) | ast.Subscript(value=value):
            return [value]
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test):
            return [test]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.BoolOp(values=values):
            return values[:-1]
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.Compare(left=left, comparators=others, ops=ops):
            identity = any(isinstance(op, ast.Is | ast.IsNot) for op in ops)
            return [] if identity else [left, *others]
    return []


def _is_async(function: Function, called: ast.expr) -> bool:
    if isinstance(called, ast.Name) and called.id in function.locals:
        defined = [
            node
            for node in function.walk()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == called.id
        ]
        if defined:
            return all(isinstance(each, ast.AsyncFunctionDef) and not each.decorator_list for each in defined)
    found = function.resolve(called)
    return isinstance(found, FunctionType | MethodType) and inspect.iscoroutinefunction(found)


_OWN_KEYS = {"idempotency_key", "attempt", "run_id", "path", "step_id", "workflow_id"}


def check_keys(sites: list[Site], sources: Sources) -> Found:
    """Find steps that are tried again, and may do again what they tell of: SAGA009."""
    for site in sites:
        retry = getattr(site.step, "retry", None)
        if retry is None or retry.attempts == 1 or site.has("verify") or site.unseen:
            continue
        usages = [usage_of(each) for each in site.of("run", "prepare")]
        if any(usage.escapes or usage.names & _OWN_KEYS for usage in usages):
            continue
        for run in site.of("run"):
            if not _is_keyed_by_class(run) and _tells_what_was_given(run, sources):
                message = (
                    "it is tried again, and tells of an effect that it learns of by doing it: an "
                    "attempt whose answer is lost leaves one that nobody knows. Hand on "
                    "ctx.idempotency_key, or give it a verify."
                )
                yield "SAGA009", site, run, message


def _is_keyed_by_class(run: Function) -> bool:
    """Whether a method uses what belongs to its step: its id, say, may be the key."""
    return run.me is not None and any(isinstance(node, ast.Name) and node.id == run.me for node in run.walk())


def _tells_what_was_given(run: Function, sources: Sources) -> bool:
    """Whether the ref of an effect is an answer of what was called, and so differs by attempt."""
    values: dict[str, list[ast.expr]] = {}
    for node in run.walk():
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                values.setdefault(name, []).append(value)
    for node in run.walk():
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="record_effect"), args=[_, ref, *_]
            ) if name == run.ctx:
                parts = list(ast.walk(ref))
                for part in list(parts):
                    if isinstance(part, ast.Name):
                        parts += [inner for value in values.get(part.id, []) for inner in ast.walk(value)]
                if any(
                    isinstance(part, ast.Call) and not harmless_call(run, part, sources) for part in parts
                ):
                    return True
    return False


_CHANCE: tuple[Any, ...] = (
    uuid.uuid1,
    uuid.uuid4,
    id,
    hash,
    os.getpid,
    os.urandom,
    secrets.token_hex,
    secrets.token_urlsafe,
    secrets.token_bytes,
    random.random,
    random.randint,
    random.randrange,
    random.choice,
    random.uniform,
    random.getrandbits,
    time.time,
    time.time_ns,
    time.monotonic,
    time.monotonic_ns,
    time.perf_counter,
    dt.datetime.__dict__["now"],
    dt.datetime.__dict__["utcnow"],
)


def check_ids(sites: list[Site], sources: Sources) -> Found:
    """Find ids that are made by chance, or of the time, where steps are built: SAGA010."""
    told: set[tuple[str, int]] = set()
    for site in sites:
        builds = site.of("build")
        makers = [*builds, *(helper for build in builds for helper in _helpers(build, sources))]
        if _is_made_up(site, sources):
            makers += _factories(site, sources)
        for maker in makers:
            for call in _steps_made(maker):
                source = _chance_in_id(maker, call)
                if source is not None and (maker.file, call.lineno) not in told:
                    told.add((maker.file, call.lineno))
                    message = (
                        f"in line {call.lineno} the id of a step is made with {source}: it differs from "
                        "run to run, and a journaled run cannot be resumed. Make it of what the state "
                        "has."
                    )
                    yield "SAGA010", site, maker, message


def _helpers(build: Function, sources: Sources) -> Iterator[Function]:
    """Yield the functions that a build calls by their names."""
    for node in build.walk():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = build.resolve(node.func)
            helper = function_of("build", called, sources) if isinstance(called, FunctionType) else None
            if helper is not None:
                yield helper


def _factories(site: Site, sources: Sources) -> Iterator[Function]:
    """Yield the functions in which those of a step were defined: what makes the step, most likely.

    Without what is defined in them, of which a build may make other steps.
    """
    for function in site.functions:
        tree = sources.of(function.file).tree
        around: list[ast.FunctionDef] = [
            node
            for node in (ast.walk(tree) if tree is not None else ())
            if isinstance(node, ast.FunctionDef)
            and node is not function.node
            and any(inner is function.node for inner in ast.walk(node))
        ]
        if around:
            yield Function("factory", function.function, around[-1])


def _is_made_up(site: Site, sources: Sources) -> bool:
    """Whether the id of a step stands nowhere: neither as a text, nor as the name of its function."""
    step_id = site.step.id
    for function in site.functions:
        tree = sources.of(function.file).tree
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Constant) and node.value == step_id:
                return False
    return all(function.function.__code__.co_name != step_id for function in site.functions)


def _steps_made(maker: Function) -> Iterator[ast.Call]:
    nodes = list(maker.body)
    while nodes:
        node = nodes.pop()
        is_other = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)  # a build in a factory, say
        nodes += [] if is_other and maker.role == "factory" else ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            made = maker.resolve(node.func)
            is_step = isinstance(made, type) and issubclass(made, Step | Parallel | Expand)
            is_workflow = isinstance(made, type) and made.__name__ == "Workflow"  # which is on a higher floor
            if is_step or made is step or is_workflow:
                yield node


def _chance_in_id(maker: Function, call: ast.Call) -> str | None:
    given = [each.value for each in call.keywords if each.arg == "id"] or call.args[:1]
    parts = [part for each in given for part in ast.walk(each)]
    for name in [part.id for part in parts if isinstance(part, ast.Name)]:
        for node in maker.walk():
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == name for t in node.targets
            ):
                parts += ast.walk(node.value)
    for part in parts:
        if isinstance(part, ast.Call) and _is_chance(maker.resolve(part.func)):
            return ast.unparse(part)
    return None


def _is_chance(called: Any) -> bool:
    return any(called is each for each in _CHANCE)
