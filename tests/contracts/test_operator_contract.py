"""What every back-end of A promises, over odd, even and non-square sizes and spacings that differ from 1."""

import astra
import numpy as np
import pytest
import torch

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.backends import BACKENDS

GEOMETRIES = {
    "even": ParallelBeam(16, 8),
    "odd": ParallelBeam(17, 7, pixel_mm=0.7),
    "wide, coarse bins": ParallelBeam((12, 19), 9, pixel_mm=2.5, bin_mm=3.1),
    "tall, fine bins": ParallelBeam((21, 10), 6, pixel_mm=1.3, bin_mm=0.9, bins=31),
    "limited angle": ParallelBeam(15, [0.1, 0.35, 0.4, 0.9, 1.3], pixel_mm=0.5),
    "one view": ParallelBeam(9, [0.3]),
}


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(GEOMETRIES.values()), ids=list(GEOMETRIES))
def geometry(request: pytest.FixtureRequest) -> ParallelBeam:
    return request.param


@pytest.fixture
def A(geometry: ParallelBeam, backend: str) -> Projector:
    return Projector(geometry, backend)


def images(A: Projector, count: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 1, *A.geometry.image_shape, generator=generator, dtype=dtype)


def sinograms(A: Projector, count: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, 1, *A.geometry.sinogram_shape, generator=generator, dtype=dtype)


def test_says_what_it_is(A: Projector, backend: str) -> None:
    assert A.backend == backend
    assert A.matched is True


def test_transpose_is_exact(A: Projector) -> None:
    x, y = images(A), sinograms(A)
    forward, back = A(x).double(), A.T(y).double()
    gap = ((forward * y).sum() - (x * back).sum()).abs() / (forward.norm() * y.norm())
    assert gap < 1e-6


def test_a_batch_is_its_slices(A: Projector) -> None:
    x, y = images(A), sinograms(A)
    for batch, operator in ((x, A), (y, A.T), (y, A.fbp)):
        alone = torch.cat([operator(each[None]) for each in batch])
        torch.testing.assert_close(operator(batch), alone, rtol=1e-5, atol=1e-5)


def test_linear(A: Projector) -> None:
    x, other = images(A), images(A).flip(0)
    torch.testing.assert_close(A(2 * x - 3 * other), 2 * A(x) - 3 * A(other), rtol=1e-4, atol=1e-4)


def test_agrees_with_astra_called_directly(A: Projector) -> None:
    """Away from the outermost ring of pixels, as the issue asks; here the ring is zero."""
    g, x = A.geometry, images(A, 1)
    x[..., 0, :] = x[..., -1, :] = x[..., :, 0] = x[..., :, -1] = 0
    rows, columns = g.image_shape
    half = columns * g.pixel_mm / 2, rows * g.pixel_mm / 2
    volume = astra.create_vol_geom(rows, columns, -half[0], half[0], -half[1], half[1])
    projection = astra.create_proj_geom("parallel", g.bin_mm, g.bins, np.asarray(g.angles))
    projector = astra.create_projector("linear", projection, volume)
    identifier, expected = astra.create_sino(x[0, 0].numpy(), projector)
    astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(A(x)[0, 0].numpy() / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("which", ["A", "A.T", "A.fbp"])
def test_first_and_second_derivatives(A: Projector, which: str) -> None:
    """The map is linear, so a step of 1 is exact, also through a float32 kernel."""
    operator = {"A": A, "A.T": A.T, "A.fbp": A.fbp}[which]
    batch = (images if which == "A" else sinograms)(A, 1, torch.float64).requires_grad_()
    tolerance = {"eps": 1.0, "atol": 1e-3, "rtol": 1e-3}
    assert torch.autograd.gradcheck(operator, batch, **tolerance)
    assert torch.autograd.gradgradcheck(lambda b: operator(b).square().sum(), batch, **tolerance)


def test_equals_its_float64_matrix(A: Projector) -> None:
    twin = Projector(A.geometry, "matrix")
    x = images(A)
    torch.testing.assert_close(A(x).double(), twin(x.double()), rtol=1e-4, atol=1e-4)


def test_keeps_its_precision_in_mixed_precision(A: Projector) -> None:
    x = images(A)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(A(x), Projector(A.geometry, A.backend)(x))
        assert A(x).dtype == torch.float32


@pytest.mark.parametrize("shape", [(16, 16), (1, 16, 16), (1, 2, 16, 16), (1, 1, 16, 15)])
def test_refuses_other_shapes(backend: str, shape: tuple[int, ...]) -> None:
    A = Projector(ParallelBeam(16, 4), backend)
    with pytest.raises(ValueError, match=r"give \(batch, 1, 16, 16\)"):
        A(torch.zeros(shape))


def test_refuses_an_unknown_backend() -> None:
    with pytest.raises(ValueError, match="matrix, astra or auto"):
        Projector(ParallelBeam(16, 4), "cuda")


def test_auto_leaves_the_matrix_when_it_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Projector(ParallelBeam(16, 4)).backend == "matrix"
    monkeypatch.setattr("ctrobust.operators.projector.MATRIX_BUDGET_BYTES", 1000)
    assert Projector(ParallelBeam(16, 4)).backend == "astra"
