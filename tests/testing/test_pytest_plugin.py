"""The plugin for pytest, in runs of pytest of their own, as users have it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = "pytester"

SAGA = """
    import pytest
    from automa import Step, Workflow
    from automa.testing import DictWorld, ExplorationError

    def make_world():
        return DictWorld({"paid": 0})

    def make_right(world):
        def pay(ctx):
            print("paying")
            world.data["paid"] = ctx.shared.get_int("amount", 1)
        def pay_back(ctx):
            world.data["paid"] = 0
        return Workflow("right", [Step("pay", run=pay, undo=pay_back)])

    def make_wrong(world):
        def pay(ctx):
            print("paying")
            world.data["paid"] += 1
        def pay_back(ctx):
            world.data["paid"] = 0
        return Workflow("wrong", [Step("pay", run=pay, undo=pay_back)])
"""


@pytest.fixture
def run(pytester):
    """Runs pytest on a file of tests, in a process of its own."""

    def run_file(tests, *options):
        pytester.makepyfile(test_saga=SAGA + tests)
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers", *options)
        return result, "\n".join(result.outlines)

    return run_file


def test_the_fixture_returns_what_was_found(run):
    """Where nothing is violated saga_explorer returns the exploration."""
    result, _ = run(
        """
    def test_right(saga_explorer):
        found = saga_explorer(make_right, make_world(), state={"amount": 5}, depth=2)
        assert found.ok
        assert found.depth == 2
        assert saga_explorer(make_right, make_world(), only="success").cases == ("success",)
"""
    )
    result.assert_outcomes(passed=1)


def test_the_fixture_fails_with_the_whole_story(run):
    """Where something is violated the test fails with table, story and line, and with nothing that buries them."""
    result, text = run(
        """
    def test_wrong(saga_explorer):
        saga_explorer(make_wrong, make_world())
    def test_unexplorable(saga_explorer):
        with pytest.raises(ExplorationError):
            saga_explorer(lambda: 1, make_world())
"""
    )
    result.assert_outcomes(failed=1, passed=1)
    for told in (
        "run twice",
        "pay: idempotent run: VIOLATED",
        "paid: 1 → 2",
        "only='success+crash-after-run:pay'",
    ):
        assert told in text
    assert "Captured" not in text
    assert "pytest_plugin.py" not in text


def test_the_marker_makes_a_test_a_case(run):
    """Each case is an item with the case's id; the one that is not stood fails with its story, and how to run it."""
    result, text = run(
        """
    @pytest.mark.saga(make_wrong, make_world)
    def test_wrong(saga_case):
        assert saga_case.id in repr(saga_case)
        saga_case.check()
""",
        "-v",
    )
    assert "test_saga.py::test_wrong[success] PASSED" in text
    assert "test_saga.py::test_wrong[success+crash-after-run:pay] FAILED" in text
    assert "crash after the effect of the run of pay, before its record; resumed" in text
    again = "again: pytest 'test_saga.py::test_wrong[success+crash-after-run:pay]'"
    assert again in text
    assert "pytest_plugin.py" not in text
    assert result.ret == 1


def test_the_marker_takes_what_the_explorer_takes(run):
    """State, resources and depth are passed on; pairs of crashes are items too."""
    result, text = run(
        """
    def make(world):
        def pay(ctx):
            ctx.resources["bank"].data["paid"] = ctx.shared["amount"]
        def pay_back(ctx):
            ctx.resources["bank"].data["paid"] = 0
        return Workflow("w", [Step("pay", run=pay, undo=pay_back)])

    @pytest.mark.saga(make, make_world, state={"amount": 3}, resources=lambda world: {"bank": world}, depth=2)
    class TestClass:
        def test_case(self, saga_case):
            saga_case.check()
        def test_other(self):
            pass
""",
        "-v",
    )
    assert result.ret == 0
    assert "[success+crash-before-run:pay+crash-after-run:pay] PASSED" in text
    assert "test_other PASSED" in text


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("lambda: 1, make_world", "the workflow cannot be made: that returned a int"),
        ("make_right, lambda: 1 / 0", "ZeroDivisionError"),
        ("make_right, lambda: exit(3)", "SystemExit: 3"),
        ("make_right, make_world, deep=1", "pytest.mark.saga: got an unexpected keyword argument 'deep'"),
        ("make_right, state={}", "pytest.mark.saga: missing a required argument: 'make_world'"),
    ],
)
def test_what_cannot_be_explored_is_one_failing_test(run, marker, told):
    """Where a saga cannot be explored there is one item, which fails with the reason; the others run."""
    result, text = run(
        f"""
    @pytest.mark.saga({marker})
    def test_unexplorable(saga_case):
        saga_case.check()

    def test_other():
        pass
"""
    )
    result.assert_outcomes(failed=1, passed=1)
    assert told in text
    assert "test_unexplorable[cannot-be-explored]" in text
    assert "INTERNALERROR" not in text


