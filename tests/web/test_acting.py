"""What operators ask of runs from the page."""

from __future__ import annotations

import asyncio
import threading

import pytest

from automa import Outcome, Step, Workflow
from automa.durable import load_history
from automa.engines import LocalEngine
from automa.journal.telling import told
from automa.stores import FileStore, MemoryStore, SqliteStore
from tests.web.serving import serving, text_of, until


class World:
    """What steps touch, and what stops them."""

    def __init__(self):
        self.log = []
        self.go = threading.Event()
        self.go.set()
        self.jams = False
        self.stops = False
        self.at_work = threading.Event()

    def workflow(self, id="order", **options):
        def charge():
            self.log.append("charge")
            if self.stops:
                raise KeyboardInterrupt
            self.at_work.set()
            assert self.go.wait(30)

        def release():
            self.log.append("release")
            if self.jams:
                raise OSError("the seat map is locked")

        def refund():
            self.log.append("refund")
            self.at_work.set()
            assert self.go.wait(30)

        return Workflow(
            id,
            [
                Step("reserve", run=lambda: self.log.append("reserve"), undo=release),
                Step("charge", run=charge, undo=refund),
                Step("mail", run=lambda: self.log.append("mail")),
            ],
            **options,
        )


@pytest.fixture
def world():
    world = World()
    yield world
    world.go.set()


@pytest.fixture(params=["file", "sqlite"])
def store(request, tmp_path):
    folder = tmp_path / "runs"
    store = FileStore(folder) if request.param == "file" else SqliteStore(folder / "runs.db")
    yield store
    store.close()


def again(store):
    """Open a store as another process does."""
    return FileStore(store.folder) if isinstance(store, FileStore) else SqliteStore(store.path)


def status(store, run_id="one"):
    return next(store.runs(run_id=run_id)).status


def notes(store, run_id="one", workflow_id="order"):
    history = load_history(store, workflow_id, run_id)
    return [told(record)[1] for record in history if getattr(record, "note", "")]


def test_a_run_is_rolled_back(store, world):
    """It is undone in a thread of the server; who asked and why is in the journal."""
    world.workflow().start(store=store, run_id="one")
    with serving(store, world.workflow()) as browser:
        page = browser.get("/ask?workflow=order&run=one&kind=rollback")
        assert "In this order would be undone mail it has no undo charge reserve" in text_of(page)
        world.go.clear()
        world.at_work.clear()
        answer = browser.act("rollback", "one", who="  Ann \n Lee ", why="ordered twice")
        assert (answer.status_code, answer.headers["location"]) == (303, "/run?workflow=order&run=one")
        assert world.at_work.wait(30)
        going = text_of(browser.run("one"))
        assert "asked by Ann Lee (ordered twice): it goes on, in this server" in going
        assert "undo charge ▶ at work" in going
        world.go.set()
        until(lambda: status(store) == Outcome.UNDONE)
        over = until(
            lambda: (
                (said := text_of(browser.run("one"))) and "it has come to its end: undone" in said and said
            )
        )
        assert "asked for: rollback Ann Lee: ordered twice" in over
    assert notes(store) == ["asked for: rollback, 'Ann Lee: ordered twice'"]
    assert world.log[-2:] == ["refund", "release"]


def test_the_name_is_remembered(world):
    """Whoever has asked once finds the name in the next form; before that it is the local user's."""
    store = MemoryStore()
    for run_id in ("one", "two"):
        world.workflow().start(store=store, run_id=run_id)
    with serving(store, world.workflow()) as browser:
        assert browser.act("rollback", "one", who="Änne <b>").status_code == 303
        page = browser.get("/ask?workflow=order&run=two&kind=rollback")
        assert 'value="Änne &lt;b&gt;"' in page.text


@pytest.mark.parametrize("missing", [{"who": " "}, {"why": " \n"}])
def test_who_and_why_are_needed(world, missing):
    """A form without a name or a reason comes back, and nothing was done."""
    store = MemoryStore()
    world.workflow().start(store=store, run_id="one")
    with serving(store, world.workflow()) as browser:
        answer = browser.act("rollback", "one", **missing)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
    assert status(store) == Outcome.SUCCEEDED


def suspended(store, world):
    """Leave a run that was stopped in its second step."""
    world.stops = True
    with pytest.raises(KeyboardInterrupt):
        world.workflow().start(store=store, run_id="one")
    world.stops = False
    assert status(store) == Outcome.SUSPENDED


def test_a_run_that_was_stopped_is_resumed(store, world):
    """It goes on where it was; what is recorded is not done again, and who asked and why is in the journal."""
    suspended(store, world)
    with serving(store, world.workflow()) as browser:
        assert browser.act("resume", "one", who="Ann", why="mended").status_code == 303
        until(lambda: status(store) == Outcome.SUCCEEDED)
        assert "operator resumed Ann: mended" in text_of(browser.run("one"))
    assert world.log == ["reserve", "charge", "charge", "mail"]
    assert notes(store) == ["resumed, 'Ann: mended'"]


