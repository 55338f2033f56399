"""A linear B trained by min–max, to be held against the theory.

The scheme is that of the big loop in small: the adversary ascends on f as it is, then f descends on the clean and
the perturbed error of the batch. Shared with it are the ball, the ascent and its gradient (`ctrobust.threat`), and
a test holds the step of f to the big loop's; f here is one matrix, x is Gaussian, and plain gradient descent takes
the place of the recipe's optimiser and schedule. Ours are what the theory asks for: at the optimum many gains tie,
the worst δ jumps from one direction to the other and f runs after it in circles. So the steps fall as 1/√t, the
shared δ climbs several times for each, and what converges is the average of the iterates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ctrobust.core.seeds import derive_seed
from ctrobust.operators.dense import DenseOperator
from ctrobust.theory.barrier import per_sample_filter
from ctrobust.theory.filters import minmax_filter
from ctrobust.theory.per_sample import gaussian_coefficients
from ctrobust.theory.spectrum import Array, reconstruction_matrix
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import error_and_gradient, squared_error
from ctrobust.threat.budget import per_sample

Adversary = Callable[["LinearReconstructor", Tensor, Tensor], Tensor]

SAMPLES_OF_LAW = 2**12
FALL_FROM = 20
POINTS_LOGGED = 200
LATER_COUNTS_MORE = 3


class LinearReconstructor(nn.Module):
    """f(y) = B y, (N, 1, 1, m) → (N, 1, H, W), for the operator A; B (n, m) starts at zero."""

    def __init__(self, A: DenseOperator) -> None:
        super().__init__()
        self.projector = A
        self.B = nn.Parameter(torch.zeros_like(A.matrix.T))

    def forward(self, y: Tensor) -> Tensor:
        return (y.flatten(1) @ self.B.T).reshape(len(y), 1, *self.projector.image_shape)


@dataclass(frozen=True)
class LinearRun:
    """What a run learned and how it got there.

    steps      (L,) counted from 1
    distance   (L,) ‖B − B*‖/‖B*‖ of the averaged B on what A sees (Range(A), the image of its row space)
    iterate    (L,) the same of B as the step left it: it circles
    B          (n, m) the average at the end
    singular_values, learned, predicted   (k,) Sᵢ, vᵢᵀBuᵢ and the optimal qᵢ
    """

    steps: Array
    distance: Array
    iterate: Array
    B: Array
    singular_values: Array
    learned: Array
    predicted: Array


class SharedAscent:
    """One δ for all x, kept from step to step: δ ← Π(δ + 10 ε g/‖g‖), g summed over the batch, eight times."""

    def __init__(self, budget: L2Ball) -> None:
        self.budget = budget
        self.delta: Tensor | None = None

    def __call__(self, f: LinearReconstructor, y: Tensor, x: Tensor) -> Tensor:
        delta = self.budget.random(y[:1], 0) if self.delta is None else self.delta
        for _ in range(8):
            gradient = error_and_gradient(f, y, x, delta.expand_as(y))[1].sum(0, keepdim=True)
            delta = delta + 10 * self.budget.eps * gradient / gradient.norm().clamp_min(1e-30)
            delta = self.budget.project(delta, delta)
        self.delta = delta
        return delta.expand_as(y)


class PerSampleAscent:
    """A δ for every x, by the ascent that robustness is measured with.

    It has to be good, as f resists what is found and nothing else: an ascent that misses 2 in 1000 of the worst
    increase leaves gains 2 to 3 % too high (DCT sub-matrix of the tests). The error has hills on both sides wherever f
    inverts nearly exactly, hence two starts: −y, near most summits, and the gradient at δ = 0, which has the signs
    of the highest.
    """

    def __init__(self, budget: L2Ball) -> None:
        self.ascent = ProjectedGradientAscent(budget, steps=20, restarts=1, step=10.0)

    def __call__(self, f: LinearReconstructor, y: Tensor, x: Tensor) -> Tensor:
        gradient = error_and_gradient(f, y, x, torch.zeros_like(y))[1]
        uphill = self.ascent.budget.rescale(gradient, y)
        one, other = (self.ascent(f, y, x, start=start) for start in (-y, uphill))
        higher = squared_error(f, y + other, x) > squared_error(f, y + one, x)
        return torch.where(per_sample(higher), other, one)


def train_shared(
    A: DenseOperator, eps: float, weight: float, *, steps: int, batch_size: int, seed: int
) -> LinearRun:
    """min_B max_δ E ‖BAx − x‖² + λ ‖B(Ax + δ) − x‖² with one δ, ‖δ‖ ≤ eps, against `minmax_filter`."""
    predicted = minmax_filter(A.singular_values.numpy(), eps, weight)
    return _train(A, SharedAscent(_ball(eps)), predicted, eps, weight, steps, batch_size, seed)


def train_per_sample(
    A: DenseOperator, eps: float, weight: float, *, steps: int, batch_size: int, seed: int
) -> LinearRun:
    """The same with a δ for every x, ‖δ‖ ≤ eps, against `per_sample_filter` for Gaussian x."""
    S = A.singular_values.numpy()
    law = gaussian_coefficients(len(S), SAMPLES_OF_LAW, seed)
    predicted = per_sample_filter(S, eps, weight, law).gains
    return _train(A, PerSampleAscent(_ball(eps)), predicted, eps, weight, steps, batch_size, seed)


def _train(
    A: DenseOperator,
    adversary: Adversary,
    predicted: Array,
    eps: float,
    weight: float,
    steps: int,
    batch_size: int,
    seed: int,
) -> LinearRun:
    f, (U, S, Vh) = LinearReconstructor(A), A.svd
    target, seen = torch.from_numpy(reconstruction_matrix(U, predicted, Vh)), U[:, : A.rank]
    steepest = float(2 * (1 + weight) * S[0] ** 2 + 2 * weight * eps**2)
    optimizer = torch.optim.SGD(f.parameters(), lr=1 / steepest)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: (1 + done / FALL_FROM) ** -0.5)
    generator = torch.Generator().manual_seed(derive_seed(seed, "linear training"))
    average, path = f.B.detach().clone(), []
    for step in range(1, steps + 1):
        descend(f, optimizer, balanced_gaussian(batch_size, A.image_shape, generator), adversary, weight)
        falling.step()
        # Polynomial-decay averaging (Shamir and Zhang, ICML 2013): the start is forgotten.
        average.lerp_(f.B.detach(), (1 + LATER_COUNTS_MORE) / (step + LATER_COUNTS_MORE))
        if step % max(steps // POINTS_LOGGED, 1) == 0:
            path.append((step, _distance(average, target, seen), _distance(f.B.detach(), target, seen)))
    taken, distance, iterate = np.array(path).T
    learned = (Vh @ average @ U).diagonal().numpy()
    return LinearRun(taken, distance, iterate, average.numpy(), S.numpy(), learned, predicted)


def descend(
    f: LinearReconstructor, optimizer: torch.optim.Optimizer, x: Tensor, adversary: Adversary, weight: float
) -> float:
    """One step of f down the objective of its batch, δ found beforehand; returns the objective before it."""
    y = f.projector(x)
    delta = adversary(f, y, x)
    clean, attacked = (f(measured) - x for measured in (y, y + delta))
    loss = (clean.square().sum() + weight * attacked.square().sum()) / len(x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def balanced_gaussian(count: int, image_shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(count, 1, H, W) float64, mean 0 and covariance I exactly: whitened Gaussian images and their negatives.

    The objective with one δ knows no more of x than these moments, so a batch gives it without sampling noise.
    Raises ValueError unless count is even and at least twice H·W.
    """
    pixels, half = image_shape[0] * image_shape[1], count // 2
    if count % 2 or half < pixels:
        raise ValueError(
            f"batch_size {count}: give an even number, at least {2 * pixels} for {pixels} pixels"
        )
    Q, R = torch.linalg.qr(torch.randn(half, pixels, generator=generator, dtype=torch.float64))
    images = (Q * R.diagonal().sign() * half**0.5).reshape(half, 1, *image_shape)
    return torch.cat([images, -images])


def _distance(B: Tensor, target: Tensor, seen: Tensor) -> float:
    """‖(B − B*)U‖/‖B*U‖, the columns of U (m, rank) a basis of Range(A)."""
    return float(((B - target) @ seen).norm() / (target @ seen).norm())


def _ball(eps: float) -> L2Ball:
    return L2Ball(eps, relative=False)
