"""The model of a power loss: it accepts what is safe, and it has teeth for what is not."""

from __future__ import annotations

import os
import sqlite3
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import shim
from tests.faults.disk import (
    Unmodelled,
    after,
    by_moment,
    legal_states,
    materialise,
    snapshot,
    without_each_sync,
)
from tests.faults.shim import Call, Log, Op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.faults.disk import DiskState

    Check = Callable[[DiskState], str | None]

ROOT = "/r"
STEPS = 10


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def recorded(script: str, root: Path, *args: object) -> Log:
    shim.require()
    argv = [sys.executable, "-c", textwrap.dedent(script), *map(str, [root, *args])]
    outcome = shim.run(argv, root, record=True)
    assert outcome.returncode == 0, outcome
    assert outcome.log is not None
    return outcome.log


def verdicts(states: Iterable[DiskState], check: Check) -> tuple[int, list[str]]:
    """Count the states, and collect what is wrong with those in which something is."""
    number, wrong = 0, []
    for number, state in enumerate(states, start=1):  # noqa: B007
        problem = check(state)
        if problem is not None:
            wrong.append(f"moment {state.moment}: {problem}")
    return number, wrong


def report(text: str) -> None:
    """Tell a figure: pytest -rP shows it."""
    print(text)  # noqa: T201


# ---- a file, replaced at each step -------------------------------------------------------------------


REPLACE = """
    import os, sys
    from tests.faults.shim import mark
    from tests.faults.test_disk import STEPS, body
    root, leave_out = sys.argv[1:]

    def sync(what, path):
        if what != leave_out:
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)

    for step in range(1, STEPS + 1):
        name = f"{root}/record" if leave_out == "rename" else f"{root}/record.tmp"
        fd = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.write(fd, body(step))
        os.close(fd)
        sync("file", name)
        if leave_out != "rename":
            os.rename(name, f"{root}/record")
        sync("directory", root)
        mark(str(step))
"""


def body(step: int) -> bytes:
    """Give the record after a step: its length and its every sector depend on the step."""
    return b"%06d\n" % step * (300 + 100 * step)


def check_record(state: DiskState) -> str | None:
    """Say what is wrong with the record: it must be whole, and hold what was acknowledged."""
    promised = int(state.acknowledged[-1]) if state.acknowledged else 0
    content = state.tree.get("record")
    if content is None:
        return f"step {promised} is lost: there is no record" if promised else None
    if content not in [body(step) for step in range(1, STEPS + 1)]:
        return f"the record is torn: {len(content)} bytes"
    held = int(content[:6])
    return f"step {promised} is lost: the record is of {held}" if held < promised else None


@pytest.mark.parametrize("sector", [512, 64])
def test_replace_is_safe(root: Path, sector: int) -> None:
    """With write, fsync, rename, fsync of the directory, no power loss tears or loses the record."""
    log = recorded(REPLACE, root, "nothing")
    number, wrong = verdicts(legal_states(log, limit_per_moment=200, sector=sector), check_record)
    assert wrong == []
    assert number > 1000
    report(f"{number} states of a replaced file, in sectors of {sector}")


@pytest.mark.parametrize(
    ("leave_out", "problem"),
    [
        ("file", "torn"),  # the rename came before the data
        ("directory", "lost"),  # the rename did not come
        ("rename", "torn"),  # written in place
    ],
)
def test_replace_without_one_part(root: Path, leave_out: str, problem: str) -> None:
    """Each part of the protocol is needed: without it the model finds a torn or a lost record."""
    log = recorded(REPLACE, root, leave_out)
    number, wrong = verdicts(legal_states(log), check_record)
    assert any(problem in what for what in wrong), (number, wrong)
    report(f"{len(wrong)} of {number} states are illegal without {leave_out}")


# ---- a journal, appended to --------------------------------------------------------------------------


JOURNAL = """
    import os, sys
    from tests.faults.shim import mark
    from tests.faults.test_disk import STEPS, line
    root, leave_out = sys.argv[1:]
    os.mkdir(f"{root}/sagas")
    fd = os.open(f"{root}/sagas/journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for path in [f"{root}/sagas", root]:
        above = os.open(path, os.O_RDONLY)
        if leave_out != path.removeprefix(root):
            os.fsync(above)
        os.close(above)
    for step in range(1, STEPS + 1):
        os.write(fd, line(step))
        if leave_out != "file":
            os.fdatasync(fd)
        mark(str(step))
"""


