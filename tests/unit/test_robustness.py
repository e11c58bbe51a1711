"""Whatever a step, an observer or a value does: the run ends with a report, and what was done is undone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

from automa import (
    Action,
    Ended,
    Failure,
    Handoff,
    IllegalHandoff,
    Outcome,
    Status,
    Step,
    StepRegistry,
    StepReport,
    Success,
    Workflow,
    WorkflowDefinitionError,
)
from automa.errors import EncodedError, RemoteError, WireError, decode_error, encode_error, register_error
from automa.wire import v0


@pytest.fixture
def calls():
    return []


@pytest.fixture
def before(calls):
    return Step("before", run=lambda: calls.append("run"), undo=lambda: calls.append("undo"))


def fail():
    raise ValueError("boom")


class Controlled(Step):
    """A step whose run is a function of the test."""

    def __init__(self, answer, id="odd"):
        super().__init__(id)
        self.answer = answer

    def run(self, ctx, prev_success):
        return self.answer(self, ctx, prev_success)


def test_a_rollback_that_answers_with_a_success_is_a_failed_undo(calls, before):
    """A rollback that hands a Success on has failed; it neither crashes the run nor sends it forward."""

    class Slips(Step):
        def rollback(self, ctx, prev_failure):
            return self.run_next(prev_failure)

    report = Workflow("w", [before, Slips("b"), Step("c", run=fail)]).start()
    assert calls == ["run", "undo"]
    assert isinstance(report.rollback_errors[0], IllegalHandoff)
    assert report.outcome is Outcome.NEEDS_ATTENTION


@pytest.mark.parametrize("error", ["oops", ValueError, None])
def test_an_error_that_is_no_exception_is_the_steps_failure(calls, before, error):
    """`failed_run` and `failed_rollback` with something else than an exception fail the step with a TypeError."""

    class Undo(Controlled):
        def rollback(self, ctx, prev_failure):
            return self.failed_rollback(prev_failure, error)

    report = Workflow("w", [before, Undo(lambda step, ctx, event: step.failed_run(event, error))]).start()
    assert isinstance(report.error, TypeError)
    assert isinstance(report.rollback_errors[0], TypeError)
    assert calls == ["run", "undo"]
    v0.to_json(report)


@pytest.mark.parametrize(
    "answer",
    [
        lambda step, ctx, event: Handoff(step.next, Success(event.base, (ctx.report,))),
        lambda step, ctx, event: Handoff(step, Failure(event.base, ValueError("v"), (ctx.report,))),
    ],
)
def test_an_event_with_a_report_that_is_not_closed_is_refused(answer):
    """An event made by its constructor, its report still open, is no legal answer."""
    report = Workflow("w", [Controlled(answer), Step("after")]).start()
    assert isinstance(report.error, IllegalHandoff)
    assert report.step_reports[0].status is Status.FAILED


class BadText(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307  # that is the point

    def __repr__(self):
        raise RuntimeError("no repr")


class BadRepr:
    def __repr__(self):
        raise RuntimeError("no repr")

    def __getattr__(self, name):
        raise RuntimeError("no attributes")


def test_an_exception_that_cannot_be_printed_does_not_cost_the_report(calls, before, caplog):
    """An error whose __str__ or __repr__ breaks is reported, logged, written and printed all the same."""

    def bad():
        raise BadText

    with caplog.at_level(logging.INFO, "automa"):
        report = Workflow("w", [before, Step("b", run=bad)]).start()
    assert calls == ["run", "undo"]
    assert "no text: its __str__ raised TypeError" in str(report)
    assert "BadText" in repr(report.step_reports[1]) + str(report)
    assert "no text" in v0.to_json(report)


def test_an_answer_that_cannot_be_printed_is_refused(calls, before):
    """An answer whose __repr__ and attributes break is an illegal one, no more."""
    report = Workflow("w", [before, Controlled(lambda *_: BadRepr())]).start()
    assert "BadRepr, whose __repr__ raised RuntimeError" in str(report.error)
    assert calls == ["run", "undo"]
    long = Workflow("w", [Controlled(lambda *_: "x" * 10_000)]).start()
    assert len(str(long.error)) < 500


def test_an_awaitable_that_refuses_to_be_closed_fails_its_step(calls, before):
    """A sync run gives up an awaitable whose close() raises."""

    class Sticky:
        def __await__(self):
            yield

        def close(self):
            raise RuntimeError("sticky")

    report = Workflow("w", [before, Step("b", run=Sticky)]).start()
    assert report.status is Status.FAILED
    assert calls == ["run", "undo"]


def test_a_step_that_cannot_be_copied_or_linked_is_refused():
    """A frozen step, or one whose __copy__ raises, is refused when the workflow is built."""

    @dataclasses.dataclass(frozen=True)
    class Frozen:
        id: str = "frozen"
        next: object = None
        prev: object = None

        def run(self, ctx, prev_success): ...

        def rollback(self, ctx, prev_failure): ...

    with pytest.raises(WorkflowDefinitionError, match="cannot be copied and linked.*FrozenInstanceError"):
        Workflow("w", [Frozen()])

    class NoCopy(Controlled):
        def __copy__(self):
            raise RuntimeError("unique")

    with pytest.raises(WorkflowDefinitionError, match="cannot be copied and linked.*RuntimeError: unique"):
        Workflow("w", [NoCopy(None)])


def test_a_step_that_can_no_longer_be_copied_fails(calls, before):
    """A __copy__ that begins to raise after the workflow was built fails its step, and the rest is undone."""

    class Moody(Step):
        moody = False

        def __copy__(self):
            if self.moody:
                raise RuntimeError("not now")
            return super().__copy__()

    moody = Moody("moody")
    workflow = Workflow("w", [before, moody])
    moody.moody = True
    report = workflow.start()
    assert str(report.error) == "not now"
    assert calls == ["run", "undo"]


def test_a_state_value_that_cannot_be_written_fails_its_step(calls, before):
    """A number too large to write fails the step that left it."""

    def spoil(ctx):
        ctx.shared["l"] = values = []
        values.append(10**5000)

    report = Workflow("w", [before, Step("b", run=spoil)]).start()
    assert "shared['l']" in str(report.error)
    assert calls == ["run", "undo"]


def test_the_state_shares_nothing_with_those_who_set_it(calls):
    """A list put into the state under two keys, or kept by a module, is the state's own after the step."""
    kept = []

    def put(ctx):
        ctx.shared["a"] = ctx.shared["b"] = kept

    def change(ctx):
        ctx.shared["a"].append(1)
        kept.append(object())

    nested = Workflow("nested", [Step("looks", run=lambda ctx: calls.append(dict(ctx.shared)))])
    steps = [
        Step("put", run=put, undo=lambda ctx: calls.append(dict(ctx.shared))),
        Step("change", run=change),
        nested,
        Step("fail", run=fail),
    ]
    Workflow("w", steps).start()
    assert calls == [{"a": [1], "b": []}, {"a": [], "b": []}]


