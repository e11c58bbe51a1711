"""A new front page is written, and after a crash taken for written where there is a page at all: the old one, say."""

from __future__ import annotations

from automa import Workflow, step
from automa.testing import DirectoryWorld

BUG = ("front_page", "verify_is_right")
STATE = {"title": "Autumn"}


def make_world():
    return DirectoryWorld({"index.html": "<h1>Summer</h1>", "robots.txt": "Allow: /\n"})


def make_workflow(world):
    @step
    def front_page(ctx):
        (world.path / "index.html").write_text(f"<h1>{ctx.shared['title']}</h1>", encoding="utf-8")

    @front_page.prepare
    def note_page():
        return {"before": (world.path / "index.html").read_text(encoding="utf-8")}

    @front_page.verify
    def is_written():
        return (world.path / "index.html").exists()

    @front_page.undo
    def old_page(ctx):
        (world.path / "index.html").write_text(ctx.local["before"], encoding="utf-8")

    @step
    def site_map(ctx):
        (world.path / "sitemap.txt").write_text(f"/ {ctx.shared['title']}\n", encoding="utf-8")

    @site_map.undo
    def remove_site_map():
        (world.path / "sitemap.txt").unlink(missing_ok=True)

    return Workflow("season", [front_page, site_map])
