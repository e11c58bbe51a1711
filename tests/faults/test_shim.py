"""The shim: each fault fires, each call is counted, and the record says what was done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import shim
from tests.faults.disk import after, snapshot
from tests.faults.shim import FaultNotInjected, NoCompiler, Op

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _built() -> None:
    shim.require()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def python(script: str, *args: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]


# Eight calls: open, write, fsync, rename; open, fsync of the directory; mkdir, unlink. (close is not one.)
SIMPLE = """
    import os, sys
    root = sys.argv[1]
    fd = os.open(f"{root}/new", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"0123456789")
    os.fsync(fd)
    os.close(fd)
    os.rename(f"{root}/new", f"{root}/old")
    fd = os.open(root, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    os.mkdir(f"{root}/sub")
    os.unlink(f"{root}/old")
    print("done")
"""
SIMPLE_CALLS = [Op.OPEN, Op.WRITE, Op.FSYNC, Op.RENAME, Op.OPEN, Op.FSYNC, Op.MKDIR, Op.UNLINK]


def test_counts(root: Path) -> None:
    """The counter is the number of calls that the script makes, in the order in which it makes them."""
    outcome = shim.run(python(SIMPLE, root), root, record=True)
    assert outcome.stdout == "done\n", outcome
    assert outcome.state.calls == outcome.state.eligible == len(SIMPLE_CALLS)
    assert [call.op for call in outcome.log.calls] == SIMPLE_CALLS


@pytest.mark.parametrize(
    ("fault", "calls"),
    [("kill", 8), ("kill_after", 8), ("eio", 8), ("enospc", 6), ("short", 1), ("eio_forever", 8)],
)
def test_eligible(root: Path, fault: str, calls: int) -> None:
    """A fault is counted only at the calls that it can happen to: no ENOSPC on unlink, say."""
    assert shim.count(python(SIMPLE, root), root, fault=fault) == calls


def test_outside(root: Path, tmp_path: Path) -> None:
    """Calls on files outside of the root are neither counted nor recorded."""
    elsewhere = tmp_path / "root-not"
    elsewhere.mkdir()
    outcome = shim.run(python(SIMPLE, elsewhere), root, record=True)
    assert outcome.stdout == "done\n"
    assert (outcome.state.calls, outcome.log.calls) == (0, [])


def test_survives_exit(root: Path) -> None:
    """The counter and the record are there after os._exit."""
    script = """
        import os, sys
        os.open(f"{sys.argv[1]}/a", os.O_CREAT | os.O_WRONLY)
        os._exit(3)
    """
    outcome = shim.run(python(script, root), root, record=True)
    assert (outcome.returncode, outcome.state.calls, len(outcome.log.calls)) == (3, 1, 1)


# ---- faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, len(SIMPLE_CALLS) + 1))
@pytest.mark.parametrize("fault", ["kill", "kill_after"])
def test_kill(root: Path, fault: str, at: int) -> None:
    """The process dies by SIGKILL at exactly that call: before it was made, or after."""
    outcome = shim.run(python(SIMPLE, root), root, record=True, fault=fault, at=at)
    assert outcome.returncode == -signal.SIGKILL
    assert (outcome.state.fired, outcome.state.calls) == (1, at)
    made = at if fault == "kill_after" else at - 1
    assert [call.op for call in outcome.log.calls] == SIMPLE_CALLS[:made]
    assert after(outcome.log) == snapshot(root)


@pytest.mark.parametrize("at", range(1, len(SIMPLE_CALLS) + 1))
def test_eio(root: Path, at: int) -> None:
    """EIO comes back from exactly that call, and the call was not made."""
    outcome = shim.run(python(SIMPLE, root), root, record=True, fault="eio", at=at)
    assert "[Errno 5]" in outcome.stderr
    assert (outcome.state.fired, outcome.state.calls) == (1, at)
    assert outcome.state.call == SIMPLE_CALLS[at - 1].name.lower()
    assert outcome.state.path.startswith(str(root.resolve()))
    assert [call.op for call in outcome.log.calls if not call.error] == SIMPLE_CALLS[: at - 1]
    assert after(outcome.log) == snapshot(root)


@pytest.mark.parametrize("at", range(1, 7))
def test_enospc(root: Path, at: int) -> None:
    """ENOSPC comes back from each call that may need room, and from no other."""
    outcome = shim.run(python(SIMPLE, root), root, fault="enospc", at=at)
    assert "[Errno 28]" in outcome.stderr
    assert outcome.state.fired == 1
    needs_room = ["open", "write", "fsync", "rename", "fsync", "mkdir"]
    assert outcome.state.call == needs_room[at - 1]


def test_short(root: Path) -> None:
    """A short write writes half of the bytes, tells so, and lets the next write be whole."""
    script = """
        import os, sys
        fd = os.open(f"{sys.argv[1]}/a", os.O_CREAT | os.O_WRONLY)
        print(os.write(fd, b"0123456789"), os.writev(fd, [b"abc", b"de"]), os.pwrite(fd, b"xyz", 0))
    """
    outcome = shim.run(python(script, root), root, record=True, fault="short", at=1)
    assert (outcome.stdout, outcome.state.fired) == ("5 5 3\n", 1)
    assert snapshot(root) == after(outcome.log) == {"a": b"xyz34abcde"}


@pytest.mark.parametrize(("at", "expected"), [(2, "10 2 3"), (3, "10 5 1")])
def test_short_vectors(root: Path, at: int, expected: str) -> None:
    """A short write cuts vectors and positioned writes, too."""
    script = """
        import os, sys
        fd = os.open(f"{sys.argv[1]}/a", os.O_CREAT | os.O_WRONLY)
        print(os.write(fd, b"0123456789"), os.writev(fd, [b"a", b"bcde"]), os.pwrite(fd, b"xyz", 0))
    """
    outcome = shim.run(python(script, root), root, record=True, fault="short", at=at)
    assert outcome.stdout.strip() == expected
    assert snapshot(root) == after(outcome.log)


@pytest.mark.parametrize(("fault", "errno"), [("eio_forever", 5), ("enospc_forever", 28)])
def test_forever(root: Path, fault: str, errno: int) -> None:
    """From that call on, each one fails."""
    script = """
        import os, sys
        fd = os.open(f"{sys.argv[1]}/a", os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"first")
        for call in [lambda: os.write(fd, b"x"), lambda: os.fsync(fd), lambda: os.mkdir(f"{sys.argv[1]}/b")]:
            try:
                call()
            except OSError as error:
                print(error.errno)
    """
    outcome = shim.run(python(script, root), root, fault=fault, at=3)
    assert outcome.stdout.split() == [str(errno)] * 3
    assert outcome.state.fired == 3
    assert snapshot(root) == {"a": b"first"}


def test_no_fault(root: Path) -> None:
    """A fault that never fired is an error of the test."""
    with pytest.raises(FaultNotInjected, match="only 8 such calls"):
        shim.run(python(SIMPLE, root), root, fault="eio", at=9)


def test_unknown_fault(root: Path) -> None:
    """A fault that there is not is refused."""
    with pytest.raises(ValueError, match="unknown fault 'eoi'"):
        shim.run(python(SIMPLE, root), root, fault="eoi", at=1)


def test_not_preloaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that runs without the shim is an error of the test."""
    real = shim.environment

    def without(*args: object, **kwargs: object) -> dict[str, str]:
        return real(*args, **kwargs) | {"LD_PRELOAD": ""}

    monkeypatch.setattr(shim, "environment", without)
    with pytest.raises(FaultNotInjected, match="without the shim"):
        shim.run(python("pass"), root)


SQLITE = """
    import sqlite3, sys
    from contextlib import closing
    with closing(sqlite3.connect(f"{sys.argv[1]}/db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE IF NOT EXISTS t (n)")
        db.execute("INSERT INTO t VALUES (1)")
"""


def test_sqlite_calls_are_seen(root: Path) -> None:
    """The calls of the SQLite library, which is C, are watched like Python's own."""
    outcome = shim.run(python(SQLITE, root), root, record=True)
    assert outcome.returncode == 0, outcome
    assert {Path(call.path).name for call in outcome.log.calls if call.op is Op.WRITE} >= {
        "db",
        "db-wal",
    }
    assert after(outcome.log) == snapshot(root)


@pytest.mark.parametrize("fault", ["eio_forever", "enospc_forever"])
def test_sqlite_faults(root: Path, fault: str) -> None:
    """A fault reaches a program through the SQLite library as that library's error."""
    calls = shim.count(python(SQLITE, root), root, fault=fault)
    fresh = root / "fresh"
    fresh.mkdir()
    outcome = shim.run(python(SQLITE, fresh), fresh, fault=fault, at=calls // 2)
    assert outcome.state.fired == outcome.state.eligible - calls // 2 + 1
    assert "sqlite3.OperationalError" in outcome.stderr


# ---- the record --------------------------------------------------------------------------------------


def test_record(root: Path) -> None:
    """The record tells paths, offsets, lengths, data, flags, inodes, and where renames lead."""
    script = """
        import os, sys
        os.chdir(sys.argv[1])
        fd = os.open("a", os.O_CREAT | os.O_EXCL | os.O_RDWR)
        os.write(fd, b"one")
        os.lseek(fd, 10, os.SEEK_SET)
        os.write(fd, b"two")
        os.pwrite(fd, b"three", 20)
        os.pwritev(fd, [b"f", b"our"], 30)
        os.ftruncate(fd, 32)
        os.posix_fallocate(fd, 0, 40)
        os.fdatasync(fd)
        more = os.open("a", os.O_WRONLY | os.O_APPEND)
        os.write(more, b"five")
        os.pwrite(more, b"six", 0)  # which Linux appends
        os.mkdir("d")
        there = os.open("d", os.O_RDONLY)
        os.rename("a", "b", dst_dir_fd=there)
        os.link("d/b", "c")
        os.truncate("c", 50)
        os.remove("d/b", dir_fd=None)
        os.rmdir("d")
        with open("e", "wb") as file:
            file.write(b"seven")
    """
    outcome = shim.run(python(script, root), root, record=True)
    assert outcome.returncode == 0, outcome
    calls, top = outcome.log.calls, str(root.resolve())
    writes = [(call.offset, call.data) for call in calls if call.op is Op.WRITE]
    assert writes == [
        (0, b"one"),
        (10, b"two"),
        (20, b"three"),
        (30, b"four"),
        (40, b"five"),
        (44, b"six"),
        (0, b"seven"),
    ]
    first = calls[0]
    assert (first.op, first.path, first.created) == (Op.OPEN, f"{top}/a", True)
    assert first.flags & os.O_EXCL and first.flags & os.O_CREAT
    assert len({call.inode for call in calls if call.op is Op.WRITE}) == 2
    assert [(call.path, call.other) for call in calls if call.op in {Op.RENAME, Op.LINK}] == [
        (f"{top}/a", f"{top}/d/b"),
        (f"{top}/d/b", f"{top}/c"),
    ]
    assert [call.length for call in calls if call.op is Op.TRUNCATE] == [32, 50]
    assert [call.length for call in calls if call.op is Op.FALLOCATE] == [40]
    assert after(outcome.log) == snapshot(root)


@pytest.mark.parametrize("crippled", [False, True])
def test_marks(root: Path, crippled: bool) -> None:
    """A mark stands in the record where the program made it, with ctypes or without; it is not counted."""
    script = """
        import os, sys
        if sys.argv[2] == "True":
            sys.modules["ctypes"] = None
        from tests.faults.shim import mark
        mark("before")
        fd = os.open(f"{sys.argv[1]}/a", os.O_CREAT | os.O_WRONLY)
        mark("step 1 is durable")
        os.write(fd, b"x")
        mark("after")
    """
    outcome = shim.run(python(script, root, crippled), root, record=True)
    assert outcome.returncode == 0, outcome
    assert [call.op for call in outcome.log.calls] == [Op.MARK, Op.OPEN, Op.MARK, Op.WRITE, Op.MARK]
    assert outcome.log.marks == ["before", "step 1 is durable", "after"]
    assert outcome.state.calls == 2


def test_mark_unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """To mark in a program that is not watched is an error, as nothing would be noted."""
    with pytest.raises(RuntimeError, match="not watched"):
        shim.mark("x")
    monkeypatch.setenv("SHIM_ROOT", "/")
    with pytest.raises(RuntimeError, match="not loaded"):
        shim.mark("x")


def test_threads(root: Path) -> None:
    """Calls of several threads are each counted and recorded, whole and once."""
    script = """
        import os, sys, threading
        def work(name):
            fd = os.open(f"{sys.argv[1]}/{name}", os.O_CREAT | os.O_WRONLY)
            for number in range(50):
                os.write(fd, b"%d\\n" % number)
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    outcome = shim.run(python(script, root), root, record=True)
    assert outcome.state.calls == len(outcome.log.calls) == 4 * 51
    assert after(outcome.log) == snapshot(root)


def test_processes(root: Path) -> None:
    """Children by fork and by exec count into the same counter and the same record, in one order."""
    script = """
        import os, subprocess, sys
        work = "import os; fd = os.open(%r, os.O_CREAT | os.O_WRONLY | os.O_APPEND);" % f"{sys.argv[1]}/a"
        work += "[os.write(fd, b'x%d' % os.getpid()) for _ in range(50)]"
        child = subprocess.Popen([sys.executable, "-c", work])
        fork = os.fork()
        exec(work)
        if not fork:
            os._exit(0)
        os.waitpid(fork, 0)
        child.wait()
    """
    outcome = shim.run(python(script, root), root, record=True)
    assert outcome.returncode == 0, outcome
    assert outcome.state.loaded == 2
    assert outcome.state.calls == len(outcome.log.calls) == 3 * 51
    assert after(outcome.log) == snapshot(root)


def test_fsync_failure_is_recorded(root: Path) -> None:
    """An fsync that failed is in the record, as the data is doubtful from then on."""
    outcome = shim.run(python(SIMPLE, root), root, record=True, fault="eio", at=3)
    assert [(call.op, call.error) for call in outcome.log.calls] == [
        (Op.OPEN, 0),
        (Op.WRITE, 0),
        (Op.FSYNC, 5),
    ]


# ---- the compiler ------------------------------------------------------------------------------------


@pytest.fixture
def unbuilt() -> Iterator[None]:
    shim.library.cache_clear()
    yield
    shim.library.cache_clear()


@pytest.mark.usefixtures("unbuilt")
def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler the tests are skipped, with a reason that says what is not tested."""
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoCompiler, match="no 'no-such-compiler' on PATH"):
        shim.library()
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED"):
        shim.require()


@pytest.mark.usefixtures("unbuilt")
def test_failing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that fails is told apart from none."""
    monkeypatch.setenv("CC", "false")
    with pytest.raises(NoCompiler, match="cannot build"):
        shim.library()


def test_warnings(tmp_path: Path) -> None:
    """The shim is built once, and without a warning."""
    assert shim.library() is shim.library()
    built = subprocess.run(
        [
            os.environ.get("CC") or "gcc",
            *shim._FLAGS,
            "-Wall",
            "-Wextra",
            "-o",
            tmp_path / "x.so",
            shim.SOURCE,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert built.stderr == ""
