"""What every back-end of A promises, over both beams, odd, even and non-square sizes and uneven spacings."""

import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.backends import BACKENDS

GEOMETRIES: dict[str, Geometry] = {
    "even": ParallelBeam(16, 8),
    "odd": ParallelBeam(17, 7, pixel_mm=0.7),
    "wide, coarse bins": ParallelBeam((12, 19), 9, pixel_mm=2.5, bin_mm=3.1),
    "tall, fine bins, shifted": ParallelBeam((21, 10), 6, pixel_mm=1.3, bin_mm=0.9, bins=31, bin_shift=0.3),
    "limited angle": ParallelBeam(15, [0.1, 0.35, 0.4, 0.9, 1.3], pixel_mm=0.5),
    "tilted detector": ParallelBeam(14, 5, pixel_mm=0.5, detector_tilt=0.2),
    "one view": ParallelBeam(9, [0.3]),
    "fan": FanBeam(15, 9, source_to_iso_mm=40, iso_to_detector_mm=20),
    "fan, short scan": FanBeam.short_scan(
        (12, 17), 7, source_to_iso_mm=90, iso_to_detector_mm=0, pixel_mm=2.5
    ),
    "fan, shifted, coarse bins": FanBeam(
        (13, 11), [0.2, 1.1, 2.9, 4.0], source_to_iso_mm=30, iso_to_detector_mm=50, bin_mm=4.1, bin_shift=0.3
    ),
    "fan, tilted detector": FanBeam(
        11, [0.1, 2.0], source_to_iso_mm=25, iso_to_detector_mm=9, detector_tilt=-0.15
    ),
}


def trouble(name: str) -> str:
    """Why a back-end cannot be tested on this machine; empty where it can."""
    try:
        Projector(GEOMETRIES["one view"], name)
    except (ImportError, ValueError) as error:
        return str(error)
    return ""


WORKING = [name for name in BACKENDS if not trouble(name)]


# Triton's interpreter takes seconds for what the others do in milliseconds: one geometry of each kind.
INTERPRETED = ("one view", "tilted detector", "fan, tilted detector")
CASES = [(name, kind) for name in WORKING for kind in GEOMETRIES if name != "triton" or kind in INTERPRETED]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}: {case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def backend(case: tuple[str, str]) -> str:
    return case[0]


@pytest.fixture
def geometry(case: tuple[str, str]) -> Geometry:
    return GEOMETRIES[case[1]]


@pytest.fixture
def A(geometry: Geometry, backend: str) -> Projector:
    return Projector(geometry, backend)


def images(A: Projector, count: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 1, *A.geometry.image_shape, generator=generator, dtype=dtype)


def sinograms(A: Projector, count: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, 1, *A.geometry.sinogram_shape, generator=generator, dtype=dtype)


def may_fbp(g: Geometry) -> bool:
    return isinstance(g, ParallelBeam) or not g.detector_tilt


def relative_gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() - other.double()).abs().max() / other.double().abs().max())


@pytest.mark.parametrize("name", list(BACKENDS))
def test_every_backend_is_held_to_this(name: str) -> None:
    if name not in WORKING:
        pytest.skip(f"{name}: {trouble(name)}")


def test_says_what_it_is(A: Projector, backend: str) -> None:
    assert A.backend == backend
    assert A.matched is True


def test_transpose_is_exact(A: Projector) -> None:
    x, y = images(A), sinograms(A)
    forward, back = A(x).double(), A.T(y).double()
    gap = ((forward * y).sum() - (x * back).sum()).abs() / (forward.norm() * y.norm())
    assert gap < 1e-6


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_batch_is_its_slices(A: Projector, count: int) -> None:
    x, y = images(A, count), sinograms(A, count)
    operators = [(x, A), (y, A.T)] + ([(y, A.fbp)] if may_fbp(A.geometry) else [])
    for batch, operator in operators:
        chosen = sorted({0, count - 1})
        alone = torch.cat([operator(batch[i : i + 1]) for i in chosen])
        torch.testing.assert_close(operator(batch)[chosen], alone, rtol=1e-5, atol=1e-5)


def test_slices_do_not_leak_into_one_another(A: Projector) -> None:
    x, y = torch.zeros_like(images(A, 5)), torch.zeros_like(sinograms(A, 5))
    x[2], y[2] = 1, 1
    for result in (A(x), A.T(y)):
        assert result[2].abs().sum() > 0
        assert result[[0, 1, 3, 4]].abs().sum() == 0


