"""Each rule: what it finds, and what it leaves alone."""

from __future__ import annotations

import asyncio
import datetime
import functools
import os
import random
import shutil
import uuid
from pathlib import Path

import pytest

from automa import Expand, Parallel, Retry, Skip, Step, Workflow
from automa.plan.lint import RULES

ROOT = Path(__file__).parents[2]
AGAIN = Retry(attempts=3)
memo = {}
count = 0


def work():
    shutil.rmtree("/nowhere")


def undo():
    Path("x").unlink()


def send():
    os.kill(0, 9)


def check(ctx):
    if not ctx.shared["paid"]:
        raise ValueError("not paid")


def codes(*steps, **options):
    """What is found in a workflow, as pairs of code and path."""
    return [(each.code, each.path) for each in Workflow("w", steps, **options).lint()]


def undoable(id, **options):
    return Step(id, run=work, undo=undo, **options)


def letter(**options):
    return Step("letter", run=send, irreversible=True, **options)


def pivot(**options):
    return Step("pivot", run=send, pivot=True, **options)


def of(run, undo=undo, **options):
    return Step("s", run=run, undo=undo, **options)


# --- what each rule finds, and what it leaves alone -----------------------------------------------------


def reads_unwritten_local(ctx):
    print(ctx.local["kept"])


def reads_result(ctx):
    print(ctx.result["number"])


def reads_late(ctx):
    print(ctx.shared["late"])


def writes_late(ctx):
    ctx.shared["late"] = 1


def writes_local(ctx):
    ctx.local["kept"] = 1
    work()


def returns_number():
    return {"number": 1}


def returns_other():
    return {"numbr": 1}


def reads_step(ctx):
    print(ctx.results["lettre"])


class OnSelf(Step):
    def saga_run(self):
        self.kept = 1

    def saga_undo(self):
        print(self.kept)


class FoundAgain(Step):
    def saga_run(self):
        self.kept = 1

    def saga_undo(self):
        self.kept = Path("kept").read_text(encoding="utf-8")
        print(self.kept)


def writes_global():
    global count  # noqa: PLW0603  # that is the case
    count = 1


def reads_global():
    print(count)


def writes_memo():
    memo["old"] = 1


def reads_memo():
    print(memo.pop("old"))


def writes_ledger(ctx):
    memo[ctx.run_id] = 1


def clears_ledger(ctx):
    memo.pop(ctx.run_id, None)


def with_nonlocal():
    kept = 0

    def run():
        nonlocal kept
        kept = 1

    def undo():
        print(kept)

    return of(run, undo)


async def call():
    work()


async def is_ready():
    return True


def drops():
    call()


async def asks():
    if is_ready():
        work()


async def sleeps():
    asyncio.sleep(1)


async def awaits():
    task = asyncio.create_task(call())
    if await is_ready():
        await call()
    await asyncio.gather(task, call())
    await asyncio.sleep(1)


def returns_coroutine():
    return call()


class OwnMethods(Step):
    async def help(self):
        await call()

    async def saga_run(self):
        self.help()

    async def saga_undo(self):
        await self.help()


class Shop:
    def order(self, what, key=None):
        return 17


shop = Shop()


def orders(ctx):
    number = shop.order("chair")
    ctx.record_effect("order", number)


def orders_with_key(ctx):
    number = shop.order("chair", ctx.idempotency_key)
    ctx.record_effect("order", number)


def tells_what_it_knows(ctx):
    shop.order(ctx.shared["number"])
    ctx.record_effect("order", str(ctx.shared["number"]))


def builds_by_chance():
    name = f"copy-{uuid.uuid4()}"
    return [Step(name, run=work)]


def builds_by_helper():
    return [made_now()]


def made_now():
    return Step(id=f"at-{datetime.datetime.now()}", run=work, undo=undo)


def builds_of_state(ctx):
    token = uuid.uuid4()
    return [Step(name, run=lambda: print(token)) for name in ctx.shared["names"]]


def factory():
    def copy():
        work()

    return Step(f"copy-{random.random()}", run=copy, undo=undo)


