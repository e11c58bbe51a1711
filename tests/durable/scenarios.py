"""Workflows that are crashed: each tells a ledger of its effects, and what it saw of its state meanwhile."""

from __future__ import annotations

import asyncio
import json

from automa import Action, Expand, Parallel, Retry, Skip, Step, Workflow

FIRST_STATE = {"order": 7, "lines": ["first"]}
RUN_ID = "r1"


class BoomError(Exception):
    """What a failing step raises; no process has registered it, so it comes back as a `RemoteError`."""


class OtherError(Exception):
    """An error that nobody raises."""


def seen(ctx):
    """Return what an effect sees: the state, what the step kept for itself and, on the way back, its result."""
    values = [dict(ctx.shared), dict(ctx.local)]
    if ctx.action is Action.ROLLBACK:
        values.append(ctx.result)
    else:
        values.append(dict(ctx.results))
    if ctx.report.failed_attempts:
        values.append(len(ctx.report.failed_attempts))
    return json.dumps(values, sort_keys=True)


def is_done(ledger, kind, path):
    """Whether a ledger tells that an effect was had."""
    return any(line.split(" ", 3)[1:3] == [kind, path] for line in ledger())


class Builder:
    """Makes the steps of one process.

    Args:
        effect: Called with what is done: ``run``, ``undo`` or ``prepare``, the path, and what was seen.
        ledger: Returns the lines of the ledger so far.
    """

    def __init__(self, effect, ledger=list):
        self.effect, self.ledger = effect, ledger

    def step(
        self,
        id,
        *,
        fails=False,
        undo_fails=False,
        skips=False,
        prepare=None,
        verified=False,
        is_async=False,
        failures=0,
        **options,
    ):
        """Return a step that changes the state, and that may fail after its effect, as real ones do."""

        def run(ctx):
            self.effect("run", ctx.path, seen(ctx))
            if failures:
                ctx.shared["lines"].append(f"attempt at {id}")
                ctx.record_effect("attempt", id, defer=True)
            if len(ctx.report.failed_attempts) < failures:
                raise BoomError(f"attempt at {ctx.path} failed")
            if skips:
                raise Skip("nothing to do")
            if not verified:  # what a step changes is not known where its work is not done again
                ctx.shared[f"{id} was here"] = len(ctx.results)
                ctx.shared["lines"].append(id)  # in place
                ctx.local["kept"] = f"{id}'s own"
                ctx.metadata["who"] = id
                ctx.record_effect("done", ctx.path, before=len(ctx.results))
            if fails:
                raise BoomError(f"{ctx.path} failed")
            return None if verified else {"of": id, "before": len(ctx.results)}

        async def run_async(ctx):
            await asyncio.sleep(0)
            return run(ctx)

        def undo(ctx):
            self.effect("undo", ctx.path, seen(ctx))
            if len(ctx.report.failed_attempts) < failures:
                raise BoomError(f"attempt at the undo of {ctx.path} failed")
            ctx.shared["undone by"] = id
            if undo_fails:
                raise BoomError(f"the undo of {ctx.path} failed")

        def verify(ctx):
            return is_done(self.ledger, "run", ctx.path)

        return Step(
            id,
            run=run_async if is_async else run,
            undo=undo,
            prepare=None if prepare is None else self.prepare(prepare),
            verify=verify if verified else None,
            **options,
        )

    def prepare(self, how):
        """Return a prepare that goes well, skips or fails."""

        def prepare(ctx):
            self.effect("prepare", ctx.path, seen(ctx))
            if how == "skip":
                raise Skip("not today")
            if how == "fail":
                raise BoomError(f"the prepare of {ctx.path} failed")
            ctx.shared[f"{ctx.step_id} prepared"] = True
            return {"given": how}

        return prepare


def success(b):
    return Workflow("w", [b.step("a"), b.step("b", prepare="ok"), b.step("c", skips=True), b.step("d")])


def failure(b):
    return Workflow("w", [b.step("a"), b.step("b", prepare="ok"), b.step("c"), b.step("d", fails=True)])


