"""Calibration: counts made by the forward law give back y; the axis of rotation is found where it was put."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.units import WATER_PER_MM
from ctrobust.ingest.data_exchange import read_projections
from ctrobust.operators import Projector
from ctrobust.operators.calibration import (
    bin_shift,
    dead_bins,
    find_centre,
    line_integrals,
    transmission,
)
from ctrobust.operators.faults import dead_channels

seeds = st.integers(0, 2**32 - 1)


def counted(y, seed=0, frames=4):
    """Noiseless data for y, and whites and darks whose frames differ but whose averages are known."""
    rng = np.random.default_rng(seed)
    dark, beam = rng.uniform(50, 150, y.shape[1:]), rng.uniform(1e3, 1e4, y.shape[1:])
    wobble = rng.uniform(-10, 10, (2, frames, *y.shape[1:]))
    wobble -= wobble.mean(1, keepdims=True)
    return dark + beam * np.exp(-y), dark + beam + wobble[0], dark + wobble[1]


def ellipses(rng, angles, bins, centre, count=3):
    """(views, bins) exact line integrals, averaged over each bin, of ellipses that stay on the detector."""
    reach = min(centre, bins - 1 - centre) - 1
    s = np.arange(bins)[None, :, None] - centre + np.linspace(-0.4, 0.4, 5)
    y = np.zeros((len(angles), bins))
    for _ in range(count):
        away, bearing, turn = rng.uniform(0, 0.5) * reach, *rng.uniform(0, 2 * np.pi, 2)
        a, b = rng.uniform(0.05, 0.45, 2) * reach
        spread = ((a * np.cos(angles - turn)) ** 2 + (b * np.sin(angles - turn)) ** 2)[:, None, None]
        off = s - (away * np.cos(angles - bearing))[:, None, None]
        chords = 2 * a * b / spread * np.sqrt(np.maximum(spread - off**2, 0))
        y += rng.uniform(0.3, 1) * chords.mean(-1)
    return y / y.max()


def half_turn(views):
    return np.pi * np.arange(views) / views


@given(seed=seeds, views=st.integers(1, 4), rows=st.integers(1, 3), bins=st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_calibration_inverts_the_counts(seed, views, rows, bins):
    y = np.random.default_rng(seed).uniform(-0.1, 3, (views, rows, bins))
    found = line_integrals(transmission(*counted(y, seed)))
    assert found.shape == y.shape
    np.testing.assert_allclose(found, y, atol=2e-5)


def test_integer_counts_do_not_wrap_around():
    """A ray darker than the dark average must come out below 0, not at 65535."""
    data, white, dark = (np.full((2, 1, 4), counts, dtype=np.uint16) for counts in (90, 1100, 100))
    np.testing.assert_allclose(transmission(data, white, dark), -0.01, rtol=1e-6)


def test_water_and_plain_numbers_differ_by_the_attenuation_of_water():
    T = np.exp(-np.array([0.0, 0.0193, 1.93]))
    np.testing.assert_allclose(line_integrals(T), [0, 0.0193, 1.93], atol=1e-15)
    np.testing.assert_allclose(line_integrals(T, per_mm=WATER_PER_MM), [0, 1, 100], atol=1e-12)


def test_rays_without_a_photon_need_a_floor():
    T = np.array([[1.0, 0.5, 0.0], [-0.01, 1e-5, 0.9]])
    with pytest.raises(ValueError, match=r"-0.01, not above 0 in 2 of 6 rays: give floor"):
        line_integrals(T)
    expected = -np.log([[1, 0.5, 1e-3], [1e-3, 1e-3, 0.9]])
    np.testing.assert_allclose(line_integrals(T, floor=1e-3), expected)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"floor": 0.0}, "floor 0.0"),
        ({"per_mm": -1.0}, "per_mm -1.0"),
        ({"per_mm": np.inf}, "per_mm inf"),
    ],
)
def test_factors_that_cannot_be(settings, says):
    with pytest.raises(ValueError, match=says):
        line_integrals(np.ones(3), **settings)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_transmission_that_is_not_finite(value):
    with pytest.raises(ValueError, match="not finite"):
        line_integrals(np.array([1.0, value]), floor=1e-3)


def test_dead_bins_are_named_and_can_be_bridged():
    angles = half_turn(12)
    y = np.stack([ellipses(np.random.default_rng(row), angles, 32, 15.5) for row in range(2)], 1)
    data, white, dark = counted(y)
    for row, column in ((0, 9), (1, 20), (1, 21)):
        data[:, row, column] = white[:, row, column] = dark[:, row, column] = 100
    with pytest.raises(ValueError, match="3 of 64 bins, the first at row 0, bin 9"):
        transmission(data, white, dark)
    dead = dead_bins(white, dark)
    assert sorted(map(tuple, np.argwhere(dead))) == [(0, 9), (1, 20), (1, 21)]
    read = line_integrals(transmission(data, white, dark, dead_reads=1.0))
    assert (read[:, dead] == 0).all()
    bridged = dead_channels(torch.from_numpy(read[None, None, :, 0]), torch.from_numpy(dead[0]))
    # A line between neighbours is as far off as y is bent there, and not by y itself.
    assert np.abs(bridged[0, 0].numpy() - y[:, 0]).max() < 0.2 * y[:, 0, 9].max()
    np.testing.assert_allclose(bridged[0, 0, :, 9], (read[:, 0, 8] + read[:, 0, 10]) / 2, rtol=1e-5)


@pytest.mark.parametrize("name", ["white", "dark"])
@pytest.mark.parametrize("shape", [(4, 2, 9), (4, 10), (0, 2, 10)])
def test_frames_that_do_not_fit_the_data(name, shape):
    stacks = {"white": np.ones((4, 2, 10)), "dark": np.zeros((4, 2, 10))} | {name: np.ones(shape)}
    with pytest.raises(ValueError, match=f"{name} of shape"):
        transmission(np.ones((3, 2, 10)), **stacks)


def test_a_single_sinogram_needs_its_axis_of_rows():
    with pytest.raises(ValueError, match=r"with data of \(3, 10\): give .frames, rows, bins."):
        transmission(np.ones((3, 10)), np.ones((4, 10)), np.zeros((4, 10)))


@given(
    seed=seeds,
    views=st.integers(16, 180),
    bins=st.integers(64, 128),
    off=st.floats(-0.15, 0.15),
    noise=st.floats(0, 0.01),
    ring=st.floats(0, 0.01),
)
@settings(max_examples=200, deadline=None)
def test_the_centre_of_a_shifted_phantom_is_found(seed, views, bins, off, noise, ring):
    """Noise and gain errors of the bins up to 1 % of the largest y: within half a bin."""
    rng, centre = np.random.default_rng(seed), (bins - 1) / 2 + off * bins
    y = ellipses(rng, half_turn(views), bins, centre)
    y = y + noise * rng.standard_normal(y.shape) + ring * rng.standard_normal(bins)
    assert abs(find_centre(y, half_turn(views)) - centre) <= 0.5


@given(seed=seeds, views=st.integers(16, 180), bins=st.integers(64, 128), off=st.floats(-0.15, 0.15))
@settings(max_examples=100, deadline=None)
def test_without_noise_the_centre_is_exact_to_a_twentieth_bin(seed, views, bins, off):
    centre = (bins - 1) / 2 + off * bins
    y = ellipses(np.random.default_rng(seed), half_turn(views), bins, centre)
    assert abs(find_centre(y, half_turn(views)) - centre) <= 0.05


@pytest.mark.parametrize("views", [49, 98, 103, 107, 161])
def test_view_counts_whose_harmonics_are_whole_only_after_rounding(views):
    """1/(2·49 · (1/98)) is not 1: a harmonic of which it is not certain whether it is odd spoils the sum."""
    for seed in range(4):
        y = ellipses(np.random.default_rng(seed), half_turn(views), 96, 40.2, 1)
        assert abs(find_centre(y, half_turn(views)) - 40.2) <= 0.05


@pytest.mark.soak
@pytest.mark.parametrize(("noise", "share"), [(0.01, 1), (0.02, 0.995)])
def test_centres_of_many_noisy_phantoms(noise, share):
    """Of 2000, some with 16 views or but one small ellipse: within half a bin, half of them within a twentieth."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(2000):
        views, bins = rng.integers(16, 180), rng.integers(64, 256)
        centre = (bins - 1) / 2 + rng.uniform(-0.2, 0.2) * bins
        y = ellipses(rng, half_turn(views), bins, centre, rng.integers(1, 6))
        found = find_centre(y + noise * rng.standard_normal(y.shape), half_turn(views))
        errors.append(abs(found - centre))
    assert np.quantile(errors, share) <= 0.5
    assert np.median(errors) <= 0.05


