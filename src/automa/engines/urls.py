"""Engines by URL: ``restate://``, ``dbos+postgresql://``, or the URL of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automa.engines.local import LocalEngine
from automa.errors import EngineError, StoreError

if TYPE_CHECKING:
    from automa.engines.engine import EngineBase

_FORMS = "sqlite:///PATH, file:DIR, memory:, dbos+postgresql://USER@HOST/DATABASE, restate://HOST:PORT"


def open_engine(url: str) -> EngineBase:
    """Return the engine that a URL names.

    Args:
        url: ``restate://HOST:PORT`` (the port of its ingress; its admin is at 9070, or ``?admin=PORT``),
            ``dbos+postgresql://USER@HOST/DATABASE``, or the URL of a store, whose runs the workers of one
            machine carry on.

    Raises:
        EngineError: Where it names none, or what the engine needs is not installed.
        StoreError: Where it names a store that cannot be used.
    """
    scheme = url.partition(":")[0] if isinstance(url, str) else ""
    if scheme == "restate":
        try:
            from automa.engines.restate import RestateEngine  # noqa: PLC0415  # it is an extra
        except ImportError as error:
            raise _not_installed("restate", error) from None
        return RestateEngine(url)
    if scheme.startswith("dbos+"):
        try:
            from automa.engines.dbos import DbosEngine  # noqa: PLC0415  # it is an extra
        except ImportError as error:
            raise _not_installed("dbos", error) from None
        return DbosEngine(url)
    if scheme not in {"sqlite", "file", "memory"}:
        what = f"a URL that begins with {scheme!r}" if scheme else "that"  # what follows may hold a password
        raise EngineError(f"{what} names no engine; the forms are {_FORMS}")
    try:
        return LocalEngine(url)
    except StoreError as error:
        raise StoreError(f"{error} (an engine may also be one of {_FORMS})") from error


def _not_installed(extra: str, error: ImportError) -> EngineError:
    return EngineError(f"{error}: install it with  pip install 'automa-saga[{extra}]'")