def test_the_undo_has_the_result_of_a_run_that_failed_over_its_state(calls):
    """A step that returned, but left a state that is not JSON, has failed; its undo still has the result."""

    def run(ctx):
        ctx.shared["l"] = values = []
        values.append(object())
        return 17

    Workflow("w", [Step("a", run=run, undo=lambda ctx: calls.append(ctx.result))]).start()
    assert calls == [17]


def test_a_literal_port_gives_the_state_back(calls):
    """A run that called its own rollback has its changes to the state taken back for the undos before."""

    class Port(Step):
        def run(self, ctx, prev_success):
            ctx.shared["k"] = "set by port"
            return self.rollback(ctx, self.failed_run(prev_success, ValueError("x")).event)

    Workflow("w", [Step("a", undo=lambda ctx: calls.append(dict(ctx.shared))), Port("b")]).start()
    assert calls == [{}]


def test_a_subclass_that_forgets_super_init_is_refused():
    """A subclass, or a dataclass, whose __init__ does not call Step's would silently do nothing."""

    class Forgets(Step):
        id = "f"

        def __init__(self):
            self.host = "h"

        def saga_run(self): ...

    @dataclasses.dataclass
    class Data(Step):
        host: str = "h"

    for made in (Forgets(), Data()):
        with pytest.raises(WorkflowDefinitionError, match=r"does not call super\(\).__init__\(\)"):
            Workflow("w", [made])


def test_slots_are_copied_with_the_step(calls):
    """What a subclass keeps in slots is there in the run's copy, private names included."""

    class Slotted(Step):
        __slots__ = ("__secret", "unset", "x")

        def __init__(self):
            super().__init__("s")
            self.x, self.__secret = 1, 2

        def saga_run(self):
            calls.append((self.x, self.__secret))

    class OneSlot(Step):
        __slots__ = "only"  # noqa: PLC0205  # Python allows it

    Workflow("w", [Slotted(), OneSlot("o")]).start().raise_for_status()
    assert calls == [(1, 2)]


