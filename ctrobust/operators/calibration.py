"""From a detector's counts to a sinogram y, and where in it the object's axis of rotation lies.

    T = (data − dark)/(white − dark)        y = −ln(T) = ∫ μ ds        c = find_centre(y, angles)
    A = Projector(ParallelBeam(size, angles, bins=bins, bin_shift=bin_shift(c, bins)))        x̂ = A.fbp(y)

y is a plain number, and x is attenuation in the unit of length that the geometry is given in: with pixel_mm left at 1,
attenuation per bin; with the true size of a bin in bin_mm, mm⁻¹. A file rarely tells the photons' energy, so that μ of
water is not known either: dividing by it, which the rest of this package does, is left to whoever knows it.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]

WEDGE_MARGIN = 3
"""Harmonics by which the empty wedge starts beyond |n| = ωR, where J_n(ωR) has faded."""

STEPS_PER_BIN = 32

FEWEST_VIEWS = 8


def dead_bins(white: Array, dark: Array) -> NDArray[np.bool_]:
    """(rows, bins) whether a bin counts no more with the beam than without it, on the average of its frames."""
    return ~(_beam(white, dark) > 0)


def transmission(data: Array, white: Array, dark: Array, *, dead_reads: float | None = None) -> Array:
    """Flat-field correction, T = (data − dark)/(white − dark), white and dark averaged over their frames.

    data: (views, rows, bins) counts; white, dark: (frames, rows, bins). The result is (views, rows, bins), 1 in air up
    to noise. dead_reads: what `dead_bins` read, 1 for air; bridge them in y afterwards (`faults.dead_channels`).
    Raises ValueError on shapes that do not fit, and on dead bins without dead_reads.
    """
    for name, frames in {"white": white, "dark": dark}.items():
        if frames.ndim != 3 or not len(frames) or frames.shape[1:] != data.shape[1:]:
            raise ValueError(
                f"{name} of shape {frames.shape} with data of {data.shape}: give (frames, rows, bins) and (views, "
                "rows, bins), rows and bins the same"
            )
    beam, dead = _beam(white, dark), dead_bins(white, dark)
    if dead.any() and dead_reads is None:
        row, column = np.argwhere(dead)[0]
        raise ValueError(
            f"white is not above dark in {dead.sum()} of {dead.size} bins, the first at row {row}, bin {column}: give "
            "dead_reads=1.0 and bridge dead_bins(white, dark) in y, or leave out those rows"
        )
    open_beam = np.where(dead, 1, beam)
    corrected = (data - dark.mean(0, dtype=np.float64)) / open_beam
    return np.where(dead, 1 if dead_reads is None else dead_reads, corrected).astype(np.float32)


def line_integrals(transmitted: Array, *, per_mm: float = 1.0, floor: float | None = None) -> Array:
    """y = −ln(T)/per_mm, of the shape of T.

    per_mm: 1 leaves y a plain number; the attenuation of water, mm⁻¹, at the energy of the scan
    (`units.WATER_PER_MM` at 70 keV) makes it mm of water. floor: what rays that show no photon, T ≤ floor, read as;
    the least that the counts can tell, about 1/(white − dark).
    Raises ValueError on T ≤ 0 without a floor, on T that is not finite, and on factors that cannot be.
    """
    for name, value in {"per_mm": per_mm, "floor": 1.0 if floor is None else floor}.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} {value!r}: give a finite number above 0")
    if not np.isfinite(transmitted).all():
        raise ValueError("transmission that is not finite: look for NaN or infinity in data, white and dark")
    blocked = int((transmitted <= 0).sum())
    if blocked and floor is None:
        raise ValueError(
            f"transmission {transmitted.min():.4g}, not above 0 in {blocked} of {transmitted.size} rays: give floor=…, "
            "about 1/(white − dark), for them to read as"
        )
    y: Array = -np.log(transmitted if floor is None else np.maximum(transmitted, floor)) / per_mm
    return y


def find_centre(sinogram: ArrayLike, angles_rad: ArrayLike) -> float:
    """The bin, to 1/32, in which the axis of rotation of a parallel-beam scan is seen; see `bin_shift`.

    The view at θ + π is that at θ mirrored about the centre c. Half a turn joined to its mirror image about the true c
    is therefore a whole turn, whose harmonics |n| > ωR vanish (ω: spatial frequency, R: the object's reach from the
    axis). With aₙ(ω) the transform of the half turn followed by zeros, the energy out there is

        E(c) = const + 2 Re Σ_{|n| > ωR + 3} (−1)ⁿ aₙ(ω) a₋ₙ(ω) e^(2iωc)        c = argmin E

    all c from one Fourier transform: the criterion of Vo et al., Opt. Express 22, 19078 (2014), without its search. R
    is taken as half the detector, c from its middle half. The object must stay on the detector, and air read 0.

    sinogram: (views, bins) y; angles_rad: (views,), half a turn without large gaps; views beyond it are left out.
    Raises ValueError on other angles and shapes, and on a sinogram that shows no centre.
    """
    y, angles = np.asarray(sinogram, dtype=np.float64), np.asarray(angles_rad, dtype=np.float64)
    if y.ndim != 2 or angles.shape != y.shape[:1] or min(y.shape) < FEWEST_VIEWS:
        raise ValueError(
            f"sinogram of shape {y.shape}, angles_rad of {angles.shape}: give (views, bins) and (views,), "
            f"{FEWEST_VIEWS} or more of each"
        )
    if not (np.isfinite(y).all() and np.isfinite(angles).all()):
        raise ValueError("sinogram or angles_rad that are not finite: look for NaN or infinity in them")
    cross = _mirrored_energy(_even_half_turn(y, angles))
    if not cross.any():
        raise ValueError("sinogram of one value throughout: it shows no centre; state one")
    bins, length = y.shape[1], 2 * (len(cross) - 1)
    # e^(2iωc) turns twice as fast with c as the transform does, which makes its samples half a bin apart.
    energy = np.fft.irfft(cross, n=length * STEPS_PER_BIN // 2)
    first, last = (round(share * (bins - 1) * STEPS_PER_BIN) for share in (0.25, 0.75))
    return float(first + energy[first : last + 1].argmin()) / STEPS_PER_BIN


def bin_shift(centre: float, bins: int) -> float:
    """`ParallelBeam`'s bin_shift = (bins − 1)/2 − centre, which puts the bin `centre` on the axis of rotation."""
    return (bins - 1) / 2 - centre


