"""Random workflows as plain data, the workflows built of them, and what they should do.

`expected` is the model: it knows nothing of handoffs, events or relays. It goes through the steps
with a loop, keeps a list of what ran, and goes back through that list.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import strategies as st

from automa import Action, Failure, Handoff, Skip, Step, StepReport, Success, Workflow

WAYS = ("functions", "subclass", "overrides", "calls own rollback", "plain object")
FLAVOURS = ("sync", "async", "mixed")


@dataclass
class Plan:
    """A step, or a workflow where it has steps."""

    id: str
    prepare: str = "none"  # ok | fail | skip | none; of a step, or of a nested workflow
    run: str = "ok"  # ok | fail | skip | none
    undo: str = "ok"  # ok | fail | skip | none
    way: str = "functions"
    is_async: bool = False
    steps: list[Plan] | None = None


@dataclass
class Told:
    """What a run did: the calls of the steps' own functions, and the reports."""

    status: str = "SUCCESS"
    calls: list[str] = field(default_factory=list)
    reports: list = field(default_factory=list)


PREPARES = st.sampled_from(("none", "none", "none", "ok", "fail", "skip"))


def leaves(is_async):
    return st.builds(
        Plan,
        id=st.just(""),
        prepare=PREPARES,
        run=st.sampled_from(("ok", "ok", "ok", "fail", "skip", "none")),
        undo=st.sampled_from(("ok", "ok", "fail", "skip", "none")),
        way=st.sampled_from(WAYS),
        is_async=is_async,
    )


def nested(leaf, depth):
    if depth == 0:
        return leaf
    inner = st.lists(nested(leaf, depth - 1), max_size=4)
    return st.one_of(leaf, leaf, st.builds(Plan, id=st.just(""), prepare=PREPARES, steps=inner))


@st.composite
def plans(draw, flavour="sync", depth=0):
    """Draw the steps of a workflow, each with an id of its own among its siblings."""
    is_async = {"sync": st.just(False), "async": st.just(True), "mixed": st.booleans()}[flavour]
    return numbered(draw(st.lists(nested(leaves(is_async), depth), max_size=7)))


def numbered(steps):
    for number, plan in enumerate(steps):
        plan.id = f"s{number}"
        if plan.steps is not None:
            numbered(plan.steps)
    return steps


class BoomError(Exception):
    """What a failing step raises."""


def behaviour(plan, kind, path, calls):
    """Return the function that does what a plan says of its run or its undo."""
    what = getattr(plan, kind)
    if what == "none":
        return None

    def act():
        calls.append(f"{kind} {path}")
        if what == "fail":
            raise BoomError(f"{kind} {path}")
        if what == "skip":
            raise Skip("as planned")
        return {"prepared": path} if kind == "prepare" else f"result of {path}"

    async def act_async(ctx):
        await asyncio.sleep(0)
        return act()

    return act_async if plan.is_async else act


def build_steps(steps, calls, prefix=""):
    return [build(plan, calls, prefix) for plan in steps]


def build(plan, calls, prefix):
    path = prefix + plan.id
    prepare = behaviour(plan, "prepare", path, calls)
    if plan.steps is not None:
        return Workflow(plan.id, build_steps(plan.steps, calls, f"{path}/"), prepare=prepare)
    run, undo = behaviour(plan, "run", path, calls), behaviour(plan, "undo", path, calls)
    if plan.way == "functions":
        return Step(plan.id, run=run, undo=undo, prepare=prepare)
    if plan.way == "subclass":
        methods = {}
        if prepare:
            methods["saga_prepare"] = (
                (lambda self, ctx: prepare(ctx)) if plan.is_async else (lambda self: prepare())
            )
        if run:
            methods["saga_run"] = (lambda self, ctx: run(ctx)) if plan.is_async else (lambda self: run())
        if undo:
            methods["saga_undo"] = (lambda self, ctx: undo(ctx)) if plan.is_async else (lambda self: undo())
        return type("Subclass", (Step,), methods)(plan.id)
    controllers = {True: AsyncControllers, False: Controllers}[plan.is_async]
    if plan.way == "plain object":
        plan.prepare = "none"  # a step that is no `Step` has none
        return type("Plain", (controllers, PlainObject), {})(plan, run, undo)
    return type("Overriding", (controllers, StepBase), {})(plan, run, undo, prepare)


class PlainObject:
    """A step that is no `Step`."""

    def __init__(self, plan, run, undo):
        self.id, self.plan, self.run_function, self.undo_function = plan.id, plan, run, undo
        self.next = self.prev = None


class StepBase(Step):
    """A `Step` whose controllers are its own."""

    def __init__(self, plan, run, undo, prepare):
        super().__init__(plan.id, prepare=prepare)
        self.plan, self.run_function, self.undo_function = plan, run, undo


def answer_run(step, prev_success, error):
    report = StepReport(step.id, Action.RUN)
    if error is None and step.run_function is not None:
        report.result = f"result of {step.id}"
        return Handoff(step.next, Success.of(prev_success, report))
    if error is None or isinstance(error, Skip):
        return Handoff(step.next, Success.skipped(prev_success, report))
    return Handoff(step, Failure.of_run(prev_success, error, report))


