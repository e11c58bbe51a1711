"""The plugin for pytest: sagas explored in one test, or in a test a case.

It is loaded into each run of pytest where automa is installed: the explorer is imported where it is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from automa.testing import Exploration, World
    from automa.testing.cases import Case
    from automa.testing.explorer import Explorer
    from automa.workflow import Workflow


class SagaExplorer(Protocol):
    """What the fixture `saga_explorer` is."""

    def __call__(self, make_workflow: Callable[..., Workflow], world: World, **options: Any) -> Exploration:
        """Explore a saga; fail the test where something is violated.

        Args:
            make_workflow: As in `automa.testing.explore`.
            world: As in `automa.testing.explore`.
            **options: As in `automa.testing.explore`.

        Returns:
            What was found.

        Raises:
            ExplorationError: As in `automa.testing.explore`.
        """
        ...


class SagaCase:
    """A case of a saga, which a test marked with ``saga`` is given.

    Args:
        id: The case in one word.
        play: Plays it.

    Attributes:
        id: The case in one word.
        was_checked: Whether the test has played it.
    """

    def __init__(self, id: str, play: Callable[[], None]) -> None:
        self.id: str = id
        self.was_checked: bool = False
        self._play = play

    def check(self) -> None:
        """Play the case; fail the test, with the story, where the saga does not stand it."""
        __tracebackhide__ = True
        self.was_checked = True
        self._play()

    def __repr__(self) -> str:
        return f"<SagaCase {self.id}>"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "saga(make_workflow, make_world, *, state=None, resources=None, depth=1, process=False): "
        "a test a case of the saga, which it plays by saga_case.check()",
    )


@pytest.fixture
def saga_explorer() -> SagaExplorer:
    """Explores a saga, and fails the test with all that is told where something is violated."""

    def explore_saga(make_workflow: Callable[..., Workflow], world: World, **options: Any) -> Exploration:
        __tracebackhide__ = True
        from automa.testing import explore  # noqa: PLC0415  # see above

        with contextlib.nullcontext() if options.get("only") else _in_silence():
            found = explore(make_workflow, world, **options)
        if not found.ok:
            pytest.fail(str(found), pytrace=False)
        return found

    return explore_saga


@pytest.fixture
def saga_case(request: pytest.FixtureRequest) -> SagaCase:
    """The case of the saga that the test plays."""
    if not hasattr(request, "param"):
        pytest.fail("a test that takes saga_case is marked with pytest.mark.saga", pytrace=False)
    found: tuple[Explorer, Case] | BaseException = request.param
    if isinstance(found, BaseException):
        return SagaCase(_UNEXPLORABLE, lambda: _fail_with(found))
    explorer, case = found
    return SagaCase(case.id, lambda: _play(explorer, case, request.node.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that has a case, and does not play it: it would prove nothing."""
    yield
    case = getattr(item, "funcargs", {}).get("saga_case")
    if isinstance(case, SagaCase) and not case.was_checked:
        pytest.fail("the test has not called saga_case.check()", pytrace=False)


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Keep what hundreds of runs print and log from burying the story."""
    log = logging.getLogger("automa")
    before, log.disabled = log.disabled, True
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        log.disabled = before


_UNEXPLORABLE = "cannot-be-explored"


def _fail_with(error: BaseException) -> None:
    __tracebackhide__ = True
    from automa.testing import ExplorationError  # noqa: PLC0415  # see above

    if isinstance(error, ExplorationError | pytest.UsageError):
        pytest.fail(str(error), pytrace=False)
    raise error


def _play(explorer: Explorer, case: Case, node: str) -> None:
    __tracebackhide__ = True
    from automa.testing.telling import violation_of  # noqa: PLC0415  # see above

    played, found = explorer.check(case)
    if not played.is_complete:
        pytest.skip("the run does not come to its crash any more")
    if found is not None:
        violation = violation_of(found, lambda _: f"pytest {shlex.quote(node)}")
        pytest.fail(str(violation), pytrace=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item of each case; one that fails, with the reason, where there are none to be found."""
    marker = metafunc.definition.get_closest_marker("saga")
    if marker is None or "saga_case" not in metafunc.fixturenames:
        return
    try:
        _check_arguments(marker)
        explorer = _explorer(*marker.args, **marker.kwargs)
        found: list[Any] = [(explorer, case) for case in explorer.cases()] or [
            (explorer, explorer.case("success"))
        ]
        ids = [case.id for _, case in found]
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it is, it is told by a test
        found, ids = [error], [_UNEXPLORABLE]
    metafunc.parametrize("saga_case", found, ids=ids, indirect=True)


def _check_arguments(marker: pytest.Mark) -> None:
    """Check what the marker was given.

    Raises:
        UsageError: Where an argument is missing, or unknown.
    """
    import inspect  # noqa: PLC0415  # few runs of pytest have such a marker

    try:
        inspect.signature(_explorer).bind(*marker.args, **marker.kwargs)
    except TypeError as error:
        raise pytest.UsageError(f"pytest.mark.saga: {error}") from None


def _explorer(  # noqa: PLR0913  # what the marker may be given
    make_workflow: Callable[..., Workflow],
    make_world: Callable[[], World],
    *,
    state: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
    depth: int = 1,
    process: bool = False,
) -> Explorer:
    from automa.testing.explorer import Explorer  # noqa: PLC0415  # see above

    return Explorer(
        make_workflow, make_world(), state=state, resources=resources, depth=depth, process=process
    )