@pytest.mark.parametrize("shift", [-6.3, 0.0, 4.6])
def test_the_projector_agrees_on_which_way_a_shift_goes(shift):
    """y made with a bin_shift gives that bin_shift, and with it the image."""
    geometry = ParallelBeam(64, 60, bins=96, bin_shift=shift)
    A = Projector(geometry)
    rows, columns = np.indices((64, 64)) - 31.5
    disc = ((rows - 5) ** 2 + (columns + 9) ** 2 < 14**2) & ((rows - 2) ** 2 + (columns + 12) ** 2 > 5**2)
    x = torch.from_numpy(disc)[None, None].double()
    y = A(x)
    found = bin_shift(find_centre(y[0, 0].numpy(), geometry.angles), geometry.bins)
    assert abs(found - shift) <= 0.1
    right, wrong = (
        (Projector(geometry.but(bin_shift=m)).fbp(y) - x).norm() / x.norm() for m in (found, found + 3)
    )
    assert right < 0.25 < 0.4 < wrong


def scans():
    """Angles of the same half turn, in other orders and numbers."""
    rng = np.random.default_rng(3)
    even = half_turn(120)
    return {
        "backwards": even[::-1],
        "shuffled": rng.permutation(even),
        "with both ends": np.linspace(0, np.pi, 121),
        "a whole turn": 2 * np.pi * np.arange(240) / 240,
        "from anywhere": even + 5.0,
        "a step that does not divide it": np.deg2rad(np.arange(0, 180, 1.7)),
        "jittered": np.sort(even + rng.uniform(-0.4, 0.4, 120) * np.pi / 120),
        "a third left out": np.sort(rng.permutation(even)[:80]),
        "views twice": np.insert(even, [0, 7], even[[0, 7]]),
        "a hole in the second half turn": np.delete(2 * np.pi * np.arange(240) / 240, slice(140, 180)),
        "the last ten degrees missing": even[even < np.deg2rad(170)],
        "golden": np.arange(200) * np.pi * (np.sqrt(5) - 1),
    }


