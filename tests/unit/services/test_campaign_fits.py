"""What computes a campaign's fit, and what is said when that was not possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from materia import Campaign, settings
from materia.services import campaign_fits


def observed(n: int = 12) -> Campaign:
    campaign = Campaign.from_dict(
        {
            "name": "fits",
            "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
            "objectives": [{"name": "y"}],
        }
    )
    for x in np.linspace(0, 1, n):
        campaign.add({"x": float(x)}, {"y": float(np.sin(6 * x))})
    return campaign


def computed(backend: str | None, monkeypatch: pytest.MonkeyPatch, torch: str) -> Any:
    monkeypatch.setenv("MATERIA_TORCH", torch)
    settings.current.cache_clear()
    return campaign_fits.fit(observed(), backend)


def test_a_fallback_is_said_in_quality_and_event(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, said = computed(campaign_fits.TORCH, monkeypatch, "off")
    reason = "MATERIA_TORCH=off switches PyTorch off on this worker"
    assert said == {"backend": "numpy", "backend_fallback": reason}
    assert fit.quality["y"]["backend"] == "numpy"
    assert fit.quality["y"]["backend_fallback"] == reason


def test_a_campaign_of_numpy_says_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, said = computed(None, monkeypatch, "cpu")
    assert said == {}
    assert "backend" not in fit.quality["y"]
    plain = observed().fit()
    for name, expected in plain.arrays.items():
        assert np.array_equal(fit.arrays[name], expected, equal_nan=True), name


def test_few_observations_are_fitted_with_numpy_by_every_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    fit, said = computed(campaign_fits.TORCH, monkeypatch, "cpu")
    assert said == {"backend": "torch (cpu)", "backend_fallback": None}
    assert fit.quality["y"]["backend"] == "numpy"
    assert "backend_fallback" not in fit.quality["y"]