def answer_rollback(step, prev_failure, error):
    report = StepReport(step.id, Action.ROLLBACK)
    if error is None and step.undo_function is not None:
        return Handoff(step.prev, Failure.of(prev_failure, report))
    if error is None or isinstance(error, Skip):
        return Handoff(step.prev, Failure.skipped(prev_failure, report))
    return Handoff(step.prev, Failure.of_rollback(prev_failure, error, report))


def own_rollback(step, handoff):
    """Whether a step of this way goes on to its own rollback itself, as in a literal port from Go."""
    return step.plan.way == "calls own rollback" and isinstance(handoff.event, Failure)


class Controllers:
    """Controllers written by hand."""

    def run(self, ctx, prev_success):
        error = None
        try:
            if self.run_function:
                self.run_function()
        except Exception as raised:
            error = raised
        handoff = answer_run(self, prev_success, error)
        return self.rollback(ctx, handoff.event) if own_rollback(self, handoff) else handoff

    def rollback(self, ctx, prev_failure):
        error = None
        try:
            if self.undo_function:
                self.undo_function()
        except Exception as raised:
            error = raised
        return answer_rollback(self, prev_failure, error)


class AsyncControllers:
    """Controllers written by hand, async."""

    async def run(self, ctx, prev_success):
        error = None
        try:
            if self.run_function:
                await self.run_function(ctx)
        except Exception as raised:
            error = raised
        handoff = answer_run(self, prev_success, error)
        return await self.rollback(ctx, handoff.event) if own_rollback(self, handoff) else handoff

    async def rollback(self, ctx, prev_failure):
        error = None
        try:
            if self.undo_function:
                await self.undo_function(ctx)
        except Exception as raised:
            error = raised
        return answer_rollback(self, prev_failure, error)


STATUS = {"ok": "SUCCESS", "fail": "FAILED", "skip": "SKIPPED", "none": "SKIPPED"}


def expected(steps, mode="rollback", rollback_mode="continue", prefix=""):
    """Return what a workflow of these steps should do, and whether a failed undo halted it."""
    told = Told()
    ran = []
    halted = False
    for plan in steps:
        path = prefix + plan.id
        if plan.prepare != "none":
            told.calls.append(f"prepare {path}")
        if plan.prepare in {
            "fail",
            "skip",
        }:  # it is not run, and its rollback, if it comes to that, is skipped
            inner = None if plan.steps is None else []
            told.reports.append((plan.id, "prepare", STATUS[plan.prepare], inner))
            failed, undone_already = plan.prepare == "fail", False
        elif plan.steps is not None:
            inner, halted = expected(plan.steps, mode, rollback_mode, f"{path}/")
            told.calls += inner.calls
            told.reports.append((plan.id, "run", inner.status, inner.reports))
            failed, undone_already = inner.status == "FAILED", True
        else:
            if plan.run != "none":
                told.calls.append(f"run {path}")
            told.reports.append((plan.id, "run", STATUS[plan.run], None))
            failed, undone_already = plan.run == "fail", False
            if failed and plan.way == "calls own rollback":
                halted = not undo(plan, path, told) and rollback_mode == "stop" and mode == "rollback"
                undone_already = True
        if not failed:
            ran.append(plan)
            continue
        told.status = "FAILED"
        if mode == "continue":
            continue
        if mode == "rollback":
            to_undo = ran if undone_already else [*ran, plan]
            halted = halted or undo_all(to_undo, prefix, told, rollback_mode)
        break
    return told, halted


def undo_all(plans_that_ran, prefix, told, rollback_mode):
    """Undo the last first; return whether a failed undo has halted that."""
    for plan in reversed(plans_that_ran):
        path = prefix + plan.id
        if plan.prepare in {"fail", "skip"}:
            told.reports.append((plan.id, "rollback", "SKIPPED", None if plan.steps is None else []))
            continue
        if plan.steps is None:
            undone = undo(plan, path, told)
            halted = not undone and rollback_mode == "stop"
        else:
            inner = Told()
            halted = undo_all(plan.steps, f"{path}/", inner, rollback_mode)
            undone = not any(failed_undos(inner.reports))
            told.calls += inner.calls
            told.reports.append((plan.id, "rollback", "SUCCESS" if undone else "FAILED", inner.reports))
        if halted:
            return True
    return False


def undo(plan, path, told):
    if plan.undo != "none":
        told.calls.append(f"undo {path}")
    told.reports.append((plan.id, "rollback", STATUS[plan.undo], None))
    return plan.undo != "fail"


def failed_undos(reports):
    for _, action, status, inner in reports:
        if inner is not None:
            yield from failed_undos(inner)
        elif action == "rollback" and status == "FAILED":
            yield True


def tell(report, calls):
    """Return what a real run did, in the model's words."""

    def reports(workflow_report):
        return [
            (r.step_id, r.action.value, r.status.value, None if r.workflow is None else reports(r.workflow))
            for r in workflow_report.step_reports
        ]

    return Told(report.status.value, calls, reports(report))
