"""Pitfall: a journal that only the code that has written it can read."""

from __future__ import annotations

import hashlib
import pickle

from tests.naive.engines import Told


class Pickles:
    """The results are pickled: they need their classes, at the same place, for as long as the run lives."""

    def begin(self, acts, folder):
        return self.go_on(acts, folder, [])

    def resume(self, acts, folder):
        return self.go_on(acts, folder, pickle.loads((folder / "journal").read_bytes()))  # noqa: S301  # the pitfall

    def go_on(self, acts, folder, results):
        for act in acts[len(results) :]:
            results.append(act.run())
            (folder / "journal").write_bytes(pickle.dumps(results))
        return Told(False)


class HashesTheCode(Pickles):
    """A run is carried on by the very code that has begun it, and by no other: a mended step strands it."""

    def begin(self, acts, folder):
        (folder / "code").write_text(code_of(acts))
        return super().begin(acts, folder)

    def resume(self, acts, folder):
        if (folder / "code").read_text() != code_of(acts):
            raise RuntimeError("the code has changed since the run was begun")
        return super().resume(acts, folder)


def code_of(acts):
    return hashlib.sha256(b"".join(act.run.__code__.co_code for act in acts)).hexdigest()
