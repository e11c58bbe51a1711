"""A journal that does not fit, or that cannot be read, is refused, and nothing runs (G6, G5)."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3

import pytest

from automa import AutomaError, JournalError, Step, StoreError, Workflow, WorkflowDefinitionError
from automa.stores import FileStore, MemoryStore, SqliteStore

KINDS = ("memory", "file", "sqlite")


class Stop(BaseException):
    """Stops a run as a death would: nothing of it is written."""


@pytest.fixture(name="opened")
def opened_fixture(tmp_path):
    """Open stores, and close them at the end."""
    with contextlib.ExitStack() as stack:

        def opened(kind):
            if kind == "memory":
                return MemoryStore()
            store = FileStore(tmp_path / "runs") if kind == "file" else SqliteStore(tmp_path / "runs.db")
            stack.callback(store.close)
            return store

        yield opened


def steps(ran, *ids, failing=()):
    """Return steps that note that they run, and are undone; an id with a list is a workflow."""

    def made(id):
        if isinstance(id, list):
            return Workflow(id[0], [made(each) for each in id[1:]])

        def run():
            ran.append(id)
            if id in failing:
                raise KeyboardInterrupt  # the run is suspended there

        return Step(id, run=run, undo=lambda: ran.append(f"undo {id}"))

    return [made(id) for id in ids]


BEFORE = ("a", ["n", "x", "y"], "b")


def stopped_run(store):
    """Begin a run, and stop it at its last step."""
    ran = []
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps(ran, *BEFORE, failing=["b"])).start(run_id="r", store=store)
    assert ran == ["a", "x", "y", "b"]


OTHERS = {
    "a step renamed": (("a", ["n", "x", "y"], "c"), {}, "missing: b; new: c"),
    "a step removed": (("a", ["n", "x", "y"]), {}, "missing: b"),
    "a step added": (("a", ["n", "x", "y"], "b", "c"), {}, "new: c"),
    "another order": (("b", ["n", "x", "y"], "a"), {}, "the order was a, n, b, and is b, n, a"),
    "another order inside": (("a", ["n", "y", "x"], "b"), {}, "the order was x, y, and is y, x"),
    "a step that was a workflow": (("a", "n", "b"), {}, "n was a workflow, and is a step"),
    "a workflow that was a step": ((["a", "x"], ["n", "x", "y"], "b"), {}, "a was a step, and is a workflow"),
    "deeper": (("a", ["n", "x", ["y", "z"]], "b"), {}, "n/y was a step, and is a workflow"),
    "another mode": (BEFORE, {"mode": "stop"}, "its mode was 'rollback', and is 'stop'"),
    "another rollback mode": (BEFORE, {"rollback_mode": "stop"}, "its rollback_mode was 'continue'"),
    "without snapshots": (BEFORE, {"snapshots": False}, "snapshots was True, and is False"),
}


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", OTHERS)
def test_another_definition_is_refused(kind, other, opened):
    """A run is not carried on, undone or mended by a definition of other steps, order, nesting or modes."""
    store = opened(kind)
    stopped_run(store)
    journal = store.load("w", "r")
    ids, options, message = OTHERS[other]
    ran = []
    workflow = Workflow("w", steps(ran, *ids), **options)
    for refused in (
        lambda: workflow.resume("r", store),
        lambda: workflow.rollback("r", store),
        lambda: workflow.retry_undo("r", "a", store),
        lambda: workflow.mark_undone("r", "a", store, note="seen"),
    ):
        with pytest.raises(JournalError) as refusal:
            refused()
        assert message in str(refusal.value)
    assert ran == []
    assert store.load("w", "r") == journal
    assert Workflow("w", steps(ran, *BEFORE)).resume("r", store).outcome == "succeeded"
    assert ran == ["b"]


def is_refused(ran, workflow, store, errors=JournalError):
    """Check that nothing can be done with a run."""
    for refused in (lambda: workflow.resume("r", store), lambda: workflow.rollback("r", store)):
        with pytest.raises(errors):
            refused()
    assert ran == []


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("version", [0, 2, 99, "1", None, True, 1.5])
def test_a_file_of_another_version_is_refused(version, opened, tmp_path):
    """A journal whose version this automa does not know is refused."""
    store = opened("file")
    stopped_run(store)
    path = tmp_path / "runs" / "w-r.journal"
    path.write_text(json.dumps(json.loads(path.read_text("ascii")) | {"version": version}), "ascii")
    ran = []
    is_refused(ran, Workflow("w", steps(ran, *BEFORE)), store)


@pytest.mark.guarantee("G6")
def test_entries_of_another_version_are_refused(opened, tmp_path):
    """A journal in SQLite whose entries are of a version that this automa does not know is refused."""
    store = opened("sqlite")
    stopped_run(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as connection, connection:
        connection.execute("""UPDATE writes SET entries = replace(entries, '"begun":1', '"begun":2')""")
    ran = []
    is_refused(ran, Workflow("w", steps(ran, *BEFORE)), store)


@pytest.mark.guarantee("G6")
def test_a_database_of_another_version_is_refused(opened, tmp_path):
    """A file of SQLite whose schema is newer than this automa is refused when it is opened."""
    store = opened("sqlite")
    stopped_run(store)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="use a newer automa"):
        SqliteStore(tmp_path / "runs.db")


@pytest.mark.guarantee("G5", "G6")
def test_a_file_that_was_cut_off_is_refused_wherever_that_was(opened, tmp_path):
    """Each beginning of a journal file, byte by byte, is refused with a JournalError, and nothing runs."""
    store = opened("file")
    stopped_run(store)
    path = tmp_path / "runs" / "w-r.journal"
    whole = path.read_bytes()
    assert len(whole) > 1000
    ran = []
    workflow = Workflow("w", steps(ran, *BEFORE))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(JournalError):
            workflow.resume("r", store)
    assert ran == []
    path.write_bytes(whole)
    assert workflow.resume("r", store).outcome == "succeeded"


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("seed", range(10))
def test_nothing_but_our_errors_comes_of_a_file_that_was_changed(seed, opened, tmp_path):
    """Bytes and values changed at random: a resume does what the file tells, or refuses with an AutomaError."""
    store = opened("file")
    stopped_run(store)
    path = tmp_path / "runs" / "w-r.journal"
    whole, chance = path.read_bytes(), random.Random(seed)  # no cryptography
    entries = json.loads(whole)["x-automa"]["entries"]
    for number in range(60):
        if number % 2:
            changed = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                changed[chance.randrange(len(changed))] = chance.choice(b'"{}[]:,0a\x00\xff')
            path.write_bytes(changed)
        else:  # no digest: another implementation may have written it
            document = json.loads(whole)
            del document["x-automa"]
            mangle(document, chance)
            path.write_text(json.dumps(document), "ascii")
        tolerated(store)
    assert json.loads(whole)["x-automa"]["entries"] == entries


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("seed", range(10))
def test_nothing_but_our_errors_comes_of_entries_that_were_changed(seed, opened, tmp_path):
    """Entries dropped, doubled, swapped or mangled at random: a resume refuses with an AutomaError, or carries on."""
    store, chance = opened("sqlite"), random.Random(seed)  # no cryptography
    stopped_run(store)
    entries = store.load("w", "r")
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        for _ in range(60):
            changed = json.loads(json.dumps(entries))
            index, other = chance.randrange(len(changed)), chance.randrange(len(changed))
            match chance.randrange(4):
                case 0:
                    del changed[index]
                case 1:
                    changed.insert(other, changed[index])
                case 2:
                    changed[index], changed[other] = changed[other], changed[index]
                case _:
                    mangle(changed, chance)
            with connection:
                connection.execute("DELETE FROM writes")
                connection.execute("UPDATE runs SET status = 'suspended', owner = NULL")
                connection.execute("INSERT INTO writes VALUES (1 << 32, ?)", (json.dumps(changed),))
            tolerated(store)


def tolerated(store):
    """Resume a run of a journal that may be broken."""
    with contextlib.suppress(AutomaError):
        Workflow("w", steps([], *BEFORE)).resume("r", store, missing="error")


def mangle(document, chance):
    """Change a value somewhere in a document."""
    places = []

    def collect(value):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(each, dict | list):
                collect(each)

    collect(document)
    holder, key = chance.choice(places)
    value = chance.choice([None, 0, -1, 10**30, True, "", "x", [], {}, "done", "started", "DROP"])
    if value == "DROP":
        del holder[key]
    else:
        holder[key] = value


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("content", ["[]", "null", "{}", '"text"', "12", '{"version": 1}', "\ufeff{}"])
def test_a_foreign_file_is_refused(content, opened, tmp_path):
    """A file that is no journal is refused, and not overwritten."""
    store = opened("file")
    path = tmp_path / "runs" / "w-r.journal"
    path.write_text(content, "utf-8")
    ran = []
    is_refused(ran, Workflow("w", steps(ran, *BEFORE)), store)
    with pytest.raises(AutomaError):
        Workflow("w", steps(ran, *BEFORE)).start(run_id="r", store=store)
    assert ran == []
    assert path.read_text("utf-8") == content


@pytest.mark.guarantee("G6")
def test_the_file_of_another_workflow_is_refused(opened, tmp_path):
    """A journal that lies under the name of a run of another workflow is refused."""
    store = opened("file")
    stopped_run(store)
    (tmp_path / "runs" / "w-r.journal").rename(tmp_path / "runs" / "other-r.journal")
    ran = []
    is_refused(ran, Workflow("other", steps(ran, *BEFORE)), store)


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_the_journal_of_another_run_is_not_taken_for_this_one(kind, opened, tmp_path):
    """A journal that lies under the id of another run is refused, or is that other run's no more: nothing done is done again."""
    store = opened(kind)
    stopped_run(store)
    if kind == "file":
        (tmp_path / "runs" / "w-r.journal").rename(tmp_path / "runs" / "w-s.journal")
    else:
        with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as connection, connection:
            connection.execute("UPDATE runs SET run = 's'")
    ran = []
    with contextlib.suppress(JournalError):
        Workflow("w", steps(ran, *BEFORE)).resume("s", store, missing="error")
    assert ran in ([], ["b"])


