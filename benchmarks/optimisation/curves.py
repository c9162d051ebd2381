"""Draw the gap over the evaluations, with quartiles; runs in the Python of the other optimisers.

python curves.py FILE < rows of `summary.summarise` as JSON
"""

from __future__ import annotations

import json
import math
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLUMNS = 4
COLOURS = {
    "matcraft": "#d62728",
    "botorch": "#1f77b4",
    "ax": "#17becf",
    "baybe": "#9467bd",
    "optuna_tpe": "#ff7f0e",
    "optuna_gp": "#bcbd22",
    "evolution": "#2ca02c",
    "sobol": "#7f7f7f",
}


def main() -> None:
    """Draw one panel per problem."""
    rows = [row for row in json.load(sys.stdin) if row["optimisers"]]
    height = math.ceil(len(rows) / COLUMNS)
    figure, axes = plt.subplots(height, COLUMNS, figsize=(16, 3 * height), squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    for axis, row in zip(axes.flat, rows, strict=False):
        for name, figures in row["optimisers"].items():
            curve = figures["curve"]
            n = range(row["start"], row["start"] + len(curve["median"]))
            label = f"{name} ({len(figures['seeds'])})"
            axis.plot(n, curve["median"], color=COLOURS[name], label=label, linewidth=1.3)
            axis.fill_between(n, curve["low"], curve["high"], color=COLOURS[name], alpha=0.15)
        axis.set_title(row["problem"], fontsize=10)
        if not row["is_pool"]:
            axis.set_yscale("log")
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=6)
    figure.supxlabel("evaluations")
    figure.supylabel("gap to the ideal: median and quartiles over seeds (number in brackets)")
    figure.tight_layout()
    figure.savefig(sys.argv[1], dpi=90)


if __name__ == "__main__":
    main()
