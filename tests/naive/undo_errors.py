"""Pitfall: an undo that fails is hidden, takes the place of the first error, or is called for ever."""

from __future__ import annotations

import contextlib
import logging

from tests.naive.engines import Told


class Halts:
    """The error of the undo is the one that is raised, and the undos before it are not called."""

    def run(self, acts, on_end=None):
        done = []
        try:
            for act in acts:
                done.append(act)
                act.run()
        except Exception as error:
            for act in reversed(done):
                self.undo(act)
            return Told(True, error)
        return Told(False)

    def undo(self, act):
        act.undo()


class Swallows(Halts):
    """The error of the undo goes to a log, and the run is said to be rolled back."""

    def undo(self, act):
        try:
            act.undo()
        except Exception:
            logging.getLogger(__name__).exception("the undo of %s has failed", act.id)


class NeverGivesUp(Halts):
    """The undo is called until it succeeds."""

    def undo(self, act):
        is_undone = False
        while not is_undone:
            with contextlib.suppress(Exception):
                act.undo()
                is_undone = True
