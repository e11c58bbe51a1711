"""Run a program with its file calls below one directory counted, failed or recorded.

`shim.c` is preloaded into the program; this module builds it, starts the program, and reads what was
recorded. A test says `run([sys.executable, "-c", script], root, fault="eio", at=3)`. The program says
`mark("step 3 is durable")`, so that the record tells what had been promised at which moment.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SOURCE = Path(__file__).with_name("shim.c")
PROJECT = Path(__file__).parents[2]
STATE_SIZE = 4096
FAULTS = ("kill", "kill_after", "eio", "enospc", "short", "eio_forever", "enospc_forever")

_STATE = struct.Struct("=QQQQ64s")
_HEAD = struct.Struct("=IIQqqQIiIIQ")
_MAGIC = 0x5348494D
_FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-U_FORTIFY_SOURCE", "-pthread")


class NoCompiler(Exception):
    """The shim cannot be built on this machine."""


class FaultNotInjected(AssertionError):
    """The program never came to the call at which it was to fail: such a test proves nothing."""


class Op(IntEnum):
    """A kind of call; the numbers are those of `enum op` in shim.c."""

    START = 1
    MARK = 2
    OPEN = 3
    WRITE = 4
    FSYNC = 5
    FDATASYNC = 6
    RANGE = 7
    TRUNCATE = 8
    RENAME = 9
    UNLINK = 10
    RMDIR = 11
    LINK = 12
    MKDIR = 13
    FALLOCATE = 14
    MMAP = 15
    SYNC = 16
    OTHER = 17


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call.

    Attributes:
        op: What was called.
        path: Absolute and resolved; of a mark, its text.
        other: Where a rename or a link leads; of something that the model does not know, its name.
        inode: The file that it was done to.
        offset: Where a write began.
        length: How much was written, or the size that a file was cut to.
        flags: As the call was given them; of a write, the descriptor's.
        created: Whether an open made the file.
        error: What an fsync failed with, or 0. No other failed call is recorded.
        data: The bytes written.
    """

    op: Op
    path: str
    other: str = ""
    inode: int = 0
    offset: int = 0
    length: int = 0
    flags: int = 0
    created: bool = False
    error: int = 0
    data: bytes = b""

    def __str__(self) -> str:
        """Tell it in a line, for the message of a failed test."""
        what = f"{self.op.name.lower()} {self.path}" + (f" -> {self.other}" if self.other else "")
        return what + (f" [{self.offset}, +{self.length}]" if self.op is Op.WRITE else "")


@dataclass(frozen=True)
class Log:
    """What a program did below a directory.

    Attributes:
        root: The directory.
        calls: The calls, in the order in which they were completed.
        initial: What the directory held before, as `snapshot` tells it.
    """

    root: str
    calls: list[Call]
    initial: dict[str, bytes] = field(default_factory=dict)

    @property
    def marks(self) -> list[str]:
        """The texts of the marks, in order."""
        return [call.path for call in self.calls if call.op is Op.MARK]


@dataclass(frozen=True)
class State:
    """The shared counters, which outlive the program however it ended.

    Attributes:
        calls: How many calls were made.
        eligible: How many of those the chosen fault can happen to; all of them if none was chosen.
        fired: How many faults happened.
        loaded: How many processes loaded the shim; after a fork, the child is not another.
        call: The first call that a fault happened to, as "fsync".
        path: And the path that it was for.
    """

    calls: int
    eligible: int
    fired: int
    loaded: int
    call: str
    path: str


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and what the shim saw of it."""

    returncode: int
    stdout: str
    stderr: str
    state: State
    log: Log | None


@functools.cache
def library() -> Path:
    """Build the shim, once per process.

    Raises:
        NoCompiler: There is no C compiler, or it failed.
    """
    name = os.environ.get("CC") or "gcc"
    compiler = shutil.which(name)
    if compiler is None:
        raise NoCompiler(f"the fault shim needs a C compiler, and there is no {name!r} on PATH")
    place = Path(tempfile.mkdtemp(prefix="fault-shim-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    target = place / "shim.so"
    built = subprocess.run(
        [compiler, *_FLAGS, "-o", str(target), str(SOURCE)], capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise NoCompiler(f"{compiler} cannot build the fault shim:\n{built.stderr}")
    return target


def require() -> Path:
    """Build the shim, or skip the test with a reason that is hard to overlook."""
    import pytest

    try:
        return library()
    except NoCompiler as error:
        pytest.skip(f"NOT TESTED: faults and power losses. {error}")


def environment(
    root: Path,
    state: Path,
    *,
    log: Path | None = None,
    fault: str | None = None,
    at: int = 0,
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Give the environment in which a program is watched, and make the file for its counters.

    Args:
        root: The directory that is watched. It must exist.
        state: Where the counters go; outside of the root.
        log: Where the calls are recorded; outside of the root. None: they are not.
        fault: One of `FAULTS`; None: nothing fails.
        at: At which call it happens, of those that it can happen to, from 1. 0: it never does.
        base: The environment to add to; None: this process's own.
    """
    if fault is not None and fault not in FAULTS:
        raise ValueError(f"unknown fault {fault!r}; there are {', '.join(FAULTS)}")
    state.write_bytes(bytes(STATE_SIZE))
    env = dict(os.environ if base is None else base)
    for name in [name for name in env if name.startswith("SHIM_")]:
        del env[name]
    env["LD_PRELOAD"] = " ".join(filter(None, [str(library()), env.get("LD_PRELOAD")]))
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PROJECT), env.get("PYTHONPATH")]))
    env["SHIM_ROOT"] = str(root.resolve())
    env["SHIM_STATE"] = str(state)
    if log is not None:
        env["SHIM_LOG"] = str(log)
    if fault is not None:
        env |= {"SHIM_FAULT": fault, "SHIM_AT": str(at)}
    return env


