"""Pitfall: the way back of an async saga meets a cancellation, once or again."""

from __future__ import annotations

import asyncio

from tests.naive.engines import Told


class CatchesExceptions:
    """A CancelledError is no `Exception`: nothing is undone."""

    async def run_async(self, acts):
        done = []
        try:
            for act in acts:
                done.append(act)
                await act.run()
        except Exception as error:
            for act in reversed(done):
                await act.undo()
            return Told(True, error)
        return Told(False)


class UndoesInExcept:
    """The second cancellation arrives in the undo, and cuts it off."""

    async def run_async(self, acts):
        done = []
        try:
            for act in acts:
                done.append(act)
                await act.run()
        except BaseException:
            await self.undo(done)
            raise
        return Told(False)

    async def undo(self, done):
        for act in reversed(done):
            await act.undo()


class ShieldsEachUndo(UndoesInExcept):
    """The undo that is shielded goes on, but whoever awaits it is cancelled: the next one never begins."""

    async def undo(self, done):
        for act in reversed(done):
            await asyncio.shield(act.undo())


class ShieldsOnce(UndoesInExcept):
    """The whole way back is shielded from one cancellation; the next one reaches it."""

    async def undo(self, done):
        way_back = asyncio.ensure_future(super().undo(done))
        try:
            await asyncio.shield(way_back)
        except asyncio.CancelledError:
            await way_back
