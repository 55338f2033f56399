"""Model observers: how well a structure can be told from its absence in reconstructions that vary.

d′ is the distance between the two classes' mean responses in standard deviations of a response. Estimates hold for
responses that are normal and of the same covariance in both classes, and are free of bias and with exact intervals
then: a response sums over many pixels, so that is a good approximation. Images of one class have to be independent
(other noise, the same slice).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import chi, ncf, norm
from torch import Tensor

Array = NDArray[np.float64]


class Detectability(NamedTuple):
    """d′ and its interval."""

    d_prime: float
    low: float
    high: float


def template_detectability(
    template: Tensor, absent: Tensor, present: Tensor, confidence: float = 0.95
) -> Detectability:
    """d′ of the observer who looks at ⟨w, image⟩, w fixed before; below 0 where the structure speaks against itself.

        d′ = (t̄₁ − t̄₀)/σ,   t = ⟨w, image⟩,   σ² the pooled variance of t,   times Hedges' factor against bias

    With w the signal as f shows it without noise, this is the non-prewhitening matched filter, d′ = wᵀw/√(wᵀK w); in
    white noise ‖w‖/σ. With w from `hotelling_template` of other images it is the trained Hotelling observer.
    template: (1, H, W) or (H, W); absent (N₀, 1, H, W), present (N₁, 1, H, W).
    The interval turns the noncentral t of t̄₁ − t̄₀ around (Hedges and Olkin 1985, ch. 5). NPW: Wagner and Brown, Phys.
    Med. Biol. 30 (1985) 489. Raises ValueError on fewer than 2 images a class, or images without noise.
    """
    w = template.double().cpu().flatten()[None]
    difference, S, dof, pairs = _statistics(w, absent, present)
    d = float(difference[0] / math.sqrt(S[0, 0]))
    unbiased = math.exp(gammaln(dof / 2) - gammaln((dof - 1) / 2)) / math.sqrt(dof / 2)
    t = d * math.sqrt(pairs)
    below = _noncentral_t(t, dof)
    low, high = (_root(below, level, t) / math.sqrt(pairs) for level in _tails(confidence))
    return Detectability(unbiased * d, low, high)


def hotelling_detectability(
    channels: Tensor, absent: Tensor, present: Tensor, confidence: float = 0.95
) -> Detectability:
    """d′ of the channelised Hotelling observer who knows means and covariance, from images that tell them roughly.

        d′² = Δᵀ K⁻¹ Δ,   Δ, K: mean difference and covariance of v = Uᵀ image
        unbiased: (ν − C − 1)/ν · Δ̂ᵀ S⁻¹ Δ̂ − C (1/N₀ + 1/N₁),   ν = N₀ + N₁ − 2, S pooled, C channels; 0 where below

    channels: (C, H, W); all pixels (or any C independent ones) make it the Hotelling observer of the image. The
    plug-in Δ̂ᵀS⁻¹Δ̂ is too large, the more the more channels. The interval is exact, from the noncentral F (Reiser 2001;
    Wunderlich, Noo, Gallas, Heilbrun, IEEE TMI 34 (2015) 453). Observer: Myers and Barrett, JOSA A 4 (1987) 2447.
    Raises ValueError on fewer than C + 4 images in all, and on channels that do not vary.
    """
    difference, S, dof, pairs = _statistics(channels.double().cpu().flatten(1), absent, present)
    C = len(difference)
    if dof < C + 2:
        raise ValueError(f"{dof + 2} images for {C} channels: give at least {C + 4}, or fewer channels")
    plug_in = float(difference @ np.linalg.solve(S, difference))
    F = plug_in * pairs * (dof - C + 1) / (dof * C)

    def below(noncentrality: float) -> float:
        return float(ncf.cdf(F, C, dof - C + 1, noncentrality))

    low, high = (math.sqrt(_root(below, level, C * F, 0.0) / pairs) for level in _tails(confidence))
    return Detectability(math.sqrt(max(0.0, (dof - C - 1) / dof * plug_in - C / pairs)), low, high)


def hotelling_template(channels: Tensor, absent: Tensor, present: Tensor) -> Tensor:
    """(1, H, W) float64 w = U S⁻¹ Δ̂, the observer trained on these images, to look at others."""
    difference, S, *_ = _statistics(channels.double().cpu().flatten(1), absent, present)
    weights = channels.new_tensor(np.linalg.solve(S, difference)).double()
    return (weights[:, None, None] * channels.double()).sum(0, keepdim=True)


def _statistics(U: Tensor, absent: Tensor, present: Tensor) -> tuple[Array, Array, int, float]:
    """Of v = Uᵀ image: mean difference, pooled covariance, its degrees of freedom, and N₀N₁/(N₀ + N₁)."""
    v0, v1 = ((images.double().cpu().flatten(1) @ U.T).numpy() for images in (absent, present))
    if min(len(v0), len(v1)) < 2:
        raise ValueError(f"{len(v0)} and {len(v1)} images: give at least 2 with and 2 without the structure")
    scatter = sum((v - v.mean(0)).T @ (v - v.mean(0)) for v in (v0, v1))
    dof = len(v0) + len(v1) - 2
    S = np.asarray(scatter) / dof
    if not (np.diag(S) > 0).all():
        raise ValueError("images of a class are all the same: d′ needs noise, give photons")
    return v1.mean(0) - v0.mean(0), S, dof, len(v0) * len(v1) / (len(v0) + len(v1))


def _tails(confidence: float) -> tuple[float, float]:
    """Where the distribution function stands at the lower and the upper end."""
    return (1 + confidence) / 2, (1 - confidence) / 2


def _noncentral_t(t: float, dof: int) -> Callable[[float], float]:
    """c ↦ P(T ≤ t) = E Φ(t·s − c), s² = χ²/ν: SciPy's own has no answer for thousands of images and a large c."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    bounds = t * chi.ppf((nodes + 1) / 2, dof) / math.sqrt(dof)
    return lambda c: float(weights / 2 @ norm.cdf(bounds - c))


def _root(below: Callable[[float], float], level: float, near: float, least: float = -math.inf) -> float:
    """Where a function that falls with the noncentrality c ≥ `least` is at `level`; `least` where it starts lower."""
    reach = 1.0 + abs(near)
    low, high = max(least, near - reach), near + reach
    while low > least and below(low) < level:
        low = max(least, low - reach)
    if below(low) <= level:
        return low
    while below(high) > level:
        high += reach
    return float(brentq(lambda c: below(c) - level, low, high))
