"""Perturbations of the image: never outside Range(A), and as bad as the measurement's own where Range(A) is all."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.sensing import gaussian
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.theory import worst_perturbation
from ctrobust.threat import L2Ball, ProjectedGradientAscent, Whitened
from ctrobust.threat.ascent import squared_error
from ctrobust.threat.confined import Confined, LowPass
from ctrobust.threat.image_domain import ImageDomain

A = Projector(ParallelBeam(16, 24, pixel_mm=10.0), "matrix")
FBP = FilteredBackProjection(A)


def images(size: int) -> Tensor:
    return torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def dense(apply: FilteredBackProjection | Projector, shape: tuple[int, int]) -> np.ndarray:
    count = math.prod(shape)
    units = torch.eye(count, dtype=torch.float64).reshape(count, 1, *shape)
    return apply(units).reshape(count, -1).T.numpy()


@pytest.mark.parametrize(
    ("held", "budget"),
    [("image", L2Ball(0.02)), ("measurement", L2Ball(0.02)), ("measurement", Whitened(5.0, 1e5))],
    ids=["image", "measurement", "whitened"],
)
def test_delta_lies_in_the_range_of_A(
    held: Literal["image", "measurement"], budget: L2Ball | Whitened
) -> None:
    """Of 24·24 readings A reaches 256 dimensions at most, and plain ascent leaves them."""
    x = images(16)
    y = A(x)
    attack = ProjectedGradientAscent(budget, steps=10, restarts=1)
    M = dense(A, A.image_shape)
    for adversary, inside in ((ImageDomain(attack, held=held), True), (attack, False)):
        flat = adversary(FBP, y, x).flatten(1).numpy().T
        outside = flat - M @ np.linalg.lstsq(M, flat, rcond=None)[0]
        shares = np.linalg.norm(outside, axis=0) / np.linalg.norm(flat, axis=0)
        assert (shares < 1e-12).all() if inside else (shares > 0.05).all()


def test_held_in_the_measurement_it_is_the_worst_in_the_range() -> None:
    """The exact worst of A r = Q z, Q an orthonormal basis of Range(A)."""
    x = images(16)
    y = A(x)
    delta = ImageDomain(ProjectedGradientAscent(L2Ball(0.02), steps=40, restarts=1))(FBP, y, x)
    F, (Q, s, _) = dense(FBP, A.sinogram_shape), np.linalg.svd(dense(A, A.image_shape), full_matrices=False)
    Q = Q[:, s > 1e-12 * s[0]]
    for i in range(len(y)):
        y0 = y[i].numpy().ravel()
        r = F @ y0 - x[i].numpy().ravel()
        exact = np.sum((F @ Q @ worst_perturbation(F @ Q, r, 0.02 * float(np.linalg.norm(y0))) + r) ** 2)
        found, clean = np.sum((F @ delta[i].numpy().ravel() + r) ** 2), np.sum(r**2)
        assert 0.98 <= (found - clean) / (exact - clean) <= 1 + 1e-9


def test_at_full_row_rank_the_two_domains_agree() -> None:
    M = gaussian(30, 8, seed=0)
    x = images(8)
    y = M(x)
    attack = ProjectedGradientAscent(L2Ball(0.05), restarts=1)
    image, measurement = (
        squared_error(M.pinv, y + adversary(M.pinv, y, x), x)
        for adversary in (ImageDomain(attack, M), attack)
    )
    clean = squared_error(M.pinv, y, x)
    share = (image - clean) / (measurement - clean)
    assert (share > 0.999).all()
    assert (share < 1.001).all()


def test_held_in_the_image_the_image_is_held() -> None:
    x = images(16)
    y = A(x)
    attack = ProjectedGradientAscent(L2Ball(0.03), steps=20, restarts=1)
    adversary = ImageDomain(attack, held="image")
    r = adversary.image(FBP, y, x)
    sizes = r.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    assert (sizes <= 0.03).all()
    assert (sizes > 0.99 * 0.03).all()
    torch.testing.assert_close(adversary(FBP, y, x), A(r))
    # Beside the worst δ of that very size, it is the lesser evil.
    for i in range(len(y)):
        size = float(L2Ball(1.0).size(A(r)[i : i + 1], y[i : i + 1]))
        worst = attack.with_eps(size)(FBP, y[i : i + 1], x[i : i + 1])
        errors = [squared_error(FBP, y[i : i + 1] + d, x[i : i + 1]) for d in (A(r)[i : i + 1], worst)]
        assert errors[0] < 0.99 * errors[1]


def test_mistakes_are_named() -> None:
    x = images(16)
    attack = ProjectedGradientAscent(L2Ball(0.03))
    with pytest.raises(ValueError, match="projector"):
        ImageDomain(attack)(lambda y: y, A(x), x)
    with pytest.raises(ValueError, match="confined"):
        ImageDomain(ProjectedGradientAscent(Confined(L2Ball(0.1), LowPass(0.5))))