def no_snapshots(b):
    return Workflow("w", [b.step("a"), b.step("b"), b.step("c", fails=True)], snapshots=False)


def rollback_on(b):
    return Workflow("w", [b.step("a"), b.step("b"), b.step("c", fails=True)], rollback_on=BoomError)


def not_rollback_on(b):
    return Workflow("w", [b.step("a"), b.step("b"), b.step("c", fails=True)], rollback_on=OtherError)


def nested_fails(b):
    inner = Workflow("inner", [b.step("x"), b.step("y"), b.step("z", fails=True)])
    return Workflow("w", [b.step("a"), inner, b.step("never")])


def fails_after_nested(b):
    inner = Workflow("inner", [b.step("x"), b.step("y")], prepare=b.prepare("ok"))
    return Workflow("w", [b.step("a"), inner, b.step("c", fails=True)])


def undo_fails(b):
    return Workflow("w", [b.step("a"), b.step("b", undo_fails=True), b.step("c", fails=True)])


def undo_fails_and_stops(b):
    inner = Workflow("inner", [b.step("x"), b.step("y", undo_fails=True)])
    return Workflow("w", [b.step("a"), inner, b.step("c", fails=True)], rollback_mode="stop")


def stops(b):
    return Workflow("w", [b.step("a"), b.step("b", fails=True), b.step("c")], mode="stop")


def continues(b):
    inner = Workflow("inner", [b.step("x", fails=True), b.step("y")])
    return Workflow("w", [b.step("a", fails=True), inner, b.step("c")], mode="continue")


def prepares(b):
    steps = [b.step("a", prepare="ok"), b.step("b", prepare="skip"), b.step("c", prepare="fail")]
    return Workflow("w", steps, prepare=b.prepare("ok"))


def prepare_fails(b):
    inner = Workflow("inner", [b.step("x")], prepare=b.prepare("fail"))
    return Workflow("w", [b.step("a"), inner], prepare=b.prepare("ok"))


def verified(b):
    return Workflow("w", [b.step(id, verified=True) for id in "abcd"])


def on_a_loop(b):
    steps = [b.step("a", is_async=True), b.step("b"), b.step("c", is_async=True, fails=True)]
    return Workflow("w", steps)


def retries(b):
    often = Retry(4, initial=0.0)
    steps = [b.step("a"), b.step("b", failures=2, prepare="ok", retry=often, undo_retry=often)]
    return Workflow("w", [*steps, b.step("c", fails=True, retry=Retry(2, initial=0.0))])


def conditions(b):
    def is_set(ctx):
        return "a was here" in ctx.shared

    steps = [
        b.step("never", when=lambda ctx: not is_set(ctx) and False),
        b.step("a"),
        b.step("b", when=is_set),
    ]
    return Workflow("w", [*steps, b.step("c", when=lambda ctx: not is_set(ctx)), b.step("d", fails=True)])


def pivots(b):
    steps = [b.step("a"), b.step("p", pivot=True), b.step("b", prepare="ok"), b.step("c", skips=True)]
    inner = Workflow("inner", [b.step("x", failures=1, retry=Retry(2, initial=0.0))])
    return Workflow("w", [*steps, inner, b.step("d", when=lambda ctx: True)])


def limited(b):
    """Limits that are not reached: each call is made in a thread of its own."""
    steps = [b.step("a", timeout=60), b.step("b", prepare="ok"), b.step("c", fails=True, undo_timeout=60)]
    return Workflow("w", steps, deadline=600)


def parallel_succeeds(b):
    inner = Workflow("inner", [b.step("i"), b.step("j")])
    both = Parallel("both", b.step("x"), inner, b.step("y", failures=1, retry=Retry(2, initial=0.0)), limit=1)
    return Workflow("w", [b.step("a"), both, b.step("c")])


def parallel_is_undone(b):
    inner = Workflow("inner", [b.step("i"), Parallel("deep", b.step("k"), b.step("l"), limit=1)])
    both = Parallel("both", b.step("x", prepare="ok"), inner, b.step("y", when=lambda ctx: False), limit=1)
    return Workflow("w", [b.step("a"), both, b.step("c", fails=True)])


