"""What is refused before anything starts, each with one clear error."""

from __future__ import annotations

import functools

import pytest

from automa import (
    AsyncStepError,
    RunIdError,
    StateError,
    Step,
    StepRegistry,
    Workflow,
    WorkflowDefinitionError,
    step,
)


class Recorder:
    """Steps that note when they run: in these tests none may."""

    def __init__(self):
        self.calls = []

    def step(self, id="a"):
        return Step(id, run=lambda: self.calls.append(id))


@pytest.fixture
def recorder():
    recorder = Recorder()
    yield recorder
    assert recorder.calls == []


@pytest.mark.parametrize("id", ["", "   ", None, 7])
def test_an_id_that_is_empty_or_no_text_is_refused(id):
    """A step and a workflow need an id that is a text and not empty."""
    with pytest.raises(WorkflowDefinitionError, match="the id of a workflow"):
        Workflow(id)
    if id is not None:
        with pytest.raises(WorkflowDefinitionError, match="the id of a step"):
            Step(id)


def test_a_step_without_an_id_is_refused():
    """A step that was given no id, and whose class has none, is refused."""
    with pytest.raises(WorkflowDefinitionError, match="the id of a step is empty"):
        Step()


def test_a_class_may_carry_the_id():
    """A subclass may set its id once for all instances."""

    class Deploy(Step):
        id = "deploy"

    assert Deploy().id == "deploy"


def test_a_duplicate_id_is_refused_with_both_positions(recorder):
    """Two steps with one id are refused (in Go the list became circular and never ended)."""
    with pytest.raises(WorkflowDefinitionError, match="step id 'a' twice, at 1 and 3"):
        Workflow("w", [recorder.step("a"), recorder.step("b"), recorder.step("a")])


def test_something_that_is_no_step_is_refused():
    """The message says what it is, where, and what to do."""
    with pytest.raises(WorkflowDefinitionError, match=r"step 1 of workflow 'w' is the function .*@step"):
        Workflow("w", [lambda: None])
    with pytest.raises(WorkflowDefinitionError, match="is the class Step: make an instance"):
        Workflow("w", [Step])
    with pytest.raises(
        WorkflowDefinitionError, match="is 7, which is no step: it lacks id, run, rollback, next, prev"
    ):
        Workflow("w", [7])


def test_a_foreign_step_with_an_empty_id_is_refused():
    """What satisfies the protocol needs an id as well."""

    class Plain:
        id = ""
        next = prev = None

        def run(self, ctx, prev_success): ...

        def rollback(self, ctx, prev_failure): ...

    with pytest.raises(WorkflowDefinitionError, match="the id of step 1 of workflow 'w' is empty"):
        Workflow("w", [Plain()])


def takes_two(ctx, other):
    pass


def takes_keyword(*, key):
    pass


def generates(ctx):
    yield 1


async def generates_async(ctx):
    yield 1


@pytest.mark.parametrize("role", ["run", "undo"])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (takes_two, r"takes_two\(ctx, other\) must take one argument, the context, or none"),
        (takes_keyword, r"takes_keyword\(\*, key\) must take one argument"),
        (generates, "is a generator: a call would not run its body"),
        (generates_async, "is a generator: a call would not run its body"),
        (7, "is 7, which cannot be called"),
        (max, "does not tell its arguments: wrap it in a lambda"),
    ],
)
def test_a_function_of_the_wrong_kind_is_refused(role, function, message):
    """A function that could not be called with ctx or nothing, or whose body would not run, is refused at once."""
    with pytest.raises(WorkflowDefinitionError, match=message):
        Step("a", **{role: function})
    if role == "undo" and callable(function):
        with pytest.raises(WorkflowDefinitionError, match=message):
            Step("a").undo(function)


def test_functions_take_ctx_or_nothing():
    """A required first argument, one named ctx, or ``*args`` gets the context; a default alone does not ask for it."""
    got = {}

    class Callable:
        def __call__(self, ctx):
            got["callable"] = ctx.step_id

    def optional(ctx=None):
        got["optional"] = ctx.step_id

    def with_default(name="kept"):
        got["default"] = name

    steps = [
        Step("nothing", run=lambda: got.update(nothing=True)),
        Step("any-name", run=lambda c: got.update(any_name=c.step_id)),
        Step("optional", run=optional),
        Step("default", run=with_default),
        Step("star", run=lambda *args: got.update(star=args[0].step_id)),
        Step("partial", run=functools.partial(lambda mark, ctx: got.update(partial=(mark, ctx.step_id)), 1)),
        Step("callable", run=Callable()),
    ]
    Workflow("w", steps).start().raise_for_status()
    assert got == {
        "nothing": True,
        "any_name": "any-name",
        "optional": "optional",
        "default": "kept",
        "star": "star",
        "partial": (1, "partial"),
        "callable": "callable",
    }


