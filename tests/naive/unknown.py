"""Pitfall: an undo that is registered once its action has ended is not there for one that fails half-way."""

from __future__ import annotations

from tests.naive.engines import Told


class RegistersAfterwards:
    """What has raised is taken for what has done nothing."""

    def run(self, acts, on_end=None):
        undos = []
        try:
            for act in acts:
                act.run()
                undos.append(act.undo)
        except Exception as error:
            for undo in reversed(undos):
                undo()
            return Told(True, error)
        return Told(False)
