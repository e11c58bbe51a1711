"""The contract of a store, as checks that any store must pass: ours, or a user's."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from automa._core.protocols import GroupCommitLease, Lease, Store
from automa.errors import (
    AutomaError,
    OwnershipLost,
    RunExistsError,
    RunNotFoundError,
    RunOwnedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_RUNNING = "running"


def check_store(make: Callable[[], Store]) -> list[str]:
    """Check that a store keeps the contract of `automa.abc.Store`.

    Args:
        make: Returns a store without runs; it is called for each check anew. Stores that it has returned
            are closed.

    Returns:
        The names of the checks, all of which have passed.

    Raises:
        AssertionError: Where one has not; the message says which, and what was found.

    Example:
        >>> from automa.stores import MemoryStore
        >>> len(check_store(MemoryStore)) > 10
        True
    """
    for name, check in _CHECKS.items():
        store = make()
        try:
            check(store)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        except Exception as error:
            raise AssertionError(f"{name}: raised {type(error).__name__}: {error}") from error
        finally:
            store.close()
    return list(_CHECKS)


def _begin(store: Store, run_id: str = "r", workflow_id: str = "wf") -> Lease:
    lease = store.create(workflow_id, run_id)
    lease.append(_first(workflow_id, run_id), _RUNNING)
    return lease


def _first(
    workflow_id: str = "wf", run_id: str = "r", at: int = 1_700_000_000_000_000
) -> list[dict[str, Any]]:
    begun = {
        "begun": 1,
        "workflow": workflow_id,
        "run": run_id,
        "at": at,
        "modes": ["rollback", "continue"],
        "steps": ["a", ["in", ["x"]]],
        "state": {"n": 1},
    }
    return [begun, {"started": "a", "at": at}]


def _answered(step: str = "a", **more: Any) -> dict[str, Any]:
    return {"answered": step, "to": 1_700_000_000_000_100, **more}


def _refuses(error: type[AutomaError], call: Callable[[], object]) -> None:
    try:
        found = call()
    except error:
        return
    raise AssertionError(f"expected {error.__name__}, and {found!r} was returned")


def _same(found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"expected {expected!r}, found {found!r}")


def _satisfies_the_protocols(store: Store) -> None:
    _same(isinstance(store, Store), expected=True)
    lease = store.create("wf", "r")
    _same(isinstance(lease, Lease), expected=True)
    lease.release()


def _returns_entries_in_order(store: Store) -> None:
    lease = _begin(store)
    written = [*_first()]
    for number in range(50):
        entries = [_answered(result=number), {"started": "a", "at": 1_700_000_000_000_000 + number}]
        lease.append(entries, _RUNNING)
        written += entries
    _same(store.load("wf", "r"), written)
    lease.release()
    _same(store.load("wf", "r"), written)


def _keeps_values_exactly(store: Store) -> None:
    value = {
        "int": 2**53 + 1,
        "float": 1.5,
        "text": "é\ud800\u2028\0",
        "none": None,
        "list": [[], {}, True],
        "": "",
    }
    lease = _begin(store)
    lease.append([_answered(result=value, shared={"k": value})], _RUNNING)
    _same(json.dumps(store.load("wf", "r")[-1]), json.dumps(_answered(result=value, shared={"k": value})))
    lease.release()


def _keeps_large_entries(store: Store) -> None:
    lease = _begin(store)
    entry = _answered(result="x" * 1_000_000)
    lease.append([entry], _RUNNING)
    _same(store.load("wf", "r")[-1] == entry, expected=True)
    lease.release()


def _keeps_entries_from_later_changes(store: Store) -> None:
    lease = _begin(store)
    entry = _answered(result=[1])
    lease.append([entry], _RUNNING)
    entry["result"].append(2)
    store.load("wf", "r")[-1]["result"].append(3)
    _same(store.load("wf", "r")[-1]["result"], [1])
    lease.release()


def _does_not_begin_before_the_first_write(store: Store) -> None:
    store.create("wf", "r").release()
    _refuses(RunNotFoundError, lambda: store.load("wf", "r"))
    _same(list(store.runs()), [])
    _begin(store).release()


def _refuses_a_run_that_exists(store: Store) -> None:
    lease = _begin(store)
    _refuses(RunExistsError, lambda: _begin(store))
    lease.release()
    _refuses(RunExistsError, lambda: _begin(store))
    _same(store.load("wf", "r"), _first())


def _lets_one_of_many_begin(store: Store) -> None:
    begun: list[Lease] = []
    refused: list[AutomaError] = []
    barrier = threading.Barrier(8)

    def begin() -> None:
        barrier.wait()
        try:
            begun.append(_begin(store))
        except RunExistsError as error:
            refused.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _same((len(begun), len(refused)), (1, 7))
    _same(store.load("wf", "r"), _first())
    begun[0].release()


def _refuses_what_is_not_there(store: Store) -> None:
    _refuses(RunNotFoundError, lambda: store.take("wf", "none"))
    _refuses(RunNotFoundError, lambda: store.load("wf", "none"))


def _refuses_a_second_owner(store: Store) -> None:
    lease = _begin(store)
    _refuses(RunOwnedError, lambda: store.take("wf", "r"))
    lease.append([_answered()], _RUNNING)
    lease.release()
    second = store.take("wf", "r")
    _refuses(RunOwnedError, lambda: store.take("wf", "r"))
    second.append([{"resumed": 1_700_000_000_000_200}], _RUNNING)
    _same(store.load("wf", "r"), [*_first(), _answered(), {"resumed": 1_700_000_000_000_200}])
    second.release()


def _lets_one_of_many_take(store: Store) -> None:
    _begin(store).release()
    taken: list[Lease] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        with contextlib.suppress(RunOwnedError):
            taken.append(store.take("wf", "r"))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _same(len(taken), 1)
    taken[0].release()


def _refuses_a_lease_that_was_passed_on(store: Store) -> None:
    first = _begin(store)
    first.release()
    second = store.take("wf", "r")
    second.append([_answered()], _RUNNING)
    try:
        first.append([_answered("b")], _RUNNING)
    except OwnershipLost:
        pass
    except AutomaError as error:  # any refusal will do, as long as nothing was written
        _same(isinstance(error, AutomaError), expected=True)
    else:
        raise AssertionError("a lease that was released, and taken by somebody else, could still write")
    _same(store.load("wf", "r"), [*_first(), _answered()])
    second.release()


def _may_be_released_twice(store: Store) -> None:
    first = _begin(store)
    first.release()
    first.release()
    second = store.take("wf", "r")
    first.release()
    _refuses(RunOwnedError, lambda: store.take("wf", "r"))
    second.release()


def _lists_the_newest_first(store: Store) -> None:
    for number in range(5):
        lease = store.create("wf", f"r{number}")
        lease.append(_first(run_id=f"r{number}", at=1_700_000_000_000_000 + number * 1_000_000), _RUNNING)
        lease.release()
    found = list(store.runs())
    _same([info.run_id for info in found], ["r4", "r3", "r2", "r1", "r0"])
    _same({info.workflow_id for info in found}, {"wf"})
    _same(found[0].created.timestamp() - found[4].created.timestamp(), 4.0)


def _lists_by_workflow_run_and_status(store: Store) -> None:
    for workflow_id, run_id in (("wf", "a"), ("wf", "b"), ("other", "a")):
        _begin(store, run_id, workflow_id).release()
    lease = store.take("wf", "b")
    lease.append([{"suspended": 1_700_000_000_000_300, "error": {"type": "E", "message": ""}}], "suspended")
    lease.release()

    def keys(**wanted: str) -> set[tuple[str, str]]:
        return {(info.workflow_id, info.run_id) for info in store.runs(**wanted)}

    _same(keys(), {("wf", "a"), ("wf", "b"), ("other", "a")})
    _same(keys(workflow_id="wf"), {("wf", "a"), ("wf", "b")})
    _same(keys(run_id="a"), {("wf", "a"), ("other", "a")})
    _same(keys(status="suspended"), {("wf", "b")})
    _same(keys(status=_RUNNING, workflow_id="wf"), {("wf", "a")})
    _same(keys(workflow_id="none"), set())


def _tells_who_is_owned(store: Store) -> None:
    lease = _begin(store)
    _same([info.is_owned for info in store.runs()], [True])
    lease.release()
    _same([info.is_owned for info in store.runs()], [False])


def _deletes(store: Store) -> None:
    lease = _begin(store)
    _begin(store, "other").release()
    lease.delete()
    lease.release()
    _refuses(RunNotFoundError, lambda: store.load("wf", "r"))
    _same([info.run_id for info in store.runs()], ["other"])
    _begin(store).release()
    _same(store.load("wf", "r"), _first())


def _keeps_runs_apart(store: Store) -> None:
    leases = {run_id: _begin(store, run_id) for run_id in ("a", "b", "a-b")}
    for number in range(10):
        for run_id, lease in leases.items():
            lease.append([_answered(result=f"{run_id}{number}")], _RUNNING)
    for run_id, lease in leases.items():
        results = [entry["result"] for entry in store.load("wf", run_id)[2:]]
        _same(results, [f"{run_id}{number}" for number in range(10)])
        lease.release()


def _takes_many_writers(store: Store) -> None:
    leases = [_begin(store, f"r{number}") for number in range(16)]

    def write(lease: Lease) -> None:
        for number in range(10):
            lease.append([_answered(result=number)], _RUNNING)

    threads = [threading.Thread(target=write, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, lease in enumerate(leases):
        _same([entry["result"] for entry in store.load("wf", f"r{number}")[2:]], list(range(10)))
        lease.release()


def _appends_soon_what_it_appends(store: Store) -> None:
    lease = store.create("wf", "r")
    if not isinstance(lease, GroupCommitLease):  # nobody need have it
        return
    _same(_told_by(lease, _first()), None)
    _same(_told_by(lease, [_answered()]), None)
    lease.append([_answered("b")], _RUNNING)
    _same(store.load("wf", "r"), [*_first(), _answered(), _answered("b")])
    _refuses(RunOwnedError, lambda: store.take("wf", "r"))
    second, third = store.create("wf", "second"), store.create("wf", "second")
    _same(_told_by(second, _first(run_id="second")), None)
    _same(type(_told_by(third, _first(run_id="second"))), RunExistsError)
    _same(_told_by(lease, [{"ended": "succeeded", "at": 1_700_000_000_000_400}], "succeeded"), None)
    store.take("wf", "r").release()
    _same(type(_told_by(lease, [_answered("c")])), OwnershipLost)
    for each in (lease, second, third):
        each.release()


def _appends_soon_for_many(store: Store) -> None:
    leases = [store.create("wf", f"r{number}") for number in range(16)]
    if not isinstance(leases[0], GroupCommitLease):
        return
    told = [_append_soon(lease, _first(run_id=f"r{number}")) for number, lease in enumerate(leases)]
    _same([each.result(timeout=60) for each in told], [None] * len(leases))
    for number, lease in enumerate(leases):
        _same(store.load("wf", f"r{number}"), _first(run_id=f"r{number}"))
        lease.release()


def _told_by(lease: Any, entries: list[dict[str, Any]], status: str = _RUNNING) -> Exception | None:
    """Return what is told of a write for which no thread waits."""
    return _append_soon(lease, entries, status).result(timeout=60)


def _append_soon(
    lease: Any, entries: list[dict[str, Any]], status: str = _RUNNING
) -> Future[Exception | None]:
    told: Future[Exception | None] = Future()
    lease.append_soon(entries, status, told.set_result)
    return told


def _closes_twice(store: Store) -> None:
    _begin(store).release()
    store.close()


_CHECKS: dict[str, Callable[[Store], None]] = {
    check.__name__.strip("_").replace("_", " "): check
    for check in (
        _satisfies_the_protocols,
        _returns_entries_in_order,
        _keeps_values_exactly,
        _keeps_large_entries,
        _keeps_entries_from_later_changes,
        _does_not_begin_before_the_first_write,
        _refuses_a_run_that_exists,
        _lets_one_of_many_begin,
        _refuses_what_is_not_there,
        _refuses_a_second_owner,
        _lets_one_of_many_take,
        _refuses_a_lease_that_was_passed_on,
        _may_be_released_twice,
        _lists_the_newest_first,
        _lists_by_workflow_run_and_status,
        _tells_who_is_owned,
        _deletes,
        _keeps_runs_apart,
        _takes_many_writers,
        _appends_soon_what_it_appends,
        _appends_soon_for_many,
        _closes_twice,
    )
}
