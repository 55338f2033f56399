"""What f descends and G ascends, as pure functions of one batch. Errors are summed over the pixels of a slice."""

from torch import Tensor

from ctrobust.threat.budget import L2Ball


def squared_errors(estimate: Tensor, x: Tensor) -> Tensor:
    """(B,) ‖x̂ᵢ − xᵢ‖₂²"""
    return (estimate - x).square().flatten(1).sum(1)


def hinges(delta: Tensor, y: Tensor, budget: L2Ball) -> Tensor:
    """(B,) max{0, ‖δᵢ‖²/‖yᵢ‖² − ε²}: per sample and relative, so that it bounds every sample at any size.

    In an absolute ball max{0, ‖δᵢ‖² − ε²}.
    """
    return (budget.size(delta, y).square() - budget.eps**2).clamp_min(0)
