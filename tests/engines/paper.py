"""An engine on paper: it keeps what its durable steps return, and can forget everything else at any time."""

from __future__ import annotations

import asyncio
import json
import logging

from automa.engines.parts import Branches, Host, Part, Step, Wait, carry
from automa.engines.segments import Signals
from automa.journal.entries import EntryEncoder, decode_entries
from automa.journal.reading import read
from automa.workflow import begun_of


class Loud(logging.Handler):
    """Fails a test in which a worker finds that a history does not fit, for which it would wait."""

    def emit(self, record):
        raise AssertionError(record.getMessage())


logging.getLogger("automa.engines").addHandler(Loud(logging.ERROR))


class Dies(Exception):
    """The worker has died."""


class Paper:
    """Carries one run.

    Args:
        workflow: The workflow.
        dies_at: At which of its durable steps workers die, by number: when it was done, but not recorded.
        forgets: Whether each durable step is another worker's: nothing is kept but what is recorded.
        timing: Called before each durable step, with its number and the signals.
    """

    def __init__(self, workflow, *, dies_at=(), forgets=False, timing=None, **options):
        self.workflow, self.host = workflow, Host(workflow, **options)
        self.dies_at, self.forgets, self.timing = set(dies_at), forgets, timing
        self.recorded = {}
        self.calls = 0
        self.waits = []
        self.protected = []
        self.signals = Signals()

    def start(self, state=None, run_id="r1", deadline=None):
        """Begin a run and carry it to its end; return its report."""
        return self.go_on(EntryEncoder().encode([begun_of(self.workflow, state, run_id, deadline)]))

    def go_on(self, entries):
        """Carry a run from a history to its end; return its report."""
        self.recorded = {}
        while True:
            self.is_dead = False
            try:
                self.part = self._part(entries)
                asyncio.run(self._carried(self.part, ""))
            except Dies:
                continue
            return read(decode_entries(self.part.entries)).report

    def _part(self, entries):
        return Part(self.host, self.workflow, json.loads(json.dumps(entries)), signals=self.signals)

    async def _carried(self, part, name):
        part.begin()
        walk, answer, number = carry(part), None, 0
        recorded = self.recorded.setdefault(name, [])
        while True:
            try:
                command = walk.send(answer)
            except StopIteration as stop:
                return stop.value
            if isinstance(command, Wait):
                self.waits.append(command.seconds)
                self.protected.append(command.is_protected)
                await asyncio.sleep(0)
                answer = None
            elif isinstance(command, Branches):
                answer = await self._branched(command)
            else:
                assert isinstance(command, Step)
                if number == len(recorded):
                    recorded.append(await self._lived(command))
                    if self.forgets:
                        self.is_dead = True
                        raise Dies
                answer = json.loads(recorded[number])
                number += 1

    async def _lived(self, step):
        if self.is_dead:  # with its whole process
            raise Dies
        number, self.calls = self.calls, self.calls + 1
        if self.timing is not None:
            self.timing(number, self.signals)
        found = await step.part.advance()
        if number in self.dies_at:
            self.is_dead = True
            raise Dies
        return json.dumps(found)

    async def _branched(self, command):
        paths, limit, cancels, _ = command.branching
        parts = [command.part.branch(path) for path in paths]
        gate = asyncio.Semaphore(limit or len(parts))
        for part in parts[:limit]:  # in the same order in each process
            part.begin()

        async def one(part):
            async with gate:
                end = await self._carried(part, part.path)
            if end == "failed" and cancels:
                for other in parts:
                    if other.end is None:
                        other.give_up(f"given up, since {part.path} has failed")

        tasks = [asyncio.ensure_future(one(part)) for part in parts]
        try:
            await asyncio.gather(*tasks)
        except Dies:
            for task in tasks:
                if not self.forgets:  # else it dies once what it is at is recorded
                    task.cancel()
            await asyncio.wait(tasks)
            raise
        return [(part.path, part.added, part.end) for part in parts]