async def coroutine(ctx):
    pass


class AsyncCallable:
    async def __call__(self, ctx):
        pass


class AsyncController(Step):
    async def run(self, ctx, prev_success):
        return self.run_next(prev_success)


class AsyncPlain:
    id = "async"
    next = prev = None

    async def run(self, ctx, prev_success): ...

    def rollback(self, ctx, prev_failure): ...


@pytest.mark.parametrize(
    "made",
    [
        lambda: Step("async", run=coroutine),
        lambda: Step("async", undo=coroutine),
        lambda: Step("async", run=functools.partial(coroutine)),
        lambda: Step("async", run=AsyncCallable()),
        lambda: AsyncController("async"),
        AsyncPlain,
    ],
)
def test_an_async_step_is_refused_by_start(recorder, made):
    """`start` refuses a workflow with an async step, at any depth, before anything runs, and names start_async."""
    nested = Workflow("outer", [recorder.step(), Workflow("inner", [made()])])
    with pytest.raises(AsyncStepError, match="async step 'inner/async': start it with start_async"):
        nested.start()


def test_an_awaitable_met_in_a_sync_run_fails_its_step():
    """An awaitable that shows only at the call is closed, and its step fails and is undone."""
    undone = []
    hidden = Step("hidden", run=lambda: coroutine(None), undo=lambda: undone.append(1))
    report = Workflow("w", [hidden]).start()
    assert isinstance(report.error, AsyncStepError)
    assert "'hidden': its run turned out to be async; use start_async" in str(report.error)
    assert undone == [1]


@pytest.mark.parametrize("mode", ["sideways", "", None])
def test_an_unknown_mode_is_refused(mode):
    """A mode that does not exist is refused, and the message lists those that do."""
    with pytest.raises(
        WorkflowDefinitionError, match="no ExecutionMode .there are: 'stop', 'continue', 'rollback'"
    ):
        Workflow("w", mode=mode)
    with pytest.raises(WorkflowDefinitionError, match="no RollbackMode .there are: 'continue', 'stop'"):
        Workflow("w", rollback_mode="rollback")


@pytest.mark.parametrize("run_id", ["", "-x", "a/b", "a\n", "x" * 129, 7])
def test_a_bad_run_id_is_refused(recorder, run_id):
    """A run id may become the name of a file: it is checked before anything runs."""
    with pytest.raises(RunIdError, match="no run id"):
        Workflow("w", [recorder.step()]).start(run_id=run_id)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"x": float("nan")}, r"shared\['x'\]: nan is no JSON number"),
        ({"x": {1, 2}}, r"shared\['x'\]: builtins.set is no JSON value; live objects go into resources"),
        ({"x": (1,)}, r"shared\['x'\]: builtins.tuple is no JSON value; use a list"),
        ({"x": {"y": [object()]}}, r"shared\['x'\]\['y'\]\[0\]: builtins.object is no JSON value"),
        ({"x": {1: 2}}, r"shared\['x'\]: the key 1 is no text, but int"),
        ({1: 2}, r"shared\[1\]: keys are texts, not int"),
        ([1], "the state must be a mapping, not list"),
    ],
)
def test_a_state_that_is_not_json_is_refused(recorder, state, message):
    """State that is not JSON is refused before anything runs, naming the place."""
    with pytest.raises(StateError, match=message):
        Workflow("w", [recorder.step()]).start(state)


def test_step_decorator_misuse_is_told():
    """`@step("id")` and a nameless callable are told how to give the id."""
    with pytest.raises(WorkflowDefinitionError, match="use @step.id='reserve'."):
        step("reserve")
    with pytest.raises(WorkflowDefinitionError, match="has no name: give the step an id"):
        step(functools.partial(print))


def test_a_strict_registry_refuses_an_id_twice_and_a_batch_whole():
    """In strict mode an id that is there already is refused, and nothing of the batch is added (spec: registry)."""
    registry = StepRegistry(strict=True).register(Step("a"))
    with pytest.raises(WorkflowDefinitionError, match="has a step 'a' already; none was added"):
        registry.register(Step("b"), Step("a"))
    assert registry.get_step("b") is None
    assert StepRegistry().register(Step("a"), Step("a")).get_step("a") is not None
