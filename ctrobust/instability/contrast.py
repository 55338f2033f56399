"""Test 2, small structures: how much of their contrast f recovers, and the δ that hides or invents one."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ctrobust.threat.ascent import (
    ProjectedGradientAscent,
    Reconstructor,
    evaluating,
    exact_arithmetic,
    require_exact_gradient,
)
from ctrobust.threat.budget import per_sample, relative_norms


def contrast_recovery(difference: Tensor, s: Tensor) -> Tensor:
    """(B,) float64 contrast recovery coefficient of a reconstructed difference d, 1 where f is perfect.

        CRC = ⟨s, d⟩/⟨s, s⟩,   d = f(A(x + s)) − f(A x)

    Contrast measured over contrast put in, as NEMA NU 2 has it for hot spheres: of a nodule, s is its contrast times
    each pixel's share of it, so this is the mean of d over the nodule's outline over the mean of s there. The
    background is that of the very same image without s, not of a region beside it (Qi and Leahy, IEEE TMI 19 (2000)
    493). 0: not seen; below 0: seen inverted; above 1: exaggerated. difference, s: (B, 1, H, W) in the same unit.
    Raises ValueError on an s that is empty.
    """
    d, s = difference.double().flatten(1), s.double().flatten(1)
    energy = s.square().sum(1)
    if not (energy > 0).all():
        raise ValueError("s: an empty structure has no contrast to recover; place it inside the image")
    return (s * d).sum(1) / energy


def footprint(A: Callable[[Tensor], Tensor], s: Tensor, y: Tensor) -> Tensor:
    """(B,) float64 ‖A s‖/‖y‖: the eps from which δ = −A s takes the structure out of the measurement itself.

    No f could show what is not there: below it hiding is f's fault, above it perhaps not.
    """
    with torch.no_grad():
        return relative_norms(A(s), y)


def hide(attack: ProjectedGradientAscent, f: Reconstructor, y: Tensor, s: Tensor) -> Tensor:
    """δ in attack's budget that makes least of a structure that is there: argmin ⟨s, f(y + δ)⟩, y = A(x + s).

    y, δ: (B, 1, views, bins); s: (B, 1, H, W). `attack` gives budget, steps, restarts and rule. Raises UserError on
    inexact gradients through f, unless attack.allow_unmatched.
    """
    return _move_contrast(attack, f, y, s, -1.0)


def invent(attack: ProjectedGradientAscent, f: Reconstructor, y: Tensor, s: Tensor) -> Tensor:
    """δ in attack's budget that makes most of a structure that is not there: argmax ⟨s, f(y + δ)⟩, y = A x.

    Shapes, settings and errors as in `hide`.
    """
    return _move_contrast(attack, f, y, s, 1.0)


@torch.no_grad()
def _move_contrast(
    attack: ProjectedGradientAscent, f: Reconstructor, y: Tensor, s: Tensor, sign: float
) -> Tensor:
    """argmax of c(δ) = ± the contrast recovered of f(y + δ) − f(y), by an ascent that knows squared errors only.

    Its "reconstruction" is the one number e^(asinh c) and its "truth" 0: (e^(asinh c))² rises with c, for all c and
    without overflow, so what is worst to it is the largest c. (The squared distance to a far target would do as well,
    up to rounding, but only on the near side of it.)
    """
    with evaluating(f), exact_arithmetic():
        if not attack.allow_unmatched:
            require_exact_gradient(f, y, s)
        clean = f(y)

        def rising(moved: Tensor) -> Tensor:
            c = sign * contrast_recovery(f(moved) - clean, s)
            return per_sample(torch.exp(torch.asinh(c)))

        ascent = replace(attack, allow_unmatched=True)
        return ascent(rising, y, torch.zeros(len(y), 1, 1, 1, dtype=torch.float64, device=y.device))
