"""GroupNorm on a CPU moves the channels out and back: it is torch's own to rounding, forward and backward."""

import pytest
import torch
from torch import nn

from ctrobust.networks.unet import GroupNorm

ROUNDING = {torch.bfloat16: 0.01, torch.float32: 1e-6, torch.float64: 1e-14}


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_torch_s_own(layout: torch.memory_format, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    image = (3 + 2 * torch.randn(4, 16, 9, 7, generator=generator)).to(dtype)
    own, theirs = GroupNorm(8, 16), nn.GroupNorm(8, 16)
    with torch.no_grad():
        own.weight.copy_(torch.rand(16, generator=generator))
        own.bias.copy_(torch.rand(16, generator=generator))
    theirs.load_state_dict(own.state_dict())
    if dtype == torch.float64:
        own.double()
    towards = torch.randn(4, 16, 9, 7, generator=generator, dtype=torch.float64)
    results = []
    for norm, x in ((own, image), (theirs.double(), image.double())):
        x = x.to(memory_format=layout).detach().requires_grad_()
        found = norm(x)
        assert found.dtype == x.dtype
        (found.double() * towards).sum().backward()
        results.append([each.double() for each in (found, x.grad, norm.weight.grad, norm.bias.grad)])
    for one, other in zip(*results, strict=True):
        assert (one - other).norm() < ROUNDING[dtype] * other.norm()


def test_the_channels_stay_innermost_for_the_next_convolution() -> None:
    image = torch.randn(2, 8, 5, 6).to(memory_format=torch.channels_last)
    assert GroupNorm(8, 8)(image).is_contiguous(memory_format=torch.channels_last)
