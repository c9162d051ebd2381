"""The figures of a report, drawn with matplotlib.

Colours are told apart by people with any colour vision (Okabe and Ito, 2008; cividis), and nothing
is told by colour alone: the front has its own marker and line, the initial design is hollow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from materia.report.content import Column, Content, Row, number

INK, MUTED, FAINT, PAPER = "#1b1f24", "#6a737d", "#d0d7de", "#fffffe"
ACCENT, SECOND = "#d55e00", "#0072b2"
"""Exact values stand for roles: the page replaces them by colours of its light or dark scheme."""

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": PAPER,
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.edgecolor": FAINT,
    "legend.facecolor": PAPER,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "materia",
    # A unit such as $/kg is text, not mathematics.
    "text.parse_math": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}

_MAX_UPRIGHT_LABELS = 16
_MAX_BARS = 15
_MAX_LETTERS = 24

# The light end of cividis vanishes on paper. Forty steps, because from fifty on a colour bar turns
# into a bitmap, which the page does not allow.
SCALE: Colormap = ListedColormap(colormaps["cividis"](np.linspace(0.1, 0.88, 40)))


def pareto_front(content: Content, x: Column, y: Column) -> Figure:
    """Draw all measured candidates over two objectives, and the front among them."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    rest = [row for row in content.measured if not row.is_front and not row.breaks]
    first, later = [r for r in rest if r.is_initial], [r for r in rest if not r.is_initial]
    _points(
        axes, first, x, y, "initial", facecolors="none", edgecolors=MUTED, label="initial design"
    )
    if later:
        last = max(row.iteration for row in content.rows)
        scale = Normalize(min(row.iteration for row in later), max(last, 1))
        colours = [SCALE(scale(row.iteration)) for row in later]
        marks = _points(axes, later, x, y, "chosen", c=colours, label="chosen by the surrogate")
        marks.set_cmap(SCALE)
        _iteration_bar(figure, axes, scale)
    _broken_points(axes, content, x, y)
    front = sorted(content.front, key=lambda row: float(row.values[x.name]))
    if front and "target" not in (x.aim, y.aim) and len(content.objectives) == 2:
        # The border of what is dominated: steps through the worse of two neighbours. Seen along a
        # third objective, points of the front lie behind each other and have no border.
        axes.step(
            [row.values[x.name] for row in front],
            [row.values[y.name] for row in front],
            where="pre" if x.aim == "maximize" else "post",
            color=ACCENT,
            linewidth=1.2,
            zorder=3,
        )
    _points(
        axes,
        front,
        x,
        y,
        "front",
        marker="D",
        s=30,
        color=ACCENT,
        edgecolors=PAPER,
        linewidths=0.6,
        zorder=4,
        label="Pareto front",
    )
    axes.set_xlabel(x.title)
    axes.set_ylabel(y.title)
    axes.legend(loc="best")
    return figure


