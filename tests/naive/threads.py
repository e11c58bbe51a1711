"""Pitfall: a thread cannot be cancelled, so whoever stops waiting for it undoes what is not done yet."""

from __future__ import annotations

import asyncio

from tests.naive.engines import Told


class UndoesAtOnce:
    """The time-out, or the cancellation, is told and undone while the thread still works."""

    async def run_async(self, acts):
        done = []
        try:
            for act in acts:
                done.append(act)
                await asyncio.wait_for(asyncio.to_thread(act.run), act.timeout)
        except BaseException as error:
            for act in reversed(done):
                act.undo()
            if not isinstance(error, Exception):
                raise
            return Told(True, error)
        return Told(False)
