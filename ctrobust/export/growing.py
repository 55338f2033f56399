"""An .npy file that grows slice by slice: how many there will be is known at the end alone."""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class GrowingArray:
    """float32 (N, H, W) in `path`, N as many as were appended. A context: the file is whole once it is left."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self._shape, self._count = shape, 0
        self._stream = path.open("wb")
        self._write_header()

    def append(self, images: NDArray[np.float32]) -> None:
        """Add (B, H, W)."""
        self._stream.write(np.ascontiguousarray(images, dtype="<f4").data)
        self._count += len(images)

    def _write_header(self) -> None:
        # NumPy leaves room for the first length to grow: the header keeps its size.
        header: dict[str, Any] = {
            "descr": "<f4",
            "fortran_order": False,
            "shape": (self._count, *self._shape),
        }
        npy.write_array_header_1_0(self._stream, header)

    def __enter__(self) -> "GrowingArray":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._stream.seek(0)
            self._write_header()
        self._stream.close()