def line(step: int) -> bytes:
    return b"%06d " % step + b"x" * (1500 + step) + b"\n"


def check_journal(state: DiskState) -> str | None:
    """Say what is wrong with the journal: its whole lines must be those acknowledged, and maybe one more."""
    content = state.tree.get("sagas/journal", b"")
    promised = len(state.acknowledged)
    if not content.startswith(b"".join(line(step) for step in range(1, promised + 1))):
        return f"step {promised} is lost: {len(content)} bytes are left"
    return None


@pytest.mark.parametrize(("sector", "least"), [(512, 200), (64, 2000)])
def test_journal_is_safe(root: Path, sector: int, least: int) -> None:
    """With an fdatasync after each appended line, no power loss takes an acknowledged line."""
    log = recorded(JOURNAL, root, "nothing")
    number, wrong = verdicts(legal_states(log, limit_per_moment=300, sector=sector), check_journal)
    assert wrong == []
    assert number > least
    report(f"{number} states of a journal, in sectors of {sector}")


@pytest.mark.parametrize("leave_out", ["file", "", "/sagas"])
def test_journal_without_a_sync(root: Path, leave_out: str) -> None:
    """Without the fdatasync, or an fsync of either directory above, the model loses a line."""
    number, wrong = verdicts(legal_states(recorded(JOURNAL, root, leave_out)), check_journal)
    assert wrong
    report(f"{len(wrong)} of {number} states are illegal")


@pytest.mark.parametrize(("script", "check"), [(REPLACE, check_record), (JOURNAL, check_journal)])
def test_each_sync_is_needed(root: Path, script: str, check: Check) -> None:
    """Whichever one sync is left out, of a file or of a directory, the model finds what that loses."""
    log = recorded(script, root, "nothing")
    missed = [
        str(call)
        for call, less in without_each_sync(log)
        if not verdicts(legal_states(less, limit_per_moment=16), check)[1]
    ]
    assert missed == []


# ---- SQLite ------------------------------------------------------------------------------------------


SQLITE = """
    import sqlite3, sys
    from contextlib import closing
    from tests.faults.shim import mark
    root, synchronous, steps = sys.argv[1:]
    with closing(sqlite3.connect(f"{root}/db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.execute("PRAGMA wal_autocheckpoint=12")  # so that checkpoints and a reused log come into it
        db.execute("CREATE TABLE log (step INTEGER PRIMARY KEY, record TEXT)")
        for step in range(1, int(steps) + 1):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO log VALUES (?, ?)", (step, "x" * 900))
            db.execute("COMMIT")
            mark(str(step))
"""


def sqlite_check(place: Path) -> Check:
    """Make a check that opens the database in `place`."""

    def check(state: DiskState) -> str | None:
        materialise(state.tree, place)
        promised = {int(text) for text in state.acknowledged}
        if "db" not in state.tree:
            return "the database is lost" if promised else None
        try:
            with closing(sqlite3.connect(place / "db", isolation_level=None)) as db:
                db.execute("PRAGMA synchronous=OFF")  # the check itself need not survive
                verdict = db.execute("PRAGMA integrity_check").fetchall()
                tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                rows = {row[0] for row in db.execute("SELECT step FROM log")} if tables else set()
        except sqlite3.DatabaseError as error:
            return f"it cannot be read: {error}"
        if verdict != [("ok",)]:
            return f"it is damaged: {verdict}"
        return f"steps are lost: {sorted(promised - rows)}" if promised - rows else None

    return check


def scratch(tmp_path: Path) -> Path:
    """Where to put the trees: in memory if the system has such a place."""
    memory = Path("/dev/shm")
    return tmp_path / "tree" if not os.access(memory, os.W_OK) else memory / f"tree-{os.getpid()}"


@pytest.fixture
def check_sqlite(tmp_path: Path) -> Iterable[Check]:
    place = scratch(tmp_path)
    yield sqlite_check(place)
    if place.exists():
        materialise({}, place).rmdir()


def test_sqlite_full_is_safe(root: Path, check_sqlite: Check) -> None:
    """With synchronous=FULL, every disk after a power loss is sound, and holds the acknowledged rows."""
    log = recorded(SQLITE, root, "FULL", STEPS)
    number, wrong = verdicts(legal_states(log, limit_per_moment=300), check_sqlite)
    assert wrong == []
    assert number > 3000
    report(f"{number} states of a database")


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_sqlite_without_syncs(root: Path, check_sqlite: Check, synchronous: str) -> None:
    """With synchronous=NORMAL or OFF, the model finds a disk without an acknowledged row."""
    log = recorded(SQLITE, root, synchronous, 4)
    number, wrong = verdicts(legal_states(log, limit_per_moment=8), check_sqlite)
    assert any("lost" in what for what in wrong), (number, wrong)
    report(f"{len(wrong)} of {number} states are illegal with synchronous={synchronous}")


