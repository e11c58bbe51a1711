"""Commands as processes: each in a session of its own, heard to its end, and ended with all that it began."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from automa.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_HEARD = 1_000_000
"""Bytes of a stream that are kept, half from its beginning and half from its end."""

STEP_KEY, PARENT_PID, OWN_PID = "AUTOMA_STEP_KEY", "AUTOMA_PARENT_PID", "AUTOMA_PID"
GRACE = 10.0
"""Seconds between the request to end, and the end by force."""

_PROC = Path("/proc")
_LINGERS = 1.0  # seconds that an output is heard once its command has ended: a daemon may hold it open
_EXEC = f'export {OWN_PID}=$$; exec "$@"'  # so a daemon that the command leaves is told from the command


class Ended(NamedTuple):
    """How a command has ended.

    Attributes:
        status: Its exit status; below 0, the signal that has ended it.
        stdout: What it has written.
        stderr: What it has written there.
        printed: What it has written to standard output, byte by byte; None where more than is kept.
    """

    status: int
    stdout: str
    stderr: str
    printed: bytes | None


class _Heard:
    """What is kept of a stream, which is read by a pipe of our own.

    With the pipes of asyncio the end of a process is told once nobody has them open: a daemon may.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self.is_cut = False

    async def open(self) -> int:
        """Begin to hear; return what the process writes to, to be closed once it has it."""
        read_end, write_end = os.pipe()
        self._stream = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(self._stream)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: protocol,
            open(read_end, "rb", 0),  # noqa: SIM115, PTH123, ASYNC230  # the transport closes it
        )
        return write_end

    def close(self) -> None:
        """Hear no more."""
        self._transport.close()

    async def hear(self) -> None:
        """Hear to the end."""
        while chunk := await self._stream.read(65536):
            room = MOST_HEARD // 2 - len(self._head)
            self._head += chunk[:room]
            self._tail += chunk[room:]
            if len(self._tail) > MOST_HEARD // 2:
                self.is_cut = True
                del self._tail[: -(MOST_HEARD // 2)]

    def whole(self) -> bytes | None:
        """Return all of it, or None where it is cut."""
        return None if self.is_cut else bytes(self._head + self._tail)

    def text(self) -> str:
        """Return it; where it is cut no part of a line is left: part of a secret may be in it."""
        if not self.is_cut:
            return _decoded(self._head + self._tail)
        head, _, _ = _decoded(self._head).rpartition("\n")
        _, _, tail = _decoded(self._tail).partition("\n")
        return f"{head}\n[what came here is left out]\n{tail}"


def _decoded(raw: bytearray) -> str:
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\0")


async def run_to_end(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> Ended:
    """Start a command and wait for its end; where this is cancelled the command is ended.

    Args:
        argv: The program and its arguments.
        env: Its environment.
        cwd: The folder in which it works.

    Raises:
        CommandError: Where it cannot be started.
    """
    out, err = _Heard(), _Heard()
    async with contextlib.AsyncExitStack() as stack:
        ends = []
        for each in (out, err):
            ends.append(await each.open())
            stack.callback(each.close)
        try:
            process = await _started(argv, env, cwd, ends)
        finally:
            for end in ends:
                os.close(end)
        hearing = asyncio.gather(out.hear(), err.hear())
        try:
            status = await process.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(hearing), _LINGERS)
        finally:
            await _ended(process)
            hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hearing
    return Ended(status, out.text(), err.text(), out.whole())


async def _started(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, ends: Sequence[int]
) -> asyncio.subprocess.Process:
    program = argv[0]
    found = program if "/" in program else shutil.which(program, path=env.get("PATH", os.defpath))
    if found is None:
        raise CommandError(f"there is no program {program!r} on PATH")
    if "/" in program and not os.access(f"{cwd}/{program}" if program[0] != "/" else program, os.X_OK):
        raise CommandError(f"{program} is not there, or is no program that may be run")
    try:
        return await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _EXEC, "sh", *argv,
            env=env, cwd=cwd, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=ends[0], stderr=ends[1],
        )  # fmt: skip
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandError(f"{program}: there is no folder {cwd}, in which it is to work") from error
    except (OSError, ValueError) as error:
        raise CommandError(f"{program} cannot be started: {error}") from error


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End a command that goes on still, with what it has begun, and wait until all of that has ended."""
    if process.returncode is not None:
        return
    _signal(process.pid, signal.SIGTERM)
    try:
        await _gone(process.pid)
    finally:
        await _killed(process.pid)  # whatever is left of it: a child that does not listen, say
        await process.wait()


async def _gone(group: int) -> None:
    """Wait until a command has ended, with all that it has begun, for the time of grace at most."""
    until = asyncio.get_running_loop().time() + GRACE
    while asyncio.get_running_loop().time() < until:
        if not _is_at_work(group):
            return
        await asyncio.sleep(0.02)


async def _killed(group: int) -> None:
    """End by force what is left of a command, if anything is."""
    if _is_at_work(group):
        _signal(group, signal.SIGKILL)
        await _gone(group)


def _is_at_work(group: int) -> bool:
    """Whether a process of a group is at work; on Linux a zombie is none."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it has become another user's
    if not _PROC.exists():
        return True
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, its_group = _stat(entry)[:3]
            if its_group == b"%d" % group and state not in {b"Z", b"X"}:
                return True
    return False


def _stat(entry: Path) -> list[bytes]:
    """Return what a folder of ``/proc`` tells of its process, from its state and its parent on."""
    return (entry / "stat").read_bytes().rpartition(b")")[2].split()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


async def end_left_behind(key: str) -> None:
    """End what a killed process has left at work for the same step, which would go on beside this one.

    It is found where there is ``/proc`` (Linux), among the processes of the same user.

    Args:
        key: The value of ``AUTOMA_STEP_KEY`` in its environment.
    """
    for group in _left_behind(key):
        _signal(group, signal.SIGTERM)
        try:
            await _gone(group)
        finally:
            await _killed(group)


def _left_behind(key: str) -> list[int]:
    """Return the ids of commands, and so of their groups, at work for a step, that have lost their automa.

    One whose automa is alive is another run's, of the same id in another store.
    """
    found = []
    wanted = f"{STEP_KEY}={key}".encode()
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            if wanted not in variables or f"{OWN_PID}={entry.name}".encode() not in variables:
                continue
            parent = _stat(entry)[1]
            if b"%s=%s" % (PARENT_PID.encode(), parent) not in variables:
                found.append(int(entry.name))
    return found
