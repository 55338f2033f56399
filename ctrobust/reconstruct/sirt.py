"""Simultaneous iterative reconstruction (Gregor and Benson, IEEE TMI 2008)."""

import torch
from torch import Tensor

from ctrobust.reconstruct.solution import LinearOperator, Solution, State, iterate, norms, settled


def sirt(
    A: LinearOperator,
    y: Tensor,
    *,
    iterations: int = 200,
    tolerance: float = 1e-4,
    misfit: float = 0.0,
    relaxation: float = 1.0,
    nonnegative: bool = False,
    start: Tensor | None = None,
    progress: bool = False,
) -> Solution:
    """x ← x + λ C Aᵀ R (y − A x), with R and C one over the sums of A's rows and columns.

    It goes to a minimiser of the R-weighted misfit, the nearest to `start` (default 0) in C⁻¹'s norm; stopped early it
    is smoother. Linear in y unless nonnegative, while the number of iterations is the same.

    y            (B, 1, views, bins); A's entries must not be negative, as line integrals are not
    relaxation   λ, 0 < λ < 2
    tolerance    a sample stops when a step moves it by no more than this share of ‖x‖; 0: never
    misfit       … or when ‖A x − y‖ ≤ misfit·‖y‖ (Morozov's rule, where the noise is known); 0: never
    Raises ValueError on settings out of these ranges.
    """
    if not 0 < relaxation < 2:
        raise ValueError(f"relaxation {relaxation!r}: give a number between 0 and 2")
    decide = settled(tolerance, misfit, y)
    with torch.no_grad():
        columns = A.T(torch.ones_like(y[:1]))
        rows = A(torch.ones_like(columns))
    # What no ray meets, and a ray that meets nothing, stays as it is.
    C, R = (torch.where(sums > 0, 1 / sums, 0) for sums in (columns, rows))

    def advance(state: State) -> State:
        x, residual = state
        x = x + relaxation * C * A.T(R * residual)
        x = x.clamp_min(0) if nonnegative else x
        return x, y - A(x)

    x = torch.zeros_like(C).expand(len(y), *C.shape[1:]) if start is None else start
    _, solution = iterate(
        (x, y - A(x)),
        advance,
        lambda state: norms(state[1]),
        lambda before, after: decide(before, after, norms(after[1])),
        iterations=iterations,
        label="SIRT",
        progress=progress,
    )
    return solution
