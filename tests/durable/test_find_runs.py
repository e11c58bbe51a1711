"""Finding some runs among many: `automa.abc.Searchable`, and the same over a list of all."""

from __future__ import annotations

import itertools

import pytest

from automa import Step, Workflow
from automa.abc import RunFilter, Searchable
from automa.stores import SqliteStore
from automa.web.source import at_cursor, cursor_of, find_among

FILTERS = [
    RunFilter(workflow_id=workflow_id, statuses=statuses, is_owned=is_owned, text=text)
    for workflow_id, statuses, is_owned, text in itertools.product(
        (None, "a", "none"),
        (None, ("running",), ("succeeded", "undone"), ()),
        (None, True, False),
        ("", "R1", "_", "%", "b-", "\\", "é"),
    )
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with runs of several workflows: succeeded, undone, going on here and elsewhere, and interrupted."""

    def fail():
        raise ValueError

    path = tmp_path_factory.mktemp("find") / "runs.db"
    store, elsewhere = (SqliteStore(path, durability="process") for _ in range(2))
    workflows = [
        Workflow("a", [Step("s")]),
        Workflow("b-é%", [Step("s", run=fail)]),
        Workflow("A_\\", [Step("s")]),
    ]
    leases = []
    for number in range(450):
        workflow = workflows[number % 3]
        run_id = f"r{number}" if number % 5 else f"r_{number}"
        if number % 7:
            workflow.start(store=store, run_id=run_id)
        else:
            lease = (store, elsewhere)[number % 2].create(workflow.id, run_id)
            begun = {"begun": 1, "workflow": workflow.id, "run": run_id, "at": 1_800_000_000_000_000 + number,
                     "modes": ["rollback", "continue"], "steps": ["s"], "state": {}}  # fmt: skip
            lease.append([begun], "running")
            if number % 3:
                lease.release()
            else:
                leases.append(lease)
    yield store
    for lease in leases:
        lease.release()
    elsewhere.close()
    store.close()


@pytest.mark.parametrize("wanted", FILTERS)
def test_a_store_finds_what_a_list_of_all_has(store, wanted):
    """Whatever is looked for, from whichever end, the same runs are found in the same order."""
    assert isinstance(store, Searchable)
    every = [info for info in store.runs() if wanted.matches(info)]
    assert store.find_runs(wanted, limit=1000) == every
    assert store.find_runs(wanted, limit=7) == every[:7]
    assert find_among(store.runs(), wanted, limit=7) == every[:7]


@pytest.mark.parametrize("place", [0, 1, 199, 200, 201, 448, 449])
@pytest.mark.parametrize("wanted", [RunFilter(), RunFilter(workflow_id="a"), RunFilter(statuses=("undone",)), RunFilter(is_owned=True)])  # fmt: skip
def test_a_list_goes_on_from_any_run(store, wanted, place):
    """Before a run are those that follow it, after it the nearest in front of it, whether it fits or not."""
    everything = list(store.runs())
    edge = at_cursor(cursor_of(everything[place]))
    follow = [info for info in everything[place + 1 :] if wanted.matches(info)]
    in_front = [info for info in everything[:place] if wanted.matches(info)]
    assert store.find_runs(wanted, before=edge, limit=9) == follow[:9]
    assert store.find_runs(wanted, after=edge, limit=9) == in_front[-9:]


def test_a_list_of_all_goes_on_from_any_run(tmp_path):
    """The same where a store cannot search, of runs that have begun one after the other."""
    store = SqliteStore(tmp_path / "runs.db", durability="process")
    for number in range(30):
        Workflow("a", [Step("s")]).start(store=store, run_id=f"r{number}")
    every = list(store.runs())
    for place, edge in enumerate(every):
        assert find_among(store.runs(), RunFilter(), before=edge, limit=4) == every[place + 1 : place + 5]
        assert find_among(store.runs(), RunFilter(), after=edge, limit=4) == every[max(0, place - 4) : place]
    gone = every[10]
    store.take("a", gone.run_id).delete()
    for find in (store.find_runs, lambda *a, **k: find_among(store.runs(), *a, **k)):
        assert find(RunFilter(), before=gone, limit=4) == every[11:15]
        assert find(RunFilter(), after=gone, limit=4) == every[6:10]
    store.close()
