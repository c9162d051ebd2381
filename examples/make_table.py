"""Write `hydrogels.csv`, the table that `table.yaml` searches.

The numbers come from a formula with noise, not from a laboratory: 150 made-up recipes of a
hydrogel, some of them "measured" twice. A real table looks the same.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


def rows(n_recipes: int = 150, n_repeats: int = 30, seed: int = 5) -> list[dict[str, object]]:
    """Return recipes with their moduli, the repeated ones at the end."""
    random = np.random.default_rng(seed)
    recipes = [
        {
            "polymer": round(float(random.uniform(4, 20)), 1),
            "crosslinker": round(float(np.exp(random.uniform(np.log(0.05), np.log(2)))), 2),
            "temperature": int(random.integers(4, 13) * 5),
            "salt": str(random.choice(["none", "NaCl", "CaCl2"])),
        }
        for _ in range(n_recipes)
    ]
    repeated = [recipes[i] for i in random.choice(n_recipes, n_repeats, replace=False)]
    return [{**recipe, "modulus": measure(recipe, random)} for recipe in [*recipes, *repeated]]


def measure(recipe: dict[str, object], random: np.random.Generator) -> float:
    """Return a made-up storage modulus (kPa) with 5 % noise."""
    polymer, crosslinker = float(recipe["polymer"]), float(recipe["crosslinker"])
    bridging = {"none": 1.0, "NaCl": 1.1, "CaCl2": 1.6}[str(recipe["salt"])]
    network = polymer**1.8 * crosslinker / (0.3 + crosslinker + 0.4 * crosslinker**2)
    warmth = np.exp(-(((float(recipe["temperature"]) - 37) / 18) ** 2))
    return round(0.3 * network * bridging * (0.4 + warmth) * float(random.normal(1, 0.05)), 2)


def main() -> None:
    """Write the table beside this file."""
    table = rows()
    with Path(__file__).with_name("hydrogels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
