"""One JSON file a run: the journal of automa-spec 1.0.0, which other implementations resume too."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automa._core.protocols import RunInfo
from automa.errors import JournalError, RunNotFoundError, StoreError
from automa.journal.entries import decode_entries, time_of_entry, to_datetime
from automa.journal.journal import RUNNING
from automa.journal.reading import read
from automa.journal.spec import Fold, entries_of
from automa.stores.locks import FileIdentity, LockFile, is_locked
from automa.stores.refusals import run_exists, run_not_found, run_owned
from automa.wire.journal_v1 import journal_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SUFFIX = ".journal"
_CANCEL = ".cancel"
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGEST = 256 * 1024 * 1024


class FileStore:
    """Keeps each journal in a file of its own, ``<workflow id>-<run id>.journal``.

    The file is rewritten whole with each step, so that a run costs the square of its steps: for runs of
    some hundred steps; `SqliteStore` has no such limit.

    Args:
        folder: The folder of the files; it is made where it is not there, for its owner alone.
        durability: What a written entry survives: ``power``, a power cut; or ``process``, the death of
            the process alone, which is faster.

    Raises:
        StoreError: Where the folder cannot be used.
    """

    keeps_only_sequences: bool = True
    """Whether steps must be known, and follow one another: the specification has no form for others."""

    def __init__(self, folder: str | Path, *, durability: str = "power") -> None:
        if durability not in {"power", "process"}:
            raise StoreError(f"durability is 'power' or 'process', not {durability!r}")
        self.folder: Path = Path(folder).absolute()
        self._syncs: bool = durability == "power"
        self._locks = self.folder / ".locks"
        self._cancels = self.folder / ".cancels"
        with _as_store_error(self.folder):
            self._identity = FileIdentity.of_new_folder(self.folder)

    def create(self, workflow_id: str, run_id: str) -> _FileLease:
        """Own a run that is about to be started; see `automa.abc.Store.create`."""
        path = self._path(workflow_id, run_id)
        with _as_store_error(path):
            self.check_folder()
            if os.path.lexists(path):
                raise run_exists(workflow_id, run_id)
            lock = self._locked(path)
            if lock is None:
                raise run_exists(workflow_id, run_id)
            try:
                if os.path.lexists(path):  # its owner was quicker, and has ended since
                    raise run_exists(workflow_id, run_id)  # noqa: TRY301
                return _FileLease(self, path, lock, Fold())
            except BaseException:
                lock.release()
                raise

    def take(self, workflow_id: str, run_id: str) -> _FileLease:
        """Own a run that was started before; see `automa.abc.Store.take`."""
        path = self._path(workflow_id, run_id)
        with _as_store_error(path):
            self.check_folder()
            if not path.exists():
                raise run_not_found(workflow_id, run_id)
            lock = self._locked(path)
            if lock is None:
                raise run_owned(workflow_id, run_id)
            try:
                self._sweep(path)
                fold = Fold()
                fold.add(self.load(workflow_id, run_id))
                return _FileLease(self, path, lock, fold)
            except BaseException:
                lock.release()
                raise

    def load(self, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the entries of a run; see `automa.abc.Store.load`."""
        path = self._path(workflow_id, run_id)
        return self._read(path, workflow_id, run_id)

    def runs(
        self, *, workflow_id: str | None = None, run_id: str | None = None, status: str | None = None
    ) -> Iterator[RunInfo]:
        """Yield the runs, the newest first; see `automa.abc.Store.runs`.

        A file that cannot be read is listed with the status ``unreadable``.
        """
        with _as_store_error(self.folder):
            self.check_folder()
            end = (
                _SUFFIX if run_id is None else f"{run_id}{_SUFFIX}"
            )  # a file that may be meant is read, alone
            found = [path for path in self.folder.iterdir() if path.name.endswith(end)]
        infos = [info for path in found if (info := self._info(path)) is not None]
        for info in sorted(infos, key=lambda each: (each.created, each.run_id), reverse=True):
            if info.matches(workflow_id, run_id, status):
                yield info

    def ask_cancel(self, workflow_id: str, run_id: str, note: str) -> None:
        """Note that a run is to be undone; see `automa.abc.Cancellable.ask_cancel`."""
        path = self._cancel_path(workflow_id, run_id)
        with _as_store_error(path):
            self.check_folder()
            FileIdentity.of_new_folder(path.parent)
            text = json.dumps([workflow_id, run_id, note])
            fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if not path.exists():  # the first note stays
                    self.write(path, text, fd, of=f".{os.getpid()}.{threading.get_ident()}")
            finally:
                os.close(fd)

    def asked_cancels(self) -> dict[tuple[str, str], str]:
        """Return why runs are to be undone; see `automa.abc.Cancellable.asked_cancels`."""
        asked = {}
        with _as_store_error(self._cancels):
            for path in self._cancels.glob(f"*{_CANCEL}") if self._cancels.exists() else ():
                with contextlib.suppress(FileNotFoundError, ValueError):  # gone, or nothing of ours
                    workflow_id, run_id, note = json.loads(path.read_bytes())
                    asked[workflow_id, run_id] = note
        return asked

    def forget_cancel(self, workflow_id: str, run_id: str) -> None:
        """Forget that a run was to be undone; see `automa.abc.Cancellable.forget_cancel`."""
        path = self._cancel_path(workflow_id, run_id)
        with _as_store_error(path):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Do nothing: no file is open but for the locks of the runs."""

    def write(self, path: Path, text: str, folder_fd: int, *, of: str = "") -> None:
        """Write a file as a whole: whoever reads it sees the old one or the new one (spec: atomic write).

        Args:
            path: The file.
            text: What it is to hold, in ASCII.
            folder_fd: A descriptor of its folder.
            of: Whose the file is until then, where several may write at once: becomes part of its name.

        Raises:
            StoreError: Where that fails; the old file is still there then.
        """
        temporary = f"{self._temporary(path)}{of}"
        if len(text) > _LARGEST:
            raise StoreError(
                f"{path}: the journal would have {len(text)} bytes, and {_LARGEST} is the most that is read: "
                "runs with states as large as that belong on sqlite:"
            )
        try:
            fd = os.open(temporary, _WRITING, 0o600)
            try:
                rest = memoryview(text.encode("ascii"))
                while rest:
                    rest = rest[os.write(fd, rest) :]
                if self._syncs:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)  # noqa: PTH105  # a path object takes as long as the call
            if self._syncs:
                os.fsync(folder_fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108  # likewise
            raise StoreError(f"{path}: {error}") from error

    def _path(self, workflow_id: str, run_id: str) -> Path:
        for what, name in (("workflow", workflow_id), ("run", run_id)):
            if not name or "/" in name or "\0" in name or name.startswith("."):
                raise StoreError(f"the {what} id {name!r} cannot be part of a file's name")
        return self.folder / f"{workflow_id}-{run_id}{_SUFFIX}"

    def _cancel_path(self, workflow_id: str, run_id: str) -> Path:
        stem = self._path(workflow_id, run_id).name.removesuffix(_SUFFIX)
        return self._cancels / f"{stem}{_CANCEL}"

    def _locked(self, path: Path) -> LockFile | None:
        """Return the lock of a run, held; None where somebody else holds it."""
        lock = LockFile(self._locks / f"{path.name.removesuffix(_SUFFIX)}.lock")
        try:
            return lock if lock.acquire() else None
        except FileNotFoundError:
            FileIdentity.of_new_folder(self._locks, is_durable=False)
            return lock if lock.acquire() else None

    def check_folder(self) -> None:
        """Check that the folder is still the one that was opened.

        Raises:
            StoreError: Where it is not.
        """
        if not self._identity.is_same():
            raise StoreError(f"{self.folder} was deleted or replaced while it was in use")

    def _sweep(self, path: Path) -> None:
        """Remove what a writer of this run has left behind when it was killed."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary(path))  # noqa: PTH108  # as in `write`

    def _temporary(self, path: Path) -> str:
        """Return the name under which a file is written before it takes its place: only its owner uses it."""
        return f"{path.parent}/.{path.name}.tmp"

    def _read(self, path: Path, workflow_id: str | None, run_id: str) -> list[dict[str, Any]]:
        with _as_store_error(path):
            text, changed = _read_file(path, workflow_id, run_id)
        try:
            document = journal_from_json(text)
            if workflow_id is not None and document["workflow_id"] != workflow_id:
                raise JournalError(f"it is of the workflow {document['workflow_id']!r}")  # noqa: TRY301
            return entries_of(document, run_id, changed)
        except JournalError as error:
            raise JournalError(f"{path}: {error}") from None

    def _info(self, path: Path) -> RunInfo | None:
        """Return what a list tells of a file; None where it has gone meanwhile."""
        stem = path.name.removesuffix(_SUFFIX)
        is_owned = False
        with contextlib.suppress(OSError):
            is_owned = is_locked(self._locks / f"{stem}.lock")
        try:
            changed = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        except OSError:
            return None
        try:
            with _as_store_error(path):
                text, _ = _read_file(path, None, stem)
            document = journal_from_json(text)
            workflow_id = document["workflow_id"]
            if not stem.startswith(f"{workflow_id}-"):
                raise JournalError(f"it is of the workflow {workflow_id!r}")  # noqa: TRY301
            run_id = stem[len(workflow_id) + 1 :]
            entries = entries_of(document, run_id, changed)
            reading = read(decode_entries(entries))
            has_stopped = "suspended" in entries[-1] and reading.report.outcome is not None
            outcome = reading.report.outcome
            status = outcome.value if outcome is not None and (reading.is_done or has_stopped) else RUNNING
            created, updated = (to_datetime(time_of_entry(entries[index])) for index in (0, -1))
        except (JournalError, StoreError, RunNotFoundError):
            return RunInfo("", stem, "unreadable", changed, changed, is_owned)
        return RunInfo(workflow_id, run_id, status, created, updated, is_owned)


