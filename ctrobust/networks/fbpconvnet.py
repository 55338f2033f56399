"""FBPConvNet: the U-Net that cleans an FBP image (Jin, McCann, Froustey, Unser, IEEE TIP 26(9), 2017)."""

from torch import Tensor, nn

from ctrobust.networks.unet import Norm, UNet, group_norm, pad_to_multiple


class FBPConvNet(nn.Module):
    """image ↦ image + U-Net(image): (B, C, H, W) → (B, C, H, W) in the units of the input; C: `channels`.

    As in the released code: 3×3 convolution + batch norm + ReLU; 64-128-256-512-1024 channels on five levels
    (`base_channels` and `levels` change that); three convolutions at the top of the encoder, two elsewhere;
    2×2 max-pooling; up by 3×3 transposed convolution + batch norm + ReLU; skips by concatenation; a last 1×1
    convolution without batch norm; the input added to the output.

    norm: "batch" as published, or "group", which makes f(y) of a slice independent of its batch also in training.
    Any H, W ≥ 2^(levels − 1): padded by reflection, cropped back. Raises ValueError on smaller images.
    """

    def __init__(
        self, base_channels: int = 64, levels: int = 5, norm: str = "batch", *, channels: int = 1
    ) -> None:
        super().__init__()
        layers: dict[str, Norm] = {"batch": nn.BatchNorm2d, "group": group_norm}
        self.channels = channels
        self.unet = UNet(
            channels,
            channels,
            base_channels=base_channels,
            levels=levels,
            top_convolutions=3,
            norm=layers[norm],
        )

    def forward(self, image: Tensor) -> Tensor:
        smallest = self.unet.multiple
        if image.ndim != 4 or image.shape[1] != self.channels or min(image.shape[-2:]) < smallest:
            raise ValueError(
                f"image of shape {tuple(image.shape)}: give (batch, {self.channels}, H, W) with H, W ≥ {smallest}, "
                "or a network of fewer levels"
            )
        padded, inside = pad_to_multiple(image, smallest, "reflect")
        correction: Tensor = self.unet(padded)[..., inside[0], inside[1]]
        return image + correction
