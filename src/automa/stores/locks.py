"""Locks that the system gives back when their owner dies, and checks of files and folders.

An owner holds ``flock`` on a file that is never renamed. No clock is asked: a lock that can be had has
no owner any more. Network file systems do not keep that promise and are not supported.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Self

from automa.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_open_locks: set[LockFile] = set()


class LockFile:
    """A file on which this process holds an exclusive lock.

    Args:
        path: The file; it is made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._identity: FileIdentity | None = None

    def acquire(self) -> bool:
        """Take the lock; return whether it could be had.

        Raises:
            OSError: Where the file cannot be made.
        """
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            if _is_same_file(fd, self.path):
                self._fd = fd
                self._identity = FileIdentity(self.path)
                _open_locks.add(self)
                return True
            os.close(fd)  # whoever swept the folder has unlinked it between the two calls

    def is_intact(self) -> bool:
        """Whether the file is still where it was: not deleted, its folder not moved away."""
        return self._identity is not None and self._identity.is_same()

    def release(self, *, unlink: bool = False) -> None:
        """Give the lock back, and remove the file if asked to."""
        if self._fd >= 0:
            if unlink:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            self.forget()

    def forget(self) -> None:
        """Close the file; in a forked child, where the lock is the parent's, that leaves the lock alone."""
        fd, self._fd, self._identity = self._fd, -1, None
        _open_locks.discard(self)
        if fd >= 0:
            os.close(fd)


def _forget_all() -> None:
    """Close what a forked child has inherited: it would keep the locks of a parent that dies."""
    for lock in list(_open_locks):
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        there, here = os.lstat(path), os.fstat(fd)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def is_locked(path: Path) -> bool:
    """Whether somebody who is alive holds the lock on a file.

    Raises:
        OSError: Where the file cannot be opened, though it is there.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class FileIdentity:
    """What a path was when it was opened: whoever replaces or deletes it is noticed.

    Args:
        path: The file or folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        found = os.lstat(self._path)
        self._identity = (found.st_dev, found.st_ino)

    def is_same(self) -> bool:
        """Whether the path is still the same file."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    @classmethod
    def of_new_folder(cls, path: Path, *, is_durable: bool = True) -> Self:
        """Make a folder for its owner alone, with those above it, and return what it is.

        Args:
            path: The folder.
            is_durable: Whether its name must survive a power cut: that of one with locks need not.

        Raises:
            OSError: Where that cannot be.
            StoreError: Where there is something else at its place.
        """
        missing = []
        folder = path
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError):
                each.mkdir(mode=0o700)
                if is_durable:
                    sync_folder(each.parent)
        if path.is_symlink():
            raise StoreError(f"{path} is a symbolic link, and is not followed")
        if not path.is_dir():
            raise StoreError(f"{path} is no folder")
        return cls(path)


def make_private_file(path: Path) -> None:
    """Make an empty file that its owner alone can read, where there is none.

    Raises:
        OSError: Where that cannot be.
        StoreError: Where there is something else at its place.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        sync_folder(path.parent)
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        raise StoreError(f"{path} is a symbolic link, and is not followed")
    if not stat.S_ISREG(kind):
        raise StoreError(f"{path} is no file")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: Where that fails.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
