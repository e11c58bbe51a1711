"""The source of functions: their syntax trees, and the comments beside them."""

from __future__ import annotations

import ast
import inspect
import io
import linecache
import textwrap
import tokenize
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType

    FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Source:
    """A file, as far as it can be read.

    Args:
        file: Its name.

    Attributes:
        lines: Its lines.
        tree: Its syntax tree; None where it is no Python file.
        comments: Its comments by line.
    """

    def __init__(self, file: str) -> None:
        linecache.checkcache(file)
        self.lines: list[str] = linecache.getlines(file)
        self.tree: ast.Module | None = _parsed("".join(self.lines))
        self.comments: dict[int, str] = dict(_comments(self.lines))

    def is_comment(self, line: int) -> bool:
        """Whether there is nothing but a comment on a line."""
        return 0 < line <= len(self.lines) and self.lines[line - 1].lstrip().startswith("#")


class Sources:
    """The files in which the functions of a workflow are; each is read once."""

    def __init__(self) -> None:
        self._files: dict[str, Source] = {}

    def of(self, file: str) -> Source:
        """Return a file."""
        if file not in self._files:
            self._files[file] = Source(file)
        return self._files[file]

    def node_of(self, function: FunctionType) -> FunctionNode | None:
        """Return the syntax tree of a function; None where it cannot be had, or be told from another."""
        code = function.__code__
        tree = self.of(code.co_filename).tree or _tree_of_part(function)
        found = [node for node in ast.walk(tree) if _fits(node, function)] if tree is not None else []
        if len(found) > 1:  # several lambdas on a line
            found = [node for node in found if _holds(node, function)]
        (node,) = found if len(found) == 1 else (None,)
        return node  # type: ignore[return-value]  # one that fits is a function


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever imported the file has heard them
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _tree_of_part(function: FunctionType) -> ast.Module | None:
    """Return the tree of a function in a file that is no Python file as a whole: a page with code in it."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    tree = _parsed(textwrap.dedent("".join(lines)))
    return None if tree is None else ast.increment_lineno(tree, first - 1)


def _fits(node: ast.AST, function: FunctionType) -> bool:
    code = function.__code__
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == code.co_name and first_line(node) == code.co_firstlineno
    return False


def _holds(node: ast.AST, function: FunctionType) -> bool:
    """Whether the code of a lambda lies within a node, by its columns."""
    if not isinstance(node, ast.Lambda):
        return False
    body = node.body
    begin, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    places = [
        (line, column)
        for line, _, column, end_column in function.__code__.co_positions()
        if line is not None and column is not None and end_column  # what has no width is not of the body
    ]
    return bool(places) and all(begin <= place <= end for place in places)


def first_line(node: FunctionNode) -> int:
    """Return the first line of a function, its decorators included."""
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(each.lineno for each in decorators)])


def _comments(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the comments of a file, with their lines."""
    try:
        for token in tokenize.generate_tokens(io.StringIO("".join(lines)).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    except (tokenize.TokenError, SyntaxError):  # a page with code in it
        for number, line in enumerate(lines, 1):
            _, sign, text = line.partition("#")
            if sign:
                yield number, sign + text
