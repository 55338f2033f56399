"""The names inside a store, and its version."""

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