def run(
    argv: Sequence[str],
    root: Path,
    *,
    record: bool = False,
    fault: str | None = None,
    at: int = 0,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Outcome:
    """Run a program with its calls below `root` watched; its exit status is the caller's to judge.

    Args:
        argv: The command.
        root: The directory that is watched.
        record: Whether to record the calls; that goes with a fault, too.
        fault: One of `FAULTS`, or None.
        at: At which call it happens, from 1; with 0 the calls that it can happen to are only counted.
        env: The environment to add to; None: this process's own.
        timeout: Seconds.

    Raises:
        FaultNotInjected: A fault was asked for, and did not happen.
        NoCompiler: The shim cannot be built.
    """
    initial = snapshot(root) if record else {}
    with tempfile.TemporaryDirectory(prefix="fault-run-") as place:
        state, log = Path(place, "state"), Path(place, "log") if record else None
        watched = environment(root, state, log=log, fault=fault, at=at, base=env)
        done = subprocess.run(argv, env=watched, capture_output=True, text=True, timeout=timeout, check=False)
        seen = read_state(state)
        recorded = read_log(log, initial=initial) if log is not None and log.exists() else None
    outcome = Outcome(done.returncode, done.stdout, done.stderr, seen, recorded)
    if not seen.loaded:
        raise FaultNotInjected(f"the program ran without the shim: {outcome}")
    if fault is not None and at and not seen.fired:
        raise FaultNotInjected(f"{fault} at call {at}: only {seen.eligible} such calls were made: {outcome}")
    return outcome


def count(
    argv: Sequence[str], root: Path, *, fault: str = "kill", env: Mapping[str, str] | None = None
) -> int:
    """Run a program unharmed, and tell at how many calls `fault` can happen to it.

    It leaves its files in `root`; a run with a fault needs a directory like that which this one found.

    Raises:
        RuntimeError: The program failed without a fault.
    """
    outcome = run(argv, root, fault=fault, at=0, env=env)
    if outcome.returncode:
        raise RuntimeError(f"the program fails on its own: {outcome}")
    return outcome.state.eligible


def mark(text: str) -> None:
    """Note in the record, from within the watched program, that this moment was reached.

    Raises:
        RuntimeError: The program is not watched.
    """
    if "SHIM_ROOT" not in os.environ:
        raise RuntimeError("mark() was called in a program that is not watched")
    try:
        import ctypes
    except ImportError:  # some Pythons are built without it
        with suppress(FileNotFoundError):
            os.close(os.open(f"{os.environ['SHIM_ROOT']}/.marker-{text}", os.O_RDONLY))
        return
    try:
        note = ctypes.CDLL(None).shim_mark
    except AttributeError:
        raise RuntimeError("mark() was called in a program that the shim is not loaded into") from None
    note(text.encode())


def read_state(path: Path) -> State:
    """Read the counters that a program left."""
    page = path.read_bytes()
    *counters, call = _STATE.unpack_from(page)
    text = page[_STATE.size :].partition(b"\0")[0]
    return State(*counters, call.partition(b"\0")[0].decode(), os.fsdecode(text))


def read_log(path: Path, *, initial: Mapping[str, bytes] | None = None) -> Log:
    """Read the record that a program left; what a killed one did not complete is not in it."""
    calls = list(_records(path.read_bytes()))
    roots = {call.path for call in calls if call.op is Op.START}
    if len(roots) != 1:
        raise ValueError(f"a record is of one directory, and this one is of {sorted(roots)}")
    rest = [call for call in calls if call.op is not Op.START]
    return Log(roots.pop(), rest, dict(initial or {}))


def _records(raw: bytes) -> Iterator[Call]:
    at = 0
    while at < len(raw):
        magic, op, inode, offset, length, flags, created, error, *sizes = _HEAD.unpack_from(raw, at)
        if magic != _MAGIC:
            raise ValueError(f"the record is damaged at byte {at}")
        parts = []
        at += _HEAD.size
        for size in sizes:
            parts.append(raw[at : at + size])
            at += size
        path, other, data = parts
        yield Call(
            Op(op),
            os.fsdecode(path),
            os.fsdecode(other),
            inode,
            offset,
            length,
            flags,
            bool(created),
            error,
            data,
        )


def snapshot(root: Path) -> dict[str, bytes]:
    """Read a directory: relative path -> bytes; a directory is there as "path/" -> b"".

    Files whose name ends in "-shm" are left out, as from every model of a disk here.
    """
    tree = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            tree[f"{name}/"] = b""
        elif not name.endswith("-shm"):
            tree[name] = path.read_bytes()
    return tree
