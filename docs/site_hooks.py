"""What `mkdocs build` does beside building the pages of docs/: see `hooks` in mkdocs.yml.

The pages are read in two places: as files of the repository, and as a site. A link such as
`../../examples/payment.py` leads out of docs/, and so out of the site. Here what is linked is brought in, as
pages below `repository/`, and the links are turned to it. So each link is one of the site, and the site's own
check finds it broken or whole.
"""

from __future__ import annotations

import importlib
import os
import posixpath
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, InclusionLevel
from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS, OUTSIDE = "docs/", "repository/"
FOLDER_PAGE = "README.md"

OVERVIEW = "reference/api.md"
"""The page whose names lead to their docstrings."""

_MODULE = re.compile(r"^## `(automa[\w.]*)`", re.MULTILINE)
_NAMES = re.compile(r"^\| `[^|]*\|")
_NAME = re.compile(r"`([A-Za-z_][\w.]*)`")
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^\s*(```|~~~)")
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?https?:|<link[^>]*rel=\"?(?:stylesheet|preload)[^>]*https?:"
)
_LANGUAGES = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".service": "ini",
    ".env": "shell",
}

log = get_plugin_logger("automa")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name headings as forges do, so that a link to one holds in both places."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Bring in what the pages link to outside docs/, and what that links to."""
    waiting = [
        _place(file.src_uri) for file in files.documentation_pages() if not file.src_uri.startswith(OUTSIDE)
    ]
    seen = set(waiting)
    while waiting:
        for target in _targets(waiting.pop()):
            place = posixpath.join(target, FOLDER_PAGE) if (ROOT / target).is_dir() else target
            if place in seen or place.startswith(DOCS) or not (ROOT / target).exists():
                continue
            seen.add(place)
            if place.endswith(".md") and (ROOT / place).exists():
                waiting.append(place)
            files.append(
                File.generated(
                    config, _uri(place), content=_content(place), inclusion=InclusionLevel.NOT_IN_NAV
                )
            )
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Turn the links of a page, which are those of the repository, to pages of the site."""
    place = _place(page.file.src_uri)
    turned = "".join(
        line if is_code else _LINK.sub(lambda match: _turned(match, place), line)
        for line, is_code in _lines(markdown)
    )
    return _with_docstrings(turned) if page.file.src_uri == OVERVIEW else turned


def on_post_page(output: str, *, page: Page, **_: object) -> None:
    """Warn of a page that a browser could not show offline."""
    for found in _FETCHED.findall(output):
        log.warning("%s fetches from elsewhere: %s", page.file.src_uri, found)


def _place(uri: str) -> str:
    """Return where in the repository the source of a page is."""
    return uri.removeprefix(OUTSIDE) if uri.startswith(OUTSIDE) else DOCS + uri


def _uri(place: str) -> str:
    """Return what the site calls the page of a file of the repository."""
    if place.startswith(DOCS):
        return place.removeprefix(DOCS)
    return OUTSIDE + (place if place.endswith(".md") else f"{place}.md")


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is of a block of code."""
    fenced = False
    for line in markdown.splitlines(keepends=True):
        is_fence = bool(_FENCE.match(line))
        yield line, fenced or is_fence
        fenced ^= is_fence


def _targets(place: str) -> Iterator[str]:
    """Yield the files and folders of the repository to which a page links."""
    for line, is_code in _lines((ROOT / place).read_text(encoding="utf-8")):
        for match in () if is_code else _LINK.finditer(line):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(place), match["path"]))


def _turned(match: re.Match[str], place: str) -> str:
    """Return a link as the site has it; one that leads nowhere is left to the site's own check."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(place), match["path"]))
    if (ROOT / target).is_dir():
        target = posixpath.join(target, FOLDER_PAGE)
    elif not (ROOT / target).exists():
        return match[0]
    return posixpath.relpath(_uri(target), posixpath.dirname(_uri(place)) or ".") + (match["anchor"] or "")


def _with_docstrings(markdown: str) -> str:
    """Lead the names of the overview's tables to their docstrings."""
    module, lines = "", []
    for line in markdown.splitlines(keepends=True):
        heading = _MODULE.match(line)
        module = heading[1] if heading else "" if line.startswith("## ") else module
        names = _NAMES.match(line)
        if names:
            line = _NAME.sub(partial(_reference, module), names[0]) + line[names.end() :]  # noqa: PLW2901
        lines.append(line)
    return "".join(lines)


def _reference(module: str, name: re.Match[str]) -> str:
    """Return a reference to a public name; what is none, such as a fixture of pytest, stays as it is."""
    path = name[1] if name[1].startswith("automa.") else f"{module}.{name[1]}"
    home, _, last = path.rpartition(".")
    is_public = bool(home) and last in getattr(importlib.import_module(home), "__all__", ())
    return f"[{name[0]}][{path}]" if is_public else name[0]


def _content(place: str) -> str:
    """Return the page of a file or folder outside docs/: a page as it is, anything else as code."""
    path = ROOT / place
    if path.exists() and place.endswith(".md"):
        return path.read_text(encoding="utf-8")
    if path.exists():
        language = _LANGUAGES.get(path.suffix, "text")
        return f"# {place}\n\n````{language}\n{path.read_text(encoding='utf-8')}````\n"
    names = sorted(entry.name for entry in os.scandir(path.parent) if entry.is_file())
    return f"# {posixpath.dirname(place)}/\n\n" + "".join(f"- `{name}`\n" for name in names)
