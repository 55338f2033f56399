"""GroupNorm in bfloat16 on a CPU goes another way than torch's: the same to rounding, forward and backward."""

import pytest
import torch
from torch import nn

from ctrobust.networks.unet import GroupNorm


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_torch_s_own_to_bfloat16(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    image = (3 + 2 * torch.randn(4, 16, 9, 7, generator=generator)).to(torch.bfloat16)
    own, theirs = GroupNorm(8, 16), nn.GroupNorm(8, 16)
    with torch.no_grad():
        own.weight.copy_(torch.rand(16, generator=generator))
        own.bias.copy_(torch.rand(16, generator=generator))
    theirs.load_state_dict(own.state_dict())
    towards = torch.randn(4, 16, 9, 7, generator=generator)
    results = []
    for norm, x in ((own, image), (theirs, image.float())):
        x = x.to(memory_format=layout).detach().requires_grad_()
        found = norm(x)
        assert found.dtype == x.dtype
        (found.float() * towards).sum().backward()
        results.append((found.float(), x.grad.float(), norm.weight.grad, norm.bias.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.03)