def parallel_fails(b):
    inner = Workflow("inner", [b.step("i"), b.step("j", fails=True), b.step("never")])
    both = Parallel("both", b.step("x"), inner, b.step("y", fails=True), b.step("z"), limit=1)
    return Workflow("w", [b.step("a"), both, b.step("never")])


def parallel_on_a_loop(b):
    inner = Workflow("inner", [b.step("i", is_async=True), b.step("j")])
    both = Parallel(
        "both", inner, b.step("x", is_async=True, fails=True), b.step("y"), limit=1, on_failure="cancel"
    )
    return Workflow("w", [b.step("a"), both, b.step("never")])


def expands(b):
    def build(ctx):
        return [b.step("x"), Workflow("inner", [b.step("y", prepare="ok")], prepare=b.prepare("ok"))]

    def nothing():
        raise Skip("nothing to build")

    steps = [b.step("a"), Expand("more", build), Expand("none", nothing), Expand("empty", list)]
    return Workflow("w", [*steps, b.step("c", fails=True)])


def expands_in_parallel(b):
    def build(ctx):
        return Workflow("built", [b.step(name) for name in ctx.shared["lines"]], prepare=b.prepare("ok"))

    def deeper():
        return [Expand("deeper", lambda: [b.step("z", failures=1, retry=Retry(2, initial=0.0))])]

    both = Parallel("both", Expand("more", build), b.step("x"), Expand("deep", deeper), limit=1)
    return Workflow("w", [b.step("a"), both, b.step("c", fails=True)])


NOT_SEQUENCES = (
    "parallel_succeeds", "parallel_is_undone", "parallel_fails", "parallel_on_a_loop", "expands",
    "expands_in_parallel",
)  # fmt: skip
"""Scenarios for which the specification's journal has no form."""

SCENARIOS = {
    build.__name__: build
    for build in (
        success, failure, no_snapshots, rollback_on, not_rollback_on, nested_fails, fails_after_nested,
        undo_fails, undo_fails_and_stops, stops, continues, prepares, prepare_fails, verified, on_a_loop,
        retries, conditions, pivots, limited, parallel_succeeds, parallel_is_undone, parallel_fails,
        parallel_on_a_loop, expands, expands_in_parallel,
    )
}  # fmt: skip


def start(workflow, store, **options):
    """Start a workflow in the way that its steps need."""
    if workflow.definition.async_steps:
        return asyncio.run(workflow.start_async(FIRST_STATE, run_id=RUN_ID, store=store, **options))
    return workflow.start(FIRST_STATE, run_id=RUN_ID, store=store, **options)


def resume(workflow, store, **options):
    """Resume a workflow in the way that its steps need."""
    if workflow.definition.async_steps:
        return asyncio.run(workflow.resume_async(RUN_ID, store, state=FIRST_STATE, **options))
    return workflow.resume(RUN_ID, store, state=FIRST_STATE, **options)


def told(report):
    """Return all that a report tells but for times and attempts, as JSON values."""
    return {
        "text": str(report),
        "outcome": str(report.outcome),
        "status": str(report.status),
        "error": error_of(report.error),
        "rollback_errors": [error_of(error) for error in report.rollback_errors],
        "results": report.results,
        "remaining": [list(part) for part in report.remaining],
        "effects": [effect_told(effect) for effect in report.effects],
        "prepare": None if report.prepare is None else step_told(report.prepare),
        "steps": [step_told(each) for each in report.step_reports],
    }


def step_told(report):
    return [
        report.step_id,
        report.action.value,
        report.status.value,
        report.detail,
        error_of(report.error),
        report.result,
        dict(report.metadata),
        None if report.workflow is None else told(report.workflow),
        [step_told(each) for each in report.failed_attempts],
        [effect_told(effect) for effect in report.effects],
    ]


def effect_told(effect):
    return [effect.path, effect.action.value, effect.kind, effect.ref, effect.data]


def error_of(error):
    """Return the name and the text of an error; a `RemoteError` has the original's."""
    return None if error is None else [type(error).__name__, str(error)]
