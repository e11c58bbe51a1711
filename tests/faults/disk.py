"""What a disk may hold after a power loss, told from a record of the calls that were made.

`legal_states` replays a record (see `shim.py`) and, after each call, loses the power: it yields the
trees of files that POSIX and a disk of atomic sectors then allow. A store that keeps its promises
keeps them in every one.

The model, which is stricter than most file systems, and never stricter than their documents:

- A file's data is safe once fsync or fdatasync of that file returned. Of the writes since, any subset
  may have reached the disk, each one whole or in part. A sector (512 bytes, aligned) is atomic: it
  holds what the file held there after some write, so a later write to a sector carries the earlier
  ones to it. A file that grew may have its new size before its data: then it holds zeros.
- What follows a shrinking truncation is on the disk only if that is.
- Whether an entry of a directory was made, renamed or removed is safe once fsync of that directory
  returned. Of what was done to it since, any prefix may have reached the disk. A rename is atomic, also
  from one directory to another. To sync a file does not sync its name.
- An fsync that failed may have written any part, and one that succeeds later does not make up for it:
  the kernel has marked the pages clean.
- sync_file_range promises nothing. A descriptor opened with O_DSYNC or O_SYNC syncs at each write.

What it does not know, it refuses with `Unmodelled`, rather than to be silently wrong: shared writable
mappings, holes punched, copies within the kernel, symbolic links, names that cross the root's border.
Files whose name ends in "-shm" are left out: SQLite maps them, and builds them anew.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b, shake_128
from typing import TYPE_CHECKING, NamedTuple

from tests.faults.shim import Call, Log, Op, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "DiskState",
    "Unmodelled",
    "after",
    "by_moment",
    "legal_states",
    "materialise",
    "snapshot",
    "without_each_sync",
]

SECTOR = 512
_MOST_CUTS = 8  # of one write; a tear in the midst of a long one is like its neighbours
_MOST_SCATTERED = 4096
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
_EXCHANGE = 2  # RENAME_EXCHANGE

Tree = dict[str, bytes]


class Unmodelled(Exception):
    """The program did something that the model does not know."""


class DiskState(NamedTuple):
    """A disk after a power loss.

    Attributes:
        moment: How many of the record's calls had been completed.
        acknowledged: The marks up to then.
        tree: Relative path -> bytes; a directory is there as "path/" -> b"".
    """

    moment: int
    acknowledged: tuple[str, ...]
    tree: Tree


# ---- files -------------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class _Change:
    """A change of a file's data that may not be on the disk.

    Attributes:
        offset: Where a write begins.
        data: What it writes; None: the file's size is changed instead.
        size: To this size,
        grows: unless it is larger already (fallocate).
        shrinks: Whether the file was cut.
        fate: "free" to be on the disk or not; "safe" on it; "lost": an fsync failed, so it stays free.
    """

    offset: int = 0
    data: bytes | None = None
    size: int = 0
    grows: bool = False
    shrinks: bool = False
    fate: str = "free"

    def apply(self, content: bytearray) -> None:
        if self.data is not None:
            _resize(content, max(len(content), self.offset))
            content[self.offset : self.offset + len(self.data)] = self.data
        elif not self.grows or self.size > len(content):
            _resize(content, self.size)

    @property
    def end(self) -> int:
        return self.offset + len(self.data or b"")


# How much of a change is on the disk: None, nothing; else from which byte to which, each.
_Pick = tuple[tuple[int, int], ...] | None
_WHOLE = ((-1, -1),)  # all of it, where the span is not at hand


class _Variant(NamedTuple):
    content: bytes
    digest: bytes


@dataclass(eq=False, slots=True)
class _File:
    base: bytes = b""
    cache: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)
    known: list[_Variant] | None = None

    def change(self, change: _Change) -> None:
        change.shrinks = change.data is None and not change.grows and change.size < len(self.cache)
        change.apply(self.cache)
        self.pending.append(change)
        self.known = None

    def sync(self, *, failed: bool = False) -> None:
        for change in self.pending:
            if change.fate == "free":
                change.fate = "lost" if failed else "safe"
        self._settle()
        self.known = None

    def _settle(self) -> None:
        """Take what is safe, and has nothing unsafe before it, into the base."""
        safe = list(itertools.takewhile(lambda change: change.fate == "safe", self.pending))
        content = bytearray(self.base)
        for change in safe:
            change.apply(content)
        self.base = bytes(content)
        del self.pending[: len(safe)]

    def variants(self, most: int, sector: int) -> list[_Variant]:
        """The contents that the disk may have; first the oldest, last the newest."""
        if self.known is None:
            newest, most = bytes(self.cache), max(most, 2)
            contents = {newest: None}
            tries = itertools.islice(self._contents(sector), 4 * most)  # many a choice comes to the same
            for content in itertools.takewhile(lambda _: len(contents) < most, tries):
                contents[content] = None
            del contents[newest]
            self.known = [_Variant(content, _digest(content)) for content in [*contents, newest]]
        return self.known

    def _contents(self, sector: int) -> Iterator[bytes]:
        for pick in _picks(self.pending, sector) if self.pending else ():
            content = _build(self.base, self.pending, pick, sector)
            yield content
            cut = any(change.shrinks and not on for change, on in zip(self.pending, pick, strict=True))
            if not cut and len(content) < len(self.cache):
                yield content.ljust(len(self.cache), b"\0")  # the size came before the data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def _build(base: bytes, changes: Sequence[_Change], picks: Sequence[_Pick], sector: int) -> bytes:
    """Tell what the disk holds if of each change that part is on it."""
    disk, cache = bytearray(base), bytearray(base)
    for change, pick in zip(changes, picks, strict=True):
        change.apply(cache)
        if pick is None:
            continue
        if change.data is None:
            change.apply(disk)
        else:
            for first, last in pick:
                start, end = first - first % sector, min(-(-last // sector) * sector, len(cache))
                _resize(disk, max(len(disk), start))
                disk[start:end] = cache[start:end]
    return bytes(disk)


def _picks(changes: Sequence[_Change], sector: int) -> Iterator[list[_Pick]]:
    """Choose which changes are on the disk: the telling choices early, as the caller takes only some."""
    free = [index for index, change in enumerate(changes) if change.fate != "safe"]
    yield _pick(changes, free, {})
    kinds = [
        _torn(changes, free, sector),
        (_whole(free[:end]) for end in range(len(free) - 1, 0, -1)),  # the first few
        (_whole(free, but=index) for index in reversed(free)),  # all but one
        (_whole([index]) for index in free),  # only one
        _subsets(free),
        _scattered(changes, free, sector),
    ]
    for parts in _in_turns(kinds):
        yield _pick(changes, free, parts)


def _whole(indices: Iterable[int], but: int | None = None) -> dict[int, _Pick]:
    return dict.fromkeys((index for index in indices if index != but), _WHOLE)


def _pick(changes: Sequence[_Change], free: Sequence[int], parts: Mapping[int, _Pick]) -> list[_Pick]:
    last = max(parts, default=-1)
    result: list[_Pick] = []
    for index, change in enumerate(changes):
        part = parts.get(index)
        # A later change needs the cut before it; and what was synced is there.
        needed = change.fate == "safe" or (change.shrinks and _needed(changes, index, last))
        result.append(((change.offset, change.end),) if needed or part == _WHOLE else part)
    return result


def _needed(changes: Sequence[_Change], index: int, last: int) -> bool:
    return last > index or any(change.fate == "safe" for change in changes[index + 1 :])


def _torn(changes: Sequence[_Change], free: Sequence[int], sector: int) -> Iterator[dict[int, _Pick]]:
    """Tear one write, the newest first: all before it are there, or none."""
    for place in range(len(free) - 1, -1, -1):
        index = free[place]
        start, end = changes[index].offset, changes[index].end
        for cut in _cuts(start, end, sector):
            yield _whole(free[:place]) | {index: ((start, cut),)}
            yield _whole(free[:place]) | {index: ((cut, end),)}
            yield {index: ((start, cut),)}


def _cuts(start: int, end: int, sector: int) -> list[int]:
    cuts = range(start - start % sector + sector, end, sector)
    step = max(1, math.ceil(len(cuts) / _MOST_CUTS))
    return sorted({*cuts[::step], *cuts[-1:]})


def _subsets(free: Sequence[int]) -> Iterator[dict[int, _Pick]]:
    for size in range(2, len(free) - 1):
        for chosen in itertools.combinations(free, size):
            yield _whole(chosen)


def _scattered(changes: Sequence[_Change], free: Sequence[int], sector: int) -> Iterator[dict[int, _Pick]]:
    """Have any of the sectors: a kernel and a disk write them in the order that suits them."""
    pieces = [
        (index, (max(start, changes[index].offset), min(start + sector, changes[index].end)))
        for index in free
        for start in range(changes[index].offset // sector * sector, changes[index].end, sector)
    ]
    if len(pieces) < 2:
        return
    for number in range(min(2 ** len(pieces), _MOST_SCATTERED)):
        bits = _mixed(number, len(pieces))
        chosen: dict[int, tuple[tuple[int, int], ...]] = {}
        for place, (index, piece) in enumerate(pieces):
            if bits >> place & 1:
                chosen[index] = (*chosen.get(index, ()), piece)
        yield dict(chosen)


def _mixed(number: int, size: int) -> int:
    """Turn 0, 1, 2, ... into patterns of so many bits: of a few bits, into each pattern once."""
    if 2**size <= _MOST_SCATTERED:
        return number * 0x9E3779B1 % 2**size
    return int.from_bytes(shake_128(b"%d" % number).digest(size // 8 + 1), "big")


def _in_turns(iterators: Sequence[Iterator[dict[int, _Pick]]]) -> Iterator[dict[int, _Pick]]:
    for row in itertools.zip_longest(*iterators):
        yield from (item for item in row if item is not None)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


# ---- directories -------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class _Edit:
    """A change of a directory that may not be on the disk.

    Attributes:
        gone: The name that is removed.
        name: The name that is given,
        node: to this.
        twin: Of a rename into another directory, that directory and its half: on the disk both are, or none.
    """

    gone: str | None = None
    name: str | None = None
    node: _File | _Dir | None = None
    twin: tuple[_Dir, _Edit] | None = None

    def apply(self, entries: dict[str, _File | _Dir]) -> None:
        if self.gone is not None:
            entries.pop(self.gone, None)
        if self.name is not None and self.node is not None:
            entries[self.name] = self.node


@dataclass(eq=False, slots=True)
class _Dir:
    safe: dict[str, _File | _Dir] = field(default_factory=dict)
    now: dict[str, _File | _Dir] = field(default_factory=dict)
    pending: list[_Edit] = field(default_factory=list)

    def edit(self, edit: _Edit) -> None:
        edit.apply(self.now)
        self.pending.append(edit)

    def sync(self, upto: _Edit | None = None) -> None:
        """Take the pending edits, or those up to one, to the disk, with their other halves."""
        while self.pending:
            edit = self.pending.pop(0)
            edit.apply(self.safe)
            if edit.twin is not None and edit.twin[1] in edit.twin[0].pending:
                edit.twin[0].sync(edit.twin[1])
            if edit is upto:
                break

    def entries(self, edits: int) -> dict[str, _File | _Dir]:
        """Tell what the directory holds if that many of its pending edits are on the disk."""
        result = dict(self.safe)
        for edit in self.pending[:edits]:
            edit.apply(result)
        return result


# A layout: which file is at which path; a directory is None at "path/".
_Layout = dict[str, "_File | None"]


def _walk(
    top: _Dir, edits: Mapping[_Dir, int] | None, prefix: str = ""
) -> Iterator[tuple[str, _File | None]]:
    """List what is below a directory; `edits` None: as the program itself sees it."""
    entries = top.now if edits is None else top.entries(edits.get(top, 0))
    for name, node in sorted(entries.items()):
        if isinstance(node, _Dir):
            yield f"{prefix}{name}/", None
            yield from _walk(node, edits, f"{prefix}{name}/")
        elif not _ignored(name):
            yield prefix + name, node


def _ignored(path: str) -> bool:
    return path.removesuffix(" (deleted)").endswith("-shm")


# ---- the disk ----------------------------------------------------------------------------------------


class _Disk:
    """The files below a directory, and what of them is on the disk."""

    def __init__(self, log: Log) -> None:
        self.prefix = log.root
        self.root = _Dir()
        self.directories = [self.root]
        self.inodes: dict[int, _File | _Dir] = {}
        for path, content in sorted(log.initial.items()):
            parent, name = self._place(f"{self.prefix}/{path.rstrip('/')}")
            node = self._new_dir() if path.endswith("/") else _File(content, bytearray(content))
            parent.safe[name] = parent.now[name] = node

    def _new_dir(self) -> _Dir:
        self.directories.append(_Dir())
        return self.directories[-1]

    def _find(self, path: str) -> _File | _Dir:
        node: _File | _Dir = self.root
        for name in filter(None, path.removeprefix(self.prefix).split("/")):
            if not isinstance(node, _Dir) or name not in node.now:
                raise Unmodelled(f"{path} was not there, as far as the record tells")
            node = node.now[name]
        return node

    def _place(self, path: str) -> tuple[_Dir, str]:
        parent, _, name = path.rpartition("/")
        if not path.startswith(f"{self.prefix}/"):
            raise Unmodelled(f"a name leads across the border of {self.prefix}")
        node = self._find(parent)
        if not isinstance(node, _Dir):
            raise Unmodelled(f"{parent} is not a directory, as far as the record tells")
        return node, name

    def _at(self, call: Call) -> _File | _Dir:
        """Find by inode, as a descriptor outlives its name; and by name what was there from the start."""
        if call.inode not in self.inodes:
            self.inodes[call.inode] = self._find(call.path)
        return self.inodes[call.inode]

    def _file(self, call: Call) -> _File:
        node = self._at(call)
        if isinstance(node, _Dir):
            raise Unmodelled(f"{call} is of a directory")
        return node

    def replay(self, call: Call) -> None:
        """Do what a call did."""
        if call.op in _REFUSED and not _ignored(call.path):
            raise Unmodelled(f"{call.other} of {call.path}")
        if call.op in _DATA and _ignored(call.path):
            return
        handler = _HANDLERS.get(call.op)
        if handler is not None:
            handler(self, call)

    def open(self, call: Call) -> None:
        if call.flags & os.O_TMPFILE == os.O_TMPFILE:
            raise Unmodelled(f"a file without a name in {call.path}")
        if call.created:
            self._add(call, _File())
        node = self._at(call)
        if call.flags & os.O_TRUNC and isinstance(node, _File) and node.cache and not _ignored(call.path):
            node.change(_Change(size=0))

    def mkdir(self, call: Call) -> None:
        self._add(call, self._new_dir())

    def _add(self, call: Call, node: _File | _Dir) -> None:
        parent, name = self._place(call.path)
        parent.edit(_Edit(name=name, node=node))
        self.inodes[call.inode] = node  # the number may be that of a file that is gone

    def write(self, call: Call) -> None:
        if not call.data:
            return
        node = self._file(call)
        node.change(_Change(offset=call.offset, data=call.data))
        if call.flags & os.O_DSYNC:  # which is a bit of O_SYNC, too
            node.sync()

    def sync(self, call: Call) -> None:
        node = self._at(call)
        if isinstance(node, _File):
            node.sync(failed=bool(call.error))
        elif not call.error:
            node.sync()

    def sync_all(self, _: Call) -> None:
        for directory in self.directories:
            directory.sync()
        for _path, node in _walk(self.root, None):
            if node is not None:
                node.sync()

    def truncate(self, call: Call) -> None:
        self._file(call).change(_Change(size=call.length))

    def fallocate(self, call: Call) -> None:
        if call.flags & ~_KEEP_SIZE:
            raise Unmodelled(f"fallocate of {call.path} in mode {call.flags}")
        if not call.flags:
            self._file(call).change(_Change(size=call.offset + call.length, grows=True))

    def remove(self, call: Call) -> None:
        parent, name = self._place(call.path)
        parent.edit(_Edit(gone=name))

    def link(self, call: Call) -> None:
        self._place(call.path)  # it must be below the root
        parent, name = self._place(call.other)
        parent.edit(_Edit(name=name, node=self._find(call.path)))

    def rename(self, call: Call) -> None:
        if call.flags & _EXCHANGE:
            raise Unmodelled(f"an exchange of {call.path} and {call.other}")
        (source, old), (target, new) = self._place(call.path), self._place(call.other)
        node = self._find(call.path)
        if target.now.get(new) is node:  # two names of one file: POSIX does nothing
            return
        if source is target:
            source.edit(_Edit(gone=old, name=new, node=node))
            return
        leaves, arrives = _Edit(gone=old), _Edit(name=new, node=node)
        leaves.twin, arrives.twin = (target, arrives), (source, leaves)
        target.edit(arrives)
        source.edit(leaves)

    def layouts(self, most: int) -> list[_Layout]:
        """The directories that the disk may have; first the oldest, last the newest."""
        dirty = [directory for directory in self.directories if directory.pending]
        shape = [len(directory.pending) + 1 for directory in dirty]
        found: dict[tuple[tuple[str, _File | None], ...], None] = {}
        for choice in _sample(shape, most):
            edits = dict(zip(dirty, choice, strict=True))
            if _whole_renames(edits):
                found[tuple(_walk(self.root, edits))] = None
        return [dict(layout) for layout in found]


def _whole_renames(edits: Mapping[_Dir, int]) -> bool:
    """Whether of each rename between two directories both halves are on the disk, or none."""
    for directory, done in edits.items():
        for index, edit in enumerate(directory.pending):
            if edit.twin is not None:
                other, half = edit.twin
                if (index < done) != (other.pending.index(half) < edits[other]):
                    return False
    return True


_DATA = {Op.WRITE, Op.TRUNCATE, Op.FALLOCATE, Op.FSYNC, Op.FDATASYNC}
_REFUSED = {Op.MMAP, Op.OTHER}
_HANDLERS = {
    Op.OPEN: _Disk.open,
    Op.WRITE: _Disk.write,
    Op.FSYNC: _Disk.sync,
    Op.FDATASYNC: _Disk.sync,
    Op.TRUNCATE: _Disk.truncate,
    Op.RENAME: _Disk.rename,
    Op.UNLINK: _Disk.remove,
    Op.RMDIR: _Disk.remove,
    Op.LINK: _Disk.link,
    Op.MKDIR: _Disk.mkdir,
    Op.FALLOCATE: _Disk.fallocate,
    Op.SYNC: _Disk.sync_all,
}


# ---- the states --------------------------------------------------------------------------------------


def _sample(shape: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """Take at most so many points of a grid, spread evenly: its first, its last, and some between."""
    total = math.prod(shape)
    if total <= most:
        numbers: Iterable[int] = range(total)
    else:
        step = next(step for step in itertools.count(int(total * 0.618) or 1) if math.gcd(step, total) == 1)
        between = (index * step % total for index in range(1, max(most - 1, 1)))
        numbers = [0, *(number for number in between if number != total - 1), total - 1]
    for number in numbers:
        point, rest = [], number
        for size in shape:
            rest, place = divmod(rest, size)
            point.append(place)
        yield tuple(point)


def _trees(disk: _Disk, limit: int, sector: int) -> Iterator[tuple[bytes, Tree]]:
    """Yield the trees that the disk may have now, each with a digest."""
    choices = []
    for layout in disk.layouts(limit):
        unsafe = list(dict.fromkeys(node for node in layout.values() if node is not None and node.pending))
        shape = [len(node.variants(limit, sector)) for node in unsafe]
        choices.append((math.prod(shape), layout, unsafe, shape))
    choices.sort(key=lambda choice: choice[0])  # what a small one does not need is left to the large ones
    left = limit
    for place, (total, layout, unsafe, shape) in enumerate(choices):
        share = min(total, max(2, left // (len(choices) - place)))
        left -= share
        for point in _sample(shape, share):
            chosen = {
                node: node.variants(limit, sector)[index] for node, index in zip(unsafe, point, strict=True)
            }
            yield _tree(layout, chosen, limit, sector)


def _tree(layout: _Layout, chosen: Mapping[_File, _Variant], limit: int, sector: int) -> tuple[bytes, Tree]:
    digest, tree = blake2b(digest_size=16), {}
    for path, node in layout.items():
        variant = _NOTHING if node is None else chosen.get(node) or node.variants(limit, sector)[-1]
        digest.update(path.encode() + b"\0" + variant.digest)
        tree[path] = variant.content
    return digest.digest(), tree


_NOTHING = _Variant(b"", _digest(b""))


def legal_states(log: Log, *, limit_per_moment: int = 64, sector: int = SECTOR) -> Iterator[DiskState]:
    """Yield the disks that a power loss may leave: after each call, and before the first.

    The same record gives the same disks in the same order. No disk comes twice with the same marks.

    Args:
        log: The record, of `run(..., record=True).log`.
        limit_per_moment: At most so many disks after each call. (Each layout of the directories has at
            least its oldest and its newest data, even so.)
        sector: What a disk writes as a whole, in bytes. 512 is what disks promise; a smaller power of two
            tears finer, as memory that is used as a disk does.

    Raises:
        Unmodelled: The program did something that the model does not know.
    """
    disk = _Disk(log)
    marks: list[str] = []
    seen: set[tuple[int, bytes]] = set()
    for moment in range(len(log.calls) + 1):
        if moment:
            call = log.calls[moment - 1]
            disk.replay(call)
            marks += [call.path] if call.op is Op.MARK else []
        for digest, tree in _trees(disk, limit_per_moment, sector):
            if (len(marks), digest) not in seen:
                seen.add((len(marks), digest))
                yield DiskState(moment, tuple(marks), tree)


def after(log: Log) -> Tree:
    """Tell what the directory holds in the end if no power is lost: the same as `snapshot` of it."""
    disk = _Disk(log)
    for call in log.calls:
        disk.replay(call)
    return {path: b"" if node is None else bytes(node.cache) for path, node in _walk(disk.root, None)}


def materialise(tree: Mapping[str, bytes], directory: Path) -> Path:
    """Make a directory hold a tree, and nothing else."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    for path, content in tree.items():
        target = directory / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return directory


def without_each_sync(log: Log) -> Iterator[tuple[Call, Log]]:
    """Leave out each fsync and fdatasync in turn: a check that minds none of it has no teeth there.

    Yields:
        The call that is missing, and the record without it.
    """
    for index, call in enumerate(log.calls):
        if call.op in {Op.FSYNC, Op.FDATASYNC} and not _ignored(call.path):
            yield call, Log(log.root, log.calls[:index] + log.calls[index + 1 :], log.initial)


def by_moment(states: Iterable[DiskState]) -> Counter[int]:
    """Count the disks of each moment, to see where a store is exposed."""
    return Counter(state.moment for state in states)
