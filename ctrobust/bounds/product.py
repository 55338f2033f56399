"""A Lipschitz constant of FBPConvNet ∘ FBP for all y: the product of the norms of its layers."""

import math

import torch
from torch import Tensor, nn

from ctrobust.bounds.jacobian import Jacobian
from ctrobust.bounds.norm import operator_norm
from ctrobust.core.errors import UserError
from ctrobust.networks import FBPConvNet
from ctrobust.networks.unet import pad_to_multiple
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.learned import first_image

GRID = 16
"""Frequencies per axis at which a convolution is looked at."""
IMAGE_TOP = 4.071
"""3071 HU, the most that 12 bits of a scanner hold, in the units of x."""


def product_bound(f: LearnedReconstructor, y: Tensor) -> float:
    """L with ‖f(y) − f(y′)‖ ≤ L‖y − y′‖ for all y and y′ of this shape: ‖FBP‖ · `network_lipschitz`.

    ‖FBP‖ from above as in `operator_norm`. Raises UserError where f's network is none that this can read.
    """
    if not isinstance(f, LearnedReconstructor) or not isinstance(f.network, FBPConvNet):
        raise UserError("product bound: only for an FBPConvNet on an FBP, layer by layer")
    network = network_lipschitz(f.network, f.projector.image_shape)
    first = torch.zeros_like(y[:1])
    J = Jacobian(lambda y: first_image(f.projector, y, f.window, f.start), first)
    return network * float(operator_norm(J.gram, first).upper[0])


def network_lipschitz(network: FBPConvNet, image_shape: tuple[int, int]) -> float:
    """A Lipschitz constant of an FBPConvNet in eval mode, from its layers.

    Convolutions with their batch norm by `convolution_norm`; ReLU and 2×2 max-pooling 1; a skip by
    ‖[a; b]‖ ≤ √(a² + b²), the residual by 1 + L. Raises UserError for group norm: what it divides by depends on the
    image, and may be as small as its eps.
    """
    unet, skips, bound = network.unet, [], _padding_norm(image_shape, network.unet.multiple)
    for convolve in unet.down:
        bound *= _block_norm(convolve)
        skips.append(bound)
    for up, merge, skip in zip(reversed(unet.up), reversed(unet.merge), reversed(skips[:-1]), strict=True):
        bound = _block_norm(merge) * math.hypot(skip, _block_norm(up) * bound)
    return 1 + bound * _block_norm(nn.Sequential(unet.last))


def _padding_norm(image_shape: tuple[int, int], multiple: int) -> float:
    """Exact: PᵀP counts how often each pixel is used."""
    J = Jacobian(lambda x: pad_to_multiple(x, multiple, "reflect")[0] * 1.0, torch.zeros(1, 1, *image_shape))
    return math.sqrt(float(J.T(torch.ones_like(J.image)).max()))


def _block_norm(block: nn.Module) -> float:
    product, scale = 1.0, torch.ones(1)
    for layer in reversed(list(block.children())):
        if isinstance(layer, nn.BatchNorm2d) and layer.running_var is not None:
            scale = layer.weight / (layer.running_var + layer.eps).sqrt()
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            product, scale = product * convolution_norm(layer, scale), torch.ones(1)
        elif not isinstance(layer, nn.ReLU):
            raise UserError(
                f"product bound: no Lipschitz constant is known for {type(layer).__name__}, whose divisor depends on "
                "the image; train with network.norm batch, or use the local estimate"
            )
    return product


def convolution_norm(layer: nn.Conv2d | nn.ConvTranspose2d, scale: Tensor) -> float:
    """An upper bound of ‖diag(scale)·layer‖₂ that holds for every image size, with zeros around the image.

    With zeros around it a convolution is a part of that on the endless grid, whose norm is the largest singular value
    σ(ω) of its symbol, a trigonometric polynomial of degree d = (taps − 1)/2 per axis. On N × N periodic images the
    norm, from above by `operator_norm`, is the largest at N frequencies per axis; and between those, by M. Riesz,

        max σ ≤ max over the grid of σ / cos(πd/N)²        taps = ⌈kernel/stride⌉

    scale: per output channel. A transposed convolution is taken as the transpose that it is.
    """
    turned, weight = isinstance(layer, nn.ConvTranspose2d), layer.weight.detach()
    weight = weight * scale.detach().to(weight).reshape(1, -1, 1, 1).transpose(0, 0 if turned else 1)
    stride, kernel = int(layer.stride[0]), weight.shape[-1]

    def convolve(image: Tensor) -> Tensor:
        around = nn.functional.pad(image, (0, kernel - 1, 0, kernel - 1), mode="circular")
        return nn.functional.conv2d(around, weight, stride=stride)

    image = torch.zeros(1, weight.shape[1], stride * GRID, stride * GRID).to(weight)
    norm = operator_norm(Jacobian(convolve, image).gram, image, tolerance=0.02, steps=60)
    degree = (math.ceil(kernel / stride) - 1) / 2
    return float(norm.upper) / math.cos(math.pi * degree / GRID) ** 2


def trivial_error(x: Tensor) -> Tensor:
    """(B,) the largest ‖x̂ − x‖² of any x̂ in [0, 4.071] (−1000 to 3071 HU): what clamping f's image would promise."""
    return torch.maximum(x, IMAGE_TOP - x).double().square().flatten(1).sum(1)
