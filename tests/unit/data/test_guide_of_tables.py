"""`docs/tables-and-learning.md` shows what the code does."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from materia.data import process
from materia.data.transformations import OPERATORS, TYPES, Transformations
from materia.ml.estimators import TABLE
from materia.ml.grid import expand

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "tables-and-learning.md").read_text()
SOURCE, OUTPUT = re.findall(r"^```csv\n(.*?)^```", PAGE, re.M | re.S)
TRANSFORMATIONS, _, GRID, *_ = map(
    json.loads, re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)
)


def test_the_example_of_a_table_gives_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(SOURCE)
    found = process(
        tmp_path / "in.csv", tmp_path / "out.csv", TRANSFORMATIONS, progress=lambda *_: None
    )
    assert (tmp_path / "out.csv").read_text() == OUTPUT
    counts = [found[f"rows_{name}"] for name in ("read", "written", "filtered", "rejected")]
    assert counts == [4, 2, 1, 1]
    assert "4 read, 2 written, 1 filtered, 1 rejected" in PAGE


def test_every_transformation_operator_and_type_is_on_the_page() -> None:
    keys = {*Transformations.__dataclass_fields__} - {"conditions", "duplicates"}
    assert all(f"`{key}`" in PAGE for key in keys | {"filter", "drop_duplicates"})
    assert all(f"`{word}`" in PAGE for word in (*OPERATORS, *TYPES))


def test_the_grid_has_as_many_trials_as_the_page_says() -> None:
    assert len(expand(GRID)) == math.prod(map(len, GRID.values())) == 27
    assert "27 trials" in PAGE


def test_every_estimator_is_on_the_page() -> None:
    assert all(f"`{name}`" in PAGE for name in TABLE)