CASES = {
    "SAGA001": (
        [
            [letter(), undoable("a")],
            [Workflow("in", [letter()]), Parallel("p", undoable("a"), undoable("b"))],
        ],
        [
            [undoable("a"), letter()],
            [Parallel("p", undoable("a"), letter(), undoable("b"))],
            [letter(), Step("report", run=lambda ctx: len(ctx.shared))],
        ],
    ),
    "SAGA002": (
        [
            [letter(), Step("b", run=send, irreversible=True)],
            [pivot(), Step("b", run=send)],
            [letter(), Step("check", run=check)],
        ],
        [
            [letter(), Step("b", run=send, irreversible=True, retry=AGAIN)],
            [pivot(), Step("b", run=send, retry=AGAIN)],
            [letter(), Step("b", run=lambda ctx: ctx.shared["x"].upper())],
            [letter(), Step("no-run")],
        ],
    ),
    "SAGA003": (
        [[Step("a", run=work)], [Step("a", run=functools.partial(os.kill, 0)), Step("b", run=send)]],
        [
            [undoable("a")],
            [letter()],
            [Step("a")],
            [Step("a", run=open)],
            [pivot(), Step("b", run=send, retry=AGAIN)],
        ],
    ),
    "SAGA004": (
        [
            [letter(), pivot()],
            [pivot(), Step("again", run=send, pivot=True)],
            [pivot(), undoable("a", retry=AGAIN)],
            [Workflow("in", [pivot()]), undoable("a", retry=AGAIN)],
        ],
        [
            [undoable("a"), pivot()],
            [pivot(when=lambda: False), undoable("a")],
            [Step("maybe", run=lambda: skips(), pivot=True)],
        ],
    ),
    "SAGA005": (
        [
            [of(work, reads_unwritten_local)],
            [of(work, reads_result)],
            [of(returns_other, reads_result)],
            [of(work, reads_late), Step("late", run=writes_late)],
            [Step("letter", run=returns_number), of(work, reads_step)],
        ],
        [
            [of(writes_local, reads_unwritten_local)],
            [of(work, reads_unwritten_local, prepare=lambda: {"kept": 1})],
            [of(returns_number, reads_result)],
            [of(work, reads_late)],
            [Step("late", run=writes_late), of(work, reads_late)],
            [of(lambda ctx: hands_over(ctx), reads_unwritten_local)],
            [Expand("e", builds_of_state), of(work, reads_step)],
        ],
    ),
    "SAGA006": (
        [[OnSelf("s")], [of(writes_global, reads_global)], [of(writes_memo, reads_memo)], [with_nonlocal()]],
        [[FoundAgain("s")], [of(writes_ledger, clears_ledger)], [of(work, reads_global)]],
    ),
    "SAGA007": (
        [[of(drops)], [of(asks)], [of(sleeps)], [OwnMethods("s")], [of(work, drops)]],
        [[of(awaits)], [of(returns_coroutine)], [of(lambda: call())]],
    ),
    "SAGA010": (
        [[Expand("e", builds_by_chance)], [Expand("e", builds_by_helper)], [factory()]],
        [[Expand("e", builds_of_state)], [undoable("fixed")]],
    ),
    "SAGA009": (
        [[of(orders, retry=AGAIN)]],
        [
            [of(orders_with_key, retry=AGAIN)],
            [of(orders)],
            [of(orders, retry=AGAIN, verify=lambda: None)],
            [of(tells_what_it_knows, retry=AGAIN)],
            [of(lambda ctx: hands_over(ctx), retry=AGAIN)],
        ],
    ),
    "SAGA008": (
        [
            [undoable("a", timeout=90)],
            [undoable("a", retry=Retry(attempts=10, initial=20))],
        ],
        [[undoable("a", timeout=30)], [undoable("a", retry=Retry(attempts=10))]],
    ),
    "SAGA000": (
        [[Step("s", run=lambda: 1)]],  # automa: ignore[SAGA003] there is nothing to ignore
        [[Step("s", run=lambda: work())]],  # automa: ignore[SAGA003] it is taken back by hand
    ),
}


def skips():
    raise Skip("nothing to do")


def hands_over(ctx):
    ctx.local["kept"] = ctx.idempotency_key


@pytest.mark.parametrize(
    ("code", "steps"), [(code, steps) for code, (bad, _) in CASES.items() for steps in bad]
)
def test_a_rule_finds(code, steps):
    """A rule finds what it is there for."""
    assert code in {found for found, _ in codes(*steps, deadline=60)}


@pytest.mark.parametrize(
    ("code", "steps"), [(code, steps) for code, (_, good) in CASES.items() for steps in good]
)
def test_a_rule_is_silent(code, steps):
    """A rule leaves alone what is right, or cannot be told."""
    assert code not in {found for found, _ in codes(*steps, deadline=60)}


def test_rules_pages_and_tests_belong_together():
    """Each rule has cases here that fire and that do not, a page with its name, and a line in the index."""
    pages = ROOT / "docs" / "reference" / "lint"
    assert set(CASES) == set(RULES)
    assert all(bad and good for bad, good in CASES.values())
    assert {page.stem for page in pages.glob("SAGA*.md")} == set(RULES)
    index = (pages / "README.md").read_text(encoding="utf-8")
    for code, name in RULES.items():
        page = (pages / f"{code}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {code}: {name}\n")
        assert f"[{code}]({code}.md) | {name} |" in index


@pytest.mark.parametrize("mode", ["stop", "continue"])
def test_where_nothing_is_undone_order_is_no_matter(mode):
    """In the modes in which nothing is undone, no rule about order and undos speaks."""
    assert codes(letter(), undoable("a"), Step("b", run=send), mode=mode) == []


def test_a_finding_has_its_place():
    """A finding names file and line of the function, and the step, in one line."""
    (found,) = Workflow("w", [Workflow("in", [Step("a", run=work)])]).lint()
    line = work.__code__.co_firstlineno
    assert (found.name, found.workflow, found.file, found.line) == ("no-undo", "w", __file__, line)
    assert str(found).startswith(f"{__file__}:{line}: SAGA003 step 'in/a': it does something")
    assert "\n" not in str(found)


def test_what_a_finding_says_of_memory():
    """State on self may be right in memory, so the message says when it is lost."""
    (found,) = Workflow("w", [OnSelf("s")]).lint()
    assert "self.kept" in found.message
    assert "where another process carries on a journaled run" in found.message


def test_the_modules_of_steps_are_not_run(monkeypatch):
    """Nothing of the user's is called: a step and its functions that would object are passed over in silence."""

    class Shy:
        def __getattr__(self, name):
            raise AssertionError(name)

        def __eq__(self, other):
            raise AssertionError

        __hash__ = None

    shy = Shy()

    def run(ctx):
        shy.do(ctx)
        shy["old"] = 1
        return Step(shy.name())

    def undo():
        print(shy["old"], shy.get("old"))

    assert codes(Step("s", run=run, undo=undo), Expand("e", run)) == []
