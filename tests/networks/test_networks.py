"""f as published, G of any size and any scale."""

import pytest
import torch
from torch import nn

from ctrobust.core.errors import UserError
from ctrobust.networks import FBPConvNet, SinogramPerturber
from ctrobust.networks.checkpoint import load_checkpoint, save_checkpoint


def test_fbpconvnet_is_the_published_one() -> None:
    f = FBPConvNet()
    convolutions = [m for m in f.modules() if isinstance(m, nn.Conv2d)]
    ups = [m for m in f.modules() if isinstance(m, nn.ConvTranspose2d)]
    encoder = [
        (1, 64),
        (64, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 512),
        (512, 512),
    ]
    encoder += [(512, 1024), (1024, 1024)]
    decoder = [(128, 64), (64, 64), (256, 128), (128, 128), (512, 256), (256, 256), (1024, 512), (512, 512)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [*encoder, *decoder, (64, 1)]
    assert {c.kernel_size for c in convolutions[:-1]} == {(3, 3)}
    assert convolutions[-1].kernel_size == (1, 1)
    assert [(u.in_channels, u.out_channels) for u in ups] == [(128, 64), (256, 128), (512, 256), (1024, 512)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in f.modules()) == len(convolutions) - 1 + len(ups)


def test_fbpconvnet_adds_its_input() -> None:
    f = FBPConvNet(4, 3).eval()
    nn.init.zeros_(f.unet.last.weight)
    nn.init.zeros_(f.unet.last.bias)
    image = torch.randn(2, 1, 20, 20)
    torch.testing.assert_close(f(image), image)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (16, 40), (33, 18)])
def test_fbpconvnet_takes_any_size_from_16(size: tuple[int, int]) -> None:
    f = FBPConvNet(4).eval()
    image = torch.randn(1, 1, *size, requires_grad=True)
    assert f(image).shape == image.shape
    f(image).sum().backward()
    assert torch.isfinite(image.grad).all()


@pytest.mark.parametrize("shape", [(1, 1, 15, 16), (1, 2, 16, 16), (16, 16)])
def test_fbpconvnet_refuses_what_it_cannot_take(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="fewer levels"):
        FBPConvNet(4)(torch.zeros(shape))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (36, 182), (7, 64)])
def test_perturber_takes_any_size(size: tuple[int, int]) -> None:
    G = SinogramPerturber(8, 4)
    y = torch.randn(2, 1, *size)
    assert G(y).shape == y.shape


def test_perturber_is_homogeneous_and_starts_near_its_scale() -> None:
    torch.manual_seed(0)
    G = SinogramPerturber(8, 3, scale=0.02)
    y = 100 * torch.rand(3, 1, 12, 30)
    torch.testing.assert_close(G(7 * y), 7 * G(y), rtol=1e-4, atol=1e-4)
    ratio = G(y).norm() / y.norm()
    assert 0.001 < ratio < 0.1


def test_perturber_looks_at_one_sample_at_a_time() -> None:
    G = SinogramPerturber(8, 3)
    y = torch.randn(3, 1, 12, 30)
    torch.testing.assert_close(G(y)[1:2], G(y[1:2]), rtol=1e-4, atol=1e-6)


def test_perturber_wants_the_hints_it_was_made_for() -> None:
    G = SinogramPerturber(8, 2, hints=1)
    y = torch.randn(1, 1, 12, 30)
    assert G(y, y).shape == y.shape
    with pytest.raises(ValueError, match="1 hints"):
        G(y)


def test_a_checkpoint_comes_back(tmp_path) -> None:
    content = {"step": 3, "network": FBPConvNet(2, 2).state_dict()}
    save_checkpoint(tmp_path / "last", content)
    found = load_checkpoint(tmp_path / "last")
    assert found["step"] == 3
    assert all(torch.equal(found["network"][name], value) for name, value in content["network"].items())


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "foreign", "code"])
def test_a_file_that_is_no_checkpoint_of_ours_is_refused(tmp_path, kind: str) -> None:
    path = tmp_path / "last"
    if kind == "text":
        path.write_text("hello")
    elif kind == "cut":
        save_checkpoint(path, {"step": 1, "network": FBPConvNet(2, 2).state_dict()})
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "foreign":
        torch.save({"state_dict": {}}, path)
    elif kind == "code":
        torch.save({"format": pytest.raises}, path)
    with pytest.raises(UserError, match="checkpoint"):
        load_checkpoint(path)
