"""f: a network applied to the filtered back-projection; and the filtered back-projection itself."""

from torch import Tensor, nn

from ctrobust.operators import Projector


class LearnedReconstructor(nn.Module):
    """f(y) = network(FBP(y)): (B, 1, views, bins) → (B, 1, H, W), differentiable."""

    def __init__(self, projector: Projector, network: nn.Module, window: str = "ram-lak") -> None:
        super().__init__()
        self.projector, self.network, self.window = projector, network, window

    def forward(self, y: Tensor) -> Tensor:
        image: Tensor = self.network(self.projector.fbp(y, self.window))
        return image


class FilteredBackProjection:
    """y ↦ FBP(y), linear in y: the control arm. (B, 1, views, bins) → (B, 1, H, W)."""

    def __init__(self, projector: Projector, window: str = "ram-lak") -> None:
        self.projector, self.window = projector, window

    def __call__(self, y: Tensor) -> Tensor:
        return self.projector.fbp(y, self.window)
