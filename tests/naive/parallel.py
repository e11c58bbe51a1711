"""Pitfall: a TaskGroup cancels those in flight, and only what has ended is undone."""

from __future__ import annotations

import asyncio

from tests.naive.engines import Told


class UndoesWhatHasEnded:
    """A branch that was cut off after its effect is in nobody's list."""

    async def run_parallel(self, acts):
        done = []

        async def branch(act):
            await act.run()
            done.append(act)

        try:
            async with asyncio.TaskGroup() as group:
                for act in acts:
                    group.create_task(branch(act))
        except ExceptionGroup as error:
            for act in reversed(done):
                await act.undo()
            return Told(True, error)
        return Told(False)
