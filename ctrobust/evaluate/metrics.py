"""Clean image quality, per slice and then the mean; x = 1 + HU/1000, so one unit is 1000 HU, or a picture in [0, 1]."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Image = NDArray[np.float32]

SSIM_WINDOW = "gaussian, sigma 1.5 pixels, 11 x 11, data range 1"


class Quality(NamedTuple):
    """Of one slice; mse per pixel."""

    mse: float
    ssim: float


def psnr_db(mse: NDArray[np.float64]) -> NDArray[np.float64]:
    """−10 log₁₀ of the mean squared error per pixel, peak 1; any shape."""
    decibels: NDArray[np.float64] = -10 * np.log10(np.maximum(mse, 1e-300))
    return decibels


def quality(estimate: Image, truth: Image) -> Quality:
    """Of an (H, W) estimate, or in colour (C, H, W), its SSIM then the mean over channels. From 11 × 11 on."""
    ssim = structural_similarity(
        truth,
        estimate,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=0 if truth.ndim == 3 else None,
    )
    return Quality(float(np.mean(np.square(estimate.astype(np.float64) - truth))), float(ssim))


def mean_quality(slices: Sequence[Quality], *, in_hu: bool = True) -> dict[str, float | None]:
    """Means over slices: psnr_db, ssim, rmse_hu (None of pictures, which have no HU), mse."""
    mse, ssim = (np.asarray(values) for values in zip(*slices, strict=True))
    return {
        "psnr_db": float(psnr_db(mse).mean()),
        "ssim": float(ssim.mean()),
        "rmse_hu": float(1000 * np.sqrt(mse).mean()) if in_hu else None,
        "mse": float(mse.mean()),
    }
