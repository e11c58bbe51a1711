"""Pictures of runs: a report as a page of HTML, as SVG and as Mermaid; texts that need nothing else."""

from automa.pictures.mermaid import flowchart as report_to_mermaid
from automa.pictures.report_page import part as report_to_fragment
from automa.pictures.report_page import whole_page as report_to_html
from automa.pictures.rows import Journaled
from automa.pictures.svg import timeline as report_to_svg

__all__ = ["Journaled", "report_to_fragment", "report_to_html", "report_to_mermaid", "report_to_svg"]
