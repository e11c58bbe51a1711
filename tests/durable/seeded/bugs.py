"""Durability bugs as data: what is changed in the source, and the test that must turn red."""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    """A bug that is put into a copy of the source.

    Attributes:
        name: What is wrong.
        guarantee: What it breaks.
        file: The file below ``src/automa``.
        old: What stands there, once.
        new: What takes its place.
        test: The test that must fail: a node id below ``tests``.
        is_slow: Whether it is tried with ``AUTOMA_SOAK`` alone.
    """

    name: str
    guarantee: str
    file: str
    old: str
    new: str
    test: str
    is_slow: bool = False


def crash(scenario: str, store: str) -> str:
    """Return the node id of the crashes of a scenario."""
    return f"durable/test_crash_points.py::test_a_crash_at_any_moment_changes_nothing[{scenario}-{store}]"


_OWNED = (
    "durable/test_ownership.py::test_a_run_is_refused_while_its_owner_lives_and_taken_over_when_it_was_killed"
)
_PASSED = "durable/test_ownership.py::test_an_owner_that_was_passed_writes_nothing"
_ATTEMPTS = "durable/test_attempts.py"
_POWER = "faults/test_power_loss.py::test_every_legal_disk_state_recovers"

BUGS = [
    Bug(
        "a step is called before it is written that it starts",
        "G1",
        "_core/relay.py",
        """        if run.is_heard:
            run.unwritten.append(Started(ctx.path, ctx.action, ctx.report.start_time))
            halt = yield Append(run.take_unwritten())
            if halt is not None:
                raise halt
        answer = yield Deliver(step.run if forward else step.rollback, ctx, event)
""",
        """        answer = yield Deliver(step.run if forward else step.rollback, ctx, event)
        if run.is_heard:
            run.unwritten.append(Started(ctx.path, ctx.action, ctx.report.start_time))
            halt = yield Append(run.take_unwritten())
            if halt is not None:
                raise halt
""",
        crash("failure", "file"),
    ),
    Bug(
        "a write is acknowledged, and done with the next one",
        "G9",
        "journal/journal.py",
        """            self._lease.append(entries, _status(records))
""",
        """            late, self.late = [*getattr(self, "late", []), *entries], []
            if _status(records) == RUNNING:
                late, self.late = late[: -len(entries)], entries
            if late:
                self._lease.append(late, _status(records))
""",
        crash("success", "sqlite"),
    ),
    Bug(
        "the journal is written in place",
        "G5",
        "stores/file.py",
        """        temporary = f"{self._temporary(path)}{of}"
""",
        """        temporary = str(path)
""",
        crash("success", "file"),
    ),
    Bug(
        "a run and its first entries are committed one after the other",
        "G5",
        "stores/sqlite.py",
        """            row_id = cursor.lastrowid
""",
        """            row_id = cursor.lastrowid
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
""",
        crash("success", "sqlite"),
    ),
    Bug(
        "the resume begins one step too early",
        "G2",
        "durable.py",
        """    check_fit(first, definition)
    return history
""",
        """    check_fit(first, definition)
    from automa._core.records import Answered
    last = max((i for i, each in enumerate(history) if isinstance(each, Answered)), default=len(history))
    return history if isinstance(history[-1], Ended) else history[:last]
""",
        crash("success", "file"),
    ),
    Bug(
        "a step in doubt is taken for done",
        "G8",
        "_core/replay.py",
        """        self._started.clear()  # what comes after it has not been at work
""",
        """        self._started.clear()
        if isinstance(command.event, Success) and not isinstance(command.controller, Preparation):
            return Handoff(ctx.step.next, Success.of(command.event, ctx.report))
""",
        crash("success", "sqlite"),
    ),
    Bug(
        "a resume undoes again what was undone",
        "G4",
        "_core/replay.py",
        """        if isinstance(known, Answered) and (known.path, known.report.action) == key:
            return self._recorded(command, known)
""",
        """        if isinstance(known, Answered) and (known.path, known.report.action) == key:
            if ctx.action is ROLLBACK:
                yield command
            return self._recorded(command, known)
""",
        crash("failure", "sqlite"),
    ),
    Bug(
        "an undo that failed is recorded as one that went well",
        "G10",
        "journal/entries.py",
        """        if report.status is not Status.SUCCESS:
            entry["status"]""",
        """        if report.status is not Status.SUCCESS and report.action is not Action.ROLLBACK:
            entry["status"]""",
        crash("undo_fails", "sqlite"),
    ),
    Bug(
        "the lock of a file is not heeded",
        "G7",
        "stores/locks.py",
        """            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
""",
        """            except BlockingIOError:
                pass
""",
        f"{_OWNED}[file]",
    ),
    Bug(
        "the owner of a run in SQLite is not heeded",
        "G7",
        "stores/sqlite.py",
        """            if self._is_owned(row.id, row.owner):
                raise run_owned""",
        """            if row is self._is_owned(row.id, row.owner):
                raise run_owned""",
        f"{_OWNED}[sqlite]",
    ),
    Bug(
        "a run in SQLite is noted as held after it was committed",
        "G7",
        "stores/sqlite.py",
        """            self._held[row_id] = lease  # before the commit, after which others see the row
            lease.row_id, lease.last, lease.status = row_id, row_id << _WRITE_BITS, status

        def settle(error: BaseException | None) -> None:
            if error is not None:
""",
        """            lease.row_id, lease.last, lease.status = row_id, row_id << _WRITE_BITS, status

        def settle(error: BaseException | None) -> None:
            self._held[lease.row_id] = lease
            if error is not None:
""",
        "durable/test_ownership.py::test_a_run_is_owned_from_its_first_commit_on",
    ),
    Bug(
        "the epoch of an owner is not checked",
        "G7",
        "stores/sqlite.py",
        """_APPEND = "INSERT INTO writes SELECT ?, ? FROM runs WHERE id = ? AND epoch = ?"
""",
        """_APPEND = "INSERT INTO writes SELECT ?, ? FROM runs WHERE id = ? AND epoch >= ?"
""",
        f"{_PASSED}[sqlite]",
    ),
    Bug(
        "a write that failed does not stop the run",
        "G1",
        "journal/journal.py",
        """        self._broken = Halt(_as_store_error(error), Outcome.INFRASTRUCTURE_ERROR)
        return self._broken
""",
        """        return None
""",
        f"{_PASSED}[memory]",
    ),
    Bug(
        "who shares a commit that has failed takes its write for durable",
        "G9",
        "stores/group_commit.py",
        """            for job in batch:
                job.error = """,
        """            for job in batch[:1]:
                job.error = """,
        "durable/test_group_commit.py::test_a_commit_that_fails_has_failed_for_all_who_wait_for_it",
    ),
    Bug(
        "an async run is not told that its write has failed",
        "G9",
        "stores/group_commit.py",
        """        self._settled(self.error)
""",
        """        self._settled(None)
""",
        "durable/test_group_commit.py::test_async_runs_whose_commit_fails_stop_and_can_be_resumed",
    ),
    Bug(
        "it is not recorded whether a failure sends the run back",
        "G8",
        "_core/replay.py",
        """        if known.goes_back is not None and error is not None:
""",
        """        if known.goes_back is None and error is not None:
""",
        crash("rollback_on", "file"),
    ),
    Bug(
        "what a replayed step changed in the state is not restored",
        "G8",
        "_core/replay.py",
        """        ctx.shared.replay(known.shared)
""",
        "",
        crash("success", "sqlite"),
    ),
    Bug(
        "what a replayed step kept for itself is not restored",
        "G8",
        "_core/replay.py",
        """        if known.local:
            ctx.local.replay(known.local)
""",
        "",
        crash("failure", "sqlite"),
    ),
    Bug(
        "results are not restored",
        "G8",
        "journal/entries.py",
        """    report.result = entry.get("result")
""",
        "",
        crash("success", "file"),
    ),
    Bug(
        "the definition is not compared with the journal",
        "G6",
        "durable.py",
        """    check_fit(first, definition)
""",
        "",
        "durable/test_definition_fit.py::test_another_definition_is_refused[another mode-memory]",
    ),
    Bug(
        "a forked child keeps the locks of its parent",
        "G7",
        "stores/locks.py",
        """os.register_at_fork(after_in_child=_forget_all)
""",
        "",
        "durable/test_ownership.py::test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent[file]",
    ),
    Bug(
        "an undo that failed is forgotten by the next way back",
        "G10",
        "_core/relay.py",
        """    workflow_run.undo_failed = has_failed_undo(workflow_run)
""",
        """    workflow_run.undo_failed = False
""",
        "durable/test_stateful.py::TestRunsInMemory",
    ),
    Bug(
        "a request that was made twice is read once",
        "G9",
        "_core/replay.py",
        """            while isinstance(known, Requested) and not isinstance(record, Cancelled):
""",
        """            if isinstance(known, Requested) and not isinstance(record, Cancelled):
""",
        "durable/test_stateful.py::test_a_request_that_is_made_again_after_each_crash_is_carried_out[2]",
    ),
    Bug(
        "the error of an undo is looked for on the present way back alone",
        "G10",
        "_core/standing.py",
        """    return errors[0] if errors else _undo_error_of(workflow_run)
""",
        """    return errors[0] if errors or has_failed_undo(workflow_run) else None
""",
        "durable/test_stateful.py::test_an_undo_that_failed_earlier_is_told_again",
    ),
    Bug(
        "the attempt that failed is not written before the wait",
        "G9",
        "_core/attempts.py",
        """            yield from write(run)
            waited = yield""",
        """            waited = yield""",
        f"{_ATTEMPTS}::test_an_attempt_that_failed_is_written_before_the_wait",
    ),
    Bug(
        "a resume forgets how many attempts were made",
        "G8",
        "_core/attempts.py",
        """        tries = 1 if again.delay is None else tries + 1
""",
        """        tries = 1 if again is answer else tries + 1
""",
        crash("retries", "sqlite"),
    ),
    Bug(
        "a step is tried again while its thread is still at work",
        "G3",
        "_core/attempts.py",
        """    is_final = isinstance(answer, Refused) or (isinstance(answer, CutOff) and answer.is_at_work)
""",
        """    is_final = isinstance(answer, Refused)
""",
        f"{_ATTEMPTS}::test_a_step_that_is_still_at_work_is_not_tried_again",
    ),
    Bug(
        "the answer of a branch is written when all have ended",
        "G3",
        "_core/relay.py",
        """        if branch.run.unwritten:
            yield from write(branch.run)
""",
        "",
        crash("parallel_succeeds", "sqlite"),
    ),
    Bug(
        "a branch is answered from the journal of all branches",
        "G8",
        "_core/replay.py",
        """Replay(branch.walk, branch.run, parts[branch.path]).commands()""",
        """Replay(branch.walk, branch.run, phase).commands()""",
        crash("parallel_is_undone", "sqlite"),
    ),
    Bug(
        "a step that failed past the pivot is recorded as answered",
        "G2",
        "_core/decisions.py",
        """        run.unwritten.append(AttemptFailed(step_run.path, report, None))
""",
        """        from automa._core.records import Answered
        run.unwritten.append(Answered(step_run.path, report, None, None, False))
""",
        f"{_ATTEMPTS}::test_a_step_that_failed_past_the_pivot_is_run_again_by_a_resume",
    ),
    Bug(
        "past the pivot the run is rolled back",
        "G4",
        "_core/decisions.py",
        """    run.is_past_pivot = run.takes_detours = True
""",
        """    run.takes_detours = True
""",
        f"{_ATTEMPTS}::test_a_step_that_failed_past_the_pivot_is_run_again_by_a_resume",
    ),
    Bug(
        "an undo shares the retry of the run",
        "G4",
        "_core/attempts.py",
        """    retry = getattr(step, "undo_retry" if ctx.action is ROLLBACK else "retry", None)
""",
        """    retry = getattr(step, "retry", None)
""",
        f"{_ATTEMPTS}::test_an_undo_has_a_retry_of_its_own",
    ),
    Bug(
        "a nested workflow that was given up is taken for damage",
        "G10",
        "journal/reading.py",
        """            function = _nothing if path in seen.refused else function
""",
        "",
        f"{_ATTEMPTS}::test_a_workflow_that_was_given_up_can_be_read",
    ),
    Bug(
        "the file is not synced",
        "G9",
        "stores/file.py",
        """                if self._syncs:
                    os.fsync(fd)
""",
        "",
        f"{_POWER}[file-success]",
        is_slow=True,
    ),
    Bug(
        "the folder is not synced",
        "G9",
        "stores/file.py",
        """            if self._syncs:
                os.fsync(folder_fd)
""",
        "",
        f"{_POWER}[file-success]",
        is_slow=True,
    ),
    Bug(
        "SQLite does not sync",
        "G9",
        "stores/sqlite.py",
        '''"power": "FULL"''',
        '''"power": "NORMAL"''',
        f"{_POWER}[sqlite-success]",
        is_slow=True,
    ),
]