def test_an_attribute_called_definition_makes_no_workflow(calls):
    """A step of the user's may have an attribute `definition`: it is no nested workflow."""

    class Defines(Step):
        def __init__(self):
            super().__init__("s")
            self.definition = {"x": 1}

        def saga_run(self):
            calls.append(self.definition)

    Workflow("w", [Defines()]).start().raise_for_status()
    assert calls == [{"x": 1}]


def test_workflows_that_nest_too_deeply_are_refused():
    """A hundred levels run; more are refused when built, not when they overflow in the middle of a run."""
    workflow = Workflow("w0", [Step("leaf", run=lambda: 1, undo=lambda: None)])
    for level in range(1, 99):
        workflow = Workflow(f"w{level}", [workflow])
    report = Workflow("top", [workflow, Step("fail", run=fail)]).start()
    assert report.outcome is Outcome.UNDONE
    with pytest.raises(WorkflowDefinitionError, match="nests deeper than 100 levels"):
        Workflow("over", [Workflow("top", [workflow])])


@pytest.mark.parametrize(
    ("run", "message"), [(lambda self, ctx: None, "must take two arguments"), (5, "which cannot be called")]
)
def test_a_controller_of_the_wrong_signature_is_refused(run, message):
    """An overridden run that cannot take a context and an event is refused when the workflow is built."""
    made = type("Wrong", (Step,), {"run": run})("w")
    with pytest.raises(WorkflowDefinitionError, match=message):
        Workflow("w", [made])


def test_an_async_controller_of_an_instance_is_found():
    """An async run that is set on the instance, or behind a partialmethod, is found before anything runs."""

    class Plain:
        id, next, prev = "p", None, None

        async def later(self, extra, ctx, event): ...

        run = functools.partialmethod(later, 1)

        def rollback(self, ctx, event): ...

    with pytest.raises(WorkflowDefinitionError, match="async step 'p'"):
        Workflow("w", [Plain()]).start()


@pytest.mark.parametrize("steps", [None, 7, "abc", Step("a")])
def test_steps_that_are_no_list_are_refused(steps):
    """Something else than a list of steps is a clear definition error."""
    with pytest.raises(WorkflowDefinitionError, match="steps must be a list of steps"):
        Workflow("w", steps)


def test_a_registry_refuses_what_has_no_id():
    """What has no id is refused; an unknown id of any type is told."""
    with pytest.raises(WorkflowDefinitionError, match="42 is no step: it has no id"):
        StepRegistry().register(42)
    with pytest.raises(WorkflowDefinitionError, match="no step 7 is registered"):
        StepRegistry().register_steps({"a": Step("a")}).build_workflow("w", [7])


@pytest.mark.parametrize("name", ["undo", "prepare"])
def test_a_compensation_under_the_name_of_a_decorator_is_refused(name):
    """A subclass that defines `undo` would override the decorator, and never be called."""
    with pytest.raises(WorkflowDefinitionError, match=f"call it saga_{name}"):
        type("S", (Step,), {name: lambda self, ctx: None})


def test_falsy_callables_and_changed_functions_count():
    """A callable that is falsy is called; register_saga forgets that earlier functions were async."""

    class Falsy(list):
        def __call__(self, ctx):
            return "called"

    async def later(ctx): ...

    assert Workflow("w", [Step("a", run=Falsy())]).start().results == {"a": "called"}
    step = Step("a", run=later).register_saga(lambda: 1)
    assert Workflow("w", [step]).start().results == {"a": 1}

    class Declared(Step):
        is_async = True

    with pytest.raises(WorkflowDefinitionError, match="async step"):
        Workflow("w", [Declared("d")]).start()


def test_a_slash_in_an_id_does_not_confuse_paths(calls):
    """A step "a/b" beside a workflow "a" with a step "b" are two steps, and each undo gets its own result."""
    steps = [
        Workflow("a", [Step("b", run=lambda: 1, undo=lambda ctx: calls.append((ctx.path, ctx.result)))]),
        Step("a/b", run=lambda: 2, undo=lambda ctx: calls.append((ctx.path, ctx.result))),
        Step("look", run=lambda ctx: calls.append((ctx.results["a/b"], ctx.results["a"]))),
        Step("fail", run=fail),
    ]
    Workflow("w", steps).start()
    assert calls == [(2, {"b": 1}), ("a%2Fb", 2), ("a/b", 1)]