def test_an_empty_batch_is_an_empty_batch(A: Projector) -> None:
    assert A(images(A)[:0]).shape == (0, 1, *A.geometry.sinogram_shape)
    assert A.T(sinograms(A)[:0]).shape == (0, 1, *A.geometry.image_shape)


def test_reads_any_memory_layout(A: Projector) -> None:
    x = images(A, 2)
    turned = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert not turned.is_contiguous() or 1 in x.shape[-2:]
    assert torch.equal(A(turned), A(x))
    assert torch.equal(A(x[:1].expand(2, -1, -1, -1)), A(x[[0, 0]]))


def test_agrees_with_astra_called_directly(A: Projector) -> None:
    """Everywhere, the outermost ring of pixels included; ASTRA's own rounding is what is left."""
    astra = pytest.importorskip("astra", reason="astra-toolbox is absent: nothing to compare with")
    g, x = A.geometry, images(A, 1)
    rows, columns = g.image_shape
    half = columns * g.pixel_mm / 2, rows * g.pixel_mm / 2
    volume = astra.create_vol_geom(rows, columns, -half[0], half[0], -half[1], half[1])
    kind, way = ("fanflat_vec", "line_fanflat") if isinstance(g, FanBeam) else ("parallel_vec", "linear")
    projector = astra.create_projector(way, astra.create_proj_geom(kind, g.bins, g.vectors), volume)
    identifier, expected = astra.create_sino(x[0, 0].numpy(), projector)
    astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    assert relative_gap(A(x)[0, 0], torch.from_numpy(expected)) < 2e-5


@pytest.mark.parametrize("which", ["A", "A.T", "A.fbp"])
def test_first_and_second_derivatives(A: Projector, which: str) -> None:
    """The map is linear, so a step of 1 is exact, also through a float32 kernel."""
    if which == "A.fbp" and not may_fbp(A.geometry):
        return
    operator = {"A": A, "A.T": A.T, "A.fbp": A.fbp}[which]
    batch = (images if which == "A" else sinograms)(A, 1, torch.float64).requires_grad_()
    tolerance = {"eps": 1.0, "atol": 1e-3, "rtol": 1e-3, "fast_mode": True}
    assert torch.autograd.gradcheck(operator, batch, **tolerance)
    assert torch.autograd.gradgradcheck(lambda b: operator(b).square().sum(), batch, **tolerance)


def test_equals_its_float64_matrix(A: Projector) -> None:
    twin = Projector(A.geometry, "matrix")
    x, y = images(A), sinograms(A)
    assert relative_gap(A(x), twin(x.double())) < 1e-5
    assert relative_gap(A.T(y), twin.T(y.double())) < 1e-5


def test_float64_is_float64(A: Projector) -> None:
    if A.backend == "astra":  # computes in float32, as its documentation says
        return
    twin = Projector(A.geometry, "matrix")
    x, y = images(A, 2, torch.float64), sinograms(A, 2, torch.float64)
    assert relative_gap(A(x), twin(x)) < 1e-13
    assert relative_gap(A.T(y), twin.T(y)) < 1e-13


def test_keeps_its_precision_in_mixed_precision(A: Projector) -> None:
    x = images(A)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(A(x), Projector(A.geometry, A.backend)(x))
        assert A(x).dtype == torch.float32


# The identities of the physics, on the back-end that `auto` takes; the others equal it, as tested above.

lengths = st.floats(0.2, 5.0)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    shape = draw(st.tuples(st.integers(3, 20), st.integers(3, 20)))
    angles = draw(st.lists(st.floats(-7, 7), min_size=1, max_size=6))
    pixel = draw(lengths)
    rest = {"pixel_mm": pixel, "bin_mm": pixel * draw(lengths), "bin_shift": draw(st.floats(-2, 2))}
    if draw(st.booleans()):
        return ParallelBeam(shape, angles, **rest)
    distance = pixel * draw(st.floats(20, 200))
    return FanBeam(
        shape, angles, source_to_iso_mm=distance, iso_to_detector_mm=draw(st.floats(0, 100)), **rest
    )


@few
@given(geometries(), st.floats(-3, 3), st.floats(-3, 3))
def test_linear(g: Geometry, a: float, b: float) -> None:
    A = Projector(g)
    x, other = images(A, 2, torch.float64).split(1)
    torch.testing.assert_close(A(a * x + b * other), a * A(x) + b * A(other))


@few
@given(geometries())
def test_adjoint_for_any_geometry(g: Geometry) -> None:
    A = Projector(g)
    x, y = images(A, 1, torch.float64), sinograms(A, 1, torch.float64)
    assert abs(float((A(x) * y).sum() - (x * A.T(y)).sum())) <= 1e-12 * float(A(x).norm() * y.norm()) + 1e-12


