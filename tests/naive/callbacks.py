"""Pitfall: the end of a run is told by each of the places that may bring it about."""

from __future__ import annotations

from tests.naive.engines import Told


class TellsTwice:
    """A failure is told where it is caught, and again at the end of all runs."""

    def run(self, acts, on_end):
        done = []
        try:
            for act in acts:
                done.append(act)
                act.run()
        except Exception as error:
            for act in reversed(done):
                act.undo()
            on_end()
            return Told(True, error)
        finally:
            on_end()
        return Told(False)
