"""The U-Net that f and G share: an encoder, a decoder, skips by concatenation."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class UNet(nn.Module):
    """(B, in_channels, H, W) → (B, out_channels, H, W); H and W multiples of `UNet.multiple`.

    Channels double and the size halves (2×2 max-pooling) from level to level; up by a 3×3 transposed
    convolution; every convolution but the last 1×1 is followed by `norm` and a ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int,
        levels: int,
        top_convolutions: int,
        norm: Norm,
    ) -> None:
        super().__init__()
        if base_channels < 1 or levels < 1:
            raise ValueError(f"base_channels {base_channels}, levels {levels}: both must be at least 1")
        widths = [base_channels << level for level in range(levels)]
        self.multiple = 1 << (levels - 1)
        self.down = nn.ModuleList(
            _convolutions(before, width, 2 if level else top_convolutions, norm)
            for level, (before, width) in enumerate(zip([in_channels, *widths], widths, strict=False))
        )
        self.up = nn.ModuleList(_upsample(2 * width, width, norm) for width in widths[:-1])
        self.merge = nn.ModuleList(_convolutions(2 * width, width, 2, norm) for width in widths[:-1])
        self.last = nn.Conv2d(base_channels, out_channels, 1)
        # Convolutions on a CPU and on tensor cores are a quarter to a third faster with channels innermost.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, convolve in enumerate(self.down):
            if level:
                image = nn.functional.max_pool2d(image, 2)
            image = convolve(image)
            skips.append(image)
        for up, merge, skip in zip(
            reversed(self.up), reversed(self.merge), reversed(skips[:-1]), strict=True
        ):
            image = merge(torch.cat([skip, up(image)], dim=1))
        result: Tensor = self.last(image)
        return result


def group_norm(width: int) -> nn.Module:
    """`GroupNorm` of up to eight groups: a sample does not depend on its neighbours in the batch."""
    groups = next(count for count in (8, 4, 2, 1) if width % count == 0)
    return GroupNorm(groups, width)


class GroupNorm(nn.GroupNorm):
    """torch's own, which on a CPU takes G twice as long with channels innermost: they go outermost and back."""

    def forward(self, image: Tensor) -> Tensor:
        if image.device.type != "cpu":
            return super().forward(image)
        return super().forward(image.contiguous()).contiguous(memory_format=torch.channels_last)


def pad_to_multiple(image: Tensor, multiple: int, mode: str) -> tuple[Tensor, tuple[slice, slice]]:
    """Pad (B, C, H, W) evenly up to multiples; also return where the original lies."""
    height, width = image.shape[-2:]
    short_rows, short_columns = -height % multiple, -width % multiple
    top, left = short_rows // 2, short_columns // 2
    inside = slice(top, top + height), slice(left, left + width)
    if not short_rows and not short_columns:
        return image, inside
    padding = (left, short_columns - left, top, short_rows - top)
    return nn.functional.pad(image, padding, mode=mode), inside


def _convolutions(before: int, width: int, count: int, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [
            nn.Conv2d(width if index else before, width, 3, padding=1),
            norm(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _upsample(before: int, width: int, norm: Norm) -> nn.Sequential:
    enlarge = nn.ConvTranspose2d(before, width, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(enlarge, norm(width), nn.ReLU(inplace=True))
