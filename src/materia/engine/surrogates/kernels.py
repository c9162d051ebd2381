"""Matérn kernels of three smoothnesses (C. E. Rasmussen, C. K. I. Williams 2006, eq. 4.16).

They work on features that are divided by their lengthscales and multiplied by `scale_of`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ROUGH, SMOOTH, ANALYTIC = 2.5, 3.5, math.inf
"""Smoothness ν. Functions with 5/2 have two derivatives, those with 7/2 three, and those with
infinity (the squared exponential kernel) all."""

MEAN_VARIANCE = 1.0
"""The unknown constant mean is normal with this variance, in standardised units; integrated out."""


def scale_of(smoothness: float) -> float:
    """Return what features are multiplied by."""
    return 1.0 if smoothness == ANALYTIC else math.sqrt(2.0 * smoothness)


def square_distances(A: FloatArray, B: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Return squared distances (a, b) of rows (a, p) to rows (b, p)."""
    # |a|^2 + |b|^2 - 2 a.b in one product; n * n arrays are worth few passes only.
    p = A.shape[1]
    left, right = np.ones((len(A), p + 2)), np.ones((len(B), p + 2))
    np.multiply(A, -2.0, out=left[:, :p])
    right[:, :p] = B
    left[:, p] = np.einsum("ij,ij->i", A, A)
    right[:, p + 1] = np.einsum("ij,ij->i", B, B)
    S = np.matmul(left, right.T, out=out)
    return np.asarray(np.maximum(S, 0.0, out=S))


def matern(
    S: FloatArray, smoothness: float, work: tuple[FloatArray, FloatArray] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the kernel of squared distances, and -2 times its derivative by them.

    Args:
        S: Squared distances of scaled features, any shape; written over.
        smoothness: `ROUGH`, `SMOOTH` or `ANALYTIC`.
        work: Two more arrays of that shape to write over. New ones cost as much as the rest where
            they are too large for the memory allocator to have at hand.
    """
    r, decay = work or (np.empty_like(S), np.empty_like(S))
    if smoothness == ANALYTIC:
        # k = e^(-S / 2), and the same
        S *= -0.5
        np.exp(S, out=S)
        np.copyto(decay, S)
        return S, decay
    np.sqrt(S, out=r)
    np.negative(r, out=decay)
    np.exp(decay, out=decay)
    r += 1.0
    r *= decay
    decay *= S
    if smoothness == ROUGH:
        # k = (1 + r + S / 3) e^-r, and (1 + r) e^-r / 3
        decay *= 1.0 / 3.0
        decay += r
        r *= 1.0 / 3.0
        return decay, r
    # k = (1 + r + 2/5 S + r S / 15) e^-r, and (1 + r + S / 3) e^-r / 5
    S *= r
    S *= 1.0 / 15.0
    decay *= 1.0 / 3.0
    decay += r
    S += decay
    decay *= 0.2
    return S, decay


def covariance(A: FloatArray, B: FloatArray, smoothness: float, signal: float) -> FloatArray:
    """Return the covariance (a, b) of outcomes at scaled features (a, p) and (b, p).

    Args:
        A: Scaled features.
        B: Scaled features.
        smoothness: `ROUGH`, `SMOOTH` or `ANALYTIC`.
        signal: Variance of the outcome around its mean, in standardised units.
    """
    S = square_distances(A, B)
    if smoothness == ANALYTIC:
        S *= -0.5
        K = np.exp(S, out=S)
    else:
        # As `matern` without the derivative; each pass over a large array counts.
        r = np.sqrt(S)
        if smoothness == ROUGH:
            S *= 1.0 / 3.0
        else:
            S *= 0.4 + r * (1.0 / 15.0)
        S += r
        S += 1.0
        np.negative(r, out=r)
        S *= np.exp(r, out=r)
        K = S
    K *= signal
    K += MEAN_VARIANCE
    return K


def own_covariance(A: FloatArray, smoothness: float, signal: float) -> FloatArray:
    """Return the covariance (a, a) of outcomes at scaled features (a, p)."""
    K = covariance(A, A, smoothness, signal)
    np.fill_diagonal(K, signal + MEAN_VARIANCE)
    return K
