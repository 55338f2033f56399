"""Clean image quality, per slice and then the mean; x = 1 + HU/1000, so one unit is 1000 HU."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Image = NDArray[np.float32]

SSIM_WINDOW = "gaussian, sigma 1.5 pixels, 11 x 11, data range 1"


def psnr_db(mse: NDArray[np.float64]) -> NDArray[np.float64]:
    """−10 log₁₀ of the mean squared error per pixel, peak 1; any shape."""
    decibels: NDArray[np.float64] = -10 * np.log10(np.maximum(mse, 1e-300))
    return decibels


def image_quality(pairs: Iterable[tuple[Image, Image]]) -> dict[str, float]:
    """Means over (estimate, truth) slices, each (H, W): psnr_db, ssim, rmse_hu, mse (per pixel)."""
    mse, ssim = [], []
    for estimate, truth in pairs:
        mse.append(np.mean(np.square(estimate.astype(np.float64) - truth)))
        ssim.append(
            structural_similarity(
                truth, estimate, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
        )
    errors = np.asarray(mse)
    return {
        "psnr_db": float(psnr_db(errors).mean()),
        "ssim": float(np.mean(ssim)),
        "rmse_hu": float(1000 * np.sqrt(errors).mean()),
        "mse": float(errors.mean()),
    }
