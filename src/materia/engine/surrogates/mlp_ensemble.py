"""Ensemble of small neural networks, each with a Bayesian last layer.

Every member leaves out a fifth of the observations. Its hidden layers are trained to the mode of
their posterior; on what they compute, weights of the output and the noise are integrated out at the
mode of their evidence (D. J. C. MacKay, "Bayesian interpolation", Neural Computation 4, 1992;
J. Snoek et al., "Scalable Bayesian optimization using deep neural networks", ICML 2015). Means of
members are averaged, their spread adds to the variance, and all is scaled so that errors of
left-out observations are as large as promised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.standardised import StandardisedKind, spread_of

FloatArray = NDArray[np.float64]

_N_MEMBERS = 5
_WIDTH = 32
# Noise variance while hidden layers are trained: 10 / n within these limits, for few observations
# are followed too closely otherwise. Deviations of the weights of each layer.
_LEAST_TRAINING_NOISE, _MOST_TRAINING_NOISE = 0.02, 0.1
_IN_STD, _HIDDEN_STD = 1.5, 1.5
_MAX_STEPS, _MIN_STEPS, _STEP_OBSERVATIONS = 150, 40, 40_000
_EVIDENCE_STEPS = 30
_PRIOR_NOISE, _MIN_NOISE = 0.01, 1e-6


@dataclass(frozen=True)
class Network:
    """One member: two hidden layers and a distribution of the output's weights.

    Attributes:
        layers: Weights with the bias in the last row, (p + 1, h) and (h + 1, h).
        weights: Mean of the output's weights, (h + 1,).
        factor: Their covariance is factor @ factor.T, (h + 1, h + 1).
        noise: Variance of an observation.
    """

    layers: tuple[FloatArray, FloatArray]
    weights: FloatArray
    factor: FloatArray
    noise: float

    def posterior(self, F: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of the noise-free outcome at features (n, p), each (n,)."""
        H = _with_ones(_hidden(self.layers, F)[1])
        return H @ self.weights, np.sum((H @ self.factor) ** 2, axis=1)


def _with_ones(A: FloatArray) -> FloatArray:
    return np.hstack([A, np.ones((len(A), 1))])


def _hidden(layers: tuple[FloatArray, FloatArray], F: FloatArray) -> tuple[FloatArray, FloatArray]:
    first = np.tanh(F @ layers[0][:-1] + layers[0][-1])
    return first, np.tanh(first @ layers[1][:-1] + layers[1][-1])


class _Loss:
    """Negative log posterior density of all weights of a network with gradient.

    Args:
        F: Features, (n, p).
        t: Standardised outcomes, (n,).
        precision: Of each observation, (n,).
    """

    def __init__(self, F: FloatArray, t: FloatArray, precision: FloatArray) -> None:
        self._F, self._t, self._precision = F, t, precision
        p = F.shape[1]
        self.shapes = ((p + 1, _WIDTH), (_WIDTH + 1, _WIDTH), (_WIDTH + 1, 1))
        stds = (_IN_STD, _HIDDEN_STD / math.sqrt(_WIDTH), 1.0 / math.sqrt(_WIDTH))
        sizes = [a * b for a, b in self.shapes]
        self._edges = np.cumsum(sizes)[:-1]
        self.stds = np.concatenate(
            [np.full(size, std) for size, std in zip(sizes, stds, strict=True)]
        )

    def split(self, theta: FloatArray) -> list[FloatArray]:
        """Return the layers within all weights (k,) in units of their deviations."""
        parts = np.split(theta * self.stds, self._edges)
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return value and gradient at theta (k,)."""
        first_layer, second_layer, output = self.split(theta)
        first, second = _hidden((first_layer, second_layer), self._F)
        error = second @ output[:-1, 0] + output[-1, 0] - self._t
        pull = self._precision * error
        value = 0.5 * float(pull @ error) + 0.5 * float(theta @ theta)
        d_second = (pull[:, None] * output[:-1, 0]) * (1.0 - second * second)
        d_first = (d_second @ second_layer[:-1].T) * (1.0 - first * first)
        gradient = np.concatenate(
            [
                (self._F.T @ d_first).ravel(),
                d_first.sum(axis=0),
                (first.T @ d_second).ravel(),
                d_second.sum(axis=0),
                second.T @ pull,
                [pull.sum()],
            ]
        )
        return value, gradient * self.stds + theta


def _train(
    F: FloatArray, t: FloatArray, variances: FloatArray, rng: np.random.Generator
) -> Network:
    """Return a member trained on features (n, p), outcomes (n,) and stated variances (n,)."""
    from scipy.optimize import minimize

    noise = min(max(10.0 / len(t), _LEAST_TRAINING_NOISE), _MOST_TRAINING_NOISE)
    loss = _Loss(F, t, 1.0 / (noise + variances))
    steps = min(max(_STEP_OBSERVATIONS // len(t), _MIN_STEPS), _MAX_STEPS)
    found = minimize(
        loss,
        rng.standard_normal(len(loss.stds)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxcor": 20},
    )
    first, second, _ = loss.split(np.asarray(found.x))
    return _with_output((first, second), F, t, variances)


def _with_output(
    layers: tuple[FloatArray, FloatArray], F: FloatArray, t: FloatArray, variances: FloatArray
) -> Network:
    """Return the network with the output's weights integrated out at the mode of the evidence."""
    H = _with_ones(_hidden(layers, F)[1])
    alpha, noise = 1.0, _PRIOR_NOISE
    weights, covariance = np.zeros(H.shape[1]), np.eye(H.shape[1])
    for _ in range(_EVIDENCE_STEPS):
        precision = 1.0 / (noise + variances)
        A = (H.T * precision) @ H
        values, vectors = np.linalg.eigh(A)
        values = np.maximum(values, 0.0)
        covariance = (vectors / (values + alpha)) @ vectors.T
        weights = covariance @ (H.T @ (precision * t))
        determined = float(np.sum(values / (values + alpha)))
        error = t - H @ weights
        # Weak priors: as if one weight of size 1, and one error of this variance, were known.
        alpha = (determined + 1.0) / (float(weights @ weights) + 1.0)
        # Fixed point of the evidence; stated variances take their part of the squared errors.
        share = noise / (noise + variances)
        freedom = max(float(share.sum()) - determined, 0.0)
        noise = (float(np.sum(share * share * error * error)) + _PRIOR_NOISE) / (freedom + 1.0)
        noise = min(max(noise, _MIN_NOISE), 1.0)
    values, vectors = np.linalg.eigh(covariance)
    return Network(layers, weights, vectors * np.sqrt(np.maximum(values, 0.0)), noise)


