"""Where small structures are put: inside the body, at places drawn by a seed."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ctrobust.instability.structures import Structure
from ctrobust.threat.budget import drawn

TISSUE = 0.5
"""Between air and tissue, in x: −500 HU."""


def body_mask(x: Tensor) -> Tensor:
    """(B, 1, H, W) bool: the largest connected part above −500 HU, what it encloses (lungs, bowel) included."""
    return torch.stack([torch.from_numpy(_largest(image > TISSUE))[None] for image in x[:, 0].cpu().numpy()])


def _largest(tissue: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(tissue)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    body = parts == 1 + sizes.argmax() if count else tissue
    return np.asarray(ndimage.binary_fill_holes(body))


def place(
    structure: Structure, x: Tensor, pixel_mm: float, seed: int, within: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """s (B, 1, H, W), in the units and type of x, to be added to it; and its centres (B, 2), row and column in pixels.

    Uniform, also below the pixel, over where the whole structure lies `within` (B, 1, H, W) bool; by default the body.
    A sample's place depends on the seed and on its own x, not on its batch. x + s is not clipped, so that s is the
    whole difference; in air a negative contrast has no meaning, so leave air out of `within`.
    Raises ValueError where there is no room.
    """
    mask = (body_mask(x) if within is None else within).cpu().numpy()
    draws = drawn(x, seed, torch.rand).flatten(1)[:, :3].numpy()
    centres = [
        _centre(allowed[0], structure.reach_mm / pixel_mm, draw)
        for allowed, draw in zip(mask, draws, strict=True)
    ]
    s = [structure.draw((x.shape[2], x.shape[3]), (row, column), pixel_mm) for row, column in centres]
    return torch.stack(s)[:, None].to(x), torch.tensor(centres, dtype=torch.float64)


def _centre(allowed: np.ndarray, reach: float, draw: np.ndarray) -> tuple[float, float]:
    # The image's edge is an edge of the mask; a pixel more for the centre's place within its own.
    depth = ndimage.distance_transform_edt(np.pad(allowed, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= reach + 1.5)
    if not len(rows):
        raise ValueError(
            f"no place where a structure reaching {reach:.1f} pixels lies inside: give a smaller one, or a larger "
            "`within`"
        )
    chosen = int(draw[0] * len(rows))
    return float(rows[chosen] + draw[1] - 0.5), float(columns[chosen] + draw[2] - 0.5)
