"""What is right is left alone: the examples, the pages that one reads first, and the corpus."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from automa import Workflow
from automa.plan.lint import RULES
from tests.corpus.test_corpus_runs import MODULES, name_of

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-saga.md"]


def workflows_of(names):
    found = [value for value in names.values() if isinstance(value, Workflow)]
    if "build" in names:
        found.append(names["build"]())
    if "step_of" in names:
        plan = names["model"]("Vienna")
        found.append(Workflow("journey", [names["step_of"](n, call) for n, call in enumerate(plan, 1)]))
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_clean(path):
    """Nothing is found in the examples, but for what they answer with a reason."""
    workflows = workflows_of(runpy.run_path(str(path)))
    assert workflows
    assert [str(finding) for workflow in workflows for finding in workflow.lint()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_first_pages_are_clean(page, tmp_path):
    """Nothing is found in what one reads first."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    file = tmp_path / "page.py"
    file.write_text("\n".join(blocks), encoding="utf-8")
    workflows = workflows_of(runpy.run_path(str(file)))
    assert workflows
    assert [str(finding) for workflow in workflows for finding in workflow.lint()] == []


@pytest.fixture
def corpus(request):
    module = request.param
    world = module.make_world()
    yield module.make_workflow(world), getattr(module, "BUG", None)
    if hasattr(world, "close"):
        world.close()


@pytest.mark.parametrize(
    "corpus", [each for each in MODULES if not hasattr(each, "BUG")], ids=name_of, indirect=True
)
def test_right_sagas_are_not_accused(corpus, record_property):
    """Nothing is found in a saga of the corpus that is right."""
    workflow, _ = corpus
    record_property("corpus", "right sagas cleared by the linter")
    assert [str(finding) for finding in workflow.lint()] == []


BUGS = [each for each in MODULES if getattr(each, "BUG", ("", ""))[1] in RULES]


@pytest.mark.parametrize("corpus", BUGS, ids=name_of, indirect=True)
def test_bugs_that_can_be_seen_are_found(corpus, record_property):
    """A bug that a rule is there for is found in its step, and nothing else is said."""
    workflow, (path, code) = corpus
    found = [(finding.code, finding.path) for finding in workflow.lint()]
    assert [each for each, _ in found] == [code]
    assert all(Path(step).match(path) for _, step in found)
    record_property("corpus", f"bugs found and named: {code}")