def test_a_test_that_does_not_play_its_case_fails(pytester):
    """A marked test that never calls saga_case.check() proves nothing, and does not pass."""
    pytester.makepyfile(
        test_saga="""
        import pytest
        from automa import Step, Workflow
        from automa.testing import DictWorld

        @pytest.mark.saga(lambda world: Workflow("w", [Step("a")]), DictWorld)
        def test_idle(saga_case):
            assert saga_case.id
    """
    )
    result = pytester.runpytest_subprocess("-k", "success]", "-W", "error")
    result.assert_outcomes(failed=1)
    assert "has not called saga_case.check()" in result.stdout.str()


def test_a_step_that_keeps_no_json_is_one_failing_test(run):
    """A saga whose undisturbed run leaves what no journal can keep has one case, which fails with that."""
    result, text = run(
        """
    def make(world):
        return Workflow("w", [Step("pay", run=lambda: object())])

    @pytest.mark.saga(make, make_world)
    def test_unclean(saga_case):
        saga_case.check()
"""
    )
    result.assert_outcomes(failed=1)
    assert "ResultError" in text


def test_a_crash_that_is_not_reached_any_more_is_skipped(run):
    """A saga that does otherwise than when it was collected skips the cases that are not there any more."""
    result, _ = run(
        """
    runs = []

    def make(world):
        extra = [Step("extra", run=lambda: None)] if not runs else []
        return Workflow("w", [Step("pay", run=lambda: world.data.update(paid=1)), *extra])

    @pytest.mark.saga(make, make_world)
    def test_case(saga_case):
        runs.append(saga_case)
        if "crash-after-run:extra" in saga_case.id and saga_case.id.startswith("success"):
            saga_case.check()
""",
        "-rs",
    )
    assert result.parseoutcomes()["skipped"] == 1


def test_saga_case_needs_the_marker(run):
    """A test that takes saga_case without the marker is told what it needs."""
    result, text = run(
        """
    def test_unmarked(saga_case):
        saga_case.check()
"""
    )
    result.assert_outcomes(errors=1)
    assert "is marked with pytest.mark.saga" in text


def test_workers_have_the_same_cases_and_worlds_of_their_own(run):
    """Under pytest-xdist every worker collects the same ids, and each case is played once, with pairs of crashes too."""
    tests = """
    @pytest.mark.saga(make_right, make_world, depth=2)
    def test_right(saga_case):
        saga_case.check()
"""
    alone, listed = run(tests, "-v")
    spread, text = run(tests, "-v", "-n", "2")
    assert alone.ret == spread.ret == 0
    played = re.findall(r"test_saga\.py::(\S+)", text)
    assert set(played) == set(re.findall(r"test_saga\.py::(\S+)", listed))
    assert {"[gw0]", "[gw1]"} <= set(text.split())
    assert spread.parseoutcomes()["passed"] == alone.parseoutcomes()["passed"] > 20


def test_the_plugin_imports_nothing_that_is_not_used():
    """Loading the plugin does not load the explorer: it is loaded into every run of pytest."""
    code = "import sys, automa.pytest_plugin; print('automa.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_tests_of_the_page_pass(pytester):
    """The tests that docs/how-to/test-sagas.md shows pass in pytest, as they stand there."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "test-sagas.md").read_text()
    pytester.makepyfile(test_page="\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers", "-v")
    text = "\n".join(result.outlines)
    assert result.ret == 0
    assert "test_page.py::test_an_order_stands_every_crash PASSED" in text
    for case in re.findall(r"test_order.py::(test_an_order\S+) PASSED", page):
        assert f"test_page.py::{case} PASSED" in text
