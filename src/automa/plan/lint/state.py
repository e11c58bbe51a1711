"""Rules about what an undo finds when it looks for what its run has left: SAGA005 and SAGA006."""

from __future__ import annotations

import ast
import difflib
from typing import TYPE_CHECKING

from automa._core.steps import Step
from automa.plan.lint.sites import MISSING, seen
from automa.plan.lint.usage import literals, returned, returned_keys, usage_of

if TYPE_CHECKING:
    from automa._core.definition import Definition
    from automa.plan.lint.order import Found
    from automa.plan.lint.sites import Function, Site
    from automa.plan.lint.sources import Sources


def check_reads(root: Definition, sites: list[Site], sources: Sources) -> Found:
    """Find undos that read what nothing has written: SAGA005."""
    paths = {site.path for site in sites} | {part for site in sites for part in site.path.split("/")}
    for site in sites:
        for undo in site.of("undo"):
            yield from _check_local(site, undo)
            yield from _check_result(site, undo)
            yield from _check_shared(root, site, undo, sites, sources)
            has_built = any(each.has("build") for each in sites)
            for key, _ in usage_of(undo).areas["results"].read if not has_built else ():
                if key not in paths and (near := difflib.get_close_matches(key, sorted(paths), 1, 0.8)):
                    message = (
                        f"its undo reads the result of step {key!r}, which is not there. Is {near[0]!r} "
                        "meant?"
                    )
                    yield "SAGA005", site, undo, message


def _check_local(site: Site, undo: Function) -> Found:
    if site.unseen:
        return
    written: set[str] = set()
    for each in site.functions:
        usage = usage_of(each)
        if usage.is_open("local"):
            return
        written |= usage.areas["local"].written
        if each.role == "prepare":
            keys = returned_keys(each)
            if keys is None:
                return
            written |= keys
    for key in _once(usage_of(undo).areas["local"].read):
        if key not in written:
            message = (
                f"its undo reads ctx.local[{key!r}], which nothing in the step writes. Write it in its "
                "run, before the effect."
            )
            yield "SAGA005", site, undo, message


def _check_result(site: Site, undo: Function) -> Found:
    runs = site.of("run")
    if len(runs) != 1 or "run" in site.unseen or type(site.step).run is not Step.run:
        return
    (run,) = runs
    read = _once(usage_of(undo).areas["result"].read)
    keys = set() if not run.is_whole or not returned(run) else returned_keys(run)
    if keys is None or not run.is_whole or (usage_of(run).escapes and not returned(run)):
        return
    for key in read:
        if key not in keys:
            what = f"returns no {key!r}" if returned(run) else "returns nothing"
            message = f"its undo reads ctx.result[{key!r}], but its run {what}. Return it there."
            yield "SAGA005", site, undo, message


def _check_shared(root: Definition, site: Site, undo: Function, sites: list[Site], sources: Sources) -> Found:
    """Find keys that only later steps write, and those under another name than that of the note.

    What else is not written may be there from the start, which nobody knows here.
    """
    before = _used(root, [each for each in [*site.before, site] if each.depth == 0], undo, sources)
    if site.depth or before is None:
        return
    keys = usage_of(undo).areas["shared"]
    written, touched = before
    for key in _once(keys.read):
        if not root.snapshots or key in written | touched or key in keys.asked | keys.written:
            continue
        for later in sites:
            if site not in later.before or later.depth:
                continue
            if any(key in usage_of(each).areas["shared"].written for each in later.of("run")):
                message = (
                    f"its undo reads ctx.shared[{key!r}], which only the later step {later.path!r} writes: "
                    "an undo has the state as its own step left it. Write it in this step or before."
                )
                yield "SAGA005", site, undo, message
                break
    everywhere = _used(root, sites, undo, sources)
    if everywhere is None:
        return
    unread = written - everywhere[1] - {key for key, _ in keys.read} - keys.asked
    for key in sorted({key for key, _ in keys.read} | keys.asked):
        near = [note for note in sorted(unread) if _is_like(note, key)]
        if near and key not in keys.written | everywhere[0] | everywhere[1]:
            message = (
                f"its undo reads ctx.shared[{key!r}], which nothing writes, while nothing reads {near[0]!r}. "
                "Is that meant?"
            )
            yield "SAGA005", site, undo, message


