"""The density of hyper-parameters, computed by PyTorch: on a GPU where thousands of observations
make the search slow, or on the CPU to compare.

The function is the one of `evidence.LogPosterior` in double precision, and so are the optimiser and
its starting point; only the order of sums differs. Log density and posterior agree to 1e-6 of their
size, and mostly to 1e-10.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.evidence import LogPosterior, noise_of
from materia.engine.surrogates.kernels import ANALYTIC, MEAN_VARIANCE, ROUGH
from materia.errors import DeviceError, MissingExtraError

FloatArray = NDArray[np.float64]


@lru_cache(maxsize=1)
def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "A surrogate fitted on a GPU") from error
    # On the CPU as everything else of the engine; a GPU does not care.
    torch.set_num_threads(1)
    return torch


class TorchLogPosterior(LogPosterior):
    """Negative log posterior density on a device; arguments but for `device` as of the base.

    Args:
        device: Of PyTorch: ``cuda`` or ``cpu``.

    Raises:
        MissingExtraError: PyTorch is not installed.
        DeviceError: The device is not there, or its memory does not suffice; also of calls.
    """

    def __init__(self, *args: Any, device: str) -> None:
        super().__init__(*args)
        torch = _torch()
        try:
            self._device_F = torch.as_tensor(self._F, dtype=torch.float64, device=device)
            self._device_y = torch.as_tensor(self._targets, dtype=torch.float64, device=device)
        except (RuntimeError, AssertionError) as error:
            raise _refused(device, error) from error
        self._device = device

    def _reserve(self, n: int) -> None:
        """Reserve nothing here: the arrays are on the device."""

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return value and gradient (d + 3,) at `theta`, laid out as by `start`."""
        try:
            return self._density(theta)
        except RuntimeError as error:
            raise _refused(self._device, error) from error

    def _density(self, theta: FloatArray) -> tuple[float, FloatArray]:
        torch = _torch()
        d, y = self.d, self._device_y
        n = len(y)
        inferred, signal = math.exp(theta[d]), math.exp(theta[d + 1])
        weights = np.exp(-theta[:d])[self._group]
        Z = self._device_F * torch.as_tensor(weights, device=self._device)
        squares = (Z * Z).sum(dim=1)
        S = (squares[:, None] + squares[None, :] - 2.0 * (Z @ Z.T)).clamp_(min=0.0)
        S.fill_diagonal_(0.0)
        K, slope = _matern(torch, S, self._smoothness)
        K.mul_(signal).add_(MEAN_VARIANCE)
        noise = noise_of(self._sem, inferred) + 1e-10
        K.diagonal().add_(torch.as_tensor(noise, device=self._device))
        L, failed = torch.linalg.cholesky_ex(K)
        if int(failed):
            return 1e25, np.zeros_like(theta)
        alpha = torch.cholesky_solve(y[:, None], L)[:, 0]
        inverse = torch.cholesky_inverse(L)
        # W = alpha alpha^T - K^-1, and G = W times the slope of the kernel
        slope.mul_(torch.outer(alpha, alpha).sub_(inverse))
        per_feature = 2.0 * (slope.sum(dim=0) @ (Z * Z)) - 2.0 * (Z * (slope @ Z)).sum(dim=0)
        fit = float(y @ alpha)
        value = float(L.diagonal().log().sum()) + 0.5 * fit
        on_diagonal = (alpha * alpha - inverse.diagonal()).cpu().numpy()
        of_mean = MEAN_VARIANCE * (float(alpha.sum()) ** 2 - float(inverse.sum()))
        gradient = np.zeros_like(theta)
        gradient[:d] = np.bincount(self._group, weights=per_feature.cpu().numpy(), minlength=d)
        gradient[:d] *= -0.5 * signal
        gradient[d] = -0.5 * inferred * float(on_diagonal @ self._is_inferred)
        # sum(W * K) = y.alpha - n, of which mean and noise have their parts
        gradient[d + 1] = -0.5 * (fit - n - of_mean - float(noise @ on_diagonal))
        return value + self._add_prior(theta, gradient), gradient


def _matern(torch: Any, S: Any, smoothness: float) -> tuple[Any, Any]:
    """Return the kernel of squared distances, and -2 times its derivative: `kernels.matern`."""
    if smoothness == ANALYTIC:
        K = torch.exp(-0.5 * S)
        return K, K.clone()
    r = S.sqrt()
    decay = torch.exp(-r)
    linear = (1.0 + r) * decay
    if smoothness == ROUGH:
        return linear + S * decay / 3.0, linear / 3.0
    third = linear + S * decay / 3.0
    return third + S * linear / 15.0, third / 5.0


def _refused(device: str, error: BaseException) -> DeviceError:
    reason = str(error).strip().partition("\n")[0][:200]
    return DeviceError(f"PyTorch cannot compute on '{device}': {reason}")