@dataclass(frozen=True)
class Ensemble:
    """Networks for a standardised outcome; see `standardised.Learnt`.

    Attributes:
        members: The networks.
        trust: Factor of all means, at most 1: how far left-out observations follow predictions.
        spread: Factor of all standard deviations.
        left: Means and standard deviations of left-out observations, (2, n).
    """

    members: tuple[Network, ...]
    trust: float
    spread: float
    left: FloatArray

    @property
    def noise(self) -> float:
        """Variance of an observation."""
        return min(max(_misfit(self.members) * self.spread**2, _MIN_NOISE), 1.0)

    def posterior(self, F: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation at features (n, p), each (n,)."""
        means, variances = _answers(self.members, F)
        variance = self.trust**2 * (np.mean(variances, axis=0) + np.var(means, axis=0))
        # Where the outcome is not noisy, the noise of a network is what it cannot follow.
        std = self.spread * np.sqrt(variance + _misfit(self.members))
        return self.trust * np.mean(means, axis=0), std

    def left_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std of each observation by the member that did not see it."""
        return self.left[0], self.left[1]

    def arrays(self) -> dict[str, FloatArray]:
        """Return all weights and the calibration."""
        return {
            "first": np.array([m.layers[0] for m in self.members]),
            "second": np.array([m.layers[1] for m in self.members]),
            "weights": np.array([m.weights for m in self.members]),
            "factors": np.array([m.factor for m in self.members]),
            "noises": np.array([m.noise for m in self.members]),
            "scalars": np.array([self.trust, self.spread]),
            "left_out": self.left,
        }


def _answers(members: Sequence[Network], F: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return means and variances of all members at features (n, p), each (k, n)."""
    answers = [member.posterior(F) for member in members]
    return np.array([mean for mean, _ in answers]), np.array([variance for _, variance in answers])


def _misfit(members: Sequence[Network]) -> float:
    return sum(member.noise for member in members) / len(members)


class _Training:
    """How ensembles are learnt."""

    def learn(
        self, F: FloatArray, t: FloatArray, variances: FloatArray, rng: np.random.Generator
    ) -> Ensemble:
        """Return an ensemble; the cost grows with n, and is bounded by fewer steps for many."""
        n = len(t)
        stated = np.nan_to_num(variances, nan=0.0)
        fold = rng.permutation(n) % _N_MEMBERS
        if n == 1:
            # A single observation cannot be left out of what it alone teaches.
            members = [_train(F, t, stated, rng) for _ in range(_N_MEMBERS)]
            return Ensemble(tuple(members), 1.0, 1.0, np.array([[0.0], [1.0]]))
        kept = [fold != k for k in range(_N_MEMBERS)]
        members = [_train(F[seen], t[seen], stated[seen], rng) for seen in kept]
        means, spreads = _answers(members, F)
        rows = np.arange(n)
        mean = means[fold, rows]
        trust = min(max(float(t @ mean) / max(float(mean @ mean), 1e-12), 0.0), 1.0)
        variance = trust**2 * (spreads[fold, rows] + np.var(means, axis=0))
        std = np.sqrt(variance + _misfit(members) + stated)
        spread = spread_of((t - trust * mean) / std)
        left = np.stack([trust * mean, spread * std])
        return Ensemble(tuple(members), trust, spread, left)

    def restore(self, arrays: Mapping[str, FloatArray]) -> Ensemble:
        """Return the ensemble that `Ensemble.arrays` described."""
        keys = ("first", "second", "weights", "factors")
        parts = [np.asarray(arrays[key], dtype=np.float64) for key in keys]
        members = tuple(
            Network((first, second), weights, factor, float(noise))
            for first, second, weights, factor, noise in zip(
                *parts, np.asarray(arrays["noises"]), strict=True
            )
        )
        trust, spread = (float(value) for value in arrays["scalars"])
        return Ensemble(members, trust, spread, np.asarray(arrays["left_out"]))


KIND = StandardisedKind(_Training(), version=1, max_observations=2000)