def _read_file(path: Path, workflow_id: str | None, run_id: str) -> tuple[bytes, datetime]:
    """Return the text of a file and when it was changed last.

    Raises:
        OSError: Where it cannot be read.
        StoreError: Where it is no file that a store has written.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise run_not_found(workflow_id or "", run_id) from None
    with open(fd, "rb") as file:  # noqa: PTH123  # it is a descriptor
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is no file")
        if found.st_size > _LARGEST:
            raise StoreError(f"{path} has {found.st_size} bytes, more than the {_LARGEST} of a journal")
        return file.read(), datetime.fromtimestamp(found.st_mtime, UTC)


@contextlib.contextmanager
def _as_store_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error}") from error


class _FileLease:
    """A run that this process owns; see `automa.abc.Lease`."""

    def __init__(self, store: FileStore, path: Path, lock: LockFile, fold: Fold) -> None:
        self._store, self._path, self._lock, self._fold = store, path, lock, fold
        self._folder_fd = os.open(store.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def append(self, entries: Sequence[dict[str, Any]], status: str) -> None:  # noqa: ARG002  # it is in the entries
        self._check_lock()
        self._fold.add(entries)
        self._store.write(self._path, self._fold.to_json(), self._folder_fd)

    def delete(self) -> None:
        self._check_lock()
        with _as_store_error(self._path):
            self._path.unlink(missing_ok=True)
            os.fsync(self._folder_fd)
        self._lock.release(unlink=True)
        self.release()

    def release(self) -> None:
        self._lock.release()
        fd, self._folder_fd = self._folder_fd, -1
        if fd >= 0:
            os.close(fd)

    def _check_lock(self) -> None:
        if not self._lock.is_intact():
            self._store.check_folder()
            raise StoreError(f"{self._path}: its lock file {self._lock.path} is gone: nobody owns the run")
