"""The report of a campaign, from plain data: a table, figures and one self-contained page.

    results.csv   every candidate, safe to open in a spreadsheet
    *.png         figures for a paper's supplement
    report.html   all of it in one file that needs no network, in light and dark

Figures need the extra `report` (matplotlib); table and page are written without it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from materia.report.content import Content
from materia.report.files import write_whole
from materia.report.learnt import Learnt
from materia.report.page import page
from materia.report.table import csv_text

__all__ = ["Learnt", "has_figures", "page_of", "write"]


def has_figures() -> bool:
    """Return whether the extra `report` is installed."""
    return find_spec("matplotlib") is not None


def page_of(content: Content) -> str:
    """Return the page alone, with its figures where they can be drawn."""
    if not has_figures():
        return page(content, {})
    from materia.report.drawing import draw

    return page(content, {drawn.name: drawn.svg for drawn in draw(content)})


def write(
    folder: Path,
    campaign: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]],
    convergence: Mapping[str, Any],
    parity: Mapping[str, Any],
    learnt: Learnt | None = None,
) -> dict[str, Path]:
    """Write the report of a campaign; each file appears whole or not at all.

    Args:
        folder: Made if missing.
        campaign: At least `name` and `definition`; state, budget, hypervolume and more if known.
        candidates: With id, iteration, state, params, predicted, outcomes, why; `is_pareto` if
            known, else the front is computed here.
        convergence: With `trace`, as of `Campaign.convergence`.
        parity: Leave-one-out predictions by objective, as of `Campaign.parity`.
        learnt: What the surrogate has learnt, where there is one.

    Returns:
        The files by name: results, report, and each figure.

    Raises:
        DataError: A file cannot be written.
    """
    content = Content.of(campaign, candidates, convergence, parity, learnt)
    written = {"results": folder / "results.csv"}
    write_whole(written["results"], csv_text(content).encode())
    drawings: dict[str, str] = {}
    if has_figures():
        # Loaded here: matplotlib takes half a second and is an extra.
        from materia.report.drawing import draw

        for drawn in draw(content):
            written[drawn.name] = folder / f"{drawn.name}.png"
            write_whole(written[drawn.name], drawn.png)
            drawings[drawn.name] = drawn.svg
    written["report"] = folder / "report.html"
    write_whole(written["report"], page(content, drawings).encode())
    return written
