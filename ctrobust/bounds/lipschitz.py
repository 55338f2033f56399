"""An estimate for any f: how fast it changes at y, and what that predicts."""

from torch import Tensor

from ctrobust.bounds.jacobian import Jacobian, Reconstructor
from ctrobust.bounds.norm import OperatorNorm, operator_norm
from ctrobust.threat.ascent import evaluating, exact_arithmetic


def local_lipschitz_estimate(
    f: Reconstructor, y: Tensor, *, tolerance: float = 0.01, steps: int = 60, seed: int = 0
) -> OperatorNorm:
    """‖J‖₂ of J = f′(y), (B,): an ESTIMATE of f's Lipschitz constant near y, not a bound of it.

    At a distance f may be steeper: the constant over a ball is the largest ‖f′‖ in it. `lower` and `upper` enclose
    ‖J‖₂ at y itself, and their distance tells how far Lanczos on JᵀJ (power iteration with memory) has come. Exact,
    and good everywhere, for an affine f. y: (B, 1, views, bins); f is differentiated twice. Raises UserError where f
    gives no gradient.
    """
    with evaluating(f), exact_arithmetic():
        return operator_norm(Jacobian(f, y).gram, y, tolerance=tolerance, steps=steps, seed=seed)


def predicted_error(clean: Tensor, radius: Tensor, lipschitz: Tensor | float) -> Tensor:
    """(√clean + ρ L)²: the largest squared error ρ away, were L the Lipschitz constant; all (B,).

    With L = ‖f′(y)‖ the first-order prediction, an estimate; with a true Lipschitz constant an upper bound.
    """
    return (clean.sqrt() + radius * lipschitz).square()
