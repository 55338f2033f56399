"""A slice as its chunk of the file: HDF5's shuffle and gzip, made and undone by ISA-L at several times zlib's pace."""

from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

# Measured on 92 real slices of 512x512 (benchmarks/store.py), MB and ms to write and to read a slice: gzip 3 with
# shuffle 0.24, 12.9, 2.3; the same filter fed by ISA-L's compressor (below) 0.26, 2.4, 2.9, and 1.4 where ISA-L reads
# it too (benchmarks/loading.py); lzf with shuffle 0.32, 5.0, 2.6; Blosc zstd 3 with bit shuffle 0.24, 4.2, 0.8; nothing
# 1.05, 2.8, 0.1. Blosc reads faster still, but only readers with its plugin could open the store; gzip every HDF5 can,
# and its checksum finds a flipped bit.
FILTER = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
FILTERS = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE)


def pack(image_hu: NDArray[np.float32]) -> bytes:
    """What HDF5's shuffle and gzip would make of an image: all first bytes, then all second, …, compressed."""
    words = np.ascontiguousarray(image_hu, dtype="<f4").view("<u4").ravel()
    planes = np.empty((4, words.size), np.uint8)
    for number, plane in enumerate(planes):
        # Shifted and cut off: 0.16 ms a slice of 512x512, where copying every fourth byte takes 0.29.
        np.right_shift(words, 8 * number, out=plane, casting="unsafe")
    return isal_zlib.compress(planes, 1)


def unpack(chunk: bytes, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The image that `pack` packed. Raises OSError, as HDF5 does, where the chunk is not one or its checksum is off."""
    size = 4 * shape[0] * shape[1]
    inflater = isal_zlib.decompressobj()
    try:
        content = inflater.decompress(chunk, size)
    # The stub takes the class for an instance.
    except isal_zlib.error as error:  # type: ignore[misc]
        raise OSError(str(error)) from error
    # The end is reached once the checksum has been compared.
    if not inflater.eof or len(content) != size:
        raise OSError("the chunk is not as long as an image")
    planes = np.frombuffer(content, np.uint8).reshape(4, -1)
    image_hu: NDArray[np.float32] = np.stack(tuple(planes), axis=-1).view("<f4").reshape(shape)
    return image_hu


def is_packed(images: Any) -> bool:
    """Whether the chunks of an HDF5 data set are what `unpack` takes; a store may be filtered otherwise."""
    plan = images.id.get_create_plist()
    filters = tuple(plan.get_filter(number)[0] for number in range(plan.get_nfilters()))
    return images.chunks == (1, *images.shape[1:]) and filters == FILTERS
