"""f's derivative as a linear operator, from products alone; and whether f is one itself."""

from collections.abc import Callable

import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.threat.budget import L2Ball, norms

Reconstructor = Callable[[Tensor], Tensor]
ROUNDINGS = 1000
"""How many roundings of the type of y a linear f may be away from linear."""


class Jacobian:
    """J = f′(y), per sample: J(v) and J.T(u), the samples of a batch each by itself.

        J = Jacobian(f, y)
        J(v)        (B, 1, views, bins) → (B, 1, H, W), by differentiating Jᵀu with respect to u
        J.T(u)      (B, 1, H, W) → (B, 1, views, bins)
        J.gram(v)   JᵀJ v

    f is computed once, and its graph kept; it must be differentiable twice and in eval mode. Raises UserError where f
    gives no gradient.
    """

    def __init__(self, f: Reconstructor, y: Tensor) -> None:
        with torch.enable_grad():
            self._y = y.detach().requires_grad_()
            self._image = f(self._y)
            self._u = torch.zeros_like(self._image).requires_grad_()
            if not self._image.requires_grad:
                raise UserError("f gives no gradient: does it detach y, or run under torch.no_grad?")
            (self._pulled,) = torch.autograd.grad(self._image, self._y, self._u, create_graph=True)
        self.image = self._image.detach()

    def __call__(self, v: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad(self._pulled, self._u, v, retain_graph=True)
        return pushed

    def T(self, u: Tensor) -> Tensor:
        (pulled,) = torch.autograd.grad(self._image, self._y, u, retain_graph=True)
        return pulled

    def gram(self, v: Tensor) -> Tensor:
        return self.T(self(v))


@torch.no_grad()
def linearity_gap(f: Reconstructor, y: Tensor, seed: int = 0) -> float:
    """How far f is from affine, as a share of ‖f(y + u) − f(y)‖, u random and as large as y; 0 but for rounding.

    The largest of ‖f(y + u + v) − f(y + u) − f(y + v) + f(y)‖ and of the same with v = −2u.
    """
    y = y[:1]
    u, v = (L2Ball(1.0).random(y if y.any() else torch.ones_like(y), derived) for derived in (seed, seed + 1))
    here, aside = f(y), f(y + u)
    size = float(norms(aside - here).clamp_min(torch.finfo(torch.float64).tiny))
    bends = [f(y + u + other) - aside - f(y + other) + here for other in (v, -2 * u)]
    scale = max(size, float(norms(here)))
    return max(float(norms(bend)) for bend in bends) / scale


def is_linear(f: Reconstructor, y: Tensor) -> bool:
    """Whether f is affine in y, to the rounding of the type of y."""
    return linearity_gap(f, y) <= ROUNDINGS * torch.finfo(y.dtype).eps


def require_linear(f: Reconstructor, J: Jacobian, y: Tensor) -> None:
    """Raise UserError where f is not affine, or J and J.T are not its linear part and the transpose of it."""
    gap, allowed = linearity_gap(f, y), ROUNDINGS * torch.finfo(y.dtype).eps
    if not gap <= allowed:
        raise UserError(
            f"f is not linear in y: it departs from f(y + u) + f(y + v) − f(y) by {gap:.1e} of its size; there is no "
            "exact worst case for it, only `local_lipschitz_estimate` (an f that computes in float32 wants y in it)"
        )
    v, u = L2Ball(1.0, relative=False).random(y, 2), L2Ball(1.0, relative=False).random(J.image, 3)
    ahead, back = J(v), J.T(u)
    with torch.no_grad():
        # Along y itself, not a unit vector: the difference must not drown in what f gives anyway.
        large = v * norms(y).clamp_min(1.0)[:, None, None, None].to(y)
        slip = norms(f(y + large) - J.image - J(large)) / norms(J(large)).clamp_min(1e-300)
    skew = ((ahead * u).flatten(1).sum(1) - (v * back).flatten(1).sum(1)).abs() / norms(ahead).clamp_min(
        1e-300
    )
    if not float(slip.max()) <= allowed * 10 or not float(skew.max()) <= allowed * 10:
        raise UserError(
            f"the gradient through f is not its transpose (off by {max(float(slip.max()), float(skew.max())):.1e}): "
            "give f a matched operator"
        )