def test_a_run_whose_process_has_died_is_resumed(store, world):
    """It is shown as interrupted, and the page says what can be done."""
    LocalEngine(store).submit(world.workflow(), run_id="one")  # as one whose process died at once
    with serving(store, world.workflow()) as browser:
        assert "interrupted" in text_of(browser.get("/?status=interrupted"))
        assert "its process has died. It can be resumed, or rolled back" in text_of(browser.run("one"))
        assert browser.act("resume", "one").status_code == 303
        until(lambda: status(store) == Outcome.SUCCEEDED)


def test_a_failed_undo_is_retried_and_marked(store, world):
    """Both are offered for the step alone whose undo has failed; the note is in the report."""
    world.workflow().start(store=store, run_id="one")
    world.jams = True
    world.workflow().rollback("one", store)
    with serving(store, world.workflow()) as browser:
        assert browser.act("retry_undo", "one", "reserve").status_code == 303
        until(lambda: world.log.count("release") == 2)
        until(lambda: "come to its end" in text_of(browser.run("one")))
        assert status(store) == Outcome.NEEDS_ATTENTION
        assert browser.act("mark_undone", "one", "reserve", why="released by phone").status_code == 303
        until(lambda: status(store) == Outcome.UNDONE)
        page = until(
            lambda: (said := text_of(browser.run("one"))) and "come to its end: undone" in said and said
        )
        assert "marked as undone: Ann: released by phone" in page
        assert "reserve ✓ done ✎ marked undone" in page
    assert world.log.count("release") == 2


def test_what_somebody_else_carries_on_is_refused(store, world):
    """A form that was opened before somebody else took the run changes nothing, and says why."""
    world.workflow().start(store=store, run_id="one")
    with serving(store, world.workflow()) as browser:
        form = browser.form("rollback", "one")
        other = again(store)
        lease = other.take("order", "one")
        answer = browser.post(form)
        assert answer.status_code == 409
        assert "this cannot be asked" in text_of(answer)
        lease.release()
        other.close()
        assert browser.post(form).status_code == 303
        until(lambda: status(store) == Outcome.UNDONE)


def test_of_two_who_ask_at_once_one_is_refused(store, world):
    """The lock of ownership decides between two forms of the same run; the run is undone once."""
    world.workflow().start(store=store, run_id="one")
    with serving(store, world.workflow()) as one, serving(again(store), world.workflow()) as two:
        forms = [(browser, browser.form("rollback", "one")) for browser in (one, two, one, two)]
        world.go.clear()
        answers = []
        threads = [threading.Thread(target=lambda b=b, f=f: answers.append(b.post(f))) for b, f in forms]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        world.go.set()
        assert sorted(answer.status_code for answer in answers) == [303, 409, 409, 409]
        until(lambda: status(store) == Outcome.UNDONE)
    assert world.log.count("release") == 1


def test_without_the_workflow_it_says_what_to_do(world):
    """A store whose workflows were not given is shown, and the page says why nothing can be asked."""
    store = MemoryStore()
    world.workflow().start(store=store, run_id="one")
    with serving(store, world.workflow("other")) as browser:
        page = browser.run("one")
        assert "which this page was not given" in text_of(page)
        assert "/ask?" not in page.text
        asked = browser.get("/ask?workflow=order&run=one&kind=rollback")
        assert "<form" not in asked.text.replace('<form class="filter"', "")
        csrf = browser.form("rollback", *other_run(store, world))["csrf"]
        answer = browser.post(
            {"action": "/act?workflow=order&run=one&kind=rollback", "csrf": csrf, "who": "a", "why": "b"}
        )
        assert answer.status_code == 409
    assert status(store) == Outcome.SUCCEEDED


def other_run(store, world):
    world.workflow("other").start(store=store, run_id="two")
    return ("two", "", "other")


def test_a_workflow_that_has_changed_is_refused(world):
    """A run of another definition is not touched; the page says where they differ."""
    store = MemoryStore()
    world.workflow().start(store=store, run_id="one")
    with serving(store, Workflow("order", [Step("reserve"), Step("pack")])) as browser:
        answer = browser.act("rollback", "one")
        assert answer.status_code == 409
        assert "Nothing was done" in text_of(answer)
    assert status(store) == Outcome.SUCCEEDED


def test_the_version_of_the_run_is_taken(world):
    """Of several versions of a workflow the one with which the run began carries it on."""
    store = MemoryStore()
    world.workflow(version="1").start(store=store, run_id="one")
    changed = Workflow("order", [Step("other")], version="2")
    with serving(store, changed, world.workflow(version="1")) as browser:
        assert browser.act("rollback", "one").status_code == 303
        until(lambda: status(store) == Outcome.UNDONE)


