"""Finds fixtures, runs each, and tells what differs.

The manifest beside the fixtures says which belong to which profile. A fixture that cannot be run,
whose kind is unknown, or whose profile is not implemented, has failed: nothing is skipped.
"""

from __future__ import annotations

import fnmatch
import functools
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from automa.conformance.behavior import check_behavior
from automa.conformance.durability import check_resume, read_and_write
from automa.errors import WireError, text_of
from automa.wire import v1
from automa.wire.documents import expect, field, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


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
    found = [
        (path, *_profile_of(path, root))
        for root in _sets(folder)
        for path in _json_files(root)
        if path.parent != root  # beside the manifest lie other things, such as results
    ]
    names = {name for *_, names in found for name in names}
    if not found:
        raise WireError(f"{folder} has no fixtures: expected behavior/, serialization/ or journal/ in it")
    if profile is not None and profile not in names:
        raise WireError(f"there is no profile {profile!r} (there are: {', '.join(sorted(names))})")
    wanted = [(name, path) for path, name, _ in found if profile in {None, name}]
    if not wanted:
        raise WireError(f"{folder} has no fixtures of the profile {profile}")
    for name, path in sorted(wanted):
        problems = _check(path) if name != _NO_PROFILE else ["belongs to no profile of the manifest"]
        yield Result(path.relative_to(folder).as_posix(), name, problems)


def _sets(folder: Path) -> list[Path]:
    """Return the folders of published sets: those with a manifest, or else the folder itself."""
    manifests = [path.parent for path in _json_files(folder, manifests=True)]
    return manifests or [folder]


def _json_files(folder: Path, *, manifests: bool = False) -> list[Path]:
    """Return the JSON files below a folder, linked folders included, each once; or the manifests."""
    files, seen = [], set()
    for current, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        files += [
            Path(current, name)
            for name in names
            if name.lower().endswith(".json") and (name == _MANIFEST) is manifests
        ]
    return sorted(files)


def _profile_of(path: Path, root: Path) -> tuple[str, list[str]]:
    """Return the profile to which a file belongs, and the names of all profiles of its set."""
    profiles = _profiles(root)
    relative = path.relative_to(root).as_posix()
    for name, patterns in profiles.items():
        if any(fnmatch.fnmatchcase(relative, pattern.replace("**", "*")) for pattern in patterns):
            return name, list(profiles)
    return _NO_PROFILE, list(profiles)


_MANIFEST = "manifest.json"
_NO_PROFILE = "none"


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


@functools.cache
def _profiles(folder: Path) -> dict[str, list[str]]:
    manifest = folder / _MANIFEST
    if not manifest.exists():
        return _DEFAULT_PROFILES
    try:
        document = expect(parse_json(manifest.read_bytes()), dict, "manifest")
        profiles = field(document, "profiles", dict, "manifest")
        return {
            name: [expect(pattern, str, name) for pattern in field(profile, "fixtures", list, name)]
            for name, profile in profiles.items()
        }
    except (OSError, WireError) as error:
        raise WireError(f"{manifest}: {error}") from None


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
    except Exception as error:  # noqa: BLE001  # as it says above
        return [f"{type(error).__name__}: {text_of(error)}"]


def _check_statebag(fixture: Mapping[str, Any]) -> list[str]:
    document = field(fixture, "json", dict, "fixture")
    return _compare(document, v1.state_to_dict(v1.state_from_dict(document)))


def _check_report(fixture: Mapping[str, Any]) -> list[str]:
    document = field(fixture, "json", dict, "fixture")
    return _compare(document, v1.report_to_dict(v1.report_from_dict(document)))


def _check_roundtrip(fixture: Mapping[str, Any]) -> list[str]:
    return _compare(*read_and_write(fixture))


_CHECKS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "statebag": _check_statebag,
    "report": _check_report,
    "roundtrip": _check_roundtrip,
    "resume": check_resume,
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
