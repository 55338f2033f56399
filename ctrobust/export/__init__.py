"""x̂ out of the house: a DICOM series that any viewer opens, and that says what it is not for."""

from ctrobust.export.derivation import Derivation
from ctrobust.export.dicom_series import (
    HIGHEST_HU,
    LOWEST_HU,
    ImageSeries,
    beyond_range,
    stored_from_hu,
    write_series,
)
from ctrobust.export.folder import new_folder
from ctrobust.export.growing import GrowingArray
from ctrobust.export.plane import Plane
from ctrobust.export.subject import Subject, kept, nobody, pseudonymous, read_source

__all__ = [
    "HIGHEST_HU",
    "LOWEST_HU",
    "Derivation",
    "GrowingArray",
    "ImageSeries",
    "Plane",
    "Subject",
    "beyond_range",
    "kept",
    "new_folder",
    "nobody",
    "pseudonymous",
    "read_source",
    "stored_from_hu",
    "write_series",
]
