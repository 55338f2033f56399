"""DICOM files into checked slices in HU: find, scan (headers only), then read one slice at a time."""

from ctrobust.ingest.pseudonyms import Pseudonyms
from ctrobust.ingest.refusal import Refused
from ctrobust.ingest.series import Scan, Series, scan
from ctrobust.ingest.slices import read_slices
from ctrobust.ingest.stack import SeriesGeometry
from ctrobust.ingest.walk import Found, find_files

__all__ = [
    "Found",
    "Pseudonyms",
    "Refused",
    "Scan",
    "Series",
    "SeriesGeometry",
    "find_files",
    "read_slices",
    "scan",
]
