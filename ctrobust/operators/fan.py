"""Filtered back-projection of a fan on a flat detector (Kak and Slaney, ch. 3.4; Parker, Med. Phys. 1982).

    f(x, y) = Σ_β Δβ · U⁻² · [ (w·cos γ·p) ∗ h ](s),    U = depth / source_to_iso_mm

p are the line integrals, γ the angle of a ray in its fan, s the place where the pixel is seen, both measured on a
detector moved to the centre of rotation; w shares every line among the rays that measure it.
"""

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.core.geometry import FanBeam
from ctrobust.operators.filtering import filter_sinogram
from ctrobust.operators.rays import shadows

Array = NDArray[np.float64]


def fan_fbp(geometry: FanBeam, y: Tensor, window: str, cutoff: float) -> Tensor:
    """(B, 1, views, bins) → (B, 1, H, W), in the units of x, differentiable."""
    if geometry.detector_tilt:
        raise ValueError(
            f"detector_tilt {geometry.detector_tilt!r}: the fan's formula is for a detector that is not tilted; take "
            "geometry.but(detector_tilt=0), or SIRT, CGLS or TV"
        )
    cosine = np.cos(fan_angles(geometry))
    share = cosine * redundancy_weights(geometry) * geometry.view_weights[:, None]
    iso_bin_mm = geometry.bin_mm / geometry.magnification
    filtered = filter_sinogram(y * torch.from_numpy(share).to(y), window, cutoff) / iso_bin_mm
    image: Tensor = _Smear.apply(filtered, geometry, False)  # type: ignore[no-untyped-call]
    return image


def fan_angles(geometry: FanBeam) -> Array:
    """(bins,) γ: the angle of each ray with the ray through the centre of rotation."""
    angles: Array = np.arctan(
        geometry.bin_centres_mm / (geometry.source_to_iso_mm + geometry.iso_to_detector_mm)
    )
    return angles


def redundancy_weights(geometry: FanBeam) -> Array:
    """(views, bins): ½ on a full circle; Parker's weights on a shorter arc, which see each line once or twice.

    On an arc longer than π plus the fan Parker's transition is widened to the overlap there is; on a shorter one,
    some lines are not measured at all and what is measured is weighed as if they were.
    """
    arc, β = _arc(geometry)
    if arc > 2 * np.pi - 1e-6:
        return np.full(geometry.sinogram_shape, 0.5)
    Γ = max((arc - np.pi) / 2, geometry.half_fan)
    # The ray (β, γ) is met again, the other way, as (β + π − 2γ, −γ).
    γ = np.clip(fan_angles(geometry), -Γ, Γ)[None]
    β = β[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = np.sin(np.pi / 4 * β / (Γ + γ)) ** 2
        falling = np.sin(np.pi / 4 * (np.pi + 2 * Γ - β) / (Γ - γ)) ** 2
    return np.where(β < 2 * (Γ + γ), rising, np.where(β > np.pi + 2 * γ, falling, 1.0))


def _arc(geometry: FanBeam) -> tuple[float, Array]:
    """The arc that the views stand for, and how far along it each lies; half a step at each end."""
    angles = np.mod(np.asarray(geometry.angles), 2 * np.pi)
    arc = float(geometry.view_weights.sum())
    order = np.argsort(angles)
    gaps = np.diff(angles[order], append=angles[order[0]] + 2 * np.pi)
    first = angles[order[(int(gaps.argmax()) + 1) % len(angles)]]
    half_step = np.median(gaps) / 2
    return arc, np.mod(angles - first, 2 * np.pi) + half_step


class _Smear(torch.autograd.Function):
    """Back-projection with U⁻², linear between bins, or its transpose; the derivative of each is the other."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor, geometry: FanBeam, transposed: bool) -> Tensor:
        ctx.geometry, ctx.transposed = geometry, transposed
        smear = _smear_by_view
        if batch.device.type == "cpu":
            with suppress(Exception):  # without numba, or with a broken one, it is only slower
                from ctrobust.operators.backends.smear import smear
        with torch.autocast(batch.device.type, enabled=False):
            return smear(geometry, batch, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        turned = _Smear.apply(gradient, ctx.geometry, not ctx.transposed)  # type: ignore[no-untyped-call]
        return turned, None, None


def _smear_by_view(geometry: FanBeam, batch: Tensor, transposed: bool) -> Tensor:
    """In torch, for devices that numba does not serve: one view at a time, all pixels at once."""
    (rows, columns), (views, bins) = geometry.image_shape, geometry.sinogram_shape
    table = torch.from_numpy(shadows(geometry)).to(batch.device)
    row, column = (
        index.reshape(-1)
        for index in torch.meshgrid(
            *(torch.arange(n, dtype=torch.float64, device=batch.device) for n in (rows, columns)),
            indexing="ij",
        )
    )
    iso_depth = geometry.source_to_iso_mm * geometry.bin_mm
    # One bin of zeros at each end takes what falls beside the detector.
    padded = batch.new_zeros(len(batch), views, bins + 2)
    flat = batch.new_zeros(len(batch), rows * columns)
    if transposed:
        flat = batch.reshape(len(batch), -1)
    else:
        padded[..., 1:-1] = batch[:, 0]
    for view, (a, b, c, d, e, f) in enumerate(table.unbind()):
        depth = d + e * column + f * row
        place = ((a + b * column + c * row) / depth + 1).clamp(0, bins + 1 - 1e-9)
        k = place.floor().long()
        scale = (iso_depth / depth) ** 2
        right = ((place - k) * scale).to(batch)
        left = scale.to(batch) - right
        if transposed:
            padded[:, view].index_add_(1, k, flat * left).index_add_(1, k + 1, flat * right)
        else:
            flat += padded[:, view, k] * left + padded[:, view, k + 1] * right
    if transposed:
        return padded[:, None, :, 1:-1].contiguous()
    return flat.reshape(len(batch), 1, rows, columns)