class Breaks:
    """An observer that raises at its n-th record."""

    def __init__(self, error, at):
        self.error, self.at, self.heard = error, at, []

    def on_record(self, record):
        self.heard.append(record)
        if len(self.heard) == self.at:
            raise self.error


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (1, []),  # written ahead, not called: there is nothing to undo
        (2, ["run", "undo"]),
        (3, ["run", "undo"]),
        (4, ["run", "run after"]),  # all was done already
        (5, ["run", "run after"]),
    ],
)
def test_ctrl_c_in_an_observer_interrupts_the_run(calls, before, at, expected):
    """Ctrl-C that arrives while an observer works interrupts the run: no further step starts, all is undone."""
    observer = Breaks(KeyboardInterrupt(), at)
    after = Step("after", run=lambda: calls.append("run after"), undo=lambda: calls.append("undo after"))
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [before, after], observers=[observer]).start()
    assert calls == expected
    assert isinstance(observer.heard[-1], Ended)


def test_a_console_whose_reader_has_gone_does_no_harm(calls, before):
    """An observer that raises SystemExit, as a console does on a broken pipe, does not end the run."""
    report = Workflow("w", [before], observers=[Breaks(SystemExit(1), 1)]).start()
    assert report.status is Status.SUCCESS


def test_a_log_filter_that_raises_does_no_harm(calls, before):
    """A logger whose filter raises costs log lines, not the run."""
    logger = logging.getLogger("broken")
    logger.setLevel(logging.DEBUG)
    logger.addFilter(lambda record: 1 / 0)
    assert Workflow("w", [before], logger=logger).start().status is Status.SUCCESS


def run_python(code, *, send=None, timeout=60):
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if send is not None:
        for line in process.stdout:
            if "now" in line:
                break
        for number in send:
            process.send_signal(number)
            time.sleep(0.1)
    output = process.communicate(timeout=timeout)[0]
    return process.returncode, output


SHUTDOWN = """
import asyncio, time
from automa import Step, Workflow
def say(text): print(text, flush=True)
async def slow_undo(ctx):
    await asyncio.sleep(0.3); say("undo a")
steps = [Step("a", run=lambda: say("run a"), undo={undo}),
         Step("b", run=lambda: time.sleep(0.3) or say("run b"), undo=lambda: say("undo b"))]
async def main():
    task = asyncio.create_task(Workflow("w", steps).start_async())
    await asyncio.sleep(0.1)
asyncio.run(main())
say("end")
"""


@pytest.mark.cancellation("C12")
@pytest.mark.parametrize("undo", ["lambda: time.sleep(0.2) or say('undo a')", "slow_undo"])
def test_the_shutdown_of_the_loop_lets_the_way_back_run_to_its_end(undo):
    """asyncio.run cancels all tasks at its end: a run among them is undone whole before the loop closes."""
    _, output = run_python(SHUTDOWN.format(undo=undo))
    assert output.split("\n")[:5] == ["run a", "run b", "undo b", "undo a", "end"]


CTRL_C = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from automa import Step, Workflow
def say(text): print(text, flush=True)
def long(text):
    def work():
        say(text + " now"); time.sleep(1); say(text + " done")
    return work
def fail(): raise ValueError
steps = [Step("a", run=lambda: say("run a"), undo=long("undo a") if {in_undo} else lambda: say("undo a")),
         Step("b", run=(lambda: say("run b")) if {in_undo} else long("run b"), undo=lambda: say("undo b")),
         Step("c", run=fail)]
try:
    Workflow("w", steps).start()
except KeyboardInterrupt as error:
    say("interrupted: " + error.__notes__[0])
