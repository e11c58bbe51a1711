"""`automa conformance`: the published fixtures, and what it says of fixtures that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automa.conformance import run_fixtures
from tests.cli.test_run import automa

PUBLISHED = Path(__file__).parents[3] / "shared" / "conformance"
needs_fixtures = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason=f"the published fixtures of automa-spec are not in {PUBLISHED}"
)


@needs_fixtures
@pytest.mark.parametrize(
    "path",
    sorted(
        p.relative_to(PUBLISHED).as_posix()
        for d in ("behavior", "serialization", "journal")
        for p in (PUBLISHED / d).glob("*")
    ),
)
def test_a_published_fixture_passes(path):
    """Each published fixture passes, of both profiles."""
    results = {result.fixture: result for result in run_fixtures(PUBLISHED)}
    assert results[path].problems == []


@needs_fixtures
def test_the_published_set_by_the_command():
    """Without a profile all are run."""
    core = automa("conformance", PUBLISHED, "--profile", "core")
    assert core.returncode == 0
    assert core.stdout.splitlines()[-1].startswith("core: ")
    assert core.stdout.splitlines()[-1].endswith(" passed, 0 failed")
    everything = automa("conformance", PUBLISHED)
    assert everything.returncode == 0
    assert everything.stdout.splitlines()[-1].startswith("durability: ")


BEHAVIOR = {
    "name": "x",
    "workflow": {"id": "wf", "executionMode": "rollback", "steps": [{"id": "a", "execute": "failed"}]},
    "expect": {
        "workflowStatus": "failed",
        "workflowAction": "execute",
        "executionOrder": ["a"],
        "rollbackOrder": ["a"],
        "steps": {"a": {"status": "failed", "action": "execute", "rollbackStatus": "success"}},
    },
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "behavior" / "deep").mkdir(parents=True)
    (tmp_path / "behavior" / "deep" / "x.json").write_text(json.dumps(BEHAVIOR))
    return tmp_path


def test_a_folder_without_a_manifest(folder):
    """Fixtures at any depth are found, by the folders of the published set."""
    done = automa("conformance", folder)
    assert done.stdout.splitlines() == ["ok   core behavior/deep/x.json", "core: 1 passed, 0 failed"]
    assert done.returncode == 0


WRONG = {
    "the status": ({"workflowStatus": "success"}, "workflowStatus: expected 'success', found 'failed'"),
    "the order": ({"executionOrder": ["b"]}, "executionOrder: expected ['b'], found ['a']"),
    "the undo": ({"rollbackOrder": []}, "rollbackOrder: expected [], found ['a']"),
    "a step": ({"steps": {"a": {"status": "success"}}}, "steps.a.status: expected 'success', found 'failed'"),
    "no step": ({"steps": {"z": {"status": "success"}}}, "steps.z: is not in the report"),
    "null for something unknown": ({"colour": None}, "colour: expected None, found 'no such thing'"),
    "something unknown": ({"colour": "red"}, "colour: expected 'red', found 'no such thing'"),
    "a step's unknown": (
        {"steps": {"a": {"colour": "red"}}},
        "steps.a.colour: expected 'red', found 'no such thing'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_difference_is_told(folder, name):
    """Whatever differs from what a fixture expects fails it, and is told: the check can fail."""
    expect, message = WRONG[name]
    fixture = BEHAVIOR | {"expect": BEHAVIOR["expect"] | expect}
    (folder / "behavior" / "deep" / "x.json").write_text(json.dumps(fixture))
    done = automa("conformance", folder)
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL core behavior/deep/x.json")
    assert message in done.stdout


BROKEN = {
    "no JSON": ("{", "no JSON document"),
    "no object": ("[]", "fixture: expected an object"),
    "no kind": ("{}", "fixture.kind: missing"),
    "an unknown kind": ('{"kind": "riddle"}', "unknown kind 'riddle'"),
    "an empty expectation": (json.dumps(BEHAVIOR | {"expect": {}}), "expect: is empty"),
    "a step without expectation": (
        json.dumps(BEHAVIOR | {"expect": {"steps": {"a": None}}}),
        "expect.steps.a: expected an object, found null",
    ),
    "a report that nests too deeply": (
        '{"kind": "report", "json": '
        + '{"id": "w", "isWorkflow": true, "action": "execute", "status": "success", "startTime": "2026-01-01T00:00:00Z", '
          '"endTime": "2026-01-01T00:00:00Z", "steps": [' * 2000 + "]}" * 2000 + "}",
        "nests too deeply",
    ),
    "no expectation": (json.dumps({"workflow": BEHAVIOR["workflow"]}), "fixture.expect: missing"),
    "an unknown word": (
        json.dumps(BEHAVIOR | {"workflow": {"id": "w", "steps": [{"id": "a", "execute": "explode"}]}}),
        "unknown execute 'explode'",
    ),
    "a lossy statebag": ('{"kind": "statebag", "json": {"local": {}, "global": {"n": 9007199254740993}}}', "json.global.n"),
    "a report with more": (
        json.dumps({"kind": "report", "json": {
            "id": "w", "isWorkflow": True, "action": "execute", "status": "success", "colour": "red",
            "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}}),
        "json.colour: missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_fixture_that_cannot_be_run_has_failed(folder, name):
    """A broken or unknown fixture counts as failed, never as skipped, and does not end the others."""
    text, message = BROKEN[name]
    (folder / "behavior" / "a.json").write_text(text)
    done = automa("conformance", folder)
    assert done.returncode == 1
    assert message in done.stdout
    assert "core: 1 passed, 1 failed" in done.stdout
    assert "Traceback" not in done.stderr


def test_every_fixture_below_is_run(folder):
    """Linked folders, endings in capitals and sets further down count; what belongs to no profile has failed."""
    outside = folder / "elsewhere"
    (outside / "behavior").mkdir(parents=True)
    (outside / "behavior" / "linked.JSON").write_text("{}")
    below = folder / "set" / "below"
    (below / "behavior").mkdir(parents=True)
    (below / "other").mkdir()
    (below / "behavior" / "x.json").write_text(json.dumps(BEHAVIOR))
    (below / "other" / "y.json").write_text(json.dumps(BEHAVIOR))
    (below / "behavior" / "link").symlink_to(outside / "behavior")
    (below / "behavior" / "back").symlink_to(below)
    (below / "manifest.json").write_text('{"profiles": {"core": {"fixtures": ["behavior/**"]}}}')
    done = automa("conformance", folder / "set")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [
        "FAIL core below/behavior/link/linked.JSON",
        "ok   core below/behavior/x.json",
        "FAIL none below/other/y.json",
        "core: 1 passed, 1 failed",
        "none: 0 passed, 1 failed",
    ]


@pytest.mark.parametrize("pattern", ["/etc/*.json", "", "behavior/x**", "../ok/**"])
def test_odd_patterns_of_a_manifest_match_nothing(folder, pattern):
    """A pattern that could not be walked matches no fixture, which has failed then."""
    (folder / "manifest.json").write_text(json.dumps({"profiles": {"core": {"fixtures": [pattern]}}}))
    done = automa("conformance", folder)
    assert done.returncode == 1
    assert "belongs to no profile of the manifest" in done.stdout


def test_the_result_as_json(folder):
    """--json prints the results and nothing else; -o writes them to a file."""
    done = automa("conformance", folder, "--json", "-o", folder / "result.json")
    result = json.loads(done.stdout)
    assert result == json.loads((folder / "result.json").read_text())
    assert result == {
        "profiles": {"core": {"passed": 1, "failed": 0}},
        "results": [
            {"fixture": "behavior/deep/x.json", "profile": "core", "status": "passed", "problems": []}
        ],
    }
    assert automa("conformance", folder, "-o", "/dev/full").returncode == 74


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["behavior/deep/deeper"], "there is no folder"),
        ([".", "--profile", "extra"], "there is no profile 'extra'"),
        ([".", "--profile", "durability"], "has no fixtures of the profile durability"),
    ],
)
def test_bad_input_is_one_line(folder, arguments, message):
    """A folder without fixtures, or an unknown profile, is told in one line; nothing counts as passed."""
    done = automa("conformance", *arguments, cwd=folder)
    assert done.returncode == 65
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"profiles": {"core": {}}}', '{"profiles": {"core": {"fixtures": [7]}}}']
)
def test_a_broken_manifest_is_told(folder, text):
    """A manifest that cannot be used is told with its path."""
    (folder / "manifest.json").write_text(text)
    done = automa("conformance", folder)
    assert done.returncode == 65
    assert "manifest.json: " in done.stderr
