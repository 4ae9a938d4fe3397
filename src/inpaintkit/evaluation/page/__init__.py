"""One self-contained page of a comparison: tables, charts, pictures side by side. It asks the network for nothing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...photo import write_bytes
from .markup import document, element
from .panels import cost_section, figure_section
from .pictures import Picture, picture_section
from .results import head, provenance_section, result_section

__all__ = ["write_page"]

SECTIONS = {
    "results": "Results",
    "figures": "Figures",
    "costs": "Costs",
    "pictures": "Pictures",
    "provenance": "Provenance",
}


def write_page(path: str | Path, report: dict[str, Any], picture: Picture, cases: Iterable[int]) -> Path:
    """Write a comparison's page and return its path: one HTML file, the same bytes for the same report and pictures.

    `picture(case index, what)` gives the uint8 RGB picture (H, W, 3) of a case: its "truth", what was "shown" to the
    methods, its "hole" (or bool (H, W), True = missing), or the fill of the method with that label; None where there is
    none. `cases` are the indices of those whose pictures are in the page, in any order. Raises PhotoError
    when the file cannot be written.
    """
    pictures, data = picture_section(report, picture, cases)
    body = {
        "results": result_section(report),
        "figures": figure_section(report),
        "costs": cost_section(report),
        "pictures": pictures,
        "provenance": provenance_section(report),
    }
    links = "".join(element("a", label, href=f"#{key}") for key, label in SECTIONS.items() if body[key])
    page = (
        f'{head(report)}<nav class="contents" aria-label="Contents">{links}</nav>\n'
        f"<main>\n{''.join(body.values())}</main>\n"
        "<footer><p>Made by inpaintkit. This file holds everything it shows and asks the network for nothing.</p>"
        "</footer>"
    )
    written = document(str(report["title"]), page, style="page.css", script="page.js", data=data, classes="report")
    return write_bytes(written.encode("utf-8"), path)
