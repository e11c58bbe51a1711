"""Finds fixtures, runs each, and tells what differs.

The manifest beside the fixtures says which belong to which profile. A fixture that cannot be run,
whose kind is unknown, or whose profile is not implemented, has failed: nothing is skipped.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from automa.conformance.behavior import check_behavior
from automa.errors import AutomaError, WireError
from automa.wire import v1
from automa.wire.documents import expect, field, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


class Result(NamedTuple):
    """What came of one fixture.

    Attributes:
        fixture: Its path below the folder.
        profile: The profile to which it belongs.
        problems: What differs from what it expects; empty where it passed.
    """

    fixture: str
    profile: str
    problems: list[str]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        status = "passed" if self.passed else "failed"
        return {"fixture": self.fixture, "profile": self.profile, "status": status, "problems": self.problems}


def run_fixtures(folder: Path, profile: str | None = None) -> Iterator[Result]:
    """Run the fixtures below a folder, in the order of their paths.

    Args:
        folder: The folder with the manifest and the fixtures.
        profile: The only profile to run; None runs all.

    Raises:
        WireError: Where there are no fixtures, or the manifest cannot be read or has no such profile.
    """
    if not folder.is_dir():
        raise WireError(f"there is no folder {folder}")
    profiles = _profiles(folder)
    if profile is not None and profile not in profiles:
        raise WireError(f"there is no profile {profile!r} (there are: {', '.join(profiles)})")
    fixtures = [
        (name, path)
        for name in (profiles if profile is None else [profile])
        for path in sorted({path for pattern in profiles[name] for path in folder.glob(_files_of(pattern))})
    ]
    if not fixtures:
        raise WireError(f"{folder} has no fixtures: expected behavior/, serialization/ or journal/ in it")
    for name, path in fixtures:
        yield Result(path.relative_to(folder).as_posix(), name, _check(path))


def summary(results: Iterable[Result]) -> dict[str, Any]:
    """Return results as JSON values: each fixture, and the counts by profile."""
    results = list(results)
    counts: dict[str, Counter[str]] = {}
    for result in results:
        counts.setdefault(result.profile, Counter(passed=0, failed=0)).update(
            ["passed" if result.passed else "failed"]
        )
    return {
        "profiles": {profile: dict(count) for profile, count in counts.items()},
        "results": [result.to_dict() for result in results],
    }


_DEFAULT_PROFILES = {"core": ["behavior/**", "serialization/**"], "durability": ["journal/**"]}
"""The profiles of the published set, for a folder without a manifest."""


def _profiles(folder: Path) -> dict[str, list[str]]:
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return _DEFAULT_PROFILES
    try:
        document = expect(parse_json(manifest.read_bytes()), dict, "manifest")
        profiles = field(document, "profiles", dict, "manifest")
        return {
            name: [expect(pattern, str, name) for pattern in field(profile, "fixtures", list, name)]
            for name, profile in profiles.items()
        }
    except WireError as error:
        raise WireError(f"{manifest}: {error}") from None


def _files_of(pattern: str) -> str:
    """Return the pattern of the fixtures' files: ``behavior/**`` means all below it, at any depth."""
    return f"{pattern}/*.json" if pattern.endswith("**") else pattern


def _check(path: Path) -> list[str]:
    """Run one fixture; whatever goes wrong is a problem of it, never an end of the others."""
    try:
        fixture = expect(parse_json(path.read_bytes()), dict, "fixture")
        if "workflow" in fixture:
            return check_behavior(fixture)
        kind = field(fixture, "kind", str, "fixture")
        if kind not in _CHECKS:
            return [f"unknown kind {kind!r} (known are: {', '.join(map(repr, _CHECKS))})"]
        return _CHECKS[kind](fixture)
    except (AutomaError, OSError) as error:
        return [f"{type(error).__name__}: {error}"]


def _check_statebag(fixture: Mapping[str, Any]) -> list[str]:
    document = field(fixture, "json", dict, "fixture")
    return _compare(document, v1.state_to_dict(v1.state_from_dict(document)))


def _check_report(fixture: Mapping[str, Any]) -> list[str]:
    document = field(fixture, "json", dict, "fixture")
    return _compare(document, v1.report_to_dict(v1.report_from_dict(document)))


def _check_journal(_fixture: Mapping[str, Any]) -> list[str]:
    return ["the durability profile is not implemented yet"]


_CHECKS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "statebag": _check_statebag,
    "report": _check_report,
    "roundtrip": _check_journal,
    "resume": _check_journal,
}


def _compare(expected: Any, found: Any, place: str = "json") -> list[str]:
    """Return what differs between two documents, each with its place."""
    if isinstance(expected, dict) and isinstance(found, dict):
        problems = []
        for key in expected | found:
            here = f"{place}.{key}"
            if key not in found:
                problems.append(f"{here}: missing")
            elif key not in expected:
                problems.append(f"{here}: not expected")
            else:
                problems += _compare(expected[key], found[key], here)
        return problems
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [problem for index, (a, b) in pairs for problem in _compare(a, b, f"{place}[{index}]")]
    same = type(expected) is type(found) and expected == found
    return [] if same else [f"{place}: expected {expected!r}, found {found!r}"]
