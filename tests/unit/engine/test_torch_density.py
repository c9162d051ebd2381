"""Fits by PyTorch: the same numbers as by NumPy, and a clear word where it cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from materia import settings
from materia.engine.surrogates import evidence
from materia.engine.surrogates.evidence import Evidence, LogPosterior
from materia.engine.surrogates.gp import KIND
from materia.engine.surrogates.kernels import ANALYTIC, ROUGH, SMOOTH
from materia.engine.surrogates.model import Sample
from materia.errors import DeviceError
from materia.services import devices

needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not installed; pip install 'materia[torch]'"
)
# As the module says, and docs/workers.md.
TOLERANCE = 1e-6


def sample(n: int, d: int = 4, *, device: str | None = None, seed: int = 3) -> Sample:
    """Return noisy observations with a category and a few stated errors."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    X[:, -1] = np.round(2 * X[:, -1]) / 2
    y = np.sin(5 * X[:, 0]) + X[:, 1] ** 2 + X[:, -1] + 0.05 * rng.standard_normal(n)
    sem = np.where(np.arange(n) % 7 == 0, 0.1, np.nan)
    return Sample(X, y, sem, (d - 1,), np.inf, device)


def relative(found: Any, expected: Any) -> float:
    scale = np.maximum(np.abs(expected), 1.0)
    return float(np.max(np.abs(np.asarray(found) - expected) / scale))


def choose(monkeypatch: pytest.MonkeyPatch, torch: str) -> None:
    monkeypatch.setenv("MATERIA_TORCH", torch)
    settings.current.cache_clear()


@needs_torch
@pytest.mark.parametrize("smoothness", [ROUGH, SMOOTH, ANALYTIC])
def test_density_and_gradient_are_those_of_numpy(smoothness: float) -> None:
    from materia.engine.surrogates.torch_density import TorchLogPosterior

    one = sample(150)
    given = one.X, one.y, one.sem, one.categorical, smoothness
    ours, theirs = LogPosterior(*given), TorchLogPosterior(*given, device="cpu")
    rng = np.random.default_rng(0)
    for lengthscale, noise in ((0.2, 1e-5), (0.8, 1e-2), (3.0, 0.5)):
        theta = ours.start(lengthscale, noise)
        theta = theta + 0.3 * rng.standard_normal(len(theta))
        value, gradient = ours(theta)
        their_value, their_gradient = theirs(theta)
        assert relative(their_value, value) < TOLERANCE
        assert relative(their_gradient, gradient) < TOLERANCE


@needs_torch
def test_a_fit_takes_the_same_path_to_the_same_posterior() -> None:
    n, rng = evidence.ON_DEVICE_FROM + 20, np.random.default_rng(1)
    points = rng.random((50, 4))
    ours = KIND.fit(sample(n), rng)
    theirs = KIND.fit(sample(n, device="cpu"), rng)
    assert not np.array_equal(ours.lengthscales, theirs.lengthscales)  # another order of sums
    for found, expected in zip(theirs.posterior(points), ours.posterior(points), strict=True):
        assert relative(found, expected) < TOLERANCE
    assert [*theirs.arrays()] == [*ours.arrays()]


@needs_torch
def test_a_gpu_gives_the_numbers_of_numpy_and_the_same_bits_again() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    n, points = evidence.ON_DEVICE_FROM + 20, np.random.default_rng(1).random((50, 4))
    expected, first, second = (
        KIND.fit(sample(n, device=device), np.random.default_rng(1))
        for device in (None, "cuda", "cuda")
    )
    assert np.array_equal(first.lengthscales, second.lengthscales)
    assert relative(first.posterior(points)[0], expected.posterior(points)[0]) < TOLERANCE


def test_few_observations_never_ask_a_device() -> None:
    one = sample(60, device="a device that is not there")
    again = sample(60)
    rng = np.random.default_rng(0)
    assert np.array_equal(KIND.fit(one, rng).lengthscales, KIND.fit(again, rng).lengthscales)


@needs_torch
def test_a_device_that_is_not_there_is_said_to_be() -> None:
    many = Evidence(**vars(sample(evidence.ON_DEVICE_FROM + 1, device="cuda:99")))
    with pytest.raises(DeviceError, match="PyTorch cannot compute on 'cuda:99'"):
        many.posterior(ROUGH, many.warp())


def test_a_worker_uses_no_device_where_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, "off")
    assert devices.probe() == {}
    with pytest.raises(DeviceError, match="MATERIA_TORCH=off"):
        devices.require()


@needs_torch
def test_without_a_gpu_a_worker_says_so_unless_the_cpu_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    choose(monkeypatch, "cpu")
    assert devices.probe()["torch_device"] == "cpu"
    assert devices.require() == "cpu"
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    choose(monkeypatch, "auto")
    with pytest.raises(DeviceError, match="sees no GPU"):
        devices.require()


def test_no_default_path_loads_torch() -> None:
    code = (
        "import sys; from materia import Campaign; import materia.engine.surrogates.gp;"
        "import materia.services.campaign_fits, materia.api.app, materia.tasks;"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {name: v for name, v in os.environ.items() if not name.startswith("MATERIA_")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
