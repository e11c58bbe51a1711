"""The pages of the documentation: none is left out, none leads nowhere, and what is generated is up to date."""

from __future__ import annotations

import importlib.util
import re
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in chain(
        DOCS.rglob("*.md"),
        *(ROOT.glob(f"{folder}*.md") for folder in ("", "bench/", "deploy/", "examples/", "models/")),
    )
)


def nav_pages(entry):
    """The pages of a part of the nav, at any depth."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in nav_pages(part)]


def prose(path):
    """The text of a page without its blocks of code."""
    return re.sub(r"^(```+|~~~+).*?^\1[`~]*\s*?$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """The anchors of a page, as forges make them of its headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.*?)\s*$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(next(name for n in range(99) if (name := f"{slug}-{n}" if n else slug) not in found))
    return found


def links(path):
    """The targets of the links of a page."""
    text = re.sub(r"`[^`\n]*`", "", prose(path))
    return re.findall(r"\]\(([^)\s]+)\)", text)


def problem(path, target):
    """What is wrong with a link; None where it is whole, or leads to another site."""
    if re.match(r"[a-z]+:", target):
        return None if target.startswith(("https://", "mailto:")) else "neither relative nor https"
    name, _, anchor = target.partition("#")
    place = path if not name else path.parent / unquote(name)
    if not place.exists():
        return "there is no such file"
    if not place.resolve().is_relative_to(ROOT):
        return "it leads out of the repository"
    if anchor and (place.suffix != ".md" or anchor not in anchors(place)):
        return "there is no such heading"
    return None


def test_every_page_is_in_the_nav():
    """The nav of mkdocs.yml has each page of docs/ once, and what it has is there."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = nav_pages(config["nav"])
    assert len(listed) == len(set(listed))
    inside = {page for page in listed if not page.startswith("repository/")}
    assert inside == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert [
        page for page in set(listed) - inside if not (ROOT / page.removeprefix("repository/")).is_file()
    ] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    """Each relative link of a page leads to a file of the repository, and its anchor to a heading."""
    problems = {target: told for target in links(path) if (told := problem(path, target))}
    assert problems == {}


def test_a_broken_link_is_found(tmp_path):
    """The check of links sees a file and a heading that are not there, and no links in code."""
    page = ROOT / "README.md"
    assert problem(page, "docs/nowhere.md") == "there is no such file"
    assert problem(page, "docs/guarantees.md#nothing") == "there is no such heading"
    assert problem(page, "docs/guarantees.md#on-an-engine") is None
    assert problem(page, "../other/file.md") is not None
    (tmp_path / "page.md").write_text("[a](b.md) `[c](d.md)`\n```text\n[e](f.md)\n```\n")
    assert links(tmp_path / "page.md") == ["b.md"]


def test_the_links_to_other_sites_are_few_and_known():
    """What the pages link to elsewhere is listed here, since nobody fetches it to see whether it is there."""
    elsewhere = {target for path in PAGES for target in links(path) if target.startswith("https://")}
    assert elsewhere == {"https://opentelemetry.io", "https://semver.org", "https://spinroot.com"}


def test_the_reference_of_commands_is_up_to_date():
    """docs/reference/cli.md is what the commands say: `make docs-cli` writes it."""
    path = DOCS / "generate_cli.py"
    spec = importlib.util.spec_from_file_location("generate_cli", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page()


def test_every_public_name_has_its_docstring_on_a_page():
    """Each module of the overview has a page below reference/python that shows it, whole or name by name."""
    overview = (DOCS / "reference" / "api.md").read_text()
    modules = {*re.findall(r"^## `(automa[\w.]*)`", overview, re.MULTILINE)}
    modules |= {*re.findall(r"^\| `(automa[\w.]*)\.[A-Z]\w*`", overview, re.MULTILINE)}
    shown = set(
        re.findall(r"^::: (\S+)$", "".join(p.read_text() for p in DOCS.rglob("python/*.md")), re.MULTILINE)
    )
    missing = [
        f"{name}.{each}"
        for name in sorted(modules - shown)
        for each in importlib.import_module(name).__all__
        if f"{name}.{each}" not in shown and not _is_error(name, each)
    ]
    assert missing == []
    assert {"automa", "automa.abc", "automa.errors", "automa.engines.dbos"} <= modules


def _is_error(module, name):
    """Whether a name is one of automa.errors, which has a page of its own."""
    return module == "automa" and name in importlib.import_module("automa.errors").__all__
