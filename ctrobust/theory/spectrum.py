"""What goes into the linear theory, checked: singular values, gains, and how much an adversary may do."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def checked_spectrum(singular_values: ArrayLike) -> Array:
    """(k,) float64 in the order given; raises ValueError unless all are finite and ≥ 0."""
    S = np.asarray(singular_values, np.float64)
    if S.ndim != 1 or not len(S):
        raise ValueError(f"singular_values of shape {S.shape}: give a list of at least one number")
    if not (np.isfinite(S).all() and (S >= 0).all()):
        raise ValueError(f"singular_values {S.tolist()}: give finite numbers, 0 or more")
    return S


def checked_gains(gains: ArrayLike, S: Array) -> Array:
    """(k,) float64; raises ValueError unless there is one finite gain for each singular value."""
    q = np.asarray(gains, np.float64)
    if q.shape != S.shape or not np.isfinite(q).all():
        raise ValueError(f"gains {q.tolist()}: give one finite number for each of {len(S)} singular values")
    return q


def checked_amount(name: str, value: Any) -> float:
    """A finite number, 0 or more; raises ValueError otherwise."""
    amount = float(value)
    if not 0 <= amount < math.inf:
        raise ValueError(f"{name} {value!r}: give a finite number, 0 or more")
    return amount


def reconstruction_matrix(U: ArrayLike, gains: ArrayLike, Vh: ArrayLike) -> Array:
    """B = V diag(q) Uᵀ, (n, m), of the gains q of a filter and the SVD A = U diag(S) Vᵀ of A (m, n).

    U: (m, k), gains: (k,) in the order of S, Vh: (k, n), as `numpy.linalg.svd(A, full_matrices=False)` and
    `DenseOperator.svd` give them.
    """
    B: Array = (np.asarray(Vh, np.float64).T * np.asarray(gains, np.float64)) @ np.asarray(U, np.float64).T
    return B
