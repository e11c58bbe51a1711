"""Run and step in each line that is logged while a step works."""

from __future__ import annotations

import asyncio
import contextvars
import logging

import pytest

from automa import Parallel, Step, Workflow
from automa.abc import Observer
from automa.engines import LocalEngine
from automa.observe import StepFilter


class Lines(logging.Handler):
    """Keeps what the lines have that it is given."""

    def __init__(self):
        super().__init__()
        self.told = []

    def emit(self, record):
        self.told.append((record.run_id, record.step, record.getMessage()))


@pytest.fixture
def fields():
    return StepFilter()


@pytest.fixture
def bank(fields):
    """The logger of a library that knows nothing of sagas; its handler has the filter."""
    handler = Lines()
    handler.addFilter(fields)
    log = logging.getLogger("tests.bank")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield log
    log.removeHandler(handler)


def told(bank):
    return bank.handlers[0].told


def test_it_is_a_filter_and_an_observer(fields):
    """It satisfies both protocols."""
    assert isinstance(fields, Observer)
    assert isinstance(fields, logging.Filter)


@pytest.mark.parametrize("timeout", [None, 20])
@pytest.mark.parametrize("is_async", [False, True])
def test_lines_of_a_library_have_run_and_step(fields, bank, is_async, timeout):
    """What is logged in a step or an undo, in whatever thread it works, has both; what is logged outside has neither."""

    def fail():
        bank.info("charge")
        raise ValueError

    steps = [
        Step("a", run=lambda: bank.info("run"), undo=lambda: bank.info("undo"), timeout=timeout, undo_timeout=timeout),
        Workflow("inner", [Step("b", run=fail)]),
    ]  # fmt: skip
    workflow = Workflow("w", steps, observers=[fields])
    if is_async:
        asyncio.run(workflow.start_async(run_id="r"))
    else:
        workflow.start(run_id="r")
    bank.info("after")
    assert told(bank) == [
        ("r", "a", "run"),
        ("r", "inner/b", "charge"),
        ("r", "a", "undo"),
        ("", "", "after"),
    ]


async def test_runs_and_branches_at_once_are_told_apart(fields, bank):
    """Of async steps that work at once, in several runs, each line has its own."""
    all_there = asyncio.Barrier(4)

    def step(name):
        async def run():
            await all_there.wait()
            bank.info(name)

        return Step(name, run=run)

    workflow = Workflow("w", [Parallel("par", step("x"), step("y"))], observers=[fields])
    await asyncio.gather(workflow.start_async(run_id="r1"), workflow.start_async(run_id="r2"))
    assert sorted(told(bank)) == [
        ("r1", "par/x", "x"),
        ("r1", "par/y", "y"),
        ("r2", "par/x", "x"),
        ("r2", "par/y", "y"),
    ]


def test_a_saga_started_by_a_step_has_its_own(fields, bank):
    """Within a step that starts a saga the lines of that one's steps are theirs; then the outer step's are again."""
    inner = Workflow("inner", [Step("b", run=lambda: bank.info("inner"))], observers=[fields])

    def outer():
        inner.start(run_id="r2")
        bank.info("outer")

    Workflow("w", [Step("a", run=outer)], observers=[fields]).start(run_id="r1")
    assert told(bank) == [("r2", "b", "inner"), ("r1", "a", "outer")]


def test_lines_on_an_engine_have_them_too(fields, bank):
    """A worker's steps have run and step in what they log."""
    workflow = Workflow("w", [Parallel("par", Step("a", run=lambda: bank.info("run")))])
    engine = LocalEngine("memory:")
    handle = engine.submit(workflow, run_id="r")
    with engine.worker(workflow, observers=[fields]).in_background():
        handle.wait(timeout=30)
    assert told(bank) == [("r", "par/a", "run")]


def test_a_line_keeps_what_it_has(fields, bank):
    """Lines of ctx.log, of the workflow, and those whose author has set the two, stay as they are."""

    def run(ctx):
        ctx.log.info("mine")
        bank.info("set", extra={"step": "other"})

    Workflow("w", [Step("a", run=run)], observers=[fields], logger=bank).start(run_id="r")
    assert told(bank)[0] == ("r", "a", "[r a] mine")
    assert told(bank)[1] == ("r", "other", "set")
    assert told(bank)[-1] == ("r", "", "[r] workflow 'w' ended succeeded")


async def test_a_run_that_is_closed_from_another_context_does_no_harm(fields, bank, caplog):
    """Its coroutine may be closed where nobody knows of the step: nothing is raised, and nothing is left behind."""
    undone = asyncio.Event()

    async def forever():
        await asyncio.get_running_loop().create_future()

    run = Workflow("w", [Step("a", run=forever, undo=undone.set)], observers=[fields]).start_async()
    contextvars.copy_context().run(run.send, None)
    contextvars.copy_context().run(run.close)
    await undone.wait()
    bank.info("after")
    assert told(bank) == [("", "", "after")]
    assert "raised; the run goes on" not in caplog.text