"""


@pytest.mark.cancellation("C3")
def test_ctrl_c_in_a_sync_undo_waits_for_the_way_back():
    """Ctrl-C, twice, while an undo works: the undo and those after it run to their end, then it is raised."""
    _, output = run_python(CTRL_C.format(in_undo=True), send=[signal.SIGINT, signal.SIGINT])
    assert "undo a done" in output
    assert output.rstrip().splitlines()[-1].startswith("interrupted: run")


@pytest.mark.cancellation("C1")
def test_ctrl_c_in_a_sync_step_cuts_it_off_and_undoes_it():
    """Ctrl-C while a step works comes through at once; the step and those before it are undone."""
    _, output = run_python(CTRL_C.format(in_undo=False), send=[signal.SIGINT])
    assert "run b done" not in output
    assert output.rstrip().splitlines()[:2] == ["undo b", "undo a"]
    assert "interrupted: run" in output


def test_a_handler_of_the_users_is_left_alone():
    """Whoever has set a handler for SIGINT keeps it; afterwards the handler is the one of before."""
    got = []
    before = signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
    try:
        Workflow("w", [Step("a", run=lambda: os.kill(os.getpid(), signal.SIGINT))]).start().raise_for_status()
        assert got == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
    Workflow("w", [Step("a")]).start()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.cancellation("C2")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_between_two_steps_is_held_back(calls, before):
    """Ctrl-C that arrives while the engine itself works reaches the run as an interruption, with all undone."""

    class Presses:
        def on_record(self, record):
            if getattr(record, "path", "") == "after":
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)

    workflow = Workflow("w", [before, Step("after"), Step("never", run=lambda: calls.append("never"))])
    with pytest.raises(KeyboardInterrupt):
        workflow.start(observers=[Presses()])
    assert calls == ["run", "undo"]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_the_undo_of_a_run_within_a_step(calls):
    """A workflow started within a step protects its own way back."""

    def presses():
        os.kill(os.getpid(), signal.SIGINT)
        calls.append("undone whole")

    inner = Workflow("inner", [Step("a", run=lambda: 1, undo=presses), Step("b", run=fail)])
    with pytest.raises(KeyboardInterrupt):
        Workflow("outer", [Step("starts", run=lambda: inner.start())]).start()
    assert calls == ["undone whole"]


async def test_a_thread_that_cannot_be_had_fails_the_step(calls, before, monkeypatch):
    """Where no thread can be started the step has failed, and the rest is undone."""
    loop = asyncio.get_running_loop()
    real = loop.run_in_executor

    def refuses(executor, function, call, delivery):
        if delivery.ctx.step_id == "b":
            raise RuntimeError("can't start new thread")
        return real(executor, function, call, delivery)

    monkeypatch.setattr(loop, "run_in_executor", refuses)
    report = await Workflow("w", [before, Step("b", run=lambda: 1)]).start_async()
    assert str(report.error) == "can't start new thread"
    assert calls == ["run", "undo"]


async def test_a_cancel_before_an_awaitable_was_met_gives_it_up(calls, before):
    """Cancelled while a sync function works that then returns an awaitable: that is closed, the step undone."""
    started, go_on = threading.Event(), threading.Event()

    async def later():
        calls.append("never")

    def works():
        started.set()
        go_on.wait(30)
        return later()

    observer = Breaks(None, 0)
    task = asyncio.create_task(
        Workflow("w", [before, Step("b", run=works)], observers=[observer]).start_async()
    )
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    await asyncio.sleep(0.01)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["run", "undo"]
    assert isinstance(observer.heard[-1].report.error, asyncio.CancelledError)


async def test_a_step_without_functions_takes_no_thread():
    """A step with nothing to call is skipped on the loop itself."""
    threads = threading.active_count()
    await Workflow("w", [Step(str(n)) for n in range(50)]).start_async()
    assert threading.active_count() == threads


async def test_the_error_of_a_run_cancelled_after_its_step_is_in_the_report(calls, before):
    """A run interrupted between two steps says by what, although no step failed."""
    started = threading.Event()

    def works():
        started.set()
        time.sleep(0.05)

    observer = Breaks(None, 0)
    task = asyncio.create_task(Workflow("w", [Step("b", run=works)], observers=[observer]).start_async())
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = observer.heard[-1].report
    assert isinstance(report.error, asyncio.CancelledError)
    assert "CancelledError" in report.headline


def test_an_interruption_that_takes_no_notes_is_raised_as_it_is():
    """A BaseException that refuses notes goes on all the same."""

    class Stubborn(BaseException):
        def add_note(self, note):
            raise RuntimeError("no notes")

    def stop():
        raise Stubborn

    with pytest.raises(Stubborn):
        Workflow("w", [Step("a", run=stop)]).start()


def test_a_group_whose_member_came_from_it_is_encoded():
    """`raise group.exceptions[0]` makes a circle of context and members: it is cut."""

    def idiom():
        try:
            raise ExceptionGroup("g", [ValueError("v")])
        except ExceptionGroup as group:
            raise group.exceptions[0]

    report = Workflow("w", [Step("a", run=idiom)]).start()
    encoded = encode_error(report.error)
    assert encoded.cause.message == "g"
    assert encoded.cause.exceptions[0].message == "v"
    v0.to_json(report)


def test_exceptions_with_odd_truth_and_notes_are_encoded():
    """A falsy cause is kept, and notes that are no list are left out."""

    class Empty(Exception):
        def __len__(self):
            return 0

    error = ValueError("x")
    error.__cause__ = Empty("cause")
    error.__notes__ = None
    encoded = encode_error(error)
    assert encoded.cause.message == "cause"
    assert encoded.notes == ()


def test_a_registered_class_that_cannot_be_made_again_comes_back_as_remote():
    """Where a registered class refuses to be made from what was kept, the error is not lost."""

    @register_error
    class Demanding(Exception):
        def __new__(cls, *, code):
            return super().__new__(cls)

        def __init__(self, *, code):
            super().__init__("demanding")

    assert isinstance(decode_error(encode_error(Demanding(code=1))), RemoteError)


@pytest.mark.parametrize("name", ["a\0b", "x.a\0b", "\udcff"])
def test_a_type_name_that_no_class_can_have_is_read(name):
    """A document may name any type: it comes back as RemoteError that remembers the name."""
    error = decode_error(EncodedError(name, "x"))
    assert isinstance(error, RemoteError)
    assert error.type_name == name


def test_type_names_of_documents_do_not_fill_the_memory():
    """Thousands of different names leave a bounded number of classes behind."""
    from automa import errors

    for number in range(2_500):
        decode_error(EncodedError(f"t{number}", "x"))
    assert len(errors._remote_classes) <= 1_000


def test_a_key_that_looks_like_bytes_is_kept():
    """Arguments and attributes that look like the form of bytes come back as they were."""
    for value in ({"$bytes": "hello"}, {"$$bytes": 1}, {"$x": 1, "y": b"z"}):
        encoded = encode_error(ValueError(value))
        assert EncodedError.from_dict(encoded.to_dict()).args == (value,)


@pytest.mark.parametrize(
    "document",
    [
        {"args": [{"$bytes": 5}]},
        {"args": [{"$bytes": "x"}]},
        {"notes": [5]},
    ],
)
def test_an_encoded_error_with_wrong_insides_is_refused(document):
    """Bytes that are none, and notes that are no texts, are a WireError."""
    with pytest.raises(WireError):
        EncodedError.from_dict({"type": "x", "message": "x", **document})


def test_documents_cannot_set_what_python_keeps_for_itself():
    """Attributes with dunder names are not taken from a document, and an empty group is none."""
    back = decode_error(EncodedError("builtins.ValueError", "x", attributes={"__notes__": 5, "code": 1}))
    assert (vars(back).get("__notes__"), back.code) == (None, 1)
    assert isinstance(decode_error(EncodedError("builtins.ExceptionGroup", "x", exceptions=())), Exception)


@pytest.mark.parametrize("text", ["a: !!timestamp foo", "a: !!bool x", "a: !!int ''"])
def test_tags_that_break_the_yaml_parser_are_refused(text):
    """Errors of all kinds that PyYAML lets through are one kind here."""
    with pytest.raises(WireError, match="no YAML document"):
        v0.from_yaml(text)


def test_an_equals_sign_is_a_text_in_yaml():
    """A lone = is a text, as the readers of other languages have it."""
    report = Workflow("w", [Step("a")]).start()
    text = v0.to_yaml(report).replace("workflow_id: w", "workflow_id: =")
    assert v0.from_yaml(text).workflow_id == "="


def test_a_report_with_a_name_that_is_no_text_can_be_written():
    """Metadata and errors with the bytes of a file's name that are no UTF-8 do not stop the report."""

    def run(ctx):
        ctx.metadata["path"] = os.fsdecode(b"\xff.txt")
        raise FileNotFoundError(2, "No such file", os.fsdecode(b"\xff.txt"))

    report = Workflow("w", [Step("a", run=run)]).start()
    back = v0.from_json(v0.to_json(report).encode("ascii"))
    assert str(back.error) == str(report.error)