def test_sqlite_off_is_damaged(root: Path, check_sqlite: Check) -> None:
    """With synchronous=OFF, a power loss may even leave a database that is damaged."""
    log = recorded(SQLITE, root, "OFF", 10)
    _, wrong = verdicts(legal_states(log, limit_per_moment=8), check_sqlite)
    assert any("damaged" in what or "cannot be read" in what for what in wrong)


# ---- the replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "args"), [(REPLACE, ["nothing"]), (JOURNAL, ["nothing"]), (SQLITE, ["FULL", STEPS])]
)
def test_replay_is_faithful(root: Path, script: str, args: list[object]) -> None:
    """Without a power loss, the model holds what the directory holds, byte for byte."""
    log = recorded(script, root, *args)
    assert after(log) == snapshot(root)


def test_deterministic(root: Path) -> None:
    """The same record gives the same states in the same order, and none twice."""
    log = recorded(SQLITE, root, "FULL", 3)
    first, second = list(legal_states(log)), list(legal_states(log))
    assert first == second
    keys = {(state.acknowledged, tuple(sorted(state.tree.items()))) for state in first}
    assert len(keys) == len(first)


def test_bounded(root: Path) -> None:
    """The number of states per moment is bounded as asked."""
    log = recorded(SQLITE, root, "OFF", STEPS)
    counts = by_moment(legal_states(log, limit_per_moment=20))
    assert max(counts.values()) <= 20


@pytest.mark.parametrize(
    ("script", "args", "sector", "limit"),
    [(SQLITE, ["FULL"], 512, 500), (JOURNAL, ["nothing"], 64, 700), (REPLACE, ["nothing"], 64, 700)],
)
def test_volume(root: Path, script: str, args: list[str], sector: int, limit: int) -> None:
    """A saga of ten steps gives five thousand disks, on each kind of store; one with a journal, torn finer."""
    log = recorded(script, root, *args, *([STEPS] if script is SQLITE else []))
    number = sum(1 for _ in legal_states(log, limit_per_moment=limit, sector=sector))
    assert number >= 5000
    report(f"{number} states in {len(log.calls)} calls")


# ---- the rules, one by one ---------------------------------------------------------------------------

OLD, NEW = b"o" * 1024, b"n" * 1024
HALF = 512


def opened(path: str, inode: int, **more: object) -> Call:
    return Call(Op.OPEN, f"{ROOT}/{path}", inode=inode, created=True, **more)


def wrote(inode: int, data: bytes, offset: int = 0, flags: int = 0, path: str = "a") -> Call:
    return Call(
        Op.WRITE, f"{ROOT}/{path}", inode=inode, offset=offset, length=len(data), flags=flags, data=data
    )


def synced(inode: int, path: str = "a", error: int = 0) -> Call:
    return Call(Op.FSYNC, f"{ROOT}/{path}", inode=inode, error=error)


def synced_dir(path: str = "") -> Call:
    return Call(Op.FSYNC, f"{ROOT}/{path}".rstrip("/"), inode=1000 + len(path))


def named(op: Op, path: str, other: str = "", inode: int = 0) -> Call:
    return Call(op, f"{ROOT}/{path}", other and f"{ROOT}/{other}", inode=inode)


def cut(inode: int, size: int) -> Call:
    return Call(Op.TRUNCATE, f"{ROOT}/a", inode=inode, length=size)


def finals(*calls: Call, **initial: bytes) -> list[dict[str, bytes]]:
    """Give the disks that are legal after the last call, in a fixed order."""
    done = [*calls, Call(Op.MARK, "end")]
    states = legal_states(Log(ROOT, done, initial), limit_per_moment=1000)
    trees = [state.tree for state in states if state.acknowledged]
    return sorted(trees, key=lambda tree: sorted(tree.items()))


def contents(*calls: Call, **initial: bytes) -> set[bytes | None]:
    return {tree.get("a") for tree in finals(*calls, **initial)}


