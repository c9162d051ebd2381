"""What an evaluator tells besides goes out in bounded size."""

from __future__ import annotations

import orjson

from materia.services.evaluation_details import MAX_BYTES, bounded


def test_metadata_of_usual_size_goes_out_as_it_is() -> None:
    assert bounded({"n_atoms": {"Cu": 10}}) == {"n_atoms": {"Cu": 10}}
    assert bounded(None) is None


def test_entries_that_are_too_large_are_named_and_not_sent() -> None:
    sent = bounded({"seed": 1, "trajectory": list(range(10_000)), "note": "kept"})
    assert sent == {"seed": 1, "note": "kept", "left_out": ["trajectory"]}
    many = bounded({f"key{i}" * 30: "x" * 100 for i in range(1000)})
    assert many is not None
    assert len(orjson.dumps(many)) <= MAX_BYTES
