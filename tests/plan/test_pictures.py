"""The pictures of a plan can be read, whatever the ids are."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from automa import Parallel, Step, Workflow
from automa.plan.pictures import links
from tests.properties.plans import build_steps, real_plans

IDS = st.lists(st.text(min_size=1).filter(str.strip), min_size=4, max_size=4, unique=True)
MERMAID = re.compile(
    r"flowchart TB"
    r'|n\d+(\["|\{\{")([\w ,/+-]|#\d+;|<br/>)*("\]|"\}\})'
    r'|subgraph n\d+\["([\w ,/+-]|#\d+;)*"\]|direction TB|end'
    r'|n\d+ (-->|-\.-\|"#8630; [a-z ,]+"\|) n\d+'
    r"|classDef (pivot stroke-width:4px|stays stroke-dasharray:4 3)|class n\d+(,n\d+)* (pivot|stays)",
    re.ASCII,
)


def done():
    return 1


def planned(ids, **options):
    first, second, third, fourth = ids
    steps = [
        Step(first, run=done, irreversible=True),
        Parallel(second, Step(first, run=done), Workflow(second, [Step(each) for each in ids])),
        Step(third, run=done, pivot=True, when=lambda: True),
        Step(fourth, run=done),
    ]
    return Workflow(first, steps, **options).plan()


@given(IDS)
def test_pictures_stand_any_id(ids):
    """The SVG is well-formed and each line of Mermaid is one of its statements, whatever is in the ids."""
    plan = planned(ids)
    root = ET.fromstring(plan.to_svg())  # noqa: S314  # our own
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 1 + 10
    for line in plan.to_mermaid().split("\n"):
        assert MERMAID.fullmatch(line.strip()), line


@given(real_plans("sync", depth=2))
def test_any_plan_can_be_drawn(drawn):
    """Empty and nested workflows and branches are drawn, each with as many ends as beginnings."""
    steps, mode, rollback_mode = drawn
    plan = Workflow("w", build_steps(steps, []), mode=mode, rollback_mode=rollback_mode).plan()
    ET.fromstring(plan.to_svg())  # noqa: S314  # our own
    lines = [line.strip() for line in plan.to_mermaid().split("\n")]
    assert sum(line.startswith("subgraph") for line in lines) == lines.count("end")
    assert sum("-->" in line for line in lines) == len(list(links(plan)))


def test_a_picture_shows_the_way_back_as_far_as_it_goes():
    """Before a pivot there is a way back, past one that may be skipped maybe, past another none."""
    steps = [Step("a"), Step("p", pivot=True, when=done), Step("b"), Step("q", pivot=True), Step("c")]
    assert [link.back for link in links(Workflow("w", steps).plan())] == ["yes", "maybe", "maybe", "no"]
    stop = Workflow("w", [Step("a"), Step("b")], mode="stop").plan()
    assert [link.back for link in links(stop)] == ["no"]
    assert "undo, if no pivot was run" in Workflow("w", steps).plan().to_svg()


def test_a_picture_marks_what_cannot_be_taken_back():
    """A pivot and an irreversible step have a border of their own, and say so in words too."""
    picture = planned("abcd").to_svg()
    assert 'class="box pivot"' in picture
    assert 'class="box stays"' in picture
    assert ">irreversible<" in picture
    assert "prefers-color-scheme: dark" in picture


def test_branches_stand_side_by_side():
    """Branches begin at the same height, and do not overlap."""
    plan = Workflow("w", [Parallel("p", Step("l"), Step("r"))]).plan()
    root = ET.fromstring(plan.to_svg())  # noqa: S314  # our own
    _, _, left, right = root.iter("{http://www.w3.org/2000/svg}rect")  # after the page and the group
    assert left.get("y") == right.get("y")
    assert float(left.get("x")) + float(left.get("width")) < float(right.get("x"))


def test_a_long_id_is_cut_in_the_picture_and_whole_in_its_title():
    """A wide text does not leave its box."""
    picture = Workflow("w", [Step("x" * 100)]).plan().to_svg()
    assert f"<title>{'x' * 100}</title>" in picture
    assert f"<text {picture.split('<text ')[3].split('>')[0]}>{'x' * 47}…</text>" in picture


def test_a_page_has_the_picture_the_rules_and_each_answer():
    """A plan as a page: drawn, told, and for each step that can fail what comes of it, pivots included."""
    page = planned("abcd").to_html()
    assert 'class="automa-plan"' in page
    assert "whichever step" in page
    answers = page.split('id="failures"')[1]
    told = " ".join(re.sub("<[^>]+>", " ", answers).split())
    assert "If b/a fails the run ends undone" in told
    assert "If d fails the run ends needs attention past the pivot c" in told
    assert "Where none of these pivots was run: the run ends undone" in told


def test_a_plan_without_steps_has_a_page():
    """An empty workflow is drawn, and says that nothing can fail."""
    page = Workflow("w").plan().to_html()
    assert "no step, so none that could fail" in page
    assert "There is no step that could fail." in page