def test_sectors_tear() -> None:
    """A write of two sectors may reach the disk as either, both or none."""
    n, o = NEW[:HALF], OLD[:HALF]
    assert contents(wrote(1, NEW), a=OLD) == {o + o, n + o, o + n, n + n}


def test_a_sector_is_atomic() -> None:
    """A write within a sector is there or not."""
    assert contents(wrote(1, b"new"), a=b"old") == {b"old", b"new"}


def test_growth_before_data() -> None:
    """A file that grew may hold zeros."""
    assert contents(wrote(1, b"new", 3), a=b"old") == {b"old", b"oldnew", b"old\0\0\0"}


def test_later_write_carries_the_earlier() -> None:
    """In one sector, a write is not there without those before it."""
    states = contents(wrote(1, b"1", 3), wrote(1, b"2", 4), a=b"old")
    assert b"old12" in states and b"old1" in states
    assert b"old\x002" not in states


def test_later_sector_without_the_earlier() -> None:
    """In another sector, a write may be there without those before it."""
    assert b"o" * HALF + b"n" * HALF in contents(wrote(1, NEW[:HALF]), wrote(1, NEW[:HALF], HALF), a=OLD)


def test_synced_data_is_safe() -> None:
    """After fsync there is one content, whatever was written before."""
    assert contents(wrote(1, NEW), synced(1), a=OLD) == {NEW}


@pytest.mark.parametrize("flags", [os.O_DSYNC, os.O_SYNC])
def test_dsync(flags: int) -> None:
    """A write through a descriptor of O_DSYNC or O_SYNC is safe at once."""
    assert contents(wrote(1, NEW, flags=flags), a=OLD) == {NEW}


def test_range_is_no_sync() -> None:
    """sync_file_range saves nothing."""
    assert OLD in contents(wrote(1, NEW), named(Op.RANGE, "a", inode=1), a=OLD)


def test_failed_fsync_is_not_made_up_for() -> None:
    """After an fsync that failed, one that succeeds saves only what was written in between."""
    calls = [wrote(1, NEW[:HALF]), synced(1, error=5), wrote(1, NEW[:HALF], HALF), synced(1)]
    assert contents(*calls, a=OLD) == {b"o" * HALF + b"n" * HALF, NEW}


def test_cut_comes_first() -> None:
    """What was written after a truncation is on the disk only if the truncation is."""
    states = contents(cut(1, 0), wrote(1, b"n" * 600), a=OLD)
    assert {OLD, b"", b"n" * 600, b"n" * HALF, bytes(600)} <= states
    assert not any(b"n" in state and b"o" in state for state in states)


def test_new_name_may_be_missing() -> None:
    """A new file may be missing though its data was synced, until its directory is."""
    made = [opened("a", 1), wrote(1, b"new"), synced(1)]
    assert contents(*made) == {None, b"new"}
    assert contents(*made, synced_dir()) == {b"new"}


def test_new_name_before_data() -> None:
    """A new file may be there without its data, though its directory was synced."""
    assert contents(opened("a", 1), wrote(1, b"new"), synced_dir()) == {b"", b"new", bytes(3)}


def test_rename_before_data() -> None:
    """A rename over a file may come before the data of the new one."""
    calls = [opened("b", 2), wrote(2, b"new", path="b"), named(Op.RENAME, "b", "a")]
    assert {b"old", b"", b"new"} <= contents(*calls, a=b"old")


def test_rename_is_one_name() -> None:
    """After a rename there is the old name or the new, never both, never none: across directories, too."""
    initial = {"a": b"x", "d/": b""}
    for target in ["b", "d/b"]:
        trees = finals(named(Op.RENAME, "a", target), **initial)
        assert [sorted(set(tree) - {"d/"}) for tree in trees] == [["a"], [target]]


@pytest.mark.parametrize("which", ["", "d"])
def test_rename_across_is_synced_by_either(which: str) -> None:
    """A rename between directories, being atomic, is safe with an fsync of either."""
    trees = finals(named(Op.RENAME, "a", "d/b"), synced_dir(which), **{"a": b"x", "d/": b""})
    assert trees == [{"d/": b"", "d/b": b"x"}]


def test_names_come_in_order() -> None:
    """Of the changes of a directory, any first few may be on the disk."""
    trees = finals(opened("a", 1), opened("b", 2), named(Op.UNLINK, "a"))
    assert [sorted(tree) for tree in trees] == [[], ["a"], ["a", "b"], ["b"]]