def hypervolume(content: Content) -> Figure:
    """Draw the dominated hypervolume over the evaluations made."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    known = [entry for entry in content.trace if entry.get("hypervolume") is not None]
    n = [entry["n_observations"] for entry in known]
    values = [entry["hypervolume"] for entry in known]
    axes.plot(n, values, color=ACCENT, marker="o", markersize=4, linewidth=1.4)
    _shade_initial(axes, content, margin=0.0, text="initial design")
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"hypervolume ({_volume_unit(content)})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def best_value(content: Content) -> Figure:
    """Draw every measured value of the one objective and the best so far."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    (objective,) = content.objectives
    rows = content.measured
    order = {row.id: i + 1 for i, row in enumerate(content.rows)}
    for is_initial, gid, style in (
        (True, "initial", {"facecolors": "none", "edgecolors": MUTED, "label": "initial design"}),
        (False, "values", {"color": SECOND, "label": "chosen by the surrogate"}),
    ):
        part = [row for row in rows if row.is_initial == is_initial and not row.breaks]
        if part:
            marks = axes.scatter(
                [order[row.id] for row in part],
                [row.values[objective.name] for row in part],
                s=22,
                zorder=3,
                **style,
            )
            _tag(marks, gid, part)
    unfit = [row for row in rows if row.breaks]
    if unfit:
        marks = axes.scatter(
            [order[row.id] for row in unfit],
            [row.values[objective.name] for row in unfit],
            marker="x",
            color=MUTED,
            label=_breaks_label(content),
            s=22,
            zorder=3,
        )
        _tag(marks, "broken", unfit)
    counted = [row for row in rows if not row.breaks]
    if counted:
        values = np.array([float(row.values[objective.name]) for row in counted])
        n = [order[row.id] for row in counted]
        best = _running_best(values, objective, content.targets.get(objective.name))
        axes.step(n, best, where="post", color=ACCENT, linewidth=1.6, label="best so far", zorder=2)
    goal = content.targets.get(objective.name)
    if goal is not None:
        axes.axhline(goal, color=MUTED, linestyle="--", linewidth=1, label=f"target {number(goal)}")
    _shade_initial(axes, content, margin=0.5, text="")  # the legend names it
    axes.set_xlabel("evaluations")
    axes.set_ylabel(objective.title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best")
    return figure


def parallel_coordinates(content: Content) -> Figure:
    """Draw each candidate as a line across all parameters and objectives."""
    columns = [*content.parameters, *content.objectives]
    rows = content.measured
    width = min(16.0, max(6.4, 0.95 * len(columns) + 0.8))
    figure = Figure(figsize=(width, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    places = [_placer(column, rows) for column in columns]
    # A line passes by the axis of a parameter that does not exist there.
    lines = [[(i, place(r.values[c.name])) for i, (c, place) in _numbered(columns, places)
              if c.name in r.values] for r in rows]  # fmt: skip
    first = content.objectives[0]
    has_front = len(content.objectives) > 1
    coloured = [row for row in rows if row.is_front] if has_front else rows
    shade = _placer(first, coloured or rows)
    # One objective colours every line and the best is set off; of several, only the front is.
    rest = ("lines", FAINT) if has_front else ("scaled-lines", None)
    best = ("front-lines", None) if has_front else ("best-line", ACCENT)
    for is_front, (group, colour) in ((False, rest), (True, best)):
        chosen = [(line, r) for line, r in zip(lines, rows, strict=True) if r.is_front == is_front]
        if not chosen:
            continue
        collection = LineCollection(
            [line for line, _ in chosen],
            colors=colour or [SCALE(shade(row.values[first.name])) for _, row in chosen],
            linewidths=1.6 if is_front else 0.8,
            alpha=0.9 if is_front else 1.0,
            zorder=3 if is_front else 2,
        )
        _tag(collection, group, [row for _, row in chosen])
        axes.add_collection(collection)
    for i, (column, _) in _numbered(columns, places):
        _upright_axis(axes, i, column, rows)
    axes.set_xlim(-0.35, len(columns) - 0.65)
    axes.set_ylim(-0.14, 1.14)
    axes.set_yticks([])
    axes.set_xticks(range(len(columns)), [_axis_title(column) for column in columns])
    axes.tick_params(axis="x", length=0, pad=2)
    if len(columns) > _MAX_UPRIGHT_LABELS:
        axes.tick_params(axis="x", labelrotation=60)
    low, high = _span(first, coloured or rows)
    scale = Normalize(low, high if high > low else low + 1)
    _scale_bar(figure, axes, scale, f"{first.label} of the front" if has_front else first.label)
    return figure


def parity(content: Content) -> Figure:
    """Draw what the surrogate predicts for points left out against what was measured."""
    names = [objective for objective in content.objectives if objective.name in content.parity]
    figure = Figure(figsize=(max(4.6, 4.2 * len(names)), 4.2), layout="constrained")
    for i, objective in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        points = content.parity[objective.name]
        measured, predicted, std = (
            np.array(points[key], dtype=float) for key in ("measured", "predicted", "std")
        )
        axes.errorbar(
            measured, predicted, yerr=2 * std, fmt="none", ecolor=MUTED, elinewidth=0.7, zorder=2
        )
        axes.scatter(measured, predicted, s=14, color=SECOND, zorder=3)
        low = float(min(measured.min(), predicted.min()))
        high = float(max(measured.max(), predicted.max()))
        margin = 0.05 * (high - low) or 1.0
        span = (low - margin, high + margin)
        axes.plot(span, span, color=ACCENT, linewidth=1, zorder=1)
        axes.set(xlim=span, ylim=span, box_aspect=1)
        axes.set_xlabel(f"measured {objective.label}")
        axes.set_ylabel(f"predicted {objective.label}")
        axes.set_title(_quality(measured, predicted, std, objective))
    return figure


def importance(content: Content) -> Figure:
    """Draw how much of each objective's variance the parameters have a part in."""
    assert content.learnt is not None
    found = content.learnt.importance
    names = [objective for objective in content.objectives if objective.name in found]
    most = max(min(len(found[objective.name]), _MAX_BARS) for objective in names)
    size = (max(4.6, 4.2 * len(names)), max(1.8, 0.24 * most + 1.0))
    figure = Figure(figsize=size, layout="constrained")
    for i, objective in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        effects = sorted(found[objective.name].items(), key=lambda pair: -pair[1])
        shown = effects[:_MAX_BARS][::-1]
        axes.barh([name for name, _ in shown], [effect for _, effect in shown], color=SECOND)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, max(1.0, *(effect for _, effect in shown)))
        axes.set_xlabel("share of the variance")
        rest = len(effects) - len(shown)
        axes.set_title(objective.label + (f", {rest} parameters less" if rest else ""))
    return figure


def slices(content: Content) -> Figure:
    """Draw what is predicted along the most important parameters through the best point."""
    assert content.learnt is not None
    columns = {column.name: column for column in content.parameters}
    drawn, objectives = content.learnt.slices, content.objectives
    size = (max(4.6, 3.0 * len(drawn)), 2.5 * len(objectives))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(objectives), len(drawn), squeeze=False, sharex="col", sharey="row")
    for j, found in enumerate(drawn):
        column = columns[found["parameter"]]
        here = found["at"][column.name]
        for i, objective in enumerate(objectives):
            axes = grid[i, j]
            predicted = found["predicted"][objective.name]
            mean, std = (np.array(predicted[key], dtype=float) for key in ("mean", "std"))
            if column.choices is not None:
                values = [str(value) for value in found["values"]]
                axes.errorbar(values, mean, yerr=2 * std, fmt="o", color=SECOND, markersize=4)
                here = str(here)
                if sum(map(len, values)) > _MAX_LETTERS:
                    axes.tick_params(axis="x", labelrotation=30)
            else:
                values = found["values"]
                axes.fill_between(values, mean - 2 * std, mean + 2 * std, color=FAINT, linewidth=0)
                axes.plot(values, mean, color=SECOND, linewidth=1.4)
                if column.is_log:
                    axes.set_xscale("log")
                    axes.xaxis.set_major_formatter(lambda value, _: number(value))
                    axes.xaxis.set_minor_formatter(NullFormatter())
            axes.axvline(here, color=ACCENT, linestyle="--", linewidth=1)
            if i == len(objectives) - 1:
                axes.set_xlabel(column.label)
            if j == 0:
                axes.set_ylabel(objective.title)
    return figure


def _points(axes: Any, rows: Sequence[Row], x: Column, y: Column, gid: str, **style: Any) -> Any:
    style = {"s": 22, "zorder": 2, "linewidths": 0.9, **style}
    if not rows:
        style.pop("label", None)
    marks = axes.scatter(
        [row.values[x.name] for row in rows], [row.values[y.name] for row in rows], **style
    )
    _tag(marks, gid, rows)
    return marks


def _broken_points(axes: Any, content: Content, x: Column, y: Column) -> None:
    """Mark what breaks an outcome constraint: measured, but never part of the front."""
    rows = [row for row in content.measured if row.breaks]
    label = _breaks_label(content)
    _points(axes, rows, x, y, "broken", marker="x", color=MUTED, label=label)


def _breaks_label(content: Content) -> str:
    limits = content.outcome_constraints
    return f"breaks {limits[0]}" if len(limits) == 1 else "breaks an outcome constraint"


def _tag(artist: Any, gid: str, rows: Sequence[Row]) -> None:
    """Name the candidates that the marks of an artist stand for, for the page's tooltips."""
    artist.set_gid("marks-" + gid + ":" + ",".join(row.id for row in rows))


def _iteration_bar(figure: Any, axes: Any, scale: Normalize) -> None:
    bar = _scale_bar(figure, axes, scale, "iteration")
    bar.locator = MaxNLocator(integer=True, nbins=6)
    bar.update_ticks()


def _scale_bar(figure: Any, axes: Any, scale: Normalize, label: str) -> Any:
    bar = figure.colorbar(ScalarMappable(scale, SCALE), ax=axes, pad=0.01, aspect=30)
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar.solids.set_edgecolor("face")
    bar.solids.set_gid("scale")
    return bar


def _shade_initial(axes: Any, content: Content, *, margin: float, text: str) -> None:
    n_initial = sum(row.is_initial for row in content.rows)
    if n_initial:
        end = n_initial + margin
        axes.axvspan(0, end, color=FAINT, alpha=0.4, linewidth=0, zorder=0)
        axes.annotate(
            text,
            (end, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-4, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color=MUTED,
        )
    axes.set_xlim(left=0)


def _volume_unit(content: Content) -> str:
    units = [objective.unit for objective in content.objectives]
    return " · ".join(unit for unit in units if unit) if all(units) else "units of the objectives"


def _running_best(values: Any, objective: Column, goal: float | None) -> Any:
    if goal is not None:
        deviation = np.abs(values - goal)
        leaders = [int(np.argmin(deviation[: i + 1])) for i in range(len(values))]
        return values[leaders]
    extreme = np.maximum if objective.aim == "maximize" else np.minimum
    return extreme.accumulate(values)


def _numbered(columns: Sequence[Column], places: Sequence[Any]) -> Any:
    return enumerate(zip(columns, places, strict=True))


def _placer(column: Column, rows: Sequence[Row]) -> Callable[[Any], float]:
    """Return a function that puts a value of a column between 0 and 1."""
    if column.choices is not None:
        names = [str(choice) for choice in column.choices]
        return lambda value: names.index(str(value)) / max(len(names) - 1, 1)
    turn: Callable[[float], float] = math.log if column.is_log else float
    low, high = _span(column, rows)
    if high <= low:
        return lambda value: 0.5
    return lambda value: (turn(value) - turn(low)) / (turn(high) - turn(low))


def _span(column: Column, rows: Sequence[Row]) -> tuple[float, float]:
    values = [float(row.values[column.name]) for row in rows if column.name in row.values]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _upright_axis(axes: Any, i: int, column: Column, rows: Sequence[Row]) -> None:
    axes.plot([i, i], [0, 1], color=MUTED, linewidth=0.8, zorder=1)
    if column.choices is not None:
        ends = {j / max(len(column.choices) - 1, 1): str(c) for j, c in enumerate(column.choices)}
    else:
        low, high = _span(column, rows)
        ends = {0.0: number(low), 1.0: number(high)} if high > low else {0.5: number(low)}
    for place, text in ends.items():
        is_end = column.choices is None
        axes.annotate(
            text,
            (i, place),
            xytext=(0, (-3 if place == 0 else 3) if is_end else 0),
            textcoords="offset points",
            ha="center",
            va=("top" if place == 0 else "bottom") if is_end else "center",
            fontsize=7.5,
            color=INK,
            zorder=5,
            bbox=None if is_end else {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
        )


def _axis_title(column: Column) -> str:
    title = column.title.replace(" (", "\n(", 1)
    return f"{title}\nlog scale" if column.is_log else title


def _quality(measured: Any, predicted: Any, std: Any, objective: Column) -> str:
    """Return R², error and how often the measured value lies within two standard deviations."""
    residual = measured - predicted
    rmse = math.sqrt(np.mean(residual**2))
    spread = float(np.sum((measured - measured.mean()) ** 2))
    r2 = f"{1 - float(np.sum(residual**2)) / spread:.3f}" if spread > 0 else "–"
    inside = float(np.mean(np.abs(residual) <= 2 * std))
    unit = f" {objective.unit}" if objective.unit else ""
    return f"R² {r2}, RMSE {rmse:.3g}{unit}, {inside:.0%} within 2 σ"
