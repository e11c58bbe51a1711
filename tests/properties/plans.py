"""Random workflows as plain data, the workflows built of them, and what they should do.

`expected` is the model: it knows nothing of handoffs, events or relays. It goes through the steps
with a loop, keeps a list of what ran, and goes back through that list.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import strategies as st

from automa import (
    Action,
    Failure,
    GiveUp,
    Handoff,
    Parallel,
    Retry,
    Skip,
    Step,
    StepReport,
    Success,
    Workflow,
)

WAYS = ("functions", "subclass", "overrides", "calls own rollback", "plain object")
FLAVOURS = ("sync", "async", "mixed")


@dataclass
class Plan:
    """A step, or a workflow where it has steps, or a `Parallel` where it is said how that takes a failure."""

    id: str
    prepare: str = "none"  # ok | fail | skip | none; of a step, or of a nested workflow
    run: str = "ok"  # ok | fail | skip | none
    undo: str = "ok"  # ok | fail | skip | none
    way: str = "functions"
    is_async: bool = False
    steps: list[Plan] | None = None
    when: str = "none"  # true | false | fail | none
    budget: int = 0  # how often it is tried at most; 0 where it has no retry
    failures: int = 0  # how often it fails before it does as planned
    gives_up: bool = False  # at the last of these failures
    undo_budget: int = 0
    undo_failures: int = 0
    undo_gives_up: bool = False
    is_pivot: bool = False
    is_irreversible: bool = False
    on_failure: str | None = None  # finish | cancel
    limit: int | None = None


@dataclass
class Trace:
    """A step that was reached: whether it was run, and what was reached in it."""

    plan: Plan
    path: str
    is_run: bool = True
    inner: list[Trace] | None = None


@dataclass
class Told:
    """What a run did: the calls of the steps' own functions, and the reports.

    Calls are texts in their order, or `SideBySide`. A report is the id, the action, the status, the number
    of attempts, and the reports inside.
    """

    status: str = "SUCCESS"
    calls: list = field(default_factory=list)
    reports: list = field(default_factory=list)
    is_stopped: bool = False  # past a pivot


class SideBySide(list):
    """The calls of branches, each a list of calls, in any order between them."""

    @property
    def count(self):
        return sum(count_of(branch) for branch in self)


def count_of(calls):
    return sum(call.count if isinstance(call, SideBySide) else 1 for call in calls)


def flat(calls):
    """Return calls without a word on which were made side by side."""
    for call in calls:
        if isinstance(call, SideBySide):
            for branch in call:
                yield from flat(branch)
        else:
            yield call


def fits(calls, real):
    """Whether real calls are the planned ones, in an order that the plan allows."""
    position = 0
    for call in calls:
        if not isinstance(call, SideBySide):
            if real[position : position + 1] != [call]:
                return False
            position += 1
            continue
        part = real[position : position + call.count]
        position += call.count
        for branch in call:
            own = set(flat(branch))
            if not fits(branch, [each for each in part if each in own]):
                return False
    return position == len(real)


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
    return numbered(draw(st.lists(nested(leaves(flavours(flavour)), depth), max_size=7)))


def flavours(flavour):
    return {"sync": st.just(False), "async": st.just(True), "mixed": st.booleans()}[flavour]


def numbered(steps):
    for number, plan in enumerate(steps):
        plan.id = f"s{number}"
        if plan.steps is not None:
            numbered(plan.steps)
    return steps


def real_leaves(is_async):
    """Draw steps that are more than plain ones: tried again, under a condition, past no return."""
    return st.builds(
        Plan,
        id=st.just(""),
        prepare=PREPARES,
        run=st.sampled_from(("ok", "ok", "ok", "ok", "ok", "ok", "fail", "skip", "none")),
        undo=st.sampled_from(("ok", "ok", "ok", "fail", "skip", "none")),
        way=st.sampled_from(("functions", "functions", *WAYS)),
        is_async=is_async,
        when=st.sampled_from(("none",) * 6 + ("true", "true", "false", "fail")),
        budget=st.sampled_from((0, 0, 1, 2, 3)),
        failures=st.sampled_from((0, 0, 0, 0, 1, 2)),
        gives_up=st.sampled_from((False, False, False, True)),
        undo_budget=st.sampled_from((0, 0, 1, 2, 3)),
        undo_failures=st.sampled_from((0, 0, 0, 1, 2)),
        undo_gives_up=st.sampled_from((False, False, False, True)),
        is_pivot=st.sampled_from((False,) * 7 + (True,)),
        is_irreversible=st.sampled_from((False,) * 7 + (True,)),
    )


def real_nested(leaf, depth):
    if depth == 0:
        return leaf
    inner = st.lists(real_nested(leaf, depth - 1), max_size=3)
    workflow = st.builds(Plan, id=st.just(""), prepare=PREPARES, steps=inner)
    parallel = st.builds(
        Plan,
        id=st.just(""),
        steps=inner,
        on_failure=st.sampled_from(("finish", "finish", "cancel")),
        limit=st.sampled_from((None, 1, 2)),
    )
    return st.one_of(leaf, leaf, workflow, parallel)


@st.composite
def real_plans(draw, flavour="sync", depth=2):
    """Draw the steps of a workflow with all that a step may have, and its modes."""
    mode = draw(st.sampled_from(("rollback", "rollback", "rollback", "stop", "continue")))
    rollback_mode = draw(st.sampled_from(("continue", "continue", "stop")))
    steps = numbered(draw(st.lists(real_nested(real_leaves(flavours(flavour)), depth), max_size=5)))
    for plan, is_inside in all_of(steps):
        sober(plan, may_pivot=mode == "rollback" and not is_inside)
    has_pivot = any(plan.is_pivot for plan, _ in all_of(steps))
    for plan, is_inside in all_of(steps):
        if plan.way == "calls own rollback" and (is_inside or has_pivot):
            plan.way = "overrides"  # where nothing is undone yet, or any more, that is its author's doing
    return steps, mode, rollback_mode


def all_of(steps, *, is_inside=False):
    """Yield plans at any depth, and whether each is in a `Parallel`."""
    for plan in steps:
        yield plan, is_inside
        yield from all_of(plan.steps or [], is_inside=is_inside or plan.on_failure is not None)


def sober(plan, *, may_pivot):
    """Take out of a plan what cannot be built, or what cannot be foretold."""
    plan.is_pivot = plan.is_pivot and may_pivot
    if plan.on_failure == "cancel":
        plan.limit = 1
    if plan.way == "plain object":
        plan.prepare = plan.when = "none"
        plan.budget = plan.undo_budget = 0
        plan.is_pivot = False
    if plan.way in {"overrides", "calls own rollback", "plain object"}:
        plan.is_irreversible = False  # its rollback is overridden: it has an undo
    if plan.is_irreversible:
        plan.undo = "none"


class BoomError(Exception):
    """What a failing step raises."""


def behaviour(plan, kind, path, calls):
    """Return the function that does what a plan says of its run, its undo, its prepare or its condition."""
    what = getattr(plan, kind)
    if what == "none":
        return None
    failures, gives_up = {
        "run": (plan.failures, plan.gives_up),
        "undo": (plan.undo_failures, plan.undo_gives_up),
    }.get(kind, (0, False))

    def act(ctx):
        calls.append(f"{kind} {path}")
        attempt = 1 + len(ctx.report.failed_attempts)
        if attempt == failures and gives_up:
            raise GiveUp(f"{kind} {path}")
        if attempt <= failures or what == "fail":
            raise BoomError(f"{kind} {path}")
        if what == "skip":
            raise Skip("as planned")
        if kind == "when":
            return what == "true"
        return {"prepared": path} if kind == "prepare" else f"result of {path}"

    async def act_async(ctx):
        await asyncio.sleep(0)
        return act(ctx)

    return act_async if plan.is_async else act


def build_steps(steps, calls, prefix=""):
    return [build(plan, calls, prefix) for plan in steps]


def build(plan, calls, prefix):
    path = prefix + plan.id
    prepare, when = behaviour(plan, "prepare", path, calls), behaviour(plan, "when", path, calls)
    if plan.steps is not None:
        inner = build_steps(plan.steps, calls, f"{path}/")
        if plan.on_failure is not None:
            return Parallel(plan.id, *inner, limit=plan.limit, on_failure=plan.on_failure)
        return Workflow(plan.id, inner, prepare=prepare)
    run, undo = behaviour(plan, "run", path, calls), behaviour(plan, "undo", path, calls)
    options = {
        "retry": retry_of(plan.budget),
        "undo_retry": retry_of(plan.undo_budget),
        "pivot": plan.is_pivot,
        "irreversible": plan.is_irreversible,
    }
    if plan.way == "functions":
        return Step(plan.id, run=run, undo=undo, prepare=prepare, when=when, **options)
    if plan.way == "subclass":
        functions = {"saga_prepare": prepare, "saga_run": run, "saga_undo": undo, "saga_when": when}
        methods = {
            name: (lambda self, ctx, function=function: function(ctx))
            for name, function in functions.items()
            if function is not None
        }
        methods["is_async"] = plan.is_async
        return type("Subclass", (Step,), options | methods)(plan.id)
    controllers = {True: AsyncControllers, False: Controllers}[plan.is_async]
    if plan.way == "plain object":
        plan.prepare = "none"  # a step that is no `Step` has none
        return type("Plain", (controllers, PlainObject), {})(plan, run, undo)
    step = type("Overriding", (controllers, StepBase), {})
    return step(plan, run, undo, prepare=prepare, when=when, **options)


def retry_of(budget):
    return Retry(budget, initial=0) if budget else None


class PlainObject:
    """A step that is no `Step`."""

    def __init__(self, plan, run, undo):
        self.id, self.plan, self.run_function, self.undo_function = plan.id, plan, run, undo
        self.next = self.prev = None


class StepBase(Step):
    """A `Step` whose controllers are its own."""

    def __init__(self, plan, run, undo, **options):
        super().__init__(plan.id, **options)
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
                self.run_function(ctx)
        except Exception as raised:
            error = raised
        handoff = answer_run(self, prev_success, error)
        return self.rollback(ctx, handoff.event) if own_rollback(self, handoff) else handoff

    def rollback(self, ctx, prev_failure):
        error = None
        try:
            if self.undo_function:
                self.undo_function(ctx)
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


def expected(steps, mode="rollback", rollback_mode="continue"):
    """Return what a workflow of these steps should do."""
    return Model(mode, rollback_mode).walk(steps, "", Way())[0]


@dataclass(frozen=True)
class Way:
    """How a workflow is gone through.

    Attributes:
        in_branch: Whether nothing is undone before the branches beside it have ended.
        is_refused: Whether no step is begun any more: a branch beside it has failed.
    """

    in_branch: bool = False
    is_refused: bool = False


@dataclass
class End:
    """How a step has ended: whether it failed, and whether it has gone back already."""

    trace: Trace
    is_failed: bool = False
    is_back: bool = False
    is_halted: bool = False  # a failed undo has ended the way back


class Model:
    """Goes through the steps with a loop, and back through the list of those that it has reached."""

    def __init__(self, mode, rollback_mode):
        self.mode, self.rollback_mode = mode, rollback_mode
        self.is_past_pivot = False

    def walk(self, steps, prefix, way):
        """Return what a workflow does, the steps that were reached, and whether a failed undo halted it."""
        told, reached, is_halted = Told(), [], False
        for plan in steps:
            end = self.step(plan, prefix + plan.id, told, way)
            reached.append(end.trace)
            if told.is_stopped:
                told.status = "FAILED"
                break
            if not end.is_failed:
                self.is_past_pivot = self.is_past_pivot or (plan.is_pivot and end.trace.is_run)
                continue
            told.status = "FAILED"
            if self.is_past_pivot:
                told.is_stopped = True
                break
            if self.mode == "continue":
                continue
            if self.mode == "rollback" and not way.in_branch:
                to_undo = reached[:-1] if end.is_back else reached
                is_halted = end.is_halted or self.undo_all(to_undo, told)
            break
        return told, reached, is_halted

    def step(self, plan, path, told, way):
        inside = None if plan.steps is None else []
        not_run = Trace(plan, path, is_run=False)
        refusal = "when" if plan.steps is None else "prepare" if plan.prepare != "none" else None
        if way.is_refused and refusal is not None:
            told.reports.append((plan.id, "prepare", "FAILED", 1, inside))
            return End(not_run, is_failed=True)
        for kind in ("when", "prepare"):
            what = getattr(plan, kind)
            if what != "none":
                told.calls.append(f"{kind} {path}")
            if what in {"fail", "skip", "false"}:  # it is not run, nor undone
                action = "run" if what == "false" else "prepare"
                told.reports.append((plan.id, action, STATUS[what], 1, inside))
                return End(not_run, is_failed=what == "fail")
        if plan.on_failure is not None:
            return self.parallel(plan, path, told, way)
        if plan.steps is not None:
            return self.nested(plan, path, told, way)
        return self.leaf(plan, path, told)

    def leaf(self, plan, path, told):
        is_literal = plan.way == "calls own rollback"
        status, attempts = tried(plan, "run", plan.budget, is_literal=is_literal)
        told.calls += [f"run {path}"] * (attempts if plan.run != "none" else 0)
        told.reports.append((plan.id, "run", status, attempts, None))
        end = End(Trace(plan, path), is_failed=status == "FAILED")
        if end.is_failed and is_literal:
            end.is_back = True
            is_undone = self.undo(end.trace, told, is_literal=True)
            end.is_halted = not is_undone and self.rollback_mode == "stop" and self.mode == "rollback"
        return end

    def nested(self, plan, path, told, way):
        inner, reached, is_halted = self.walk(plan.steps, f"{path}/", way)
        told.calls += inner.calls
        told.is_stopped = inner.is_stopped
        told.reports.append((plan.id, "run", inner.status, 1, inner.reports))
        trace = Trace(plan, path, inner=reached)
        return End(trace, inner.status == "FAILED", is_back=not way.in_branch, is_halted=is_halted)

    def parallel(self, plan, path, told, way):
        calls, reached, reports = SideBySide(), [], []
        is_failed, is_refused = False, way.is_refused
        for branch in plan.steps:
            part, traces, _ = self.walk([branch], f"{path}/", Way(in_branch=True, is_refused=is_refused))
            calls.append(part.calls)
            reached += traces
            reports += part.reports
            told.is_stopped = told.is_stopped or part.is_stopped
            if part.status == "FAILED":
                is_failed = True
                is_refused = is_refused or (plan.on_failure == "cancel" and not part.is_stopped)
        told.calls += [call for branch in calls for call in branch] if plan.limit == 1 else [calls]
        status = "FAILED" if is_failed else "SUCCESS"
        told.reports.append((plan.id, "run", status, 1, reports))
        return End(Trace(plan, path, inner=reached), is_failed)

    def undo_all(self, reached, told):
        """Undo the last first; return whether a failed undo has halted that."""
        for trace in reversed(reached):
            plan = trace.plan
            if not trace.is_run:
                inside = None if plan.steps is None else []
                told.reports.append((plan.id, "rollback", "SKIPPED", 1, inside))
                continue
            if trace.inner is None:
                is_undone = self.undo(trace, told)
            else:
                inner = Told()
                self.undo_all(trace.inner, inner)
                is_undone = not any(failed_undos(inner.reports))
                told.calls += inner.calls
                status = "SUCCESS" if is_undone else "FAILED"
                told.reports.append((plan.id, "rollback", status, 1, inner.reports))
            if not is_undone and self.rollback_mode == "stop":
                return True
        return False

    def undo(self, trace, told, *, is_literal=False):
        plan = trace.plan
        status, attempts = tried(plan, "undo", plan.undo_budget, is_literal=is_literal)
        told.calls += [f"undo {trace.path}"] * (attempts if plan.undo != "none" else 0)
        told.reports.append((plan.id, "rollback", status, attempts, None))
        return status != "FAILED"


STATUS = {"ok": "SUCCESS", "fail": "FAILED", "skip": "SKIPPED", "none": "SKIPPED", "false": "SKIPPED"}


def tried(plan, kind, budget, *, is_literal):
    """Return how a run or an undo ends, and with which attempt."""
    what = getattr(plan, kind)
    failures, gives_up = (
        (plan.failures, plan.gives_up) if kind == "run" else (plan.undo_failures, plan.undo_gives_up)
    )
    if what == "none":
        return "SKIPPED", 1
    attempt = 1
    while attempt <= failures or what == "fail":
        is_last = attempt >= max(budget, 1) or is_literal or (gives_up and attempt == failures)
        if is_last:
            return "FAILED", attempt
        attempt += 1
    return STATUS[what], attempt


def failed_undos(reports):
    for _, action, status, _, inner in reports:
        if inner is not None:
            yield from failed_undos(inner)
        elif action == "rollback" and status == "FAILED":
            yield True


def tell(report, calls):
    """Return what a real run did, in the model's words."""

    def reports(workflow_report):
        return [
            (
                r.step_id,
                r.action.value,
                r.status.value,
                r.attempts,
                None if r.workflow is None else reports(r.workflow),
            )
            for r in workflow_report.step_reports
        ]

    return Told(report.status.value, calls, reports(report), report.is_stopped)
