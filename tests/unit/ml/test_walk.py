"""The order in which rows are led down a forest changes nothing of its answers."""

from __future__ import annotations

from typing import Any

import ml_tables
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor

from materia.ml import walk


@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesClassifier])
@pytest.mark.parametrize("most_rows", [1, 700, 262_144])
def test_answers_of_many_rows_are_the_forests_bit_for_bit(
    kind: Any, most_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = ml_tables.friedman(1000)
    if kind is ExtraTreesClassifier:
        y = np.digitize(y, [11.0, 16.0])
    X[::7, 2] = np.nan
    forests = [kind(n, random_state=1, max_depth=6).fit(X, y) for n in (3, 7)]
    monkeypatch.setattr(walk, "MOST_ROWS", most_rows)
    rows = X[:20] if most_rows == 1 else X
    found = walk.means(forests[1], [3, 7], rows)
    for forest in forests:
        is_values = kind is RandomForestRegressor
        expected = forest.predict(rows)[:, None] if is_values else forest.predict_proba(rows)
        assert np.array_equal(found[len(forest.estimators_)], expected)


def test_no_rows_have_no_answers() -> None:
    X, y = ml_tables.friedman(50)
    forest = RandomForestRegressor(2, random_state=1).fit(X, y)
    assert walk.means(forest, [2], X[:0])[2].shape == (0, 1)
