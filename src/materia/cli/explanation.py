"""What the surrogate of a campaign has learnt, in a terminal."""

from __future__ import annotations

from typing import Any

BAR = 20


def print_explanation(found: dict[str, Any], definition: dict[str, Any]) -> None:
    """Print importance of parameters, leave-one-out quality, and the gain that remains."""
    from materia.cli import tables

    console = tables.stdout()
    if found["reason"] is not None:
        console.print(f"nothing to show yet: {found['reason']}", soft_wrap=True)
        return
    for objective, importance in found["importance"].items():
        quality = found["quality"][objective]
        rows = [
            (name, "█" * round(BAR * min(value, 1.0)), f"{value:.2f}")
            for name, value in sorted(importance.items(), key=lambda pair: -pair[1])
        ]
        console.print(tables.table_of((f"{objective}: what matters", "", "share"), rows))
        console.print(
            f"left out point by point: R² {quality['r2']:.2f}, "
            f"{quality['coverage_95']:.0%} inside 95 % intervals, "
            f"rank correlation {quality['rank_correlation']:.2f} of {quality['n']:.0f} results",
            soft_wrap=True,
        )
        console.print()
    if (left := found["remaining"]) is not None:
        several = len(definition["objectives"]) > 1
        unit = "of hypervolume" if several else definition["objectives"][0].get("unit") or ""
        gain = f"{left['mean']:.3g} ± {left['std']:.2g} {unit}".rstrip()
        what = {"stop": "further evaluations hardly pay"}.get(left["advice"], "going on may pay")
        console.print(f"still to be gained: {gain}; {what}", soft_wrap=True)


def print_slice(found: dict[str, Any], definition: dict[str, Any]) -> None:
    """Print predictions along a parameter, a line a value."""
    from materia.cli import tables
    from materia.report.content import number

    names = [objective["name"] for objective in definition["objectives"]]
    predicted = found["predicted"]
    rows = [
        (
            number(value, 4),
            *(f"{predicted[n]['mean'][k]:.4g} ± {predicted[n]['std'][k]:.2g}" for n in names),
            "" if found["is_allowed"][k] else "not allowed",
        )
        for k, value in enumerate(found["values"])
    ]
    console = tables.stdout()
    console.print(tables.table_of((found["parameter"], *names, ""), rows))
