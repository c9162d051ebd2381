"""Which outcome constraints are broken, as people are told."""

from __future__ import annotations

import pytest

from materia.mdl.breaches import broken

LIMITS = ["strength >= 20", "strength - cost > 3"]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ({"strength": 5.963, "cost": 9.0}, LIMITS),
        ({"strength": 20.0, "cost": 17.0}, LIMITS[1:]),
        ({"strength": 30.0, "cost": 9.0}, []),
        ({"strength": [5.963, 0.1], "cost": None}, LIMITS[:1]),
        ({"cost": 9.0}, []),
        ({}, []),
        (None, []),
    ],
)
def test_constraints_that_outcomes_break_are_named_in_declared_order(
    outcomes: dict[str, object] | None, expected: list[str]
) -> None:
    assert broken(LIMITS, outcomes) == expected
