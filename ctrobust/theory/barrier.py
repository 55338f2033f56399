"""The optimal filter against the per-sample adversary: no closed form, so a solver, and a proof of what it found.

By duality the worst error of one x is

    min over μ of μ ε² + Σ rᵢ² μ/(μ − qᵢ²)        rᵢ = (qᵢSᵢ − 1)cᵢ,  μ ≥ max q²,

convex in q and μ together. The objective itself has corners (where the largest gain inverts exactly, where all
vanish); −τ Σ log(μ − qᵢ²) rounds them off, and Newton's method follows the optimum as τ falls. At each τ,
uᵢ = qᵢrᵢ/(μ − qᵢ²) and vᵢ = τ/(μ − qᵢ²), Σ uᵢ² + vᵢ = ε², are mean and variance of a random δ of mean energy ε². No
such δ can do more than the worst one, so that the error under it, a quadratic in each gain, is nowhere above the
objective: its minimum is a lower bound, k τ λ below at the optimum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ctrobust.theory.filters import pseudo_inverse_filter
from ctrobust.theory.per_sample import checked_coefficients, distances, per_sample_objective
from ctrobust.theory.secular import multiplier
from ctrobust.theory.spectrum import Array, checked_amount, checked_spectrum

GAP_SOUGHT, GAP_ALLOWED = 1e-9, 1e-7
STEPS_ALLOWED = 500


@dataclass(frozen=True)
class PerSampleOptimum:
    """The optimal gains (k,), their objective, and the duality gap: the most that any other filter could gain.

    The clean part being strongly convex, Σ Sᵢ² E cᵢ² (qᵢ − qᵢ*)² ≤ gap.
    """

    gains: Array
    objective: float
    gap: float


def per_sample_filter(
    singular_values: ArrayLike, eps: float, weight: float, coefficients: ArrayLike
) -> PerSampleOptimum:
    """The gains that minimise `per_sample.per_sample_objective` for the law that the coefficients (N, k) sample.

    Where the law stays the same when the sign of any one coefficient is turned, as for Gaussian x, no other matrix B
    does better than this filter, by convexity. A singular value of zero gets the gain 0. Raises ValueError on input
    that is negative, NaN or infinite, and ArithmeticError where the gap stays above 1e-7 of the objective.
    """
    S = checked_spectrum(singular_values)
    c = checked_coefficients(coefficients, S)
    radius, amount = checked_amount("eps", eps), checked_amount("weight", weight)
    inverse = pseudo_inverse_filter(S)
    if radius == 0 or amount == 0:
        return PerSampleOptimum(inverse, per_sample_objective(S, inverse, radius, amount, c), 0.0)
    point = _follow(_Problem(S, radius, amount, c))
    # Beyond 1/S both qᵢ and |qᵢSᵢ − 1| only grow, below 0 as well: what rounding left there is no gain.
    gains = np.clip(point.gains, 0, inverse)
    value = per_sample_objective(S, gains, radius, amount, c)
    gap = max(value - point.lower, 0.0)
    if not gap <= GAP_ALLOWED * value:
        raise ArithmeticError(
            f"no optimum proved: gap {gap:.2g} at the objective {value:.4g}, eps {eps!r}, weight {weight!r}"
        )
    return PerSampleOptimum(gains, value, gap)


@dataclass(frozen=True)
class _Problem:
    S: Array
    radius: float
    weight: float
    c: Array

    @property
    def energy(self) -> Array:
        """(k,) E cᵢ²"""
        return np.asarray(np.square(self.c).mean(0))


def _follow(problem: _Problem) -> "_Point":
    """Along the central path: Newton's method at each τ until the bounds are within twice their best there."""
    S, k = problem.S, len(problem.S)
    gains = S / (np.square(S) + problem.radius**2 * problem.weight / (1 + problem.weight) / k)
    point = _Point(problem, gains, 0.1 * (1 + 1 / problem.weight) * float(problem.energy.sum()) / k)
    for _ in range(STEPS_ALLOWED):
        if point.upper - point.lower <= GAP_SOUGHT * point.upper:
            break
        centred = point.upper - point.lower <= 2 * point.floor
        ahead = None if centred else _step(problem, point)
        # Centred, or as near as rounding lets it come.
        point = ahead or _Point(problem, point.gains, point.tau / 10)
        if point.floor < 1e-3 * GAP_SOUGHT * point.upper:
            break
    return point


def _step(problem: _Problem, point: "_Point") -> "_Point | None":
    """Newton's step, halved until it descends as promised; None where no length does."""
    direction = -np.linalg.solve(point.hessian, point.gradient)
    promised = -float(point.gradient @ direction)
    for halvings in range(20):
        length = 0.5**halvings
        ahead = _Point(problem, point.gains + length * direction, point.tau)
        if ahead.value <= point.value - 0.1 * length * promised + 1e-14 * abs(point.value):
            return ahead
    return None


class _Point:
    """The rounded objective at some gains: its value, gradient and Hessian, and bounds on the true optimum."""

    def __init__(self, problem: _Problem, gains: Array, tau: float) -> None:
        S, c, weight, q = problem.S, problem.c, problem.weight, gains
        self.gains, self.tau, self.floor = gains, tau, len(S) * tau * weight
        r, slope, energy = (q * S - 1) * c, S * c, problem.energy
        s = multiplier(distances(q), np.abs(q * r), problem.radius, tau)
        g, mu = distances(q) + s, np.square(q).max() + s
        u, v, w = q * r / g, tau / g, r * mu / g

        clean = float((np.square(q * S - 1) * energy).sum())
        self.upper = clean + weight * float((mu[:, 0] * problem.radius**2 + (r * w).sum(1)).mean())
        self.value = self.upper - weight * tau * float(np.log(g).sum(1).mean())
        self.gradient = 2 * S * (q * S - 1) * energy + 2 * weight * (w * (u + slope) + q * v).mean(0)

        # The error under δ ~ (u, v) is Σ αᵢqᵢ² − 2βᵢqᵢ + (1 + λ) E cᵢ².
        alpha = np.square(S) * energy + weight * (np.square(u + slope) + v).mean(0)
        beta = S * energy + weight * ((u + slope) * c).mean(0)
        self.lower = (1 + weight) * float(energy.sum()) - float((np.square(beta) / alpha).sum())

        # Second derivatives of each sample's term, then the Schur complement: μ follows q.
        w_q, u_q = (slope + 2 * u) * mu / g, (r + q * slope + 2 * q * u) / g
        in_q = w_q * (u + slope) + w * u_q + v + 2 * np.square(q) * v / g
        across = ((q * (u + slope) + w) * u + q * v) / g
        in_mu = ((np.square(u) + v / 2) / g).sum(1, keepdims=True)
        pull = across / np.sqrt(in_mu)
        bend = np.diag(in_q.mean(0)) - pull.T @ pull / len(c)
        self.hessian = 2 * np.diag(np.square(S) * energy) + 2 * weight * bend
