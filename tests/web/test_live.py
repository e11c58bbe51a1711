"""Pages that move: server-sent events."""

from __future__ import annotations

import threading

import pytest

import automa.web.app
import automa.web.live
from automa import Step, Workflow
from automa.engines import LocalEngine
from automa.engines.engine import EngineBase
from automa.stores import SqliteStore
from tests.web.serving import serving, until


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "runs.db")
    yield store
    store.close()


@pytest.fixture
def going(store):
    """A run whose steps wait to be let go, one after the other; it goes on in a thread."""
    gates = [threading.Semaphore(0) for _ in range(3)]
    steps = [Step(f"s{number}", run=gate.acquire) for number, gate in enumerate(gates)]
    thread = threading.Thread(target=lambda: Workflow("order", steps).start(store=store, run_id="one"))
    thread.start()
    until(lambda: list(store.runs()))
    yield gates
    for gate in gates:
        gate.release()
    thread.join()


class Stream:
    """The events of a stream."""

    def __init__(self, response):
        self.lines = response.iter_lines()

    def next(self):
        """Return the next event and its data; comments have none."""
        found = {}
        for line in self.lines:
            if not line and found:
                if "retry" in found:
                    found = {}
                    continue
                return found.get("event", ""), found.get("data", "")
            if line:
                name, _, value = line.partition(":")
                found[name] = value.strip()
        return None


RUN = "/live/run?workflow=order&run=one"


def test_a_run_that_goes_on_is_told(store, going):
    """An event comes at once, then whenever the run has gone on, and one at its end, after which none comes."""
    with serving(store) as browser, browser.client.stream("GET", RUN) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = Stream(response)
        marks = [stream.next()]
        assert f'data-mark="{marks[0][1]}"' in browser.run("one").text
        for gate in going:
            gate.release()
            marks.append(stream.next())
        rest = list(iter(stream.next, None))
        assert {name for name, _ in marks} == {"changed"}
        assert len({mark for _, mark in marks}) == 4
        assert rest[-1][0] == "end"


def test_a_list_is_told_of_new_runs(store):
    """The stream of a list tells that a run has begun; where it is filtered, only of those that fit."""
    with serving(store) as browser, browser.client.stream("GET", "/live/runs?workflow=greet") as response:
        stream = Stream(response)
        first = stream.next()
        Workflow("other", [Step("a")]).start(store=store)
        Workflow("greet", [Step("a")]).start(store=store)
        second = stream.next()
        assert first[1] != second[1]
        page = browser.get("/?workflow=greet").text
        assert f'data-mark="{second[1]}"' in page


def test_whoever_goes_away_frees_the_stream(store, going):
    """A stream whose reader has gone is not kept."""
    with serving(store) as browser:
        with browser.client.stream("GET", RUN) as response:
            stream = Stream(response)
            stream.next()
            assert browser.server.site.streams.open == 1
        until(lambda: browser.server.site.streams.open == 0)


def test_there_are_not_too_many_streams(store, going):
    """One more than there may be is told to come later; pages are still answered."""
    with serving(store) as browser:
        browser.server.site.streams._most = 1
        with browser.client.stream("GET", RUN) as response:
            stream = Stream(response)
            stream.next()
            more = browser.get(RUN)
            assert (more.status_code, more.headers["retry-after"]) == (503, "10")
            assert browser.run("one").status_code == 200


def test_a_server_that_stops_ends_its_streams(store, going):
    """A stream does not hold up the end of the server."""
    with serving(store) as browser, browser.client.stream("GET", RUN) as response:
        stream = Stream(response)
        stream.next()
        browser.server.stop()
        assert list(iter(stream.next, None)) == []


def test_a_store_that_cannot_be_read_is_asked_again(store, going, monkeypatch):
    """The stream tells of the trouble, stays, and goes on once the store can be read."""
    monkeypatch.setattr(automa.web.live, "_TROUBLED_PAUSE", 0.05)
    with serving(store) as browser, browser.client.stream("GET", RUN) as response:
        stream = Stream(response)
        before = stream.next()
        aside = store.path.with_name("aside")
        store.path.rename(aside)
        assert stream.next()[0] == "trouble"
        aside.rename(store.path)
        assert stream.next() == before


def test_a_stream_that_is_silent_beats(store, going, monkeypatch):
    """Where nothing happens a line is sent all the same, so that nobody in between takes it for dead."""
    monkeypatch.setattr(automa.web.live, "_BEAT", 0.1)
    with serving(store) as browser, browser.client.stream("GET", RUN) as response:
        assert any(line.startswith(": ") for line in response.iter_lines())


def test_a_run_that_is_not_there_is_trouble(store):
    """A stream about a run that was deleted tells so, and does not end the server."""
    with (
        serving(store) as browser,
        browser.client.stream("GET", "/live/run?workflow=order&run=none") as response,
    ):
        assert Stream(response).next()[0] == "trouble"
    with serving(store) as browser:
        assert browser.get("/live/run").status_code == 400


class Far(EngineBase):
    """Stands for an engine behind a server, whose list of runs does not tell of each step."""

    def __init__(self, store):
        self._near = LocalEngine(store)

    def runs(self, **wanted):
        for info in self._near.runs(**wanted):
            yield info._replace(updated=info.created)

    def last_turn(self, workflow_id, run_id):
        return self._near.last_turn(workflow_id, run_id)

    def begin_turn(self, name, entries):
        raise NotImplementedError

    def signal_cancel(self, name, note):
        raise NotImplementedError

    def worker(self, workflows, *, resources=None, observers=()):
        raise NotImplementedError


def test_a_run_of_an_engine_that_tells_little_moves_too(store, going, monkeypatch):
    """Where the list of runs does not tell of each step, the run itself is read."""
    monkeypatch.setattr(automa.web.app, "_FAR_PAUSE", 0.1)
    with serving(Far(store)) as browser, browser.client.stream("GET", RUN) as response:
        stream = Stream(response)
        first = stream.next()
        going[0].release()
        assert stream.next()[1] != first[1]


def test_asking_for_the_head_of_a_stream_opens_none(store):
    """HEAD is answered at once."""
    with serving(store) as browser:
        assert browser.client.head("/live/runs").status_code == 200
        assert browser.server.site.streams.open == 0