@few
@given(geometries(), st.floats(0.1, 10))
def test_lengths_scale(g: Geometry, factor: float) -> None:
    """The same scanner in other units: every line integral is as much longer."""
    scaled = {"pixel_mm": g.pixel_mm * factor, "bin_mm": g.bin_mm * factor}
    if isinstance(g, FanBeam):
        scaled["source_to_iso_mm"] = g.source_to_iso_mm * factor
        scaled["iso_to_detector_mm"] = g.iso_to_detector_mm * factor
    A, larger = Projector(g), Projector(g.but(**scaled))
    x = images(A, 1, torch.float64)
    torch.testing.assert_close(larger(x), factor * A(x), rtol=1e-6, atol=1e-6)


@few
@given(geometries(), st.integers(1, 3))
def test_turning_the_object_is_turning_the_scanner(g: Geometry, quarters: int) -> None:
    """Unless a ray runs at 45°, where Joseph's interpolation marches one way or the other."""
    angles = np.asarray(g.angles)
    if np.any(np.abs(np.mod(angles, np.pi / 2) - np.pi / 4) < 1e-3):
        return
    A = Projector(g)
    x = images(A, 1, torch.float64)
    turned = torch.rot90(x, quarters, (-2, -1))
    scanner = Projector(g.but(image_shape=tuple(turned.shape[-2:]), angles=angles + quarters * np.pi / 2))
    torch.testing.assert_close(scanner(turned), A(x), rtol=1e-5, atol=1e-5)


@few
@given(geometries(), st.integers(1, 20))
def test_batch_is_loop(g: Geometry, count: int) -> None:
    A = Projector(g)
    x, y = images(A, count, torch.float64), sinograms(A, count, torch.float64)
    torch.testing.assert_close(A(x), torch.cat([A(each[None]) for each in x]))
    torch.testing.assert_close(A.T(y), torch.cat([A.T(each[None]) for each in y]))


@few
@given(geometries())
def test_every_cpu_backend_is_the_float64_matrix(g: Geometry) -> None:
    twin = Projector(g, "matrix")
    x, y = images(twin, 2), sinograms(twin, 2)
    for name in ("numba", "matrix"):
        A = Projector(g, name)
        assert relative_gap(A(x) + 1, twin(x.double()) + 1) < 1e-5
        assert relative_gap(A.T(y) + 1, twin.T(y.double()) + 1) < 1e-5


def test_the_same_bits_on_any_number_of_threads() -> None:
    A = Projector(ParallelBeam(33, 20))
    x, y, threads = images(A, 5), sinograms(A, 5), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append((A(x), A.T(y)))
    finally:
        torch.set_num_threads(threads)
    for forward, back in results[1:]:
        assert torch.equal(forward, results[0][0])
        assert torch.equal(back, results[0][1])


@pytest.mark.parametrize("shape", [(16, 16), (1, 16, 16), (1, 2, 16, 16), (1, 1, 16, 15)])
@pytest.mark.parametrize("name", WORKING)
def test_refuses_other_shapes(name: str, shape: tuple[int, ...]) -> None:
    A = Projector(ParallelBeam(16, 4), name)
    with pytest.raises(ValueError, match=r"give \(batch, 1, 16, 16\)"):
        A(torch.zeros(shape))


def test_refuses_an_unknown_backend() -> None:
    with pytest.raises(ValueError, match="numba, triton, matrix, astra, astra-cuda or auto"):
        Projector(ParallelBeam(16, 4), "cuda")


def test_the_matrix_is_refused_beyond_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrobust.operators.backends.matrix_budget_bytes", lambda device: 10_000)
    assert Projector(ParallelBeam(4, 4), "matrix").backend == "matrix"
    with pytest.raises(ValueError, match="take backend 'auto'"):
        Projector(ParallelBeam(16, 4), "matrix")


def test_auto_takes_the_next_that_works_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert Projector(ParallelBeam(16, 4)).backend == "numba"
    monkeypatch.setitem(sys.modules, "ctrobust.operators.backends.numba", None)
    with pytest.warns(RuntimeWarning, match=r"^matrix computes A, since numba: .*numba") as given:
        assert Projector(ParallelBeam(16, 4)).backend == "matrix"
    # Of the line that asked for it.
    assert given[0].filename == __file__
    monkeypatch.setattr("ctrobust.operators.backends.matrix_budget_bytes", lambda device: 1000)
    with pytest.warns(RuntimeWarning, match="astra computes A, since numba: .*; matrix: "):
        assert Projector(ParallelBeam(16, 4)).backend == "astra"
