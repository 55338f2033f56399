"""The names inside a store, and its version."""

from hashlib import sha256
from typing import Any

from ctrobust import __version__

SCHEMA = 1
"""Raised when a reader of the old schema would misread the new one."""

IMAGE = "slices/image"
PATIENT = "slices/patient"
SERIES = "slices/series"
POSITION_MM = "slices/position_mm"
PIXEL_MM = "slices/pixel_mm"
SOURCE_SHA256 = "slices/source_sha256"
COLUMNS = (PATIENT, SERIES, POSITION_MM, PIXEL_MM, SOURCE_SHA256)
"""Beside the images: one entry a slice."""

SCHEMA_ATTRIBUTE = "schema"
CREATED_BY_ATTRIBUTE = "created_by"
CREATED_BY = f"ctrobust {__version__}"
KEY_ID_ATTRIBUTE = "pseudonym_key_id"
"""Which key the pseudonyms are of, not the key; absent where they are nobody's."""
COLUMNS_SHA256_ATTRIBUTE = "columns_sha256"
"""Images carry their filter's checksum; the columns beside them have none of their own."""


def columns_sha256(store: Any) -> str:
    """Of what the columns of an open store say, in hex."""
    digest = sha256()
    for name in COLUMNS:
        column = store[name][:]
        digest.update(f"{name} {column.dtype.str} {column.shape} ".encode())
        digest.update(column.tobytes())
    return digest.hexdigest()
