"""Worlds: what the steps of a saga touch, as the explorer resets and compares it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator


@runtime_checkable
class World(Protocol):
    """All that the steps of a saga touch outside of it: a fake, a folder, a database.

    A world that lives in the memory of its process says so with an attribute ``in_memory = True``: it cannot
    be explored with real processes.
    """

    def reset(self) -> None:
        """Put everything back to the beginning."""
        ...

    def snapshot(self) -> Any:
        """Return everything as dicts, lists, texts, numbers, booleans and None: equal where nothing differs.

        What may differ from run to run without harm (times, random ids) is to be left out.
        """
        ...


class DictWorld:
    """A world of plain values, for fakes.

    Args:
        initial: How it begins; it is copied at each reset.

    Attributes:
        data: How it is now; a reset replaces it, so reach it through the world.

    Example:
        >>> world = DictWorld({"payments": []})
        >>> world.data["payments"].append(120)
        >>> world.reset()
        >>> world.snapshot()
        {'payments': []}
    """

    in_memory = True

    def __init__(self, initial: Mapping[str, Any] | None = None) -> None:
        self._initial: dict[str, Any] = copy.deepcopy(dict(initial or {}))
        self.data: dict[str, Any] = copy.deepcopy(self._initial)

    def reset(self) -> None:
        """Begin anew."""
        self.data = copy.deepcopy(self._initial)

    def snapshot(self) -> Any:
        """Return a copy of the values."""
        return copy.deepcopy(self.data)


class DirectoryWorld:
    """A world of files: a folder of its own.

    Args:
        initial: The files with which it begins, by their path in the folder: texts, bytes, or None for a
            folder.
        path: The folder, which must be empty or not be there; by default a temporary one, which goes with
            the world.
        modes: Whether the permissions of files count.

    Attributes:
        path: The folder.

    Raises:
        ValueError: Where there is something in the folder: a reset would delete it.

    Example:
        >>> world = DirectoryWorld({"motd": "welcome"})
        >>> (world.path / "lock").touch()
        >>> world.snapshot()
        {'lock': '', 'motd': 'welcome'}
    """

    def __init__(
        self,
        initial: Mapping[str, str | bytes | None] | None = None,
        *,
        path: str | Path | None = None,
        modes: bool = False,
    ) -> None:
        self._initial: dict[str, str | bytes | None] = dict(initial or {})
        self._modes = modes
        self.path: Path = (_temporary_folder(self) if path is None else Path(path)).resolve()
        if self.path.exists() and any(self.path.iterdir()):
            raise ValueError(f"{self.path} is not empty, and a world is reset by deleting all that is there")
        self.reset()

    def reset(self) -> None:
        """Delete everything, and write the files of the beginning."""
        if self.path.exists():
            for entry in self.path.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        self.path.mkdir(parents=True, exist_ok=True)
        for name, content in self._initial.items():
            file = self.path / name
            if content is None:
                file.mkdir(parents=True, exist_ok=True)
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)

    def snapshot(self) -> Any:
        """Return the files by path: their text, what a link points to, the hash of what is no text."""
        return dict(sorted(self._entries()))

    def _entries(self) -> Iterator[tuple[str, Any]]:
        for file in self.path.rglob("*"):
            name = file.relative_to(self.path).as_posix()
            if file.is_symlink():
                yield name, f"-> {file.readlink()}"
            elif file.is_dir():
                yield f"{name}/", None
            elif self._modes:
                yield name, {"content": _content_of(file), "mode": oct(file.stat().st_mode & 0o7777)}
            else:
                yield name, _content_of(file)


def _content_of(file: Path) -> str:
    content = file.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


class SqliteWorld:
    """A world in an SQLite database.

    Args:
        schema: The statements with which it begins: tables, and rows in them.
        path: The file of the database, which must not be there; by default a temporary one, which goes with
            the world.

    Attributes:
        path: The file.

    Raises:
        ValueError: Where the file is there: a reset would delete what is in it.

    Example:
        >>> world = SqliteWorld("CREATE TABLE seats (number TEXT, passenger TEXT)")
        >>> with contextlib.closing(world.connect()) as database, database:
        ...     _ = database.execute("INSERT INTO seats VALUES ('12A', 'Ada')")
        >>> world.snapshot()
        {'seats': [{'number': '12A', 'passenger': 'Ada'}]}
    """

    def __init__(self, schema: str, *, path: str | Path | None = None) -> None:
        self.path: Path = _temporary_folder(self) / "world.db" if path is None else Path(path)
        if self.path.exists():
            raise ValueError(f"{self.path} is there already, and a reset deletes all that is in it")
        with contextlib.closing(sqlite3.connect(":memory:")) as beginning:
            beginning.executescript(schema or "VACUUM")  # one that was never written to cannot be kept
            self._beginning: bytes = beginning.serialize()
        self.reset()

    def connect(self) -> sqlite3.Connection:
        """Return a new connection, which is yours to close."""
        return sqlite3.connect(self.path)

    def reset(self) -> None:
        """Put back the rows and tables of the beginning."""
        with (
            contextlib.closing(sqlite3.connect(":memory:")) as beginning,
            contextlib.closing(self.connect()) as database,
        ):
            beginning.deserialize(self._beginning)
            database.execute("PRAGMA synchronous = OFF")  # no machine dies while a world is reset
            beginning.backup(database, progress=_give_up)

    def snapshot(self) -> Any:
        """Return the rows by table, in an order of their own."""
        with contextlib.closing(self.connect()) as database:
            database.row_factory = sqlite3.Row
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
            )
            return {name: _rows_of(database, name) for (name,) in sorted(tuple(row) for row in tables)}


def _temporary_folder(world: object) -> Path:
    """Return a new folder, which is deleted when a world is not needed any more."""
    folder = tempfile.mkdtemp(prefix="automa-world-")
    weakref.finalize(world, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _give_up(status: int, _remaining: int, _total: int) -> None:
    """End a copy that waits for a lock, which it would do for good: nobody is left who would give it back.

    Raises:
        sqlite3.OperationalError: Where the database is locked.
    """
    if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        raise sqlite3.OperationalError(
            "the database of the world is locked: a step has left a transaction open, which would end with "
            "its process: open connections in the steps, and close them there"
        )


def _rows_of(database: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    quoted = table.replace('"', '""')
    rows = [dict(row) for row in database.execute(f'SELECT * FROM "{quoted}"')]  # noqa: S608  # nosec B608  # it is quoted
    return sorted(rows, key=repr)


class Difference(NamedTuple):
    """Where two worlds differ.

    Attributes:
        keys: The keys that lead there.
        before: What was there; `ABSENT` where nothing was.
        after: What is there; `ABSENT` where nothing is.
    """

    keys: tuple[str, ...]
    before: Any
    after: Any

    @property
    def where(self) -> str:
        """The keys that lead there, in one text."""
        return ".".join(self.keys) or "the world"

    def __str__(self) -> str:
        return f"{self.where}: {_short(self.before)} → {_short(self.after)}"


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()
"""Stands for what is not there."""

_LONGEST = 100


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def differences(before: Any, after: Any, keys: tuple[str, ...] = ()) -> list[Difference]:
    """Return where two snapshots differ, as deep as they are dicts.

    Args:
        before: The one.
        after: The other.
        keys: The keys that lead to them.

    Example:
        >>> [str(each) for each in differences({"a": {"b": 1}}, {"a": {"b": 2}})]
        ['a.b: 1 → 2']
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: list[Difference] = []
        for key in dict.fromkeys((*before, *after)):
            found += differences(before.get(key, ABSENT), after.get(key, ABSENT), (*keys, str(key)))
        return found
    if type(before) is type(after) and before == after:
        return []
    return [Difference(keys, before, after)]