@pytest.mark.parametrize("name", scans())
def test_other_angles_show_the_same_centre(name):
    angles, centre = scans()[name], 52.3
    y = ellipses(np.random.default_rng(1), angles, 96, centre)
    assert abs(find_centre(y, angles) - centre) <= 0.2


def test_mirroring_the_detector_mirrors_the_centre():
    y = ellipses(np.random.default_rng(2), half_turn(40), 80, 35.0)
    y = y + 0.02 * np.random.default_rng(4).standard_normal(y.shape)
    assert find_centre(y, half_turn(40)) + find_centre(y[:, ::-1], half_turn(40)) == pytest.approx(
        79, abs=0.04
    )


def test_the_scale_of_y_does_not_matter():
    y = ellipses(np.random.default_rng(2), half_turn(40), 80, 35.0)
    assert find_centre(y, half_turn(40)) == find_centre(1e3 * y, half_turn(40))


@pytest.mark.parametrize(
    ("sinogram", "angles", "says"),
    [
        (np.ones((40, 64)), half_turn(39), "angles_rad of"),
        (np.ones((40, 64, 1)), half_turn(40), "give .views, bins."),
        (np.ones((40, 64)), half_turn(40) / 2, "gap of 92.2° in the half turn"),
        (np.ones((7, 64)), half_turn(7), "8 or more"),
        (np.zeros((40, 64)), half_turn(40), "shows no centre"),
        (np.full((40, 64), np.nan), half_turn(40), "not finite"),
        (np.ones((40, 64)), np.full(40, np.inf), "not finite"),
    ],
)
def test_what_shows_no_centre_is_refused(sinogram, angles, says):
    with pytest.raises(ValueError, match=says):
        find_centre(sinogram, angles)


def tooth(shared):
    scan = read_projections(shared("sinograms") / "tooth" / "tooth.h5")
    return line_integrals(transmission(scan.data, scan.white, scan.dark)), scan.angles_rad


def test_the_tooth_turns_about_bin_296(shared):
    """Two rows, every second view and two independent methods agree on it within a bin."""
    y, angles = tooth(shared)
    found = [find_centre(y[:, row], angles) for row in (0, 1)]
    np.testing.assert_allclose(found, 295.84, atol=0.1)
    assert find_centre(y[::2, 0], angles[::2]) == pytest.approx(found[0], abs=0.2)
    # The centre of mass goes round the axis on a sinusoid (Helgason–Ludwig).
    bins = np.arange(y.shape[-1])
    masses = y[:, 0] @ bins / y[:, 0].sum(1)
    circle = np.stack([np.ones_like(angles), np.cos(angles), np.sin(angles)], 1)
    assert np.linalg.lstsq(circle, masses, rcond=None)[0][0] == pytest.approx(found[0], abs=1)
    # The last view, a degree short of half a turn, is nearly the mirror image of the first.
    overlap = [np.interp(2 * c - bins, bins, y[-1, 0]) @ y[0, 0] for c in np.arange(280, 320, 0.25)]
    assert np.arange(280, 320, 0.25)[np.argmax(overlap)] == pytest.approx(found[0], abs=1)


def test_the_tooth_is_sharpest_there(shared):
    """What the FBP leaves below 0, where no attenuation is, is least at the centre found."""
    y, angles = tooth(shared)
    sinogram = torch.from_numpy(y[None, None, :, 0])
    centre = find_centre(y[:, 0], angles)
    below = []
    for offset in (-2, -1, 0, 1, 2, 10):
        geometry = ParallelBeam(400, angles, bins=640, bin_shift=bin_shift(centre + offset, 640))
        x = Projector(geometry).fbp(sinogram)
        below.append(float(x.clamp_max(0).norm() / x.norm()))
    assert below.index(min(below)) == 2
    assert below[-1] > 1.3 * below[2]