@pytest.mark.parametrize("count", [80, 1500])
def test_a_long_chain_of_causes_can_be_written_and_read(count):
    """The format nests causes: of very many the first fifty are written, with a word on the rest."""

    def run():
        error = ValueError("0")
        for number in range(1, count):
            following = ValueError(str(number))
            following.__cause__ = error
            error = following
        raise error

    report = Workflow("w", [Step("a", run=run)]).start()
    for back in (v0.from_json(v0.to_json(report)), v0.from_yaml(v0.to_yaml(report))):
        chain = encode_error(back.error).chain()
        assert len(chain) == 50
        assert f"({count - 50} more causes, the first: 0)" in chain[-1].message


def test_remaining_takes_time_in_proportion():
    """What remains of 20,000 steps is told without going through them for each."""
    report = Workflow("w", [Step(str(n)) for n in range(20_000)]).start()
    assert len(report.remaining.not_undone) == 20_000


def test_workflow_failed_can_be_copied_and_pickled():
    """The error of raise_for_status survives a process pool, where its report does."""
    report = Workflow("w", [Step("a", run=fail)]).start()
    with contextlib.suppress(Exception):
        report.raise_for_status()
    try:
        report.raise_for_status()
    except Exception as error:
        back = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert str(back) == "workflow 'w' ended undone: ValueError: boom"
    assert back.report.step_reports[0].status is Status.FAILED


