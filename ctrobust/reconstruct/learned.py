"""f: a network applied to a first image of y; and the first images themselves."""

from torch import Tensor, nn

from ctrobust.operators import Projector
from ctrobust.operators.dense import DenseOperator

Operator = Projector | DenseOperator


def first_image(A: Operator, y: Tensor, window: str, start: str) -> Tensor:
    """FBP(y) by its window of a scanner; of a matrix A⁺y (start pinv) or Aᵀy (transpose). Linear in y."""
    if isinstance(A, Projector):
        return A.fbp(y, window)
    return A.pinv(y) if start == "pinv" else A.T(y)


class LearnedReconstructor(nn.Module):
    """f(y) = network(first image of y): (B, C, views, bins) → (B, C, H, W), differentiable."""

    def __init__(
        self, projector: Operator, network: nn.Module, window: str = "ram-lak", start: str = "pinv"
    ) -> None:
        super().__init__()
        self.projector, self.network, self.window, self.start = projector, network, window, start

    def forward(self, y: Tensor) -> Tensor:
        image: Tensor = self.network(first_image(self.projector, y, self.window, self.start))
        return image


class FilteredBackProjection:
    """y ↦ FBP(y), of a matrix A⁺y; linear in y: the control arm. (B, C, views, bins) → (B, C, H, W)."""

    def __init__(self, projector: Operator, window: str = "ram-lak") -> None:
        self.projector, self.window = projector, window

    def __call__(self, y: Tensor) -> Tensor:
        return first_image(self.projector, y, self.window, "pinv")
