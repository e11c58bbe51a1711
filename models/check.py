"""Check the journal protocol with Spin: the right one holds, and every seeded bug is found.

Run ``python models/check.py``. It needs Spin and a C compiler, and nothing else; what they build goes to a
temporary directory. One line is printed for each search. The exit status is 0 where all is as it should be,
1 where the right protocol fails or a seeded bug is not found, and 77 where a tool is missing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("journal.pml")
TOOLS = ("spin", "gcc")
TOOL_MISSING = 77
WORKERS = 2  # a search of the right protocol takes 0.5 GB of memory
SECONDS = 300  # for one command
DEPTH = "-m100000"
NOTHING = "no error"
INVALID_END = "invalid end state"

# Signs in pan's output of a search that was not exhaustive: its "0 errors" would prove nothing.
INCOMPLETE = (
    "max search depth too small",
    "Search not completed",
    "Bit statespace",
    "out of memory",
    "aborting",
)


@dataclass(frozen=True)
class Check:
    """One search.

    Attributes:
        title: What is searched.
        expected: The property that must fail, or that no error must be found.
        flags: What spin defines for the model.
        liveness: Whether the search is for runs that never end, rather than for states that must not be.
    """

    title: str
    expected: str
    flags: tuple[str, ...] = ()
    liveness: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a search came to.

    Attributes:
        check: The search.
        found: The property that failed, `NOTHING`, or what went wrong with the search itself.
        states: The number of states that were stored.
    """

    check: Check
    found: str
    states: int

    @property
    def as_expected(self) -> bool:
        """Whether just that was found which should be."""
        return self.found == self.check.expected

    def __str__(self) -> str:
        """One line of the report."""
        mark = "ok  " if self.as_expected else "FAIL"
        line = f"{mark} {self.check.title:<58} {self.states:>10} states  {self.found}"
        return line if self.as_expected else f"{line} (expected: {self.check.expected})"


RIGHT = (
    Check("right: lock", NOTHING),
    Check("right: lock, comes to its end", NOTHING, liveness=True),
    Check("right: lock, each record a frame of its own", NOTHING, ("RECORD_FRAMES",)),
    Check("right: lock, lying fsync, rewrite on resume", NOTHING, ("LYING_FSYNC", "REWRITE_ON_RESUME")),
    Check("right: fence alone, the journal only", NOTHING, ("FENCED",)),
    Check("right: fence alone, comes to its end", NOTHING, ("FENCED",), liveness=True),
)

# The same bug as one of those below: here it is the search for runs without an end that must find it.
ENDLESS = Check(
    "bug: lock outlives owner, never ends", "acceptance cycle", ("BUG_LOCK_OUTLIVES_OWNER",), liveness=True
)

# A model in which nothing happens has no errors either: these ends must be reachable, with both crashes and
# the append error spent on the way.
WITNESSES = (
    Check("reached: succeeded", "W_never_ends_so", ("NEVER_ENDS_AS=0",)),
    Check("reached: undone", "W_never_ends_so", ("NEVER_ENDS_AS=1",)),
    Check("reached: needs attention", "W_never_ends_so", ("NEVER_ENDS_AS=2",)),
)

BUGS = tuple(
    Check(f"bug: {' '.join(flags).removeprefix('BUG_').lower().replace('_', ' ')}", expected, tuple(flags))
    for expected, *flags in (
        ("G1_effect_after_started", "BUG_NO_FSYNC"),
        ("G1_effect_after_started", "BUG_EFFECT_BEFORE_STARTED"),
        ("G2_answered_not_run_again", "BUG_COMMIT_BEFORE_EFFECT"),
        ("G2_answered_not_run_again", "BUG_RESUME_FROM_WRONG_STEP"),
        ("G4_undo_returned_once", "BUG_UNDO_TWICE"),
        ("O_failed_undo_not_claimed", "BUG_FAILED_UNDO_AS_UNDONE"),
        ("O_undone", "BUG_FAILED_UNDO_FORGOTTEN"),
        ("O_attention", "BUG_FAILED_UNDO_STOPS_ROLLBACK"),
        ("G4_undo_in_reverse", "BUG_ROLLBACK_FROM_WRONG_STEP"),
        ("G2_answered_not_run_again", "BUG_TWO_APPENDS"),
        ("G7_one_owner_appends", "BUG_LOCK_IGNORED"),
        (INVALID_END, "BUG_LOCK_OUTLIVES_OWNER"),
        ("G3_only_in_flight_run_again", "BUG_FENCE_INSTEAD_OF_LOCK"),
        ("G5_prefix", "BUG_FENCE_READ_FIRST", "FENCED"),
        ("G9_durable_kept", "BUG_APPEND_ERROR_IGNORED"),
        ("G1_effect_after_started", "BUG_NO_FSYNC_ON_RESUME"),
        ("G5_whole_frames", "BUG_TORN_FRAME_READ"),
        ("G2_answered_not_run_again", "BUG_TORN_TAIL_KEPT"),
        ("G9_durable_kept", "LYING_FSYNC"),
    )
)
CHECKS = (*RIGHT, *WITNESSES, *BUGS, ENDLESS)


def read_output(output: str) -> str:
    """Tell what pan found.

    Args:
        output: All that pan printed.

    Returns:
        The property that failed, `NOTHING`, or why the search proves nothing.
    """
    failed = re.search(r"pan:\d+: (?:assertion violated (\w+)|([a-z ]+))", output)
    if failed:
        return failed[1] or failed[2].strip()
    incomplete = next((sign for sign in INCOMPLETE if sign in output), None)
    if incomplete:
        return f"incomplete: {incomplete}"
    return NOTHING if re.search(r"errors: 0\b", output) else "no verdict"


def search(check: Check) -> Verdict:
    """Build pan for one check and run it.

    Args:
        check: The search.

    Returns:
        What it came to; a tool that fails is a verdict too.
    """
    # -DNOREDUCE: partial order reduction saves next to nothing here, and does not have to be trusted then.
    options = ["-O2" if check.expected == NOTHING else "-O0", "-DCOLLAPSE", "-DNOREDUCE"]
    options += [] if check.liveness else ["-DSAFETY", "-DNOCLAIM"]
    with tempfile.TemporaryDirectory(prefix="journal-model-") as folder:
        shutil.copy(MODEL, folder)
        for command in (
            ["spin", *(f"-D{flag}" for flag in check.flags), "-a", MODEL.name],
            ["gcc", *options, "-o", "pan", "pan.c"],
            ["./pan", DEPTH, "-w24", *(["-a"] if check.liveness else [])],
        ):
            try:
                done = subprocess.run(
                    command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                return Verdict(check, f"{command[0]}: not done in {SECONDS} s", 0)
            output = done.stdout + done.stderr
            if done.returncode:
                last = output.strip().splitlines()[-1:] or [""]
                return Verdict(check, f"{command[0]}: exit status {done.returncode}: {last[0]}", 0)
    states = re.search(r"(\d+) states, stored", output)
    return Verdict(check, read_output(output), int(states[1]) if states else 0)


def main() -> int:
    """Run all checks and print a line for each.

    Returns:
        The exit status.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"not found: {', '.join(missing)}; apt-get install {' '.join(missing)}", file=sys.stderr)
        return TOOL_MISSING
    wrong = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for verdict in pool.map(search, CHECKS):
            print(verdict, flush=True)
            wrong += not verdict.as_expected
    print(f"{len(CHECKS)} searches, {wrong} not as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