def test_a_message_names_the_place_before_the_step():
    """The place inside a value stands with its key."""
    from automa import State, StateError

    with pytest.raises(StateError, match=r"^shared\['l'\]\[0\]\['x'\] in step 'a': builtins.set"):
        State("shared", step="a")["l"] = [{"x": {1}}]


def test_the_report_of_an_action_knows_the_modes():
    """Each step report carries the modes in effect."""
    report = Workflow("w", [Workflow("n", [Step("a")])], mode="stop", rollback_mode="stop").start()
    assert (
        report.step_reports[0].modes
        == report.step_reports[0].workflow.step_reports[0].modes
        == ("stop", "stop")
    )
    assert StepReport("a", Action.RUN).modes == (None, None)


class FalsyError(Exception):
    """An exception that looks like nothing."""

    def __len__(self):
        return 0


@pytest.mark.parametrize("where", ["run", "prepare", "workflow"])
def test_a_falsy_exception_is_an_error_like_any_other(calls, before, where):
    """An exception whose truth is False fails what raised it."""

    def raises():
        raise FalsyError("falsy")

    step = Step("b", **({where: raises} if where != "workflow" else {}))
    nested = Workflow("n", [step], prepare=raises if where == "workflow" else None)
    report = Workflow("w", [before, nested]).start()
    assert isinstance(report.error, FalsyError)
    assert report.status is Status.FAILED
    assert calls == ["run", "undo"]


def test_a_foreign_step_may_answer_to_any_name(calls):
    """A step that is no `Step` may have attributes of any name, and controllers that do not tell their arguments."""

    class Odd:
        id, next, prev = "odd", None, None
        prepare_function = 7
        rollback = max

        def run(self, ctx, prev_success):
            calls.append("run")
            return Handoff(self.next, Success.of(prev_success, ctx.report))

    Workflow("w", [Odd()]).start().raise_for_status()
    assert calls == ["run"]


def test_a_rollback_that_answers_for_two_is_refused(calls, before):
    """A rollback has one report: an answer with two is a failed undo."""

    class Twice(Step):
        def rollback(self, ctx, prev_failure):
            return self.rollback_prev(self.rollback_prev(prev_failure).event)

    report = Workflow("w", [before, Twice("b"), Step("c", run=fail)]).start()
    assert isinstance(report.rollback_errors[0], IllegalHandoff)
    assert calls == ["run", "undo"]


@pytest.mark.cancellation("C2")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_next_step_keeps_it_from_starting(calls, before):
    """Ctrl-C that arrives between two steps, with nobody listening: the next step does not run, all is undone."""

    class Presses(Step):
        def __copy__(self):
            if calls:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            return super().__copy__()

    steps = [
        before,
        Step("m", run=lambda: calls.append("run m"), undo=lambda: calls.append("undo m")),
        Presses("c"),
    ]
    with pytest.raises(KeyboardInterrupt):
        Workflow("w", steps).start()
    assert calls == ["run", "undo"]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_at_the_very_end_goes_on(calls, before):
    """Ctrl-C while the end of the run is told: nothing is undone any more, and it is raised."""

    class Presses:
        def on_record(self, record):
            if isinstance(record, Ended):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        Workflow("w", [before]).start(observers=[Presses()])
    assert calls == ["run"]