@pytest.mark.guarantee("G6")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("began", "goes_on"), [("1", "2"), ("1", None), (None, "1")])
def test_a_run_of_another_version_is_refused(opened, kind, began, goes_on):
    """A run is carried on by the version with which it began; any other is refused, named or not, and nothing runs."""
    ran, store = [], opened(kind)
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps(ran, "a", "b", failing=["b"]), version=began).start(run_id="r1", store=store)
    told = rf"the version was {began or 'not named'}, and is {goes_on or 'not named'}"
    with pytest.raises(JournalError, match=told):
        Workflow("w", steps(ran, "a", "b"), version=goes_on).resume("r1", store)
    assert ran == ["a", "b"]
    assert Workflow("w", steps(ran, "a", "b"), version=began).resume("r1", store).outcome == "succeeded"


def test_a_workflow_that_names_no_version_has_one_by_its_steps():
    """Steps, order, nesting and modes make a version; what the steps do does not."""
    first = Workflow("w", steps([], *BEFORE))
    assert first.version == Workflow("w", steps([], *BEFORE)).version
    others = [
        Workflow("w", steps([], "a", "b")),
        Workflow("w", steps([], "b", ["n", "x", "y"], "a")),
        Workflow("w", steps([], *BEFORE), mode="stop"),
        Workflow("w", steps([], *BEFORE), snapshots=False),
    ]
    assert len({first.version, *(each.version for each in others)}) == 5


@pytest.mark.parametrize("version", ["", "-1", "a b", "ü", 7, "x" * 65])
def test_what_names_no_version_is_refused(version):
    """A version is a short word, since it becomes part of names on engines."""
    with pytest.raises(WorkflowDefinitionError, match="is no version"):
        Workflow("w", version=version)