def _beam(white: Array, dark: Array) -> NDArray[np.float64]:
    beam: NDArray[np.float64] = white.mean(0, dtype=np.float64) - dark.mean(0, dtype=np.float64)
    return beam


def _even_half_turn(y: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(even views, bins): views interpolated onto as many even ones of half a turn as its widest gap allows."""
    turn = np.mod(angles - angles.min(), 2 * np.pi)
    order = np.argsort(turn)[: int((turn < np.pi).sum())]
    places = np.append(turn[order], np.pi)
    gap = float(np.diff(places).max())
    count = math.floor(np.pi / gap + 0.01)
    if count < FEWEST_VIEWS:
        raise ValueError(
            f"angles_rad with a gap of {math.degrees(gap):.3g}° in the half turn that begins at the smallest: the "
            f"centre is found from one without gaps beyond {180 / FEWEST_VIEWS:.3g}°; state a centre instead"
        )
    wanted = np.pi * np.arange(count) / count
    after = np.clip(np.searchsorted(places, wanted), 1, len(order) - 1)
    apart = np.maximum(places[after] - places[after - 1], np.finfo(float).tiny)
    share = ((wanted - places[after - 1]) / apart).clip(0, 1)[:, None]
    even: NDArray[np.float64] = (1 - share) * y[order[after - 1]] + share * y[order[after]]
    return even


def _mirrored_energy(y: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(length/2 + 1,) Σₙ (−1)ⁿ aₙ(ω) a₋ₙ(ω) over the wedge, one number a frequency ω."""
    views, bins = y.shape
    # Room for the mirror image on either side, lest it wrap around.
    length = 1 << math.ceil(math.log2(2 * bins))
    harmonics = np.fft.fft(np.fft.rfft(y, n=length), n=2 * views, axis=0)
    # 2·49 · (1/98) is not 1: the frequencies are whole, and odd or even, only after rounding.
    n = np.rint(np.fft.fftfreq(2 * views) * 2 * views)[:, None]
    omega = 2 * np.pi * np.arange(length // 2 + 1) / length
    wedge = np.abs(n) > omega * bins / 2 + WEDGE_MARGIN
    opposite = np.roll(harmonics[::-1], 1, axis=0)
    cross: NDArray[np.complex128] = (np.where(n % 2, -1, 1) * wedge * harmonics * opposite).sum(0)
    return cross
