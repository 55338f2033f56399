"""G: the network that looks at a measurement and proposes a perturbation of that very measurement."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ctrobust.networks.unet import UNet, group_norm, pad_to_multiple


class SinogramPerturber(nn.Module):
    """y ↦ δ: (B, 1, views, bins) → the same shape, of any size, in the units of y.

    A U-Net on y divided by its root mean square; its output, of order one, is scaled by `scale` times that
    root mean square, so that G(a·y) = a·G(y) and ‖δ‖/‖y‖ starts near `scale`. Group norm: the proposal for a
    sample does not depend on its neighbours in the batch. Whether δ respects a budget is not decided here.

    hints: further sinograms of the same shape that G is shown beside y (B, hints, views, bins), each divided
    by its own root mean square.
    """

    def __init__(
        self, base_channels: int = 16, levels: int = 4, *, scale: float = 0.02, hints: int = 0
    ) -> None:
        super().__init__()
        self.scale, self.hints = scale, hints
        self.unet = UNet(
            1 + hints, 1, base_channels=base_channels, levels=levels, top_convolutions=2, norm=group_norm
        )

    def forward(self, y: Tensor, hints: Tensor | None = None) -> Tensor:
        shown = 0 if hints is None else hints.shape[1]
        if y.ndim != 4 or y.shape[1] != 1 or shown != self.hints:
            raise ValueError(
                f"sinogram of shape {tuple(y.shape)} with {shown} hints: "
                f"give (batch, 1, views, bins) and {self.hints} hints"
            )
        size = _root_mean_square(y)
        seen = y / size
        if hints is not None:
            seen = torch.cat([seen, hints / _root_mean_square(hints)], dim=1)
        padded, inside = pad_to_multiple(seen, self.unet.multiple, "replicate")
        proposal: Tensor = self.unet(padded)[..., inside[0], inside[1]]
        return self.scale * size * proposal.to(y.dtype)


class MeasurementPerturber(nn.Module):
    """y ↦ δ for measurements that have no order, as of a random matrix: (B, C, 1, m) → the same, in the units of y.

        δ = scale · rms(y) · (W₀ h₀ + W h_L + b)
        h₁ = relu(V₁ h₀ + c₁),    h_k = h_{k−1} + relu(V_k norm(h_{k−1}) + c_k)

    Layers that join all numbers, since neighbours mean nothing there: a convolution over y would join what has nothing
    in common. h₀ is all that is seen, y and each hint divided by its root mean square. W₀ and W have full rank, so that
    any δ can be said, all of Range(A) among them.

    numbers: C·m. width, levels: of the hidden layers. hints and scale as above.
    """

    def __init__(
        self, numbers: int, width: int = 512, levels: int = 3, *, scale: float = 0.02, hints: int = 0
    ) -> None:
        super().__init__()
        self.scale, self.hints = scale, hints
        seen = (1 + hints) * numbers
        self.direct = nn.Linear(seen, numbers, bias=False)
        self.enter = nn.Linear(seen, width)
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU()) for _ in range(levels - 1)
        )
        self.last = nn.Linear(width, numbers)

    def forward(self, y: Tensor, hints: Tensor | None = None) -> Tensor:
        size = _size(y)
        seen = (y / size).flatten(1)
        if hints is not None:
            seen = torch.cat([seen, (hints / _size(hints)).flatten(1)], dim=1)
        hidden = nn.functional.relu(self.enter(seen))
        for layer in self.hidden:
            hidden = hidden + layer(hidden)
        proposal: Tensor = self.direct(seen) + self.last(hidden)
        return self.scale * size * proposal.to(y.dtype).reshape(y.shape)


class PerturberPerGroup(nn.Module):
    """One G a group of samples: G_g(y, hints) with the group g of each sample, (B,) integers."""

    def __init__(self, parts: Sequence[SinogramPerturber | MeasurementPerturber]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, y: Tensor, hints: Tensor | None, groups: Tensor) -> Tensor:
        # Every part sees every sample, so that each process has a gradient for each.
        proposals = torch.stack([part(y, hints) for part in self.parts])
        return proposals[groups, torch.arange(len(y), device=y.device)]


def _root_mean_square(sinograms: Tensor) -> Tensor:
    return sinograms.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp_min(1e-12)


def _size(measured: Tensor) -> Tensor:
    """(B, 1, 1, 1) root mean square of a sample, over its channels together."""
    return measured.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
