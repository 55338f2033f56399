"""Colour pictures from files: RGB as it was stored, or refused with the file's name."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) bytes of a JPEG or PNG. Raises UserError on a file that is none, is damaged, or is not in colour."""
    from PIL import Image

    try:
        with Image.open(path, formats=["JPEG", "PNG"]) as picture:
            mode, stored = picture.mode, np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as a picture; unpack it again") from error
    if mode != "RGB":
        raise UserError(f"{path}: {mode} rather than RGB; give colour pictures, or unpack it again")
    return stored
