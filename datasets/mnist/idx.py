"""IDX: a magic number, big-endian sizes, then the numbers in the order of a C array."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_BYTES = 2**31


def read_idx(path: Path) -> NDArray[Any]:
    """The array of an IDX file, packed by gzip or not, in the byte order of the machine.

    Source: the description at yann.lecun.com/exdb/mnist. Raises UserError, naming the file, where it is none, is cut
    short, has more than it says, or says more than 2 GiB.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            kind, shape = _header(path, stream.read(4), stream)
            dtype = np.dtype(kind)
            wanted = math.prod(shape) * dtype.itemsize
            if wanted > MOST_BYTES:
                raise UserError(f"{path}: its header says {wanted} bytes; download it again")
            content = stream.read(wanted + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); download it again") from error
    if len(content) != wanted:
        found = "more" if len(content) > wanted else len(content)
        raise UserError(f"{path}: {found} bytes where the header says {wanted}; download it again")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _header(path: Path, magic: bytes, stream: Any) -> tuple[str, tuple[int, ...]]:
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= 4:
        raise UserError(
            f"{path}: no IDX file by its first bytes; name one such as train-images-idx3-ubyte.gz"
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise UserError(f"{path}: cut short within its header; download it again")
    return TYPES[magic[2]], struct.unpack(f">{magic[3]}I", sizes)
