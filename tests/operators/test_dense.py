"""Dense operators: A, Aᵀ and A⁺ held to numpy, and the spectrum that each constructor promises."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct, dctn

from ctrobust.operators import sensing
from ctrobust.operators.dense import DenseOperator

SHAPE = (4, 5)

OPERATORS: dict[str, Callable[[], DenseOperator]] = {
    "wide gaussian": lambda: sensing.gaussian(9, SHAPE, 0),
    "tall gaussian": lambda: sensing.gaussian(31, SHAPE, 0),
    "one measurement": lambda: sensing.gaussian(1, SHAPE, 0),
    "dct": lambda: sensing.dct(11, SHAPE),
    "dct submatrix": lambda: sensing.dct_submatrix(8, SHAPE, 30, seed=0),
    "deficient": lambda: sensing.prescribed_spectrum([3.0, 0.0, 1.0, 0.1, 0.0], SHAPE, 0),
}


@pytest.fixture(params=list(OPERATORS))
def A(request: pytest.FixtureRequest) -> DenseOperator:
    return OPERATORS[request.param]()


def draw(shape: tuple[int, int], channels: int = 2, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, channels, *shape, generator=generator, dtype=dtype)


def as_matrix(function: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, int]) -> np.ndarray:
    """The matrix of a linear map, by its columns."""
    size = math.prod(shape)
    return function(torch.eye(size, dtype=torch.float64).reshape(size, 1, *shape)).reshape(size, -1).T.numpy()


def test_says_what_it_is(A: DenseOperator) -> None:
    assert A.backend == "dense"
    assert A.matched is True
    assert A.image_shape == SHAPE
    assert A.sinogram_shape == (1, len(A.matrix))
    assert A.device == torch.device("cpu")
    assert A.matrix.dtype == A.singular_values.dtype == torch.float64


def test_is_its_matrix(A: DenseOperator) -> None:
    np.testing.assert_allclose(as_matrix(A, A.image_shape), A.matrix.numpy(), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("dtype", "gap"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_transpose_is_exact(A: DenseOperator, dtype: torch.dtype, gap: float) -> None:
    x, y = draw(A.image_shape, dtype=dtype), draw(A.sinogram_shape, dtype=dtype).flip(0)
    forward, back = A(x), A.T(y)
    assert forward.dtype == back.dtype == dtype
    difference = (forward.double() * y).sum() - (x.double() * back).sum()
    assert abs(difference) < gap * forward.norm() * y.norm()


def test_pinv_is_moore_and_penroses(A: DenseOperator) -> None:
    M, P = A.matrix.numpy(), as_matrix(A.pinv, A.sinogram_shape)
    for left, right in ((M @ P @ M, M), (P @ M @ P, P), (M @ P, (M @ P).T), (P @ M, (P @ M).T)):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-11 * np.abs(right).max() + 1e-12)


def test_pinv_is_least_squares_of_least_norm(A: DenseOperator) -> None:
    y = draw(A.sinogram_shape)
    expected = np.linalg.lstsq(A.matrix.numpy(), y.reshape(-1, len(A.matrix)).T.numpy(), rcond=None)[0].T
    np.testing.assert_allclose(A.pinv(y).reshape(expected.shape).numpy(), expected, rtol=1e-9, atol=1e-10)


def test_pinv_leaves_out_what_rcond_says() -> None:
    A = sensing.prescribed_spectrum([4.0, 2.0, 1.0, 1e-3], SHAPE, 0)
    for rcond, kept in ((1e-5, 4), (0.1, 3), (0.3, 2), (0.6, 1)):
        P = as_matrix(lambda y, rcond=rcond: A.pinv(y, rcond), A.sinogram_shape)
        np.testing.assert_allclose(P, np.linalg.pinv(A.matrix.numpy(), rcond), rtol=0, atol=1e-9)
        assert np.linalg.matrix_rank(P) == kept


@pytest.mark.parametrize("which", ["A", "A.T", "A.pinv"])
def test_first_and_second_derivatives(A: DenseOperator, which: str) -> None:
    function = {"A": A, "A.T": A.T, "A.pinv": A.pinv}[which]
    batch = draw(A.image_shape if which == "A" else A.sinogram_shape)[:1].requires_grad_()
    assert torch.autograd.gradcheck(function, batch)
    assert torch.autograd.gradgradcheck(lambda b: function(b).pow(3).sum(), batch)


@pytest.mark.parametrize("which", ["A", "A.T", "A.pinv"])
def test_keeps_its_precision_in_mixed_precision(A: DenseOperator, which: str) -> None:
    """Of values and of gradients, even of those taken inside autocast."""
    function = {"A": A, "A.T": A.T, "A.pinv": A.pinv}[which]
    batch = draw(A.image_shape if which == "A" else A.sinogram_shape, dtype=torch.float32).requires_grad_()

    def value_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        value = function(batch)
        return value, torch.autograd.grad(value.square().sum(), batch)[0]

    with torch.autocast("cpu", torch.bfloat16):
        inside = value_and_gradient()
    assert all(each.dtype == torch.float32 for each in inside)
    assert all(map(torch.equal, inside, value_and_gradient()))
    with torch.autocast("cpu", torch.bfloat16):
        assert function(batch.detach().bfloat16()).dtype == torch.float32


def test_float32_is_float64_rounded(A: DenseOperator) -> None:
    for function, shape in ((A, A.image_shape), (A.T, A.sinogram_shape), (A.pinv, A.sinogram_shape)):
        exact = function(draw(shape))
        rounded = function(draw(shape).float())
        assert rounded.dtype == torch.float32
        assert (rounded - exact).norm() < 1e-6 * A.condition_number * exact.norm()


@pytest.mark.parametrize("which", ["A", "A.T", "A.pinv"])
def test_channels_and_slices_are_alone(A: DenseOperator, which: str) -> None:
    function = {"A": A, "A.T": A.T, "A.pinv": A.pinv}[which]
    batch = draw(A.image_shape if which == "A" else A.sinogram_shape, channels=3)
    together = function(batch)
    assert together.shape[:2] == (3, 3)
    for sample in range(3):
        for channel in range(3):
            alone = function(batch[sample : sample + 1, channel : channel + 1])[0, 0]
            torch.testing.assert_close(together[sample, channel], alone, rtol=1e-12, atol=1e-12)
    assert function(batch[:0]).shape == (0, *together.shape[1:])


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(sorted(OPERATORS)),
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.integers(0, 2**31),
)
def test_linear(name: str, a: float, b: float, seed: int) -> None:
    A = OPERATORS[name]()
    generator = torch.Generator().manual_seed(seed)
    for function, shape in ((A, A.image_shape), (A.T, A.sinogram_shape), (A.pinv, A.sinogram_shape)):
        one, two = torch.randn(2, 2, 1, *shape, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(
            function(a * one + b * two), a * function(one) + b * function(two), rtol=1e-10, atol=1e-9
        )


def test_spectrum_rank_and_condition_are_numpys(A: DenseOperator) -> None:
    M = A.matrix.numpy()
    s = np.linalg.svd(M, compute_uv=False)
    np.testing.assert_allclose(A.singular_values.numpy(), s, rtol=0, atol=1e-14 * s[0])
    assert A.rank == np.linalg.matrix_rank(M)
    assert A.condition_number == pytest.approx(s[0] / s[A.rank - 1], rel=1e-9)
    if A.rank == min(M.shape):
        assert A.condition_number == pytest.approx(np.linalg.cond(M), rel=1e-9)
    U, S, Vh = A.svd
    torch.testing.assert_close(U * S @ Vh, A.matrix, rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20), st.integers(-5, 2**40))
def test_a_prescribed_spectrum_is_had(values: list[float], seed: int) -> None:
    A = sensing.prescribed_spectrum(values, SHAPE, seed)
    expected = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    torch.testing.assert_close(A.singular_values, expected, rtol=0, atol=1e-12 * max(values))
    assert A.condition_number == pytest.approx(max(values) / min(values), rel=1e-6)


def test_a_prescribed_spectrum_may_hold_zeros() -> None:
    A = OPERATORS["deficient"]()
    assert A.rank == 3
    assert A.condition_number == pytest.approx(30, rel=1e-12)


def test_the_bases_of_a_prescribed_spectrum_are_uniform() -> None:
    """Haar: every entry of U Vᵀ is as often positive as negative; plain QR fixes the sign of some."""
    drawn = [sensing.prescribed_spectrum(np.ones(3), (1, 3), seed).matrix for seed in range(800)]
    mean = torch.stack(drawn).mean(0)
    # The standard deviation of an entry is 1/√3, of its mean over 800 draws .020.
    assert mean.abs().max() < 0.08
    singles = torch.stack([sensing.prescribed_spectrum([1.0], (1, 2), seed).matrix for seed in range(800)])
    assert singles.mean(0).abs().max() < 0.1


def test_gaussian_moments() -> None:
    m, n = 200, 28 * 28
    entries = sensing.gaussian(m, 28, 0).matrix * math.sqrt(m)
    count = m * n
    assert abs(entries.mean()) < 4 / math.sqrt(count)
    assert abs(entries.square().mean() - 1) < 4 * math.sqrt(2 / count)
    assert abs(entries.pow(4).mean() - 3) < 4 * math.sqrt(96 / count)
    # Rows are independent: the entries of M Mᵀ off the diagonal have the variance n/m² that chance gives.
    off = (entries @ entries.T / math.sqrt(n)).fill_diagonal_(0)
    assert abs(off.square().sum() / (m * (m - 1)) - 1) < 0.05


def test_gaussian_edges_are_marchenko_and_pasturs() -> None:
    """σ → √(n/m) ± 1, so the condition number is near (√n + √m)/(√n − √m)."""
    for m in (100, 300, 500):
        root = math.sqrt(m / 784)
        assert sensing.gaussian(m, 28, 0).condition_number == pytest.approx((1 + root) / (1 - root), rel=0.1)


@pytest.mark.parametrize("rows", ["low", "random"])
@pytest.mark.parametrize("shape", [(4, 5), (7, 3), (1, 6)])
def test_dct_rows_are_orthonormal(rows: str, shape: tuple[int, int]) -> None:
    for m in (1, 5, math.prod(shape)):
        A = sensing.dct(min(m, math.prod(shape)), shape, rows=rows)
        eye = torch.eye(len(A.matrix), dtype=torch.float64)
        torch.testing.assert_close(A.matrix @ A.matrix.T, eye, rtol=0, atol=1e-14)
        assert A.condition_number == pytest.approx(1, abs=1e-12)


def test_dct_is_scipys() -> None:
    x = draw(SHAPE, channels=1)
    chosen = [13, 0, 7]
    expected = dctn(x.numpy(), axes=(2, 3), norm="ortho").reshape(3, -1)[:, chosen]
    np.testing.assert_allclose(sensing.dct(chosen, SHAPE)(x)[:, 0, 0].numpy(), expected, atol=1e-14)


def test_low_frequencies_come_in_the_zigzag_of_jpeg() -> None:
    # T.81, figure 5, its first ten
    first = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]
    assert torch.equal(sensing.dct(10, 8).matrix, sensing.dct(first, 8).matrix)


def test_a_dct_submatrix_is_one() -> None:
    size, seed = 24, 3
    whole = dct(np.eye(size), axis=0, norm="ortho")
    first = sensing.dct_submatrix(6, SHAPE, size, seed=seed).matrix.numpy()
    rows = [int(np.abs(whole[:, :20] - row).max(1).argmin()) for row in first]
    assert len(set(rows)) == 6
    np.testing.assert_allclose(first, whole[rows, :20], atol=1e-14)
    # The rows are drawn apart from the columns, so they are the same here.
    drawn = sensing.dct_submatrix(6, SHAPE, size, columns="random", seed=seed).matrix.numpy()
    columns = [int(np.abs(whole[rows].T - column).max(1).argmin()) for column in drawn.T]
    assert len(set(columns)) == 20
    assert columns != list(range(20))
    np.testing.assert_allclose(drawn, whole[np.ix_(rows, columns)], atol=1e-14)


def test_all_of_the_dct_is_the_dct() -> None:
    whole = sensing.dct_submatrix(20, SHAPE, 20, seed=0).matrix.numpy()
    np.testing.assert_allclose(whole, dct(np.eye(20), axis=0, norm="ortho"), atol=1e-14)


def test_a_larger_transform_is_worse_conditioned() -> None:
    conditions = [sensing.dct_submatrix(500, 28, size, seed=0).condition_number for size in (784, 1568, 3136)]
    assert conditions[0] == pytest.approx(1, abs=1e-10)
    assert 20 < conditions[1] < 1e3
    assert conditions[2] > 1e3
    scattered = sensing.dct_submatrix(500, 28, 3136, columns="random", seed=0)
    assert scattered.condition_number < 20


@pytest.mark.parametrize(
    "build",
    [
        lambda seed: sensing.gaussian(9, SHAPE, seed),
        lambda seed: sensing.dct(9, SHAPE, rows="random", seed=seed),
        lambda seed: sensing.dct_submatrix(9, SHAPE, 30, seed=seed),
        lambda seed: sensing.dct_submatrix(9, SHAPE, 30, columns="random", seed=seed),
        lambda seed: sensing.prescribed_spectrum([2.0, 1.0], SHAPE, seed),
    ],
)
def test_the_seed_is_the_matrix(build: Callable[[int], DenseOperator]) -> None:
    torch.manual_seed(0)
    first = build(5).matrix
    torch.manual_seed(1)
    assert torch.equal(build(5).matrix, first)
    assert not torch.equal(build(6).matrix, first)


def test_the_owner_of_the_matrix_may_go_on_with_it() -> None:
    M = torch.ones(2, 20, dtype=torch.float64)
    A = DenseOperator(M, SHAPE)
    M.zero_()
    assert A(torch.ones(1, 1, *SHAPE)).eq(20).all()


def test_range_share(A: DenseOperator) -> None:
    inside = A(draw(A.image_shape))
    torch.testing.assert_close(A.range_share(inside), torch.ones(3, dtype=torch.float64))
    U = np.linalg.svd(A.matrix.numpy())[0]
    rest = torch.from_numpy(U[:, A.rank :])
    y = draw(A.sinogram_shape)
    outside = (y @ rest @ rest.T).square().sum((1, 2, 3)) / y.square().sum((1, 2, 3))
    torch.testing.assert_close(A.range_share(y), 1 - outside, rtol=0, atol=1e-12)
    torch.testing.assert_close(A.range_share(1e-30 * y.float()), A.range_share(y), rtol=0, atol=1e-6)


def test_range_share_of_nothing_is_whole_and_has_a_gradient() -> None:
    A = OPERATORS["deficient"]()
    y = torch.zeros(2, 1, *A.sinogram_shape, requires_grad=True)
    share = A.range_share(y)
    assert share.eq(1).all()
    assert torch.autograd.grad(share.sum(), y)[0].isfinite().all()


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (1, 1, 5, 4), (1, 1, 1, 20), (1, 1, 1, 4, 5)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    A = sensing.gaussian(9, SHAPE, 0)
    with pytest.raises(ValueError, match=r"give \(batch, channels, 4, 5\)"):
        A(torch.zeros(shape))
    for function in (A.T, A.pinv, A.range_share):
        with pytest.raises(ValueError, match=r"give \(batch, channels, 1, 9\)"):
            function(torch.zeros(shape))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda: DenseOperator(torch.ones(3, 19), SHAPE), "each of 4 × 5 pixels"),
        (lambda: DenseOperator(torch.ones(20), SHAPE), "each of 4 × 5 pixels"),
        (lambda: DenseOperator(torch.zeros(3, 20), SHAPE), "not all of them zero"),
        (lambda: DenseOperator(torch.full((3, 20), math.nan), SHAPE), "finite"),
        (lambda: DenseOperator(torch.zeros(0, 20), SHAPE), "not all of them zero"),
        (lambda: sensing.gaussian(0, SHAPE, 0), "measurements 0"),
        (lambda: sensing.gaussian(2.5, SHAPE, 0), "measurements 2.5"),
        (lambda: sensing.gaussian(3, 0, 0), "image_size 0"),
        (lambda: sensing.gaussian(3, (2, 3, 4), 0), "image_size"),
        (lambda: sensing.dct(21, SHAPE), "1 to 20"),
        (lambda: sensing.dct(3, SHAPE, rows="high"), "low or random"),
        (lambda: sensing.dct([1, 1], SHAPE), "different whole rows"),
        (lambda: sensing.dct([-1], SHAPE), "from 0 to 19"),
        (lambda: sensing.dct([20], SHAPE), "from 0 to 19"),
        (lambda: sensing.dct([0.5], SHAPE), "whole rows"),
        (lambda: sensing.dct([], SHAPE), "different whole rows"),
        (lambda: sensing.dct_submatrix(3, SHAPE, 19, seed=0), "at least 20"),
        (lambda: sensing.dct_submatrix(31, SHAPE, 30, seed=0), "1 to 30"),
        (lambda: sensing.dct_submatrix(3, SHAPE, 30, columns="last", seed=0), "first or random"),
        (lambda: sensing.prescribed_spectrum([1.0, -1.0], SHAPE, 0), "≥ 0"),
        (lambda: sensing.prescribed_spectrum([1.0, math.nan], SHAPE, 0), "finite"),
        (lambda: sensing.prescribed_spectrum([1.0, math.inf], SHAPE, 0), "finite"),
        (lambda: sensing.prescribed_spectrum([0.0], SHAPE, 0), "not all of them zero"),
        (lambda: sensing.prescribed_spectrum([], SHAPE, 0), "1 to 20"),
        (lambda: sensing.prescribed_spectrum([1.0] * 21, SHAPE, 0), "1 to 20"),
        (lambda: OPERATORS["dct"]().pinv(torch.zeros(1, 1, 1, 11), rcond=1.0), "rcond 1.0"),
        (lambda: OPERATORS["dct"]().pinv(torch.zeros(1, 1, 1, 11), rcond=-0.1), "rcond -0.1"),
        (lambda: OPERATORS["dct"]().pinv(torch.zeros(1, 1, 1, 11), rcond=math.nan), "rcond nan"),
    ],
)
def test_refuses(mistake: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mistake()
