"""The report as one HTML file that loads nothing and runs only its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from materia.report.content import Column, Content, Row, number
from materia.version import __version__

CAPTIONS = {
    "pareto_front": (
        "Pareto front",
        "Every measured candidate; the line borders what the front dominates.",
    ),
    "hypervolume": (
        "Hypervolume",
        "What the front dominates, up to the fixed reference point, after each iteration.",
    ),
    "best_value": ("Progress", "Every measured value, and the best so far."),
    "parallel_coordinates": (
        "Parallel coordinates",
        "One line per candidate, across parameters and objectives; the best stand out.",
    ),
    "parity": (
        "Surrogate, point by point left out",
        "Predicted from all other points, with two standard deviations, against measured.",
    ),
    "importance": (
        "What matters",
        "Share of an objective's variance over the space that a parameter has a part in.",
    ),
    "slices": (
        "Along the parameters that matter most",
        "Predicted through the best point (dashed), with two standard deviations.",
    ),
}
"""Heading and one sentence for each figure."""
BEHIND = "Every measured candidate; seen along further objectives, the front has no border."


def page(content: Content, drawings: Mapping[str, str]) -> str:
    """Return the whole page.

    Args:
        drawings: SVG elements by figure name; empty when figures could not be drawn.
    """
    style, script = (_text(f"page.{kind}") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = "\n".join(part for part in _sections(content, drawings) if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(content.name)}</title>
<style>{style}</style>
</head>
<body>
{body}
<div id="tip" hidden></div>
<script>{script}</script>
</body>
</html>
"""


def _text(name: str) -> str:
    return files("materia.report").joinpath(name).read_text(encoding="utf-8")


def _sections(content: Content, drawings: Mapping[str, str]) -> Iterator[str]:
    yield f"<header><h1>{escape(content.name)}</h1>"
    yield f"<p>{escape(content.description)}</p>" if content.description else ""
    yield _facts(content) + "</header>"
    yield f"<main><section><h2>Figures</h2>{_figures(content, drawings)}</section>"
    yield f"<section><h2>{_front_title(content)}</h2>{_front_table(content)}</section>"
    yield f"<section><h2>All candidates</h2>{_all_candidates(content)}</section>"
    yield f"<section><h2>Definition</h2>{_definition(content)}</section></main>"
    yield f"<footer>Written by MatCraft {escape(__version__)}.</footer>"


def _facts(content: Content) -> str:
    pairs = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"
        for label, value in content.facts
    )
    return f'<dl class="facts">{pairs}</dl>'


def _figures(content: Content, drawings: Mapping[str, str]) -> str:
    if not drawings:
        return (
            "<p>No figures: nothing was measured, or the extra 'report' (matplotlib) is not "
            "installed.</p>"
        )
    shown = []
    for name, svg in drawings.items():
        kind = next(key for key in CAPTIONS if name.startswith(key))
        heading, sentence = CAPTIONS[kind]
        if kind == "pareto_front" and len(content.objectives) > 2:
            sentence = BEHIND
        is_wide = kind in ("parallel_coordinates", "slices") or (
            kind in ("parity", "importance") and len(content.objectives) > 1
        )
        wide = ' class="wide"' if is_wide else ""
        shown.append(
            f'<figure{wide}><figcaption id="{escape(name)}-caption">{heading}'
            f"<small>{sentence}</small></figcaption>{svg}</figure>"
        )
    return f'<div class="figures">{"".join(shown)}</div>'


def _front_title(content: Content) -> str:
    return "Pareto front" if len(content.objectives) > 1 else "Best"


def _front_table(content: Content) -> str:
    if not content.front:
        return "<p>Nothing was measured that satisfies everything.</p>"
    columns = [*content.objectives, *content.parameters]
    return _table(columns, content.front, "front", with_state=False)


def _all_candidates(content: Content) -> str:
    columns = [*content.parameters, *content.objectives]
    which = "front" if len(content.objectives) > 1 else "best"
    check = f'<label><input type="checkbox" id="only-front">only the {which}</label>'
    return check + _table(columns, content.rows, "candidates", with_state=True)


def _table(columns: Sequence[Column], rows: Sequence[Row], name: str, *, with_state: bool) -> str:
    headings = [_heading("id", is_text=True)]
    limits = with_state and any(row.breaks for row in rows)
    if with_state:
        headings += [_heading("iteration"), _heading("state", is_text=True)]
    if limits:
        headings.append(_heading("breaks", is_text=True, has_tip=True))
    headings += [_heading(c.name, c.unit, c.aim, is_text=c.is_text, has_tip=True) for c in columns]
    notes = with_state and any(row.error for row in rows)
    if notes:
        headings.append(_heading("error", is_text=True))
    lines = "".join(
        _line(row, columns, with_state=with_state, limits=limits, notes=notes) for row in rows
    )
    return (
        f'<div class="scroll"><table id="{name}"><thead><tr>{"".join(headings)}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _heading(
    name: str,
    unit: str | None = None,
    aim: str | None = None,
    *,
    is_text: bool = False,
    has_tip: bool = False,
) -> str:
    arrow = {"maximize": " ↑", "minimize": " ↓", "target": " →"}.get(aim or "", "")
    kind = ' class="text"' if is_text else ""
    tip = f' data-tip="{escape(name)}"' if has_tip else ""
    below = f"<small>{escape(unit)}</small>" if unit else ""
    button = f'<button type="button">{escape(name)}{arrow}</button>'
    return f'<th scope="col"{kind}{tip}>{button}{below}</th>'


def _line(
    row: Row, columns: Sequence[Column], *, with_state: bool, limits: bool, notes: bool
) -> str:
    kinds = [row.state] if row.state in ("failed", "proposed") else []
    kinds += ["front"] if row.is_front else []
    kinds += ["broken"] if row.breaks else []
    cells = [f'<td class="text">{escape(row.id)}</td>']
    if with_state:
        cells += [f"<td>{row.iteration}</td>", f'<td class="text">{escape(row.state)}</td>']
    if limits:
        cells.append(f'<td class="text">{escape("; ".join(row.breaks))}</td>')
    cells += [_cell(column, row.values.get(column.name)) for column in columns]
    if notes:
        cells.append(f'<td class="text note">{escape(row.error or "")}</td>')
    return f'<tr class="{" ".join(kinds)}" data-row="{escape(row.id)}">{"".join(cells)}</tr>'


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return "<td></td>"
    if column.is_text:
        return f'<td class="text">{escape(str(value))}</td>'
    return f'<td data-value="{value!r}">{escape(number(value))}</td>'


def _definition(content: Content) -> str:
    text = json.dumps(content.definition, indent=2, ensure_ascii=False)
    return f"<details><summary>As it was run</summary><pre>{escape(text)}</pre></details>"