def test_a_run_that_goes_on_here_is_cancelled(store, world):
    """It stops after the step at work, and is undone then, with the note of whoever has cancelled it."""
    suspended(store, world)
    world.go.clear()
    world.at_work.clear()
    with serving(store, world.workflow()) as browser:
        browser.act("resume", "one")
        assert world.at_work.wait(30)
        assert "Roll back" not in browser.run("one").text
        form = browser.form("cancel", "one", who="Bob", why="a mistake")
        assert browser.post(form).status_code == 303
        assert "it stops after the step at work, and is undone then (Bob: a mistake)" in text_of(
            browser.run("one")
        )
        assert "it goes back already" in text_of(browser.run("one"))
        again_asked = browser.post(form | {"why": "twice"})
        assert again_asked.status_code == 409
        world.go.set()
        until(lambda: status(store) == Outcome.UNDONE)
    assert "mail" not in world.log
    assert notes(store) == ["resumed, 'Ann: to try'", "asked for: rollback, 'Bob: a mistake'"]


def test_a_server_that_stops_leaves_runs_that_can_be_resumed(store, world):
    """A run that goes on in it stops after the step at work; the server waits for that."""
    suspended(store, world)
    world.go.clear()
    world.at_work.clear()
    with serving(store, world.workflow()) as browser:
        browser.act("resume", "one")
        assert world.at_work.wait(30)
        threading.Timer(0.3, world.go.set).start()
    assert status(store) == Outcome.SUSPENDED
    assert "mail" not in world.log


def test_on_an_engine_its_workers_do_what_is_asked(store, world):
    """Rolling back, retrying and marking go to the engine, with the note; the page has no workflows."""
    engine = LocalEngine(store)
    with engine.worker(world.workflow()).in_background(), serving(engine) as browser:
        engine.submit(world.workflow(), run_id="one").wait(timeout=30)
        world.jams = True
        assert browser.act("rollback", "one", why="ordered twice").status_code == 303
        until(lambda: status(store) == Outcome.NEEDS_ATTENTION)
        assert browser.act("mark_undone", "one", "reserve", why="by phone").status_code == 303
        until(lambda: status(store) == Outcome.UNDONE)
        assert "Ann: by phone" in text_of(browser.run("one"))


def test_a_run_of_a_worker_is_cancelled(store, world):
    """The worker hears of it, also where the page has the store and not the engine."""

    async def charge():
        world.at_work.set()
        await asyncio.sleep(60)  # it is cut off

    workflow = Workflow("order", [Step("reserve", run=lambda: None), Step("charge", run=charge)])
    engine = LocalEngine(store)
    with engine.worker(workflow).in_background():
        engine.submit(workflow, run_id="one")
        assert world.at_work.wait(30)
        with serving(again(store)) as browser:
            assert browser.act("cancel", "one", why="a mistake").status_code == 303
            until(lambda: status(store) == Outcome.UNDONE)
            assert "Ann: a mistake" in text_of(browser.run("one"))


def test_a_cancellation_that_nobody_has_heard_yet_is_shown(store, world):
    """The page says that it is noted, and who waits for what."""
    LocalEngine(store).submit(world.workflow(), run_id="one")
    other = again(store)
    lease = other.take("order", "one")
    with serving(store) as browser:
        asked = browser.get("/ask?workflow=order&run=one&kind=cancel")
        assert "A run that was begun with automa run does not" in text_of(asked)
        assert browser.act("cancel", "one", why="a mistake").status_code == 303
        assert "Cancel is noted, and waits for the worker of this run: Ann: a mistake" in text_of(
            browser.run("one")
        )
    lease.release()
    other.close()


def test_past_the_pivot_nothing_is_cancelled():
    """The page says why, and the form is not there; resuming is offered once the run has stopped."""
    store = MemoryStore()
    go = threading.Event()
    fails = [True]

    def send():
        assert go.wait(30)
        if fails[0]:
            raise ValueError("no line")

    workflow = Workflow("order", [Step("sign", run=lambda: None, pivot=True), Step("send", run=send)])
    thread = threading.Thread(target=lambda: workflow.start(store=store, run_id="one"))
    thread.start()
    with serving(store, workflow) as browser:
        until(lambda: "run send" in text_of(browser.run("one")) if list(store.runs()) else None)
        page = browser.run("one")
        assert "past its pivot" in text_of(page)
        assert "/ask?" not in page.text
        go.set()
        thread.join()
        fails[0] = False
        page = browser.run("one")
        assert "kind=resume" in page.text
        assert "kind=rollback" not in page.text
        assert browser.act("resume", "one").status_code == 303
        until(lambda: status(store) == Outcome.SUCCEEDED)


def test_a_run_of_an_engine_goes_on_past_its_pivot(store):
    """Resuming goes to the engine, with the note; a run that has ended is not resumed."""
    if isinstance(store, FileStore):
        pytest.skip("the engine is what is asked, not the store")
    fails = [True]

    def send():
        if fails[0]:
            raise ValueError("no line")

    workflow = Workflow("order", [Step("sign", run=lambda: None, pivot=True), Step("send", run=send)])
    engine = LocalEngine(store)
    with engine.worker(workflow).in_background(), serving(engine) as browser:
        engine.submit(workflow, run_id="one").wait(timeout=30)
        fails[0] = False
        form = browser.form("resume", "one", why="the line is back")
        assert browser.post(form).status_code == 303
        until(lambda: status(store) == Outcome.SUCCEEDED)
        assert browser.post(form).status_code == 409
    assert notes(store) == ["resumed, 'Ann: the line is back'"]
