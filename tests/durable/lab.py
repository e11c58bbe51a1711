"""Crashes a workflow at each of its crash points, in forked processes, and checks what comes of it.

Run as a program of its own, with one thread, so that it may fork: ``python -m tests.durable.lab SCENARIO
STORE CASES``. It prints what it has found as JSON.

A crash point is the moment before a call that changes something outside of the process: a call of `os` that
writes, syncs, locks, renames, opens or closes, a statement of SQLite, an effect of a step. The moment
after it is the one before the next, and the last has a point after it too; within a write there is one
where half of it is there. A process counts the points that it passes and ends at the one that it was
told, as a killed process does: nothing is cleaned up.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from importlib import resources
from pathlib import Path

from automa import Answered, Started
from automa.stores import MemoryStore
from automa.stores.file import FileStore
from automa.stores.sqlite import SqliteStore
from tests.durable.scenarios import SCENARIOS, Builder, resume, start, told

CRASHED = 77
_PATCHED = ("open", "write", "fsync", "close", "replace", "rename", "unlink", "mkdir")
_real = {name: getattr(os, name) for name in _PATCHED}


class Points:
    """Counts the crash points of this process, and ends it at one of them.

    Args:
        crash_at: The number of the point at which the process ends; 0 is none.
        note: The file into which the name of that point is written, for messages.
    """

    def __init__(self, crash_at, note):
        self.crash_at, self.note, self.count = crash_at, note, 0

    def is_here(self):
        self.count += 1
        return self.count == self.crash_at

    def crash(self, name):
        fd = _real["open"](self.note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _real["write"](fd, f"{name}\n".encode())
        os._exit(CRASHED)

    def pass_by(self, name):
        if self.is_here():
            self.crash(f"before {name}")

    def install(self):
        """Make all that changes something outside of this process pass a crash point before."""
        for name in _PATCHED:
            setattr(os, name, self._watched(name, _real[name]))
        os.write = self._write
        fcntl.flock = self._watched("flock", fcntl.flock)
        connect, points = sqlite3.connect, self

        class Connection(sqlite3.Connection):
            def execute(self, sql, *values):
                points.pass_by(f"execute {' '.join(sql.split())[:50]}")
                return super().execute(sql, *values)

        sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)

    def _watched(self, name, function):
        def call(*args, **options):
            self.pass_by(f"{name} {args[0]}")
            return function(*args, **options)

        return call

    def _write(self, fd, data):
        self.pass_by(f"write {fd}")
        if self.is_here():
            _real["write"](fd, memoryview(data)[: len(data) // 2])
            self.crash(f"within write {fd}")
        return _real["write"](fd, data)


class Acks:
    """An observer that writes down each record of which it hears: it is durable then."""

    def __init__(self, path):
        self.path = path

    def on_record(self, record):
        if isinstance(record, Started):
            append_line(self.path, f"started {record.action} {record.path}")
        elif isinstance(record, Answered):
            append_line(self.path, f"answered {record.report.action} {record.path}")


def append_line(path, line):
    fd = _real["open"](path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _real["write"](fd, f"{line}\n".encode())
    _real["close"](fd)


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


class Case:
    """One run, with all processes that carry it on, in a folder of its own."""

    def __init__(self, scenario, store, folder):
        self.build = SCENARIOS[scenario]
        self.store = store
        self.folder = folder
        self.ledger, self.acks, self.note = folder / "ledger", folder / "acks", folder / "note"
        self.found = folder / "found"
        folder.mkdir()

    def process(self, number, crash_at=0):
        """Carry the run on in a process; return whether that has crashed."""
        pid = os.fork()
        if pid == 0:
            self._child(number, crash_at)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in {0, CRASHED}:
            raise AssertionError(f"process {number} ended with {code}")
        return code == CRASHED

    def _child(self, number, crash_at):
        found = {}
        try:
            points = Points(crash_at, self.note)
            points.install()

            def effect(kind, path, values):
                points.pass_by(f"{kind} {path}")
                append_line(self.ledger, f"{number} {kind} {path} {values}")
                points.pass_by(f"end of {kind} {path}")

            workflow = self.build(Builder(effect, lambda: lines_of(self.ledger)))
            if self.store == "file":
                store = FileStore(self.folder / "runs")
            else:
                store = SqliteStore(self.folder / "runs.db")
            go = start if number == 1 else resume
            report = go(workflow, store, observers=[Acks(self.acks)])
            points.pass_by("end")
            found = {"report": told(report), "points": points.count}
            points.crash_at = 0
            found["entries"] = store.load("w", "r1")
            found["status"] = [each.status for each in store.runs()]
            store.close()
            found["left"] = [str(path) for path in self.folder.rglob("*.tmp")]
        except BaseException:
            found["problem"] = traceback.format_exc()
        finally:
            fd = _real["open"](self.found, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            _real["write"](fd, json.dumps(found).encode())
            os._exit(0)

    def result(self):
        return json.loads(self.found.read_text())


def effects_of(lines):
    """Return the lines of a ledger without the numbers of the processes."""
    return [line.split(" ", 1)[1] for line in lines]


def without_details(report):
    """Return what is told of a report, without the remarks, which tell of a verification."""
    if isinstance(report, dict):
        return {key: without_details(value) for key, value in report.items() if key != "text"}
    if isinstance(report, list) and len(report) == 10:
        return [*report[:3], *map(without_details, report[4:6]), without_details(report[7])]
    return [without_details(each) for each in report] if isinstance(report, list) else report


_MOST_FAILURES = 3


class TooManyFailures(Exception):
    """Ends the work early: something is wrong."""


class Lab:
    """Makes the cases of one scenario in one store.

    Args:
        scenario: Its name in `SCENARIOS`.
        store: ``file`` or ``sqlite``.
        folder: Where the cases have their folders.
    """

    def __init__(self, scenario, store, folder):
        self.scenario, self.store, self.folder = scenario, store, folder
        self.is_exact = scenario == "verified"
        self.cases, self.pairs, self.failures = 0, 0, []
        self.reference, self.points = {}, 0

    def work(self, cases):
        """Crash at each point, then at pairs of points, thinned evenly, until there are that many cases."""
        self._uncrashed()
        second = {}
        for first in range(1, self.points + 1):
            result = self._case(first)
            second[first] = result.get("points", 0)
        total = sum(second.values())
        stride = max(1, total // max(cases - self.cases, 1))
        number = 0
        for first, count in second.items():
            for then in range(1, count + 1):
                number += 1
                if number % stride == 0:
                    self._case(first, then)
                    self.pairs += 1

    def _uncrashed(self):
        case = Case(self.scenario, self.store, self.folder / "reference")
        assert not case.process(1)
        self.reference = case.result() | {"ledger": effects_of(lines_of(case.ledger))}
        if "problem" in self.reference:
            raise AssertionError(self.reference["problem"])
        self.points = self.reference["points"]

    def _case(self, *crashes):
        case = Case(self.scenario, self.store, self.folder / "case")
        try:
            for number, crash_at in enumerate(crashes, start=1):
                if not case.process(number, crash_at):
                    problem = case.result().get("problem", "it ended before")
                    self._fail(crashes, case, [f"process {number} did not come to its crash: {problem}"])
            case.process(len(crashes) + 1)
            result = case.result()
            problems = (
                [result["problem"]] if "problem" in result else list(self._problems(case, result, crashes))
            )
            if problems:
                self._fail(crashes, case, problems)
        finally:
            shutil.rmtree(case.folder)
        self.cases += 1
        return result

    def _fail(self, crashes, case, problems):
        told_of = {"crashes": crashes, "at": lines_of(case.note), "problems": problems}
        self.failures.append(told_of | {"ledger": lines_of(case.ledger)})
        if len(self.failures) == _MOST_FAILURES:
            raise TooManyFailures

    def _problems(self, case, result, crashes):
        """Yield in which way a case does not keep what is promised."""
        lines, reference = lines_of(case.ledger), self.reference
        once, again = [], []
        for index, line in enumerate(lines):
            process, effect = line.split(" ", 1)
            if index and once[-1] == effect and lines[index - 1].split(" ", 1)[0] != process:
                again.append(line)
            else:
                once.append(effect)
        if once != reference["ledger"]:  # what is not right after a crash counts as done twice
            yield f"G2/G4: the effects were not those of an uncrashed run: {once} != {reference['ledger']}"
        if len(again) > (0 if self.is_exact else len(crashes)):
            yield f"G3: more was done again than what was in flight: {again}"
        clean = without_details if self.is_exact else lambda report: report
        if clean(result["report"]) != clean(reference["report"]):
            yield f"G8: the report differs: {result['report']} != {reference['report']}"
        if result["status"] != reference["status"]:
            yield f"the list of runs differs: {result['status']}"
        if result["left"]:
            yield f"left over: {result['left']}"
        yield from self._problems_of_journal(case, result["entries"], lines)

    def _problems_of_journal(self, case, entries, lines):
        recorded = [
            f"{kind} {entry.get('action', 'run')} {entry[kind]}"
            for entry in entries
            for kind in ("started", "answered")
            if kind in entry
        ]
        rest = iter(recorded)
        for line in lines_of(case.acks):
            if line not in rest:
                yield f"G9: {line!r} was recorded, and is gone: {recorded}"
                break
        answered = set()
        for line in recorded:
            kind, what = line.split(" ", 1)
            if what in answered:
                yield f"G2: {what} was {kind} after it was answered: {recorded}"
            if kind == "answered":
                answered.add(what)
        for effect in {tuple(line.split(" ", 3)[1:3]) for line in lines}:
            kind, path = effect
            times = sum(line.split(" ", 3)[1:3] == [kind, path] for line in lines)
            action = "rollback" if kind == "undo" else kind
            if recorded.count(f"started {action} {path}") < times:
                yield f"G1: {kind} {path} was done {times} times, and written ahead less often: {recorded}"


def fast_folder():
    """Return a new folder in memory where there is one."""
    memory = Path("/dev/shm")
    is_there = memory.is_dir() and os.access(memory, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="automa-lab-", dir=memory if is_there else None))


def main(scenario, store, cases):
    """Work through a scenario, and print what was found."""
    began, folder = time.monotonic(), fast_folder()
    start(SCENARIOS["success"](Builder(lambda *_: None)), MemoryStore())  # so that children import nothing
    resources.files("automa.stores").joinpath("schema.sql").read_text()
    gc.freeze()
    lab = Lab(scenario, store, folder)
    try:
        lab.work(int(cases))
    except TooManyFailures:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    summary = {"points": lab.points, "pairs": lab.pairs, "cases": lab.cases}
    print(json.dumps(summary | {"failures": lab.failures, "seconds": time.monotonic() - began}))  # noqa: T201  # its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