def _used(
    root: Definition, sites: list[Site], undo: Function, sources: Sources
) -> tuple[set[str], set[str]] | None:
    """Return the keys of the shared state that steps write, and those that they read.

    None where that cannot be told. What ``undo`` does is left out.
    """
    if any(each.unseen for each in sites):
        return None
    functions = [function for each in sites for function in each.functions if function is not undo]
    written: set[str] = set()
    if root.prepare is not None:
        prepare = seen("prepare", root.prepare, sources)
        returns = None if prepare is None else returned_keys(prepare)
        if prepare is None or returns is None:
            return None
        functions.append(prepare)
        written |= returns
    read: set[str] = set()
    for usage in map(usage_of, functions):
        if usage.is_open("shared"):
            return None
        keys = usage.areas["shared"]
        written |= keys.written
        read |= keys.asked | {key for key, _ in keys.read}
    return written, read


def _is_like(one: str, other: str) -> bool:
    return bool(set(one.split("_")) & set(other.split("_"))) or bool(
        difflib.get_close_matches(one, [other], 1, 0.8)
    )


def _once(read: list[tuple[str, ast.AST]]) -> list[str]:
    return list(dict.fromkeys(key for key, _ in read))


def check_memory(sites: list[Site]) -> Found:
    """Find what a run keeps in the memory of its process, and its undo reads: SAGA006."""
    for site in sites:
        for undo in site.of("undo"):
            lost = {what for run in site.of("run", "prepare") for what in _kept(run, undo)}
            for what in sorted(lost):
                message = (
                    f"its run keeps {what}, and its undo reads it: it is lost where another process "
                    "carries on a journaled run. Keep it in ctx.local, or return it."
                )
                yield "SAGA006", site, undo, message


def _kept(run: Function, undo: Function) -> set[str]:
    kept = set()
    if run.me and undo.me:
        names = (_attributes(run, ast.Store) & _attributes(undo, ast.Load)) - _attributes(undo, ast.Store)
        owner = undo.owner or object
        kept |= {f"self.{name}" for name in names if not isinstance(getattr(owner, name, None), property)}
    for node in run.walk():
        if isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                if _loads(undo, name) and _stores(run, name) and _is_same_name(run, undo, name):
                    kept.add(f"the {'global' if isinstance(node, ast.Global) else 'nonlocal'} {name}")
    return kept | {f"{name}[{key!r}]" for name, key in _items(run) if _finds(undo, run, name, key)}


def _attributes(function: Function, how: type[ast.expr_context]) -> set[str]:
    return {
        node.attr
        for node in function.walk()
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == function.me
        and isinstance(node.ctx, how)
    }


def _loads(function: Function, name: str) -> bool:
    return name not in function.locals and any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        for node in function.walk()
    )


def _stores(function: Function, name: str) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for node in function.walk()
    )


def _is_same_name(run: Function, undo: Function, name: str) -> bool:
    """Whether a name is the same variable in both: the same cell, or in the same module."""
    cells = [_cell(each, name) for each in (run, undo)]
    if any(cell is not None for cell in cells):
        return cells[0] is cells[1]
    return run.function.__globals__ is undo.function.__globals__


def _cell(function: Function, name: str) -> object:
    names = function.function.__code__.co_freevars
    return (function.function.__closure__ or ())[names.index(name)] if name in names else None


def _items(run: Function) -> set[tuple[str, str]]:
    """Return the literal keys that a run sets in dicts which are not its own."""
    return {
        (node.value.id, key)
        for node in run.walk()
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id not in run.locals
        for key in literals([node.slice])
    }


def _finds(undo: Function, run: Function, name: str, key: str) -> bool:
    """Whether an undo reads the same literal key of the same dict."""
    kept = run.resolve(ast.Name(name, ast.Load()))
    if kept is MISSING or type(kept) is not dict:
        return False
    for node in undo.walk():
        match node:
            case ast.Subscript(value=ast.Name() as base, slice=ast.Constant(value=value), ctx=ast.Load()):
                pass
            case ast.Call(
                func=ast.Attribute(value=ast.Name() as base, attr="get" | "pop"),
                args=[ast.Constant(value=value), *_],
            ):
                pass
            case _:
                continue
        if value == key and undo.resolve(base) is kept:
            return True
    return False