def test_new_directory_may_be_missing() -> None:
    """What is in a new directory is lost with it, though it was synced itself."""
    made = [named(Op.MKDIR, "d", inode=9), opened("d/a", 1), synced(1, "d/a"), synced_dir("d")]
    made[-1] = Call(Op.FSYNC, f"{ROOT}/d", inode=9)
    assert finals(*made) == [{}, {"d/": b"", "d/a": b""}]
    assert finals(*made, synced_dir()) == [{"d/": b"", "d/a": b""}]


def test_unlink_may_be_undone() -> None:
    """A file that was removed may be back, until its directory is synced."""
    assert contents(named(Op.UNLINK, "a"), a=b"x") == {None, b"x"}
    assert contents(named(Op.UNLINK, "a"), synced_dir(), a=b"x") == {None}


def test_inode_is_used_again() -> None:
    """A new file that has the number of a removed one is another file."""
    calls = [opened("a", 1), wrote(1, b"1"), synced(1), synced_dir(), named(Op.UNLINK, "a")]
    assert contents(*calls, opened("a", 1), wrote(1, b"2")) == {None, b"", b"1", b"2", b"\0"}


def test_link() -> None:
    """A second name of a file has the same data."""
    trees = finals(named(Op.LINK, "a", "b"), wrote(1, b"new"), a=b"old")
    assert all(tree.get("b", tree["a"]) == tree["a"] for tree in trees)
    assert {"a": b"new", "b": b"new"} in trees


def test_sync_saves_all() -> None:
    """sync() saves data and names."""
    assert finals(opened("a", 1), wrote(1, b"x"), Call(Op.SYNC, ROOT)) == [{"a": b"x"}]


def test_shared_memory_is_left_out() -> None:
    """Files of SQLite's shared memory are in no state, however they are written."""
    calls = [opened("x-shm", 1), wrote(1, b"x", path="x-shm"), named(Op.MMAP, "x-shm", inode=1)]
    assert finals(*calls) == [{}]


@pytest.mark.parametrize(
    "call",
    [
        named(Op.MMAP, "a"),
        named(Op.OTHER, "a"),
        Call(Op.RENAME, f"{ROOT}/a", f"{ROOT}/a", flags=2),
        Call(Op.RENAME, "", f"{ROOT}/b"),
        Call(Op.RENAME, f"{ROOT}/a", ""),
        Call(Op.LINK, "", f"{ROOT}/b"),
        Call(Op.OPEN, ROOT, flags=os.O_TMPFILE),
        Call(Op.FALLOCATE, f"{ROOT}/a", inode=1, flags=2),
        wrote(5, b"x", path="never-opened"),
    ],
)
def test_unknown_is_refused(call: Call) -> None:
    """What the model does not know is an error, not a wrong state."""
    with pytest.raises(Unmodelled):
        finals(call, a=b"")


def test_mapping_is_refused(root: Path) -> None:
    """A program that writes through a shared mapping is found out."""
    script = """
        import mmap, os, sys
        fd = os.open(f"{sys.argv[1]}/a", os.O_CREAT | os.O_RDWR)
        os.truncate(fd, 4096)
        with mmap.mmap(fd, 4096) as view:
            view[0] = 1
    """
    with pytest.raises(Unmodelled, match="mmap"):
        list(legal_states(recorded(script, root)))


def test_fault_and_power_loss(root: Path) -> None:
    """A program that takes a failed fsync for a passing one, and tries again, is found out."""
    script = """
        import os, sys
        from contextlib import suppress
        from tests.faults.shim import mark
        fd = os.open(f"{sys.argv[1]}/a", os.O_WRONLY)
        os.write(fd, b"new")
        with suppress(OSError):
            os.fsync(fd)
        os.fsync(fd)
        mark("new is durable")
    """
    shim.require()
    (root / "a").write_bytes(b"old")
    argv = [sys.executable, "-c", textwrap.dedent(script), str(root)]
    outcome = shim.run(argv, root, record=True, fault="eio", at=3)
    assert (outcome.returncode, outcome.state.call) == (0, "fsync")
    kept = {state.tree["a"] for state in legal_states(outcome.log) if state.acknowledged}
    assert kept == {b"old", b"new"}


def test_materialise(tmp_path: Path) -> None:
    """A tree that is put on the disk is there, and what was there before is not."""
    tree = {"a": b"x", "d/": b"", "d/e/": b"", "f/": b"", "f/g": b"y"}
    materialise({"old": b"", "a/": b""}, tmp_path / "t")
    assert snapshot(materialise(tree, tmp_path / "t")) == tree
