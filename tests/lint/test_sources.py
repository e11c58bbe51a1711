"""Functions as they come: methods, partials, lambdas on one line, decorated, without source."""

from __future__ import annotations

import asyncio
import datetime
import functools
import io
import math
import os
import time

import pytest

from automa import Step, Workflow, step


def logged(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


def loud(function):
    def wrapper(ctx):
        return function(ctx)

    return wrapper


@logged
def decorated(ctx):
    ctx.local["a"] = 1


def kill(number, ctx=None):
    os.kill(number, ctx.shared["signal"])


class Callable:
    def __call__(self, ctx):
        os.kill(0, ctx.shared["signal"])

    def method(self, ctx):
        os.kill(0, ctx.shared["signal"])

    @staticmethod
    def static(ctx):
        os.kill(0, ctx.shared["signal"])


class Overridden(Step):
    def run(self, ctx, prev_success):
        if "x" not in ctx.shared:
            return self.skipped_run(prev_success)
        os.kill(0, 9)
        return self.run_next(prev_success)


class Answering(Step):
    def run(self, ctx, prev_success):
        ctx.report.detail = "nothing"
        return self.run_next(prev_success)


class Foreign:
    """A step that is no `Step`."""

    id, next, prev = "foreign", None, None

    def run(self, ctx, prev_success):
        os.kill(0, 9)

    def rollback(self, ctx, prev_failure):
        os.kill(0, 9)


class StaticSaga(Step):
    @staticmethod
    def saga_run():
        os.kill(0, 9)


def found(*steps):
    return [each.code for each in Workflow("w", steps).lint()]


@pytest.mark.parametrize(
    "run",
    [
        functools.partial(kill, 1),
        functools.partial(functools.partial(kill), 1),
        Callable(),
        Callable().method,
        Callable.static,
        lambda: os.kill(0, 9),
        loud(decorated),
        logged(kill),
        functools.partial(kill, number=1, ctx=None),
    ],
)
def test_a_function_in_any_guise_is_read(run):
    """The function that runs in the end is found behind partials, methods, instances and decorators."""
    assert found(Step("s", run=run)) == ["SAGA003"]


def test_methods_of_steps_are_read():
    """A subclass is read by its saga_run, or by the run that it overrides; other steps have undos of their own."""
    assert found(Overridden("s"), StaticSaga("t"), Foreign()) == ["SAGA003", "SAGA003"]
    assert found(Answering("s")) == []


def test_what_has_no_source_is_passed_over():
    """Built-in functions, and those that were made of text, have no source: nothing is said of them."""
    names = {}
    exec("def run(ctx): open(ctx)\nasync def act(ctx): run(ctx)", names)  # noqa: S102  # that is the case
    assert found(Step("a", run=math.fsum), Step("b", run=names["run"]), Step("c", run=print)) == []
    assert found(Step("d", run=functools.lru_cache(kill))) == []


def test_lambdas_of_one_line_are_told_apart():
    """Of two lambdas on a line the right one is read."""
    one, two = Step("a", run=lambda: 1), Step("b", run=lambda: os.kill(0, 9))
    assert [each.path for each in Workflow("w", [one, two]).lint()] == ["b"]


def test_lambdas_that_are_the_same_are_passed_over(tmp_path):
    """A lambda in a file that has changed since is not taken for another."""
    path = tmp_path / "changed.py"
    path.write_text("import os\nrun = lambda: os.kill(0, 9)\n")
    names = {}
    exec(compile(path.read_text(), str(path), "exec"), names)  # noqa: S102
    path.write_text("import os\n\n\n")
    assert found(Step("a", run=names["run"])) == []


def test_a_page_with_code_in_it_is_read(tmp_path):
    """A function whose file is no Python file as a whole is read by its lines, comments included."""
    text = "# It's a page\n\n```python\nimport os\n\ndef run():\n    os.kill(0, 9){}\n```\n"
    for comment, expected in (("", ["SAGA003"]), ("  # automa: ignore[SAGA003] why not", [])):
        path = tmp_path / f"page{len(comment)}.md"
        path.write_text(text.format(comment))
        code = "\n" * 3 + "import os\n\ndef run():\n    os.kill(0, 9)\n"
        names = {}
        exec(compile(code, str(path), "exec"), names)  # noqa: S102
        assert found(Step("a", run=names["run"])) == expected


@pytest.mark.parametrize(
    "run",
    [
        lambda ctx: sorted(map(str, ctx.shared.values())),
        lambda ctx: ctx.log.info("%s", ctx.results["x"]["y"].strip()),
        lambda: time.sleep(1),
        lambda ctx: list(filter(lambda x: x, ctx.shared["list"])),
        lambda ctx: "{}".format(ctx.shared["a"]).replace("a", "b"),
    ],
)
def test_what_evidently_does_nothing_outside_needs_no_undo(run):
    """A run that works with what it is given, and returns it, has nothing to be undone."""
    assert found(Step("s", run=run)) == []


@pytest.mark.parametrize(
    "run",
    [
        lambda ctx: ctx.resources["client"].get("x"),
        lambda ctx: ctx.record_effect("a", "b"),
        lambda ctx: list(map(os.unlink, ctx.shared["files"])),
        lambda ctx, world=os: world.update(ctx),
    ],
)
def test_what_may_do_something_needs_one(run):
    """What calls others, hands the context over or tells of an effect is not taken for harmless."""
    assert found(Step("s", run=run)) == ["SAGA003"]


def test_statements_that_reach_outside():
    """Setting what is not its own, deleting it, or opening it, is doing something; imports are looked up."""
    world = Callable()
    table = {}

    def sets_attribute():
        world.x = 1

    def deletes_item():
        del table["x"]

    def renames(ctx):
        path = ctx.shared["path"]
        path.replace("b")

    def enters():
        with world:
            pass

    def imports_own():
        import json

        return json.dumps({"a": [1]})

    def imports_from():
        from math import sqrt as root

        return root(4)

    def imports_relative():
        from . import nothing

        nothing()

    def own_helper(ctx):
        rows = []

        def add(row):
            rows.append(row)

        for row in ctx.shared["rows"]:
            add(row)
        rows[0] = 1
        return rows

    for run in (sets_attribute, deletes_item, renames, enters, imports_relative):
        assert found(Step("s", run=run)) == ["SAGA003"], run
    for run in (imports_own, imports_from, own_helper):
        assert found(Step("s", run=run)) == [], run


def test_a_name_that_is_not_bound_yet():
    """A closure whose variable is empty as yet cannot be looked into."""

    def run():
        later()

    case = Step("s", run=run)
    assert found(case) == ["SAGA003"]

    def later():
        return 1

    assert found(case) == []


@step
def plain(ctx):
    ctx.shared["x"] = 1


def test_state_alone_needs_no_undo():
    """The state goes back by itself."""
    assert found(plain) == []


def test_what_is_called_is_looked_up():
    """Built-in functions and methods of modules that do nothing are known; others, and own helpers too deep, are not."""

    def first(ctx):
        return second(ctx)

    def second(ctx):
        return third(ctx)

    def third(ctx):
        return fourth(ctx)

    def fourth(ctx):
        return fifth(ctx)

    def fifth(ctx):
        return ctx.shared["a"]

    async def waits():
        await asyncio.sleep(0)

    for run in (
        waits,
        lambda ctx: math.sqrt(ctx.shared["a"]),
        lambda ctx: datetime.datetime.now().isoformat(),
        lambda ctx: str.upper(ctx.shared["a"]),
        lambda ctx: dict.fromkeys(ctx.shared, 1).keys(),
        lambda ctx: [key for key in ctx.shared].copy(),  # noqa: C416
        lambda ctx: ctx.shared["a"].strip().upper(),
        fourth,
        second,
    ):
        assert found(Step("s", run=run)) == [], run
    for run in (
        lambda: os.getpid(),
        lambda ctx: io.StringIO.write(ctx, ""),
        lambda ctx: (ctx or os).keys(),
        first,
    ):
        assert found(Step("s", run=run)) == ["SAGA003"], run


def test_a_raise_that_is_passed_on():
    """Raising again what was caught is no check of its own."""

    def passes_on(ctx):
        try:
            return ctx.shared["a"]
        except KeyError as error:
            print(error)
            raise
        finally:
            match ctx.shared:
                case {"a": value}:
                    print(value)

    letter = Step("letter", run=kill, irreversible=True)
    assert found(letter, Step("s", run=passes_on)) == []
