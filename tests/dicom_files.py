"""Small CT files as a scanner would write them, each oddity one argument away."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

SIZE = 16


def ct(stored: Any = None, **elements: Any) -> FileDataset:
    """A CT slice; an element given as None is left out, `stored` are its pixels (int16 or uint16)."""
    stored = np.arange(SIZE * SIZE).reshape(SIZE, SIZE).astype(np.int16) if stored is None else stored
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)  # type: ignore[arg-type]
    usual: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "PixelSpacing": [0.5, 0.5],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, 0],
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes(),
    }
    for keyword, value in (usual | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_ct(path: Path, stored: Any = None, **elements: Any) -> Path:
    """`ct(…)` in a file."""
    return save(ct(stored, **elements), path)


def content_of(dataset: Dataset) -> bytes:
    """The bytes `save` would write."""
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def enhanced_ct(
    stored: Any, frames: list[dict[str, dict[str, Any]]], shared: dict[str, dict[str, Any]], **elements: Any
) -> FileDataset:
    """An enhanced multi-frame CT: (frames, rows, columns) pixels and, per frame and for all, the functional
    groups as {"PlanePosition": {"ImagePositionPatient": …}}; what is usual of a slice is not at the top.
    """
    bare = (
        "PixelSpacing",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "RescaleSlope",
        "RescaleIntercept",
    )
    dataset = ct(
        stored[0],
        **{
            "SOPClassUID": EnhancedCTImageStorage,
            "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
            **dict.fromkeys(bare),
            **elements,
        },
    )
    dataset.NumberOfFrames = len(stored)
    dataset.PixelData = stored.tobytes()
    dataset.SharedFunctionalGroupsSequence = [_groups(shared)]
    dataset.PerFrameFunctionalGroupsSequence = [_groups(frame) for frame in frames]
    return dataset


def _groups(content: dict[str, dict[str, Any]]) -> Dataset:
    groups = Dataset()
    for name, elements in content.items():
        item = Dataset()
        for keyword, value in elements.items():
            setattr(item, keyword, value)
        setattr(groups, f"{name}Sequence", [item])
    return groups
